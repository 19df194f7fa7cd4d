{{ config(
    materialized='incremental',
    indexes=[{'columns': ['siteid']}, {'columns': ['avisit']}],
    meta={
        'follows': {'by': 'siteid', 'model': 'fct_lab_results', 'others': [['unblinded', 'treatment']]},
        'tells': 'avisit',
    },
) }}

{{ shifts_by_site(by_treatment=true) }}
