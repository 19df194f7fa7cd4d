{{ disposition(by_treatment=true) }}
