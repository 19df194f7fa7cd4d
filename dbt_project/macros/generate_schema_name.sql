{#- In production a model lives in the schema its layer names. Anywhere else the developer's own schema comes first, so
    that no build by hand can touch what others read. With `--vars '{cut: name}'` the models are built on that data cut,
    in schemas of its own: marts in `cut_name`, every other layer in `cut_name__layer`. Two underscores in a row are in
    no cut's name, so that one cut's schemas are never another's. PostgreSQL cuts a name to 63 bytes without a word, and
    might cut the cut's: such a name is refused. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set name = schema_of(custom_schema_name) | trim -%}
    {%- set over = (name.encode('utf-8') | length) - 63 -%}
    {#- Tests have a schema as well, in which nothing is ever stored. -#}
    {%- if over > 0 and (node is none or node.resource_type != 'test') -%}
        {{ exceptions.raise_compiler_error(
            "PostgreSQL would cut the schema's name " ~ name ~ " short: it takes 63 bytes. Nothing was built; set "
            ~ "LAKEHOUSE_DBT_SCHEMA to a name that is at least " ~ over ~ " shorter than " ~ target.schema
        ) }}
    {%- endif -%}
    {{ name }}
{%- endmacro %}


{% macro schema_of(custom_schema_name) -%}
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
