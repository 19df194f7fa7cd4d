{{ config(
    materialized='incremental',
    on_schema_change='fail',
    indexes=[{'columns': ['siteid']}],
    meta={'follows': {'by': 'siteid', 'model': 'fct_vital_signs', 'others': [['unblinded', 'treatment']]}},
) }}

{{ sums_by_site('fct_vital_signs', ['atptn', 'atpt'], by_treatment=true) }}
