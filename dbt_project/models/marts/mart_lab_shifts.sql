{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_shifts_by_site'}},
) }}

{{ shift_table('int_lab_shifts_by_site', by_treatment=false) }}
