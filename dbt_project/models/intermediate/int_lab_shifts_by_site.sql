{{ config(
    indexes=[{'columns': ['siteid']}, {'columns': ['avisit']}],
    meta={'follows': {'by': 'siteid', 'model': 'fct_lab_results'}, 'tells': 'avisit'},
) }}

{{ shifts_by_site(by_treatment=false) }}
