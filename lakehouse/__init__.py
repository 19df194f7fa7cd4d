"""The engine: landing files in, accounted Delta tables out. Plain Polars and Delta, no Dagster, no medicine.

`definitions` (what Dagster loads) and `cli` (what a person types) are the entry points and the only modules here that
know of `assets` and `resources`.
"""

import gc
import os

# Importing makes objects by the hundred thousand that stay. To look through all of them for garbage again and again, as
# Python does after every 700 new ones, was a quarter of the time that a run takes to start.
gc.set_threshold(10_000)

# What Polars frees goes back to the system after half a second, and until then can be used by one of its heaps only, of
# which there are four a processor: a twelfth of a large delivery's time went into getting memory again. So it has one a
# processor, and a second. It reads this when it is loaded, which is after us.
os.environ.setdefault("_RJEM_MALLOC_CONF", f"narenas:{os.cpu_count() or 1},dirty_decay_ms:1000,muzzy_decay_ms:-1")
