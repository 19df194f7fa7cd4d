{#- A view, because a visit is missing by nothing but time. #}
{{ config(materialized='view') }}

with visits as (
    select
        siteid,
        avisitn,
        usubjid,
        visited,
        visitdt - due as days_off,
        -- After its study has ended nobody waits for a subject.
        not visited
        and missing_after < coalesce(as_of, {{ today() }})
        and (rfendt is null or missing_after <= rfendt) as missing
    from {{ ref('int_planned_visits') }}
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
