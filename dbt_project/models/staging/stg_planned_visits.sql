select
    visits.usubjid,
    visits.siteid,
    visits.visitnum,
    visits.avisitn,
    visits.due,
    visits.missing_after,
    visits.visited,
    visits.visitdt,
    visits.rfendt
from {{ source('lake', 'planned_visits') }} as visits
