{#- Nothing lost and nothing doubled on the way from `other`. -#}
{% test as_many_rows_as(model, other) %}

select
    here.rows_here,
    there.rows_there
from (select count(*) as rows_here from {{ model }}) as here
cross join (select count(*) as rows_there from {{ other }}) as there
where here.rows_here <> there.rows_there

{% endtest %}
