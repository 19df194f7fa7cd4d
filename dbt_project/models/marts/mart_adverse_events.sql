{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events']}},
) }}

{{ event_counts(by_treatment=false) }}
