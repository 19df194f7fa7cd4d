{#- First day of the month of an ISO 8601 text such as a `--DTC` value, which may lack the day or the time. Null when
    the month is not known: `2013`, `2013---04`. The pattern guards the cast, whose error would quote the value. -#}
{% macro month_of(dtc) -%}
    case when {{ dtc }} ~ '^[0-9]{4}-(0[1-9]|1[0-2])' then to_date(left({{ dtc }}, 7), 'YYYY-MM') end
{%- endmacro %}
