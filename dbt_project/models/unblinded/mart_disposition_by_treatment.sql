{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'level', 'term']},
    ],
    meta={'follows': {'whole': ['dim_subject', ['unblinded', 'treatment']]}},
) }}

{{ disposition(by_treatment=true) }}
