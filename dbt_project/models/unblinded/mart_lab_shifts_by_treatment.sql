{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['treatmentn', 'paramcd', 'avisitn', 'bnrind', 'anrind']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_shifts_by_treatment'}},
) }}

{{ shift_table('int_lab_shifts_by_treatment', by_treatment=true) }}
