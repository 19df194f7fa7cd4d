{{ shift_table('int_lab_shifts_by_site', by_treatment=false) }}
