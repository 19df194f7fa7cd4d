{{ event_counts(by_treatment=false) }}
