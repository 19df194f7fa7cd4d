{{ config(
    materialized='incremental',
    indexes=[{'columns': ['siteid']}, {'columns': ['avisit']}],
    meta={
        'follows': {'by': 'siteid', 'model': 'fct_vital_signs', 'others': [['unblinded', 'treatment']]},
        'tells': 'avisit',
    },
) }}

{{ sums_by_site('fct_vital_signs', ['atptn', 'atpt'], by_treatment=true) }}
