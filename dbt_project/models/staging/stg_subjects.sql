select
    subjects.usubjid,
    subjects.subjid,
    subjects.studyid,
    subjects.siteid,
    subjects.country,
    subjects.age,
    subjects.ageu,
    subjects.sex,
    subjects.race,
    subjects.ethnic,
    subjects.dmdtc,
    subjects.dmdt,
    subjects.rfstdtc,
    subjects.rfstdt,
    {{ provenance('subjects') }}
from {{ source('lake', 'subjects') }} as subjects
