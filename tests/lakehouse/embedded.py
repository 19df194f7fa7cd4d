"""An embedded PostgreSQL for tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse import postgres
from lakehouse.settings import Settings


@contextmanager
def postgres_home() -> Iterator[Settings]:
    """Settings of an embedded PostgreSQL in a folder of its own, gone afterwards."""
    # Near the root: the path of a socket is short. Open to the server's own user, who is not root.
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    home.chmod(0o755)
    settings = Settings(home=home)
    try:
        yield settings
    finally:
        postgres.stop(settings)
        shutil.rmtree(home)
