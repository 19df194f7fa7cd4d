{{ config(indexes=[{'columns': ['usubjid', 'lbtestcd', 'visitnum', 'result_id']}, {'columns': ['siteid']}]) }}

select
    disagreements.siteid,
    disagreements.usubjid,
    disagreements.visitnum,
    disagreements.lbtestcd,
    disagreements.difference,
    disagreements.lborres,
    disagreements.lborresu,
    disagreements.lbdtc,
    disagreements.central_lborres,
    disagreements.central_lborresu,
    disagreements.central_lbdtc,
    disagreements.result_id,
    {{ provenance('disagreements') }}
from {{ ref('stg_lab_reconciliation') }} as disagreements
where disagreements.difference is not null
