{#- Each summary exists twice: pooled, of all subjects, and by treatment, for the unblinded. Both come from one macro
    here, so that they cannot differ in anything else. `by_treatment` adds the columns treatment and treatmentn. -#}

{#- The columns of a treatment, of a relation or by themselves; nothing where all are pooled. Ends with a comma. -#}
{% macro arms(by_treatment, alias='') -%}
    {%- if by_treatment -%}
        {%- set of = alias ~ '.' if alias else '' -%}
        {{ of }}treatment, {{ of }}treatmentn,
    {%- endif -%}
{%- endmacro %}


{#- The same as a condition that joins. -#}
{% macro same_arm(by_treatment, one, other) -%}
    {%- if by_treatment -%}
        {{ one }}.treatmentn = {{ other }}.treatmentn
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{#- A condition that joins rows with the treatment as analysed of their subject; for `from`. -#}
{% macro with_treatment(by_treatment, alias) -%}
    {%- if by_treatment %}
inner join (
    select
        usubjid,
        trt01a as treatment,
        trt01an as treatmentn
    from {{ ref('stg_treatment') }}
    where trt01a is not null
) as treated on {{ alias }}.usubjid = treated.usubjid
    {%- endif -%}
{%- endmacro %}


{#- The analysis visits at which a result counts, of those that meet a condition: its own, and once more the end of
    treatment (99, as the study has it); for `from`. -#}
{% macro at_visits(condition) -%}
cross join lateral (
    select
        results.avisitn,
        results.avisit
    where {{ condition }}
    union all
    select
        99 as avisitn,
        'End of Treatment' as avisit
    where results.aentmtfl = 'Y'
) as visits
{%- endmacro %}


{#- The first of a summary's CTEs: `subjects`, those of a population by its flag, or everyone, and `populations`, how
    many are in it; no row where there is nobody. -#}
{% macro subjects_and_populations(by_treatment, flag, everyone=false) -%}
subjects as (
    select
        {{ arms(by_treatment, 'treated') }}
        subjects.*
    from {{ ref('dim_subject') }} as subjects
    {{ with_treatment(by_treatment, 'subjects') }}
    where
        {{ anything_changed() }}
        {% if not everyone %}
        and subjects.{{ flag }} = 'Y'
        {% endif %}
),

populations as (
    select
        {{ arms(by_treatment) }}
        count(usubjid) filter (where {{ flag }} = 'Y') as population
    from subjects
    {% if by_treatment %}
    group by treatment, treatmentn
    {% else %}
    having count(usubjid) > 0
    {% endif %}
)
{%- endmacro %}


{#- Partial sums of results of the safety population by site, for marts to add up: values and changes at each analysis
    visit. Sums are decimal numbers, so that they come out the same in whatever order they are added. within: further
    columns of the fact that part the results. -#}
{% macro sums_by_site(fact, within, by_treatment) -%}
select
    results.siteid,
    {{ arms(by_treatment, 'treated') }}
    results.paramcd,
    min(results.param) as param,
    min(results.paramn) as paramn,
    {% for column in within %}
    results.{{ column }},
    {% endfor %}
    visits.avisitn,
    min(visits.avisit) as avisit,
    {% for value, name in [('aval', ''), ('chg', 'chg_')] %}
    count(results.{{ value }}) as {{ name }}n,
    sum(results.{{ value }}::numeric) as {{ name }}total,
    sum(results.{{ value }}::numeric * results.{{ value }}::numeric) as {{ name }}squares,
    min(results.{{ value }}) as {{ name }}least,
    max(results.{{ value }}) as {{ name }}greatest{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref(fact) }} as results
{{ with_treatment(by_treatment, 'results') }}
{{ at_visits('results.avisitn is not null') }}
where
    results.saffl = 'Y'
    and results.aval is not null
    and {{ changed('results.siteid') }}
group by
    results.siteid,
    {{ arms(by_treatment, 'treated') }}
    results.paramcd,
    {% for column in within %}
    results.{{ column }},
    {% endfor %}
    visits.avisitn
{%- endmacro %}


{#- Values and changes by parameter and visit, from the partial sums of sites. -#}
{% macro change_by_visit(sums, within, by_treatment) -%}
select
    {{ arms(by_treatment) }}
    paramcd,
    min(param) as param,
    min(paramn) as paramn,
    {% for column in within %}
    {{ column }},
    {% endfor %}
    avisitn,
    min(avisit) as avisit,
    {% for name in ['', 'chg_'] %}
    sum({{ name }}n)::bigint as {{ name }}n,
    (sum({{ name }}total) / nullif(sum({{ name }}n), 0))::double precision as {{ name }}mean,
    {{ deviation(name) }} as {{ name }}sd,
    min({{ name }}least) as {{ name }}min,
    max({{ name }}greatest) as {{ name }}max{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref(sums) }}
where {{ changed('avisit') }}
group by
    {{ arms(by_treatment) }}
    paramcd,
    {% for column in within %}
    {{ column }},
    {% endfor %}
    avisitn
{%- endmacro %}


{#- The sample standard deviation from n, sum and sum of squares, exact until its root: they are decimal numbers. -#}
{% macro deviation(name) -%}
    sqrt(
        (sum({{ name }}n) * sum({{ name }}squares) - sum({{ name }}total) * sum({{ name }}total))
        / nullif(sum({{ name }}n) * (sum({{ name }}n) - 1), 0)
    )::double precision
{%- endmacro %}


{#- Subjects by site, laboratory test and visit, whose range indicator is known at baseline and at the visit. -#}
{% macro shifts_by_site(by_treatment) -%}
select
    results.siteid,
    {{ arms(by_treatment, 'treated') }}
    results.paramcd,
    min(results.param) as param,
    min(results.paramn) as paramn,
    visits.avisitn,
    min(visits.avisit) as avisit,
    results.bnrind,
    results.anrind,
    count(distinct results.usubjid) as subjects
from {{ ref('fct_lab_results') }} as results
{{ with_treatment(by_treatment, 'results') }}
{{ at_visits('results.avisitn > 0') }}
where
    results.saffl = 'Y'
    and results.bnrind is not null
    and results.anrind is not null
    and {{ changed('results.siteid') }}
group by
    results.siteid,
    {{ arms(by_treatment, 'treated') }}
    results.paramcd,
    visits.avisitn,
    results.bnrind,
    results.anrind
{%- endmacro %}


{#- The shift table, from the counts of sites. -#}
{% macro shift_table(counts, by_treatment) -%}
select
    {{ arms(by_treatment) }}
    paramcd,
    min(param) as param,
    min(paramn) as paramn,
    avisitn,
    min(avisit) as avisit,
    bnrind,
    anrind,
    sum(subjects)::bigint as subjects,
    (sum(sum(subjects)) over of_visit)::bigint as population,
    (100 * sum(subjects) / sum(sum(subjects)) over of_visit)::double precision as percent
from {{ ref(counts) }}
where {{ changed('avisit') }}
group by
    {{ arms(by_treatment) }}
    paramcd,
    avisitn,
    bnrind,
    anrind
window of_visit as (partition by {{ arms(by_treatment) }} paramcd, avisitn)
{%- endmacro %}


{#- Demographics and size at baseline of the safety population: numbers summarised, categories counted. -#}
{% macro demographics(by_treatment) -%}
with {{ subjects_and_populations(by_treatment, 'saffl') }},

measured as (
    select
        {{ arms(by_treatment, 'subjects') }}
        told.characteristicn,
        told.characteristic,
        count(told.value) as n,
        avg(told.value::numeric)::double precision as mean,
        stddev_samp(told.value::numeric)::double precision as sd,
        percentile_cont(0.5) within group (order by told.value) as median,
        min(told.value) as min,
        max(told.value) as max
    from subjects
    cross join lateral (
        values
        (1, 'AGE', case when subjects.ageu = 'YEARS' then subjects.age::double precision end),
        (6, 'HEIGHTBL', subjects.heightbl),
        (7, 'WEIGHTBL', subjects.weightbl),
        (8, 'BMIBL', subjects.bmibl)
    ) as told (characteristicn, characteristic, value)
    group by {{ arms(by_treatment, 'subjects') }} told.characteristicn, told.characteristic
),

sorted as (
    select
        {{ arms(by_treatment, 'subjects') }}
        subjects.usubjid,
        told.characteristicn,
        told.characteristic,
        coalesce(told.value, 'MISSING') as category
    from subjects
    cross join lateral (
        values
        (2, 'AGEGR1', subjects.agegr1),
        (3, 'SEX', subjects.sex),
        (4, 'RACE', subjects.race),
        (5, 'ETHNIC', subjects.ethnic),
        (9, 'BMIBLGR1', subjects.bmiblgr1)
    ) as told (characteristicn, characteristic, value)
),

-- A category that one treatment lacks is a row with nobody in it.
categories as (
    select distinct
        characteristicn,
        characteristic,
        category
    from sorted
),

counted as (
    select
        {{ arms(by_treatment, 'populations') }}
        categories.characteristicn,
        categories.characteristic,
        categories.category,
        populations.population,
        count(sorted.usubjid) as n
    from populations
    cross join categories
    left join sorted
        on
            {{ same_arm(by_treatment, 'populations', 'sorted') }}
            and categories.characteristic = sorted.characteristic
            and categories.category = sorted.category
    group by
        {{ arms(by_treatment, 'populations') }}
        populations.population,
        categories.characteristicn,
        categories.characteristic,
        categories.category
)

select
    {{ arms(by_treatment, 'measured') }}
    measured.characteristicn,
    measured.characteristic,
    null::text as category,
    populations.population,
    measured.n,
    null::double precision as percent,
    measured.mean,
    measured.sd,
    measured.median,
    measured.min,
    measured.max
from measured
inner join populations on {{ same_arm(by_treatment, 'measured', 'populations') }}
union all
select
    {{ arms(by_treatment) }}
    characteristicn,
    characteristic,
    category,
    population,
    n,
    100 * n / population::double precision as percent,
    null::double precision as mean,
    null::double precision as sd,
    null::double precision as median,
    null::double precision as min,
    null::double precision as max
from counted
{%- endmacro %}


{#- Treatment-emergent adverse events of the safety population, by class and term. A site records an event again each
    time it looks at it: `records` are looks, `events` what is looked at. A record without the event's number stands
    for an event of its own. -#}
{% macro event_counts(by_treatment) -%}
with {{ subjects_and_populations(by_treatment, 'saffl') }},

events as (
    select
        {{ arms(by_treatment, 'treated') }}
        events.usubjid,
        events.aebodsys,
        events.aedecod,
        events.usubjid || '|' || coalesce(events.aespid, events.row_key) as event
    from {{ ref('fct_adverse_events') }} as events
    {{ with_treatment(by_treatment, 'events') }}
    where
        {{ anything_changed() }}
        and events.saffl = 'Y'
        and events.trtemfl = 'Y'
),

counted as (
    select
        {{ arms(by_treatment) }}
        aebodsys,
        aedecod,
        (array['preferred term', 'system organ class', null, 'any event'])[1 + grouping(aebodsys, aedecod)] as level,
        count(*) as records,
        count(distinct event) as events,
        count(distinct usubjid) as subjects
    from events
    group by
        {% if by_treatment %}treatment, treatmentn,{% endif %}
        grouping sets ((aebodsys, aedecod), (aebodsys), ())
),

-- A term that one treatment lacks is a row with nobody in it.
terms as (
    select distinct
        level,
        aebodsys,
        aedecod
    from counted
    where level is not null
)

select
    {{ arms(by_treatment, 'populations') }}
    terms.level,
    terms.aebodsys,
    terms.aedecod,
    coalesce(counted.records, 0) as records,
    coalesce(counted.events, 0) as events,
    coalesce(counted.subjects, 0) as subjects,
    populations.population,
    100 * coalesce(counted.subjects, 0) / populations.population::double precision as percent
from populations
cross join terms
left join counted
    on
        {{ same_arm(by_treatment, 'populations', 'counted') }}
        and terms.level = counted.level
        and terms.aebodsys is not distinct from counted.aebodsys
        and terms.aedecod is not distinct from counted.aedecod
{%- endmacro %}


{#- What became of the subjects: populations, status, and why they discontinued. -#}
{% macro disposition(by_treatment) -%}
with {{ subjects_and_populations(by_treatment, 'ittfl', everyone=true) }},

told as (
    select
        {{ arms(by_treatment, 'subjects') }}
        subjects.usubjid,
        told.leveln,
        told.level,
        told.term
    from subjects
    cross join lateral (
        values
        (1, 'population', 'SCREENED'),
        (1, 'population', case subjects.ittfl when 'Y' then 'RANDOMISED' else 'SCREEN FAILURE' end),
        (1, 'population', case subjects.saffl when 'Y' then 'SAFETY' end),
        (2, 'status', subjects.eosstt),
        (
            3,
            'reason for discontinuation',
            case subjects.eosstt when 'DISCONTINUED' then coalesce(subjects.dcsreas, 'NOT TOLD') end
        )
    ) as told (leveln, level, term)
    where told.term is not null
),

-- What nobody of one treatment had is a row with nobody in it.
terms as (
    select distinct
        leveln,
        level,
        term
    from told
)

select
    {{ arms(by_treatment, 'populations') }}
    terms.leveln,
    terms.level,
    terms.term,
    count(told.usubjid) as subjects,
    populations.population,
    100 * count(told.usubjid) / nullif(populations.population, 0)::double precision as percent
from populations
cross join terms
left join told
    on
        {{ same_arm(by_treatment, 'populations', 'told') }}
        and terms.level = told.level
        and terms.term = told.term
group by
    {{ arms(by_treatment, 'populations') }}
    populations.population,
    terms.leveln,
    terms.level,
    terms.term
{%- endmacro %}
