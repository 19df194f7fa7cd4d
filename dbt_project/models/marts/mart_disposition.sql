{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['level', 'term']},
    ],
    meta={'follows': {'whole': ['dim_subject']}},
) }}

{{ disposition(by_treatment=false) }}
