{{ change_by_visit('int_vital_signs_by_site', ['atptn', 'atpt'], by_treatment=false) }}
