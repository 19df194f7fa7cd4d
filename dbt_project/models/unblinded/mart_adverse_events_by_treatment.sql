{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events', ['unblinded', 'treatment']]}},
) }}

{{ event_counts(by_treatment=true) }}
