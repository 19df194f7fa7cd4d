{{ config(materialized='incremental', meta={'follows': {'whole': ['dim_subject', 'fct_adverse_events']}}) }}

{{ event_counts(by_treatment=false) }}
