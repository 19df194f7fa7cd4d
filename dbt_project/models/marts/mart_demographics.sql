{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': [['lake', 'subjects']]}},
) }}

{{ demographics(by_treatment=false) }}
