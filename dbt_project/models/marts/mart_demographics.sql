{{ config(materialized='incremental', meta={'follows': {'whole': ['dim_subject']}}) }}

{{ demographics(by_treatment=false) }}
