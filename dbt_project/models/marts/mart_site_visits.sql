{#- A view, because a visit is missing by nothing but time. #}
{{ config(materialized='view') }}

with clock as (
    select coalesce(max(as_of), {{ today() }}) as today
    from {{ ref('stg_arrivals') }}
),

visits as (
    select
        visits.siteid,
        visits.avisitn,
        visits.usubjid,
        visits.visited,
        visits.visitdt - visits.due as days_off,
        -- After its study has ended nobody waits for a subject.
        not visits.visited
        and visits.missing_after < clock.today
        and (visits.rfendt is null or visits.missing_after <= visits.rfendt) as missing
    from {{ ref('stg_planned_visits') }} as visits
    cross join clock
)

select
    siteid,
    avisitn,
    count(usubjid) filter (where visited or missing) as expected,
    count(usubjid) filter (where visited) as visited,
    count(usubjid) filter (where missing) as missing,
    count(usubjid) filter (where missing)
    / nullif(count(usubjid) filter (where visited or missing), 0)::double precision as missing_rate,
    percentile_cont(0.5) within group (order by days_off) as median_days_off
from visits
group by siteid, avisitn
