select
    reconciliation.usubjid,
    reconciliation.siteid,
    reconciliation.lbtestcd,
    reconciliation.visitnum,
    reconciliation.result_id,
    reconciliation.lborres,
    reconciliation.lborresu,
    reconciliation.lbdtc,
    reconciliation.central_lborres,
    reconciliation.central_lborresu,
    reconciliation.central_lbdtc,
    reconciliation.difference,
    {{ provenance('reconciliation') }}
from {{ source('lake', 'lab_reconciliation') }} as reconciliation
