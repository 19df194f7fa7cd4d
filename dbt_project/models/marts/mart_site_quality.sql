{#- A view, because a site falls silent by nothing but time. #}
{{ config(materialized='view') }}

with account as (
    select
        *,
        case when has_rhythm then coalesce(as_of, {{ today() }}) end as today
    from {{ ref('int_site_account') }}
)

select
    siteid,
    source,
    files,
    files_refused,
    deliveries,
    records,
    accepted,
    quarantined,
    superseded,
    -- A replaced or withdrawn version has given up its rejects, so its records would only dilute the share.
    quarantined / nullif(records_in_force, 0)::double precision as rejection_rate,
    commonest_rule,
    commonest_rule_lines,
    newest_delivered,
    today - last_day as days_since_last,
    cadence_days,
    expected_by,
    case
        when today > silent_after then 'silent'
        when today > expected_by then 'late'
        when today is not null then 'on time'
    end as arrival_status,
    case when expected_by is not null then greatest(today - expected_by, 0) end as days_late,
    open_since,
    records_in_force
from account
