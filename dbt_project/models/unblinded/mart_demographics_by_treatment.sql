{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': ['dim_subject', ['unblinded', 'treatment']]}},
) }}

{{ demographics(by_treatment=true) }}
