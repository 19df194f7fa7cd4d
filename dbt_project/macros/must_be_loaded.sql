{#- Refuses to build on a data cut that PostgreSQL does not have. `lakehouse cut build` takes a schema that is there before
    it for somebody else's, so none is made. -#}
{% macro must_be_loaded() -%}
    {%- set cut = var('cut', '') -%}
    {%- if execute and cut -%}
        {%- set there = run_query("select to_regclass('lake_" ~ cut ~ ".cut') is not null as loaded") -%}
        {%- if not there.rows[0]['loaded'] -%}
            {{ exceptions.raise_compiler_error(
                "data cut " ~ cut ~ " is not loaded into PostgreSQL; nothing was built; lakehouse cut build " ~ cut
                ~ " --only-load loads it, and lakehouse cut list says which there are"
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{#- dbt makes the schemas of models before anything else. -#}
{% macro create_schema(relation) -%}
    {{- must_be_loaded() -}}
    {{ adapter.dispatch('create_schema', 'dbt')(relation) }}
{%- endmacro %}
