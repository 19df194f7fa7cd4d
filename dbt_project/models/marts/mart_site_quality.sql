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
        max(_delivered) as newest_delivered
    from {{ ref('stg_deliveries') }}
    group by _site, source
),

rules as (
    select
        _site as siteid,
        source,
        rule,
        sum(lines)::bigint as lines
    from {{ ref('stg_rejections') }}
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
    account.newest_delivered
from account
left join commonest
    on
        account.siteid = commonest.siteid
        and account.source = commonest.source
