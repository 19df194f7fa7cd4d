{{ config(
    materialized='incremental',
    meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events', ['unblinded', 'treatment']]}},
) }}

{{ event_counts(by_treatment=true) }}
