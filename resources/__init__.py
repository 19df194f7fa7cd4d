"""The outside world as Dagster resources: the lake's storage, the landing folder, the warehouse, dbt.

Each is a thin handle on the engine. Nothing is opened before an asset asks for it.
"""
