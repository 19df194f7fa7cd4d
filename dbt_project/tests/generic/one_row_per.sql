{#- Exactly one row for each value of the key, no part of the key missing, and every row as `holds` says, a condition.
    One pass over the table, where a unique test of several columns and a not_null test of each would be many. -#}
{% test one_row_per(model, key, holds='true') %}

select count(*) as rows_of_one_key
from {{ model }}
group by {{ key | join(', ') }}
having
    count(*) > 1
    {% for column in key -%}
    or {{ column }} is null
    {% endfor %}
    or not bool_and(({{ holds }}) is true)

{% endtest %}
