{{ config(indexes=[
    {'columns': ['row_key'], 'unique': true},
    {'columns': ['usubjid', 'lbtestcd']},
]) }}

select
    {{ row_key('results') }} as row_key,
    results.studyid,
    results.usubjid,
    results.subjid,
    results.siteid,
    results.lbtestcd,
    results.lbtest,
    results.lbcat,
    results.lborres,
    results.lborresu,
    results.lbstresc,
    results.lbstresn,
    results.lbstnrlo,
    results.lbstnrhi,
    results.lbstresu,
    results.lbnrind,
    results.out_of_range,
    results.visitnum,
    results.visit,
    results.lbdtc,
    results.lbdt,
    results.age,
    results.sex,
    {{ provenance('results') }}
from {{ ref('stg_lab_results') }} as results
