{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': ['dim_subject']}},
) }}

{{ demographics(by_treatment=false) }}
