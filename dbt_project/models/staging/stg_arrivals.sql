select
    arrivals.source,
    arrivals._site,
    arrivals.first_day,
    arrivals.last_day,
    arrivals.delivery_days,
    arrivals.cadence_days,
    arrivals.expected_by,
    arrivals.silent_after,
    arrivals.as_of
from {{ source('lake', 'arrivals') }} as arrivals
