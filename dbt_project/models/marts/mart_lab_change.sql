{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['paramcd', 'avisitn']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_results_by_site'}},
) }}

{{ change_by_visit('int_lab_results_by_site', [], by_treatment=false) }}
