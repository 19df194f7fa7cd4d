{#- The columns that lead a row back to the line of the delivered file it came from. `alias` is the relation's. -#}
{% macro provenance(alias) -%}
    {{ alias }}._file,
    {{ alias }}._line,
    {{ alias }}._checksum,
    {{ alias }}._delivered,
    {{ alias }}._site,
    {{ alias }}._received_at
{%- endmacro %}


{#- One text that names a row of a fact: a record of one version of one file keeps its key for ever. -#}
{% macro row_key(alias) -%}
    md5(concat_ws('|', {{ alias }}._file, {{ alias }}._checksum, {{ alias }}._line))
{%- endmacro %}
