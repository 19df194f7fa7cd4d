{{ config(materialized='incremental', meta={'follows': {'whole': ['dim_subject', ['unblinded', 'treatment']]}}) }}

{{ demographics(by_treatment=true) }}
