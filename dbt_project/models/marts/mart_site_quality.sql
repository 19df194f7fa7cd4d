{#- A view, because a site falls silent by nothing but time. #}
{{ config(materialized='view') }}

with account as (
    select
        _site as siteid,
        source,
        count(distinct _file) as files,
        count(_file) as deliveries,
        count(distinct _file) filter (where state = 'rejected') as files_refused,
        sum(records)::bigint as records,
        sum(accepted)::bigint as accepted,
        sum(quarantined)::bigint as quarantined,
        sum(superseded)::bigint as superseded,
        sum(records) filter (where state not in ('replaced', 'withdrawn')) as records_in_force,
        max(_delivered) as newest_delivered,
        min(_delivered) filter (where quarantined > 0 or state = 'rejected') as open_since
    from {{ ref('stg_deliveries') }}
    group by _site, source
),

due as (
    select
        source,
        _site,
        last_day,
        cadence_days,
        expected_by,
        silent_after,
        coalesce(as_of, {{ today() }}) as today
    from {{ ref('stg_arrivals') }}
),

rules as (
    select
        _site as siteid,
        source,
        rule,
        sum(lines)::bigint as lines
    from {{ ref('stg_rejections') }}
    where severity <> 'warn'
    group by _site, source, rule
),

commonest as (
    select distinct on (siteid, source)
        siteid,
        source,
        rule,
        lines
    from rules
    order by siteid asc, source asc, lines desc, rule asc
)

select
    account.siteid,
    account.source,
    account.files,
    account.files_refused,
    account.deliveries,
    account.records,
    account.accepted,
    account.quarantined,
    account.superseded,
    -- A replaced or withdrawn version has given up its rejects, so its records would only dilute the share.
    account.quarantined / nullif(account.records_in_force, 0)::double precision as rejection_rate,
    commonest.rule as commonest_rule,
    commonest.lines as commonest_rule_lines,
    account.newest_delivered,
    due.today - due.last_day as days_since_last,
    due.cadence_days,
    due.expected_by,
    case
        when due.today > due.silent_after then 'silent'
        when due.today > due.expected_by then 'late'
        when due.today is not null then 'on time'
    end as arrival_status,
    case when due.expected_by is not null then greatest(due.today - due.expected_by, 0) end as days_late,
    account.open_since,
    account.records_in_force::bigint as records_in_force
from account
left join due
    on
        account.siteid = due._site
        and account.source = due.source
left join commonest
    on
        account.siteid = commonest.siteid
        and account.source = commonest.source
