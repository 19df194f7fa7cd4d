{{ config(materialized='table', indexes=[{'columns': ['siteid', 'source']}]) }}

-- What mart_site_quality shows but for its clock: the view on it has one parent, a table. A view on several staging
-- views would be dropped with each of them, by threads that then wait for each other.
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
    where {{ is_site('_site') }}
    group by _site, source
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
    account.records_in_force::bigint as records_in_force,
    commonest.rule as commonest_rule,
    commonest.lines as commonest_rule_lines,
    account.newest_delivered,
    account.open_since,
    due.last_day,
    due.cadence_days,
    due.expected_by,
    due.silent_after,
    due.as_of,
    due.source is not null as has_rhythm
from account
left join {{ ref('stg_arrivals') }} as due
    on
        account.siteid = due._site
        and account.source = due.source
left join commonest
    on
        account.siteid = commonest.siteid
        and account.source = commonest.source
