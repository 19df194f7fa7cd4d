{{ demographics(by_treatment=true) }}
