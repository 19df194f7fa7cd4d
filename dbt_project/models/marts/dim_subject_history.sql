{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['usubjid', 'valid_from', '_site']},
        {'columns': ['_site']},
    ],
    meta={'follows': {'by': '_site', 'lake': 'subject_history'}},
) }}

select
    versions.usubjid,
    versions.subjid,
    versions.studyid,
    versions.siteid,
    versions.country,
    versions.region,
    versions.age,
    versions.ageu,
    versions.sex,
    versions.race,
    versions.ethnic,
    versions.dmdtc,
    versions.rfstdtc,
    versions.rfstdtc is not null as enrolled,
    versions.valid_from,
    versions.valid_to,
    versions.is_current,
    {{ provenance('versions') }}
from {{ ref('stg_subject_history') }} as versions
where {{ changed('versions._site') }}
