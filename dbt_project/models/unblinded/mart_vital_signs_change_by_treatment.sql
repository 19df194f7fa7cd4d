{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'paramcd', 'atptn', 'avisitn']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_vital_signs_by_treatment'}},
) }}

{{ change_by_visit('int_vital_signs_by_treatment', ['atptn', 'atpt'], by_treatment=true) }}
