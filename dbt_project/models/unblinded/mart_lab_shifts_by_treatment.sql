{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_shifts_by_treatment'}},
) }}

{{ shift_table('int_lab_shifts_by_treatment', by_treatment=true) }}
