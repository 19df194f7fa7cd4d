"""The engine: landing files in, accounted Delta tables out. Plain Polars and Delta, no Dagster, no medicine.

`definitions` (what Dagster loads) and `cli` (what a person types) are the entry points and the only modules here that
know of `assets` and `resources`.
"""

import gc

# Importing makes objects by the hundred thousand that stay. To look through all of them for garbage again and again, as
# Python does after every 700 new ones, was a quarter of the time that a run takes to start.
gc.set_threshold(10_000)
