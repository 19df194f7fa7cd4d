{{ config(materialized='incremental', meta={'follows': {'by': 'avisit', 'model': 'int_lab_results_by_treatment'}}) }}

{{ change_by_visit('int_lab_results_by_treatment', [], by_treatment=true) }}
