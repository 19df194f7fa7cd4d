select
    deliveries.source,
    deliveries._file,
    deliveries._checksum,
    deliveries._observation,
    deliveries._delivered,
    deliveries._site,
    deliveries._received_at,
    deliveries.bytes,
    deliveries.records,
    deliveries.accepted,
    deliveries.quarantined,
    deliveries.superseded,
    deliveries.state,
    deliveries.reason
from {{ source('lake', 'deliveries') }} as deliveries
