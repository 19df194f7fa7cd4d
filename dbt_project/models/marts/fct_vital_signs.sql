{{ config(indexes=[
    {'columns': ['row_key'], 'unique': true},
    {'columns': ['usubjid', 'vstestcd']},
]) }}

select
    {{ row_key('results') }} as row_key,
    results.studyid,
    results.usubjid,
    results.subjid,
    results.siteid,
    results.vstestcd,
    results.vstest,
    results.vspos,
    results.vsorres,
    results.vsorresu,
    results.vsstresc,
    results.vsstresn,
    results.vsstresu,
    results.vsstat,
    results.vsloc,
    results.visitnum,
    results.visit,
    results.vsdtc,
    results.vsdt,
    results.vstpt,
    results.vstptnum,
    results.age,
    results.sex,
    {{ provenance('results') }}
from {{ ref('stg_vital_signs') }} as results
