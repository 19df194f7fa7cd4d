{{ event_counts(by_treatment=true) }}
