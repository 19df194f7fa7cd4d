{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'characteristic', 'category']},
    ],
    meta={'follows': {'whole': ['dim_subject', ['unblinded', 'treatment']]}},
) }}

{{ demographics(by_treatment=true) }}
