select
    parked.source,
    parked.usubjid,
    parked.reason,
    {{ provenance('parked') }}
from {{ source('lake', 'parked') }} as parked
