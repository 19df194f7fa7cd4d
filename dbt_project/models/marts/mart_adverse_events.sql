{{ config(
    materialized='incremental',
    on_schema_change='fail',
    meta={'follows': {'whole': [['lake', 'subjects'], ['lake', 'adverse_events']]}},
) }}

{{ event_counts(by_treatment=false) }}
