{#- Systems that feeds pull from deliver as well, and are no sites: nothing of theirs is counted among the sites'. -#}
{% macro is_site(column) -%}
{{ column }} not in ('{{ var('systems') | join("', '") }}')
{%- endmacro %}
