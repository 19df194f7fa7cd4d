{{ config(
    materialized='incremental',
    indexes=[{'columns': ['siteid']}, {'columns': ['avisit']}],
    meta={
        'follows': {'by': 'siteid', 'model': 'fct_lab_results', 'others': [['unblinded', 'treatment']]},
        'tells': 'avisit',
    },
) }}

{{ sums_by_site('fct_lab_results', [], by_treatment=true) }}
