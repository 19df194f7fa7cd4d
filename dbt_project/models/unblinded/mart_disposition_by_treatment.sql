{{ config(materialized='incremental', meta={'follows': {'whole': ['dim_subject', ['unblinded', 'treatment']]}}) }}

{{ disposition(by_treatment=true) }}
