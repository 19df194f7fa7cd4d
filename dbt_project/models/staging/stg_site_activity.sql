select
    activity.siteid,
    activity.day,
    activity.files,
    activity.lines,
    activity.accepted,
    activity.quarantined,
    activity.superseded,
    activity.subjects_seen,
    activity.days_since_last,
    activity.expected_by,
    activity.silent_after
from {{ source('lake', 'site_activity') }} as activity
