"""What importing the engine says to the libraries that it loads."""

import os
import subprocess
import sys

import pytest

_SAID = "import lakehouse, os; os.environ['_RJEM_MALLOC_CONF'] += ',stats_print:true'; import polars"


@pytest.mark.skipif(sys.platform != "linux", reason="Polars has this allocator on Linux only")
@pytest.mark.parametrize(("own", "decay"), [(None, 1000), ("dirty_decay_ms:7000", 7000)])
def test_polars_holds_memory_as_it_is_told(own: str | None, decay: int) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    if own:
        surroundings["_RJEM_MALLOC_CONF"] = own
    done = subprocess.run(
        [sys.executable, "-c", _SAID], check=True, capture_output=True, text=True, env=surroundings, timeout=60
    )
    assert f"opt.dirty_decay_ms: {decay}" in done.stderr
    assert "<jemalloc>" not in done.stderr, "it understands each word"
    assert own or f"opt.narenas: {os.cpu_count()}" in done.stderr
