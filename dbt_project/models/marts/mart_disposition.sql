{{ disposition(by_treatment=false) }}
