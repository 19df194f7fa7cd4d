{#- In production a model lives in the schema its layer names. Anywhere else the developer's own schema comes first, so
    that no build by hand can touch what others read. With `--vars '{cut: name}'` the models are built on that data cut,
    in schemas of its own: marts in `cut_name`, every other layer in `cut_name__layer`. Two underscores in a row are in
    no cut's name, so that one cut's schemas are never another's. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set layer = '' if custom_schema_name is none else custom_schema_name | trim -%}
    {%- set cut = var('cut', '') -%}
    {%- if cut -%}
        {{ '' if target.name == 'prod' else target.schema ~ '__' }}cut_{{ cut }}
        {{- '' if layer in ('', 'marts') else '__' ~ layer }}
    {%- elif custom_schema_name is none -%}
        {{ target.schema }}
    {%- elif target.name == 'prod' -%}
        {{ layer }}
    {%- else -%}
        {{ target.schema }}_{{ layer }}
    {%- endif -%}
{%- endmacro %}
