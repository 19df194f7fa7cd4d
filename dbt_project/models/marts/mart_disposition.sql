{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': [['lake', 'subjects']]}},
) }}

{{ disposition(by_treatment=false) }}
