{{ config(materialized='incremental', meta={'follows': {'whole': ['dim_subject']}}) }}

{{ disposition(by_treatment=false) }}
