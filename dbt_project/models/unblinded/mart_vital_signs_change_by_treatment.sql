{{ change_by_visit('int_vital_signs_by_treatment', ['atptn', 'atpt'], by_treatment=true) }}
