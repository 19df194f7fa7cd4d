select
    alerts.ordinal,
    alerts.id,
    alerts.rule,
    alerts.says,
    alerts.key,
    alerts.at,
    alerts.first_at,
    alerts.value,
    alerts.readings,
    alerts.partition,
    alerts.first_offset,
    alerts.offset
from {{ source('lake', 'wearable_alerts') }} as alerts
