{{ config(
    materialized='incremental',
    indexes=[
        {'columns': ['paramcd', 'avisitn', 'bnrind', 'anrind']},
        {'columns': ['avisit']},
    ],
    meta={'follows': {'by': 'avisit', 'model': 'int_lab_shifts_by_site'}},
) }}

{{ shift_table('int_lab_shifts_by_site', by_treatment=false) }}
