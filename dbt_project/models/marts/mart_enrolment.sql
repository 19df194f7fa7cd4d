{{ config(indexes=[{'columns': ['siteid', 'month']}]) }}

-- Every site has a row for every month of the study: curves of sites can be stacked, and a pause is a flat line.
-- Subjects are counted by their identifier, though it is never null, so that column lineage shows what is counted.
with sites as (
    select
        siteid,
        last_delivered
    from {{ ref('dim_site') }}
),

screened as (
    select
        siteid,
        screened_month as month,
        count(usubjid) as subjects
    from {{ ref('dim_subject') }}
    where screened_month is not null
    group by siteid, screened_month
),

enrolled as (
    select
        siteid,
        enrolled_month as month,
        count(usubjid) as subjects
    from {{ ref('dim_subject') }}
    where enrolled_month is not null
    group by siteid, enrolled_month
),

-- To the last delivery, not to the last enrolment: a study that stopped enrolling shows it.
known as (
    select month from screened
    union all
    select month from enrolled
),

span as (
    select
        min(known.month) as first_month,
        greatest(max(known.month), (select max(sites.last_delivered) from sites)) as last_day
    from known
),

months as (
    -- Of timestamps without a zone, so the months do not hang on the session's time zone.
    select generate_series(first_month::timestamp, last_day::timestamp, interval '1 month')::date as month
    from span
)

select
    sites.siteid,
    months.month,
    coalesce(screened.subjects, 0) as screened,
    coalesce(enrolled.subjects, 0) as enrolled,
    coalesce(sum(screened.subjects) over so_far, 0)::bigint as cumulative_screened,
    coalesce(sum(enrolled.subjects) over so_far, 0)::bigint as cumulative_enrolled
from sites
cross join months
left join screened
    on
        sites.siteid = screened.siteid
        and months.month = screened.month
left join enrolled
    on
        sites.siteid = enrolled.siteid
        and months.month = enrolled.month
window so_far as (partition by sites.siteid order by months.month)
