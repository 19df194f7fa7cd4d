{#- The day that lateness is judged by: today in UTC, or the day whose end a data cut shows. -#}
{% macro today() -%}
    {%- if var('cut', '') -%}
        (select day from lake_{{ var('cut') }}.cut)
    {%- else -%}
        (now() at time zone 'utc')::date
    {%- endif -%}
{%- endmacro %}
