{{ change_by_visit('int_lab_results_by_site', [], by_treatment=false) }}
