"""The Dagster wiring: sources, curated tables, warehouse and dbt models as one asset graph. Thin on purpose: what an
asset does is the engine's work, what it is called and shown as is here."""
