{{ config(indexes=[{'columns': ['siteid', 'valid_from']}]) }}

-- A version of a site begins on a delivery day: when it first delivers a source, when its first subject is screened or
-- enrolled, when the country of most of its subjects is another one. Runs have no part in it.
with changes as (
    select
        _site as siteid,
        valid_from as day,
        country,
        1 as subjects,
        enrolled::int as enrolled
    from {{ ref('dim_subject_history') }}
    union all
    select
        _site as siteid,
        valid_to as day,
        country,
        -1 as subjects,
        -enrolled::int as enrolled
    from {{ ref('dim_subject_history') }}
    where valid_to is not null
),

began as (
    select
        _site as siteid,
        source,
        min(_delivered) as day
    from {{ ref('stg_deliveries') }}
    where
        state = 'in effect'
        and _delivered is not null
        and {{ is_site('_site') }}
    group by _site, source
),

days as (
    select
        siteid,
        day
    from changes
    union
    select
        siteid,
        day
    from began
),

countries as (
    select distinct
        siteid,
        country
    from changes
),

daily as (
    select
        siteid,
        day,
        country,
        sum(subjects) as subjects,
        sum(enrolled) as enrolled
    from changes
    group by siteid, day, country
),

-- So many subjects of each country on each of the days.
by_country as (
    select
        days.siteid,
        days.day,
        countries.country,
        sum(coalesce(daily.subjects, 0)) over so_far as subjects,
        sum(coalesce(daily.enrolled, 0)) over so_far as enrolled
    from days
    inner join countries on days.siteid = countries.siteid
    left join daily
        on
            days.siteid = daily.siteid
            and days.day = daily.day
            and countries.country = daily.country
    window so_far as (partition by days.siteid, countries.country order by days.day)
),

with_subjects as (
    select
        siteid,
        day,
        (array_agg(country order by subjects desc, country asc) filter (where subjects > 0))[1] as country,
        sum(subjects) as subjects,
        sum(enrolled) as enrolled
    from by_country
    group by siteid, day
),

with_sources as (
    select
        days.siteid,
        days.day,
        string_agg(began.source, ', ' order by began.source) as sources
    from days
    inner join began
        on
            days.siteid = began.siteid
            and days.day >= began.day
    group by days.siteid, days.day
),

states as (
    select
        days.siteid,
        days.day,
        with_subjects.country,
        case
            when with_subjects.enrolled > 0 then 'enrolling'
            when with_subjects.subjects > 0 then 'screening'
            else 'delivering'
        end as status,
        with_sources.sources
    from days
    left join with_subjects
        on
            days.siteid = with_subjects.siteid
            and days.day = with_subjects.day
    left join with_sources
        on
            days.siteid = with_sources.siteid
            and days.day = with_sources.day
),

-- What the list of sites says, which no delivery changes: a new list changes every version.
regions as (
    select
        _site as siteid,
        mode() within group (order by region) as region
    from {{ ref('dim_subject_history') }}
    group by _site
),

compared as (
    select
        siteid,
        day,
        country,
        status,
        sources,
        array[country, status, sources] as now,
        lag(array[country, status, sources]) over (partition by siteid order by day) as earlier
    from states
)

select
    compared.siteid,
    compared.country,
    regions.region,
    compared.status,
    compared.sources,
    compared.day as valid_from,
    lead(compared.day) over in_order as valid_to,
    lead(compared.day) over in_order is null as is_current
from compared
left join regions on compared.siteid = regions.siteid
where compared.now is distinct from compared.earlier
window in_order as (partition by compared.siteid order by compared.day)
