{{ demographics(by_treatment=false) }}
