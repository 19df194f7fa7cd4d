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
    versions.valid_from,
    versions.valid_to,
    versions.is_current,
    {{ provenance('versions') }}
from {{ source('lake', 'subject_history') }} as versions
