{{ config(materialized='table', indexes=[{'columns': ['siteid', 'avisitn']}]) }}

-- What mart_site_visits counts, with the day the lakehouse's clock is set to: its view has one parent, a table.
with clock as (
    select max(as_of) as as_of
    from {{ ref('stg_arrivals') }}
)

select
    visits.usubjid,
    visits.siteid,
    visits.avisitn,
    visits.due,
    visits.missing_after,
    visits.visited,
    visits.visitdt,
    visits.rfendt,
    clock.as_of
from {{ ref('stg_planned_visits') }} as visits
cross join clock
