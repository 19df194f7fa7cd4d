{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['characteristic', 'category']},
    ],
    meta={'follows': {'whole': ['dim_subject']}},
) }}

{{ demographics(by_treatment=false) }}
