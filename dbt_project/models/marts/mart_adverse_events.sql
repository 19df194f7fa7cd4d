{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['level', 'aebodsys', 'aedecod']},
    ],
    meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events']}},
) }}

{{ event_counts(by_treatment=false) }}
