{{ config(indexes=[{'columns': ['alert_id']}, {'columns': ['usubjid', 'at']}]) }}

select
    subjects.siteid,
    alerts.key as usubjid,
    alerts.rule,
    alerts.at,
    alerts.says,
    alerts.value,
    alerts.readings,
    alerts.first_at,
    alerts.id as alert_id
from {{ ref('stg_wearable_alerts') }} as alerts
left join {{ ref('dim_subject') }} as subjects on alerts.key = subjects.usubjid
