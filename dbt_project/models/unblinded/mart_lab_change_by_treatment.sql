{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'paramcd', 'avisitn']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_results_by_treatment'}},
) }}

{{ change_by_visit('int_lab_results_by_treatment', [], by_treatment=true) }}
