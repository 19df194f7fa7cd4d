{#- Incremental models that follow what they are made from. A model says in its config

        meta: {follows: {by: usubjid, lake: vital_signs}}

    and `where {{ changed('results.usubjid') }}` in its SQL. In the model's own transaction, before its SQL, the rows of
    every value that has changed go, and its SQL brings those that are there now: what vanished vanishes. Which values
    changed, the lake's `touched` tells; how far a model has come is kept in `followed`, written in that transaction
    too. Where nobody can tell what changed (`loads.anew`, a lake loaded from scratch), all values have.

        follows: by      column of the model whose values are followed
                 lake    table of the lake that is followed, whose `by` is that column
                 model   or else: model that is followed, which `tells` that column
                 others  tables of the lake whose changes touch the model too, as [schema, table]; they have both `by`
                         and the column that `touched` tells of, usubjid
                 whole   or nothing of the above: models that tell, by name, and tables of the lake, as [schema, table],
                         all that the model reads. It is made anew when one of them has changed, and left alone
                         otherwise; its SQL says `where {{ anything_changed() }}`
        tells:   column whose values a model that is followed tells of, in `loads` and `touched` beside `followed`:
                 those whose rows came out otherwise
-#}

{#- The schema of the lake, or of the data cut that the models are built on. -#}
{% macro lake_schema(layer='lake') -%}
    {{ layer }}{{ '_' ~ var('cut') if var('cut', '') else '' }}
{%- endmacro %}


{#- Where models keep how far they have come. -#}
{% macro books() -%}
    {{ generate_schema_name('staging', none) | trim }}
{%- endmacro %}


{#- On run start: the tables, if they are not there. tested: the load up to which every test of the model has passed. -#}
{% macro open_books() -%}
    {{- must_be_loaded() -}}
    create schema if not exists {{ books() }};
    create table if not exists {{ books() }}.followed (
        model text, table_name text, book oid not null, load bigint not null, tested bigint,
        primary key (model, table_name)
    );
    create table if not exists {{ books() }}.loads (
        table_name text primary key, load bigint not null, anew bigint not null
    );
    create table if not exists {{ books() }}.touched (
        table_name text, value text, load bigint not null, primary key (table_name, value)
    );
{%- endmacro %}


{#- What a model follows: of each table its name in the book, the book, the relation, and whether it is one of
    `others`. -#}
{% macro followed_tables(follows) -%}
    {%- set found = [] -%}
    {%- if follows.lake is defined -%}
        {%- set name = lake_schema() ~ '.' ~ follows.lake -%}
        {%- do found.append({'name': name, 'book': lake_schema(), 'relation': name, 'other': false}) -%}
    {%- endif -%}
    {%- set told = follows.whole or [] -%}
    {%- for model in ([follows.model] if follows.model is defined else []) + (told | select('string') | list) -%}
        {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ model] -%}
        {%- set relation = node.schema ~ '.' ~ node.name -%}
        {%- do found.append({'name': model, 'book': books(), 'relation': relation, 'other': false}) -%}
    {%- endfor -%}
    {%- for layer, table in (follows.others or []) + (told | reject('string') | list) -%}
        {%- set name = lake_schema(layer) ~ '.' ~ table -%}
        {%- do found.append({'name': name, 'book': lake_schema(), 'relation': name, 'other': true}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{#- Before a model's SQL: note how far the tables it follows are, and take out the rows of what changed. -#}
{% macro take_out() -%}
{%- if execute and model.config.meta.follows is defined -%}
    {%- set follows = model.config.meta.follows -%}
    {%- set tables = followed_tables(follows) -%}
    {#- Of two builds at once each would put in the rows that the other has put in too. #}
    select pg_advisory_xact_lock(hashtext('{{ this }}'));
    create temp table reached on commit drop as
    {% for table in tables -%}
    select
        '{{ table.name }}' as table_name,
        '{{ table.book }}.loads'::regclass::oid as book,
        coalesce(loads.load, 0) as load,
        followed.load as known,
        followed.load is null or followed.book <> '{{ table.book }}.loads'::regclass::oid or loads.load is null
        or loads.anew > followed.load or loads.load < followed.load as anew
    from (select 1) as once
    left join {{ table.book }}.loads on loads.table_name = '{{ table.name }}'
    left join {{ books() }}.followed
        on followed.model = '{{ model.name }}' and followed.table_name = '{{ table.name }}'
    {% if not loop.last %}union all{% endif %}
    {% endfor -%};
    {%- if is_incremental() and follows.whole is defined %}
    create temp table changed on commit drop as select 'all' as value from reached where anew or load > known;
    delete from {{ this }} where exists (select 1 from changed);
    {%- elif is_incremental() %}
    create temp table changed on commit drop as
    {% for table in tables -%}
    {%- if table.other %}
    select {{ follows.by }} as value from {{ table.relation }}
    where usubjid in (
        select touched.value from {{ table.book }}.touched
        inner join reached on touched.table_name = reached.table_name
        where touched.table_name = '{{ table.name }}' and touched.load > reached.known
    )
    {%- else %}
    select touched.value from {{ table.book }}.touched
    inner join reached on touched.table_name = reached.table_name
    where touched.table_name = '{{ table.name }}' and touched.load > reached.known
    {%- endif %}
    union
    {% endfor -%}
    {#- All there are, when nobody can tell. -#}
    select {{ follows.by }} from {{ tables[0].relation }} where (select bool_or(anew) from reached);
    analyze changed;
    {%- if model.config.meta.tells is defined %}
    {#- What the rows were, unless all go. #}
    create temp table told on commit drop as
    select * from {{ this }}
    where {{ follows.by }} in (select value from changed) and not (select bool_or(anew) from reached);
    {%- endif %}
    {#- Two statements: one that may have to look at every row, and does not begin to unless it has to. -#}
    delete from {{ this }} where (select bool_or(anew) from reached);
    delete from {{ this }} where {{ follows.by }} in (select value from changed);
    {%- endif %}
{%- endif -%}
{%- endmacro %}


{#- The condition that keeps a model's SQL to what changed. -#}
{% macro changed(column) -%}
    {%- if is_incremental() -%}
        {#- Named in full: Dagster works out column lineage without knowing this table. #}
        {{- column }} in (select changed.value from pg_temp.changed as changed)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{#- The same for a model that is made whole. -#}
{% macro anything_changed() -%}
    {{ 'exists (select 1 from pg_temp.changed as changed)' if is_incremental() else 'true' }}
{%- endmacro %}


{#- After a model's SQL: how far it has come, and what it changed for those that follow it. -#}
{% macro remember() -%}
{%- if execute and model.config.meta.follows is defined -%}
    {%- set whole = not is_incremental() %}
    insert into {{ books() }}.followed as before (model, table_name, book, load, tested)
    select '{{ model.name }}', table_name, book, load, null from reached
    on conflict (model, table_name) do update set
        book = excluded.book,
        load = excluded.load,
        tested = {{ 'null' if whole else 'case when not (select bool_or(anew) from reached) then before.tested end' }};
    {%- if model.config.meta.tells is defined %}
    {%- if not whole %}
    create temp table differ on commit drop as
    with now as (
        select * from {{ this }}
        where {{ model.config.meta.follows.by }} in (select value from changed)
            and not (select bool_or(anew) from reached)
    )
    select {{ model.config.meta.tells }} as value
    from (select * from told except all select * from now) as gone
    union
    select {{ model.config.meta.tells }} from (select * from now except all select * from told) as come;
    {%- endif %}
    insert into {{ books() }}.loads as before values ('{{ model.name }}', 1, 1)
    on conflict (table_name) do update set
        {%- if whole %}
        load = before.load + 1,
        anew = before.load + 1;
        {%- else %}
        load = before.load + ((select bool_or(anew) from reached) or exists (select 1 from differ))::int,
        anew = case when (select bool_or(anew) from reached) then before.load + 1 else before.anew end;
        {%- endif %}
    delete from {{ books() }}.touched
    using {{ books() }}.loads
    where touched.table_name = '{{ model.name }}' and loads.table_name = touched.table_name
        and loads.anew = loads.load;
    {%- if not whole %}
    insert into {{ books() }}.touched
    select '{{ model.name }}', differ.value, loads.load
    from differ
    cross join {{ books() }}.loads
    where loads.table_name = '{{ model.name }}'
    on conflict (table_name, value) do update set load = excluded.load;
    {%- endif %}
    {%- endif %}
{%- endif -%}
{%- endmacro %}


{#- After a model that follows was built whole: its rows are known to be visible to everyone, so that counting them, as
    each build does, looks at an index alone. What other threads were at work beside, the run settles at its end. -#}
{% macro settle() -%}
{%- if execute and model.config.meta.follows is defined and not is_incremental() -%}
    vacuum (analyze, skip_locked) {{ this }}
{%- endif -%}
{%- endmacro %}


{#- Tests with `where: changed` look at what has changed since all tests of the model last passed; at everything after it
    was built whole. -#}
{% macro get_where_subquery(relation) -%}
    {%- if config.get('where', '') != 'changed' -%}
        {{ return(default__get_where_subquery(relation)) }}
    {%- endif -%}
    {%- if not execute -%}
        {{ return(relation) }}
    {%- endif -%}
    {#- The model itself, or the one that follows a table of the lake. -#}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.meta.follows is defined -%}
        {%- if node.name == relation.identifier or node.config.meta.follows.lake == relation.identifier -%}
            {%- do found.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set follows = found[0].config.meta.follows -%}
    {%- set table = followed_tables(follows)[0] -%}
    {%- set reached = run_query("select followed.tested from " ~ books() ~ ".followed inner join " ~ table.book
        ~ ".loads on loads.table_name = followed.table_name where followed.model = '" ~ found[0].name
        ~ "' and followed.table_name = '" ~ table.name ~ "' and followed.book = '" ~ table.book
        ~ ".loads'::regclass::oid and loads.anew <= followed.tested and loads.load >= followed.tested") -%}
    {%- if not reached.rows -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set filtered -%}
        (
            select * from {{ relation }} where {{ follows.by }} in (
                select value from {{ table.book }}.touched
                where table_name = '{{ table.name }}' and load > {{ reached.rows[0]['tested'] }}
            )
        ) as dbt_subquery
    {%- endset -%}
    {{ return(filtered) }}
{%- endmacro %}


{#- On run end: models all of whose tests have passed need not be tested again but for what changes next. -#}
{% macro note_tested(results) -%}
{%- if execute -%}
    {%- set passed = [] -%}
    {%- for result in results if result.status in ('pass', 'warn') -%}
        {%- do passed.append(result.node.unique_id) -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.meta.follows is defined -%}
        {#- Those of the table it follows look at what changed in it by the same measure. -#}
        {%- set table = 'source.' ~ project_name ~ '.lake.' ~ node.config.meta.follows.lake -%}
        {%- set tests = [] -%}
        {%- for test in graph.nodes.values() if test.resource_type == 'test' -%}
            {%- if test.attached_node == node.unique_id or test.depends_on.nodes == [table] -%}
                {%- do tests.append(test.unique_id) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if tests and tests | reject('in', passed) | list | length == 0 %}
    update {{ books() }}.followed set tested = load where model = '{{ node.name }}' and tested is distinct from load;
        {%- endif -%}
    {%- endfor -%}
{%- endif -%}
{%- endmacro %}
