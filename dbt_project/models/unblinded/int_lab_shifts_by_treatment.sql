{{ config(
    materialized='incremental',
    on_schema_change='fail',
    indexes=[{'columns': ['siteid']}],
    meta={'follows': {'by': 'siteid', 'model': 'fct_lab_results', 'others': [['unblinded', 'treatment']]}},
) }}

{{ shifts_by_site(by_treatment=true) }}
