{{ change_by_visit('int_lab_results_by_treatment', [], by_treatment=true) }}
