{{ shift_table('int_lab_shifts_by_treatment', by_treatment=true) }}
