{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['paramcd', 'atptn', 'avisitn']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_vital_signs_by_site'}},
) }}

{{ change_by_visit('int_vital_signs_by_site', ['atptn', 'atpt'], by_treatment=false) }}
