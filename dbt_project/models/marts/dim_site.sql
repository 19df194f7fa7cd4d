{{ config(indexes=[{'columns': ['siteid']}]) }}

-- A site is one that anything is known of: it may have delivered before its first subject's demographics are in.
-- Rows are counted by a column that is never null, so that column lineage shows what is counted.
with sites as (
    select siteid from {{ ref('dim_subject') }}
    union
    select _site as siteid from {{ ref('stg_deliveries') }}
    where {{ is_site('_site') }}
    union
    select siteid from {{ ref('stg_site_activity') }}
),

subjects as (
    select
        siteid,
        count(usubjid) as subjects,
        count(usubjid) filter (where enrolled) as enrolled,
        mode() within group (order by country) as country,
        mode() within group (order by region) as region
    from {{ ref('dim_subject') }}
    group by siteid
),

deliveries as (
    select
        _site as siteid,
        count(_file) as deliveries,
        count(_file) filter (where state = 'rejected') as deliveries_refused,
        min(_delivered) filter (where state <> 'rejected') as first_delivered,
        max(_delivered) filter (where state <> 'rejected') as last_delivered
    from {{ ref('stg_deliveries') }}
    group by _site
),

activity as (
    select
        siteid,
        count(day) filter (where files > 0) as delivery_days
    from {{ ref('stg_site_activity') }}
    group by siteid
)

select
    sites.siteid,
    subjects.country,
    subjects.region,
    coalesce(subjects.subjects, 0) as subjects,
    coalesce(subjects.enrolled, 0) as enrolled,
    coalesce(deliveries.deliveries, 0) as deliveries,
    coalesce(deliveries.deliveries_refused, 0) as deliveries_refused,
    coalesce(activity.delivery_days, 0) as delivery_days,
    deliveries.first_delivered,
    deliveries.last_delivered
from sites
left join subjects on sites.siteid = subjects.siteid
left join deliveries on sites.siteid = deliveries.siteid
left join activity on sites.siteid = activity.siteid
