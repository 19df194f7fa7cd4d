select
    activity.siteid,
    activity.day,
    activity.files,
    activity.lines,
    activity.accepted,
    activity.quarantined,
    activity.superseded,
    activity.subjects_seen
from {{ source('lake', 'site_activity') }} as activity
