{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'level', 'aebodsys', 'aedecod']},
    ],
    meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events', ['unblinded', 'treatment']]}},
) }}

{{ event_counts(by_treatment=true) }}
