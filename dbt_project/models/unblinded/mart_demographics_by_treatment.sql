{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': [['lake', 'subjects'], ['unblinded', 'treatment']]}},
) }}

{{ demographics(by_treatment=true) }}
