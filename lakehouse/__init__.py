"""The engine: landing files in, accounted Delta tables out. Plain Polars and Delta, no Dagster, no medicine.

`definitions` (what Dagster loads) and `cli` (what a person types) are the entry points and the only modules here that
know of `assets` and `resources`.
"""
