"""The lake: Delta tables and delivered bytes under one root, a folder or an object store.

Every commit goes through `commit`, which names the state it reflects as an application transaction, checks that on the
very snapshot it commits to, and refuses rows whose types are not exactly the table's: the Delta writer's casts lose
data silently (2.7 into a whole-number column is stored as 2).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import unquote

import obstore
import polars as pl
import zstandard
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from lakehouse.errors import DefinitionError, SupersededError, UnavailableError, unavailable
from lakehouse.joined import Joined
from lakehouse.storable import storable

if TYPE_CHECKING:
    import pyarrow as pa

# What tells one delivery, and one record, from every other: the same bytes may come back under the same path, so the
# time they were first seen belongs to it. Never null, so that a join on it needs no special care.
DELIVERY = ("_file", "_checksum", "_received_at")
RECORD = (*DELIVERY, "_line")
_RETRIES = 100
_CHUNK, _PACKED = 1 << 21, 1 << 18
_CONNECTION = {"allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout", "user_agent"}
# A writer that cleans the log by age alone takes with it versions that someone still reads; housekeeping looks first.
# Opening a table reads the log from its last checkpoint on, and each batch opens some tables several times.
PROPERTIES = {"delta.enableExpiredLogCleanup": "false", "delta.checkpointInterval": "10"}


@dataclass(frozen=True)
class Change:
    """What a commit does to a table: rows to put in, and rows to take out.

    remove: holds the columns `row`, which name a row and are never null, and its `_delivered`, which finds its data
        file. Such a change is committed once it is `rewriting.rewritten`.
    files: what happens to data files as a whole (see `files`): those to put in, written already, and those to take out.
        `add` has no rows then.
    """

    add: pl.DataFrame
    remove: pl.DataFrame | None = None
    row: tuple[str, ...] = RECORD
    files: tuple[AddAction | RemoveAction, ...] = ()

    @property
    def empty(self) -> bool:
        return self.add.is_empty() and not self.files and (self.remove is None or self.remove.is_empty())


@dataclass(frozen=True)
class Lake:
    """Tables by name (`processed/vitals`) and delivered bytes by checksum.

    root: an absolute folder or a URI. options: object-store settings as delta-rs takes them; credentials may also come
    from the environment as usual for the store.
    """

    root: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def _storage(self) -> dict[str, str]:
        """Options of the object store; S3 refuses to write what is there already, or else commits would be lost."""
        return {**({"aws_conditional_put": "etag"} if self.root.startswith("s3") else {}), **self.options}

    @property
    def remote(self) -> bool:
        """Whether it is in an object store."""
        return "://" in self.root

    def uri(self, table: str) -> str:
        return f"{self.root}/{table}"

    def open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """The table at a version (default: its newest), or None when it was never written.

        Raises UnavailableError when the lake cannot be read.
        """
        try:
            return DeltaTable(self.uri(table), version=version, storage_options=self._storage or None)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise unavailable(error, f"{table} cannot be read") from error

    def tables(self) -> list[str]:
        """Names of all tables there are, whoever made them."""
        try:
            layers = [name for name in self._folders("") if name != "objects"]
            inside = [name for layer in layers if layer not in self._logged(layers) for name in self._folders(layer)]
            return sorted([*self._logged(layers), *self._logged(inside)])
        except Exception as error:
            raise unavailable(error, "the lake cannot be listed") from error

    def create(
        self,
        table: str,
        schema: Mapping[str, pl.DataType],
        partition_by: list[str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> DeltaTable:
        """The table, created empty when it was never written; columns that `schema` adds are added.

        properties: of Delta's, of a new table. Raises DefinitionError when Delta has no such type as one of `schema`.
        """
        existing = self.open(table)
        try:
            if existing is None:
                storable(table, schema)
                return DeltaTable.create(
                    self.uri(table),
                    schema=_arrow(pl.DataFrame(schema=dict(schema))).schema,
                    mode="ignore",
                    partition_by=partition_by,
                    storage_options=self._storage or None,
                    # Tried again it would be a second creation, on top of what others have made of the table by then.
                    commit_properties=CommitProperties(max_commit_retries=0),
                    configuration={**PROPERTIES, **(properties or {})},
                )
            known = {item.name for item in existing.schema().fields}
            if missing := {name: kind for name, kind in schema.items() if name not in known}:
                storable(table, missing)
                empty = _arrow(pl.DataFrame(schema=missing))
                write_deltalake(existing, empty, mode="append", schema_mode="merge")
                return self.create(table, schema)
        except CommitFailedError:
            # Another run created or widened it at the same moment.
            return self.create(table, schema, partition_by)
        except (DeltaError, OSError) as error:
            raise unavailable(error, f"{table} cannot be created") from error
        return existing

    def scan(
        self, table: str, version: int | None = None, schema: Mapping[str, pl.DataType] | None = None
    ) -> pl.LazyFrame:
        """The table's rows, lazily; no rows of `schema` when it was never written."""
        delta = self.open(table, version)
        if delta is None:
            if schema is None:
                raise UnavailableError(f"{table} does not exist yet in the lake; lakehouse run makes it")
            return pl.LazyFrame(schema=dict(schema))
        return rows(delta)

    def commit(
        self, delta: DeltaTable, change: Change, app: str, version: int, *, replace: str | None = None, by: str = ""
    ) -> int:
        """Apply `change` to the snapshot `delta` in one commit that says `app` is at `version`; the table version.

        by: names the code that made the change; `made_by` tells whether it made a version.
        replace: an SQL predicate; rows that meet it give way to `change.add` (`true` replaces the whole table, columns
            and types as well).
        Raises SupersededError when the snapshot already reflects `version` or another writer got there first,
        DefinitionError when a column's type is not the table's, UnavailableError when the lake cannot be written.
        """
        if (done := delta.transaction_version(app)) is not None and done >= version:
            raise SupersededError(f"{delta.table_uri} already reflects {app} {done}; nothing was written")
        if replace == "true":
            storable(delta.table_uri, change.add.schema)
        else:
            same_types(delta.table_uri, rows(delta).collect_schema(), change.add.schema)
        assert change.remove is None or change.remove.is_empty(), "rows are taken out with their files"
        takes_out = replace == "true" or any(isinstance(file, RemoveAction) for file in change.files)
        # Else the rows of files that somebody compacts meanwhile would stay: delta-rs does not see that they are gone.
        retries = 0 if takes_out else _RETRIES
        names = [Transaction(app, version), *([Transaction(f"{app} by {by}", version)] if by else [])]
        said = CommitProperties(app_transactions=names, max_commit_retries=retries)
        try:
            if change.files:
                assert change.add.is_empty(), "the files are all there is to put in"
                assert replace in (None, "true"), "files replace all or nothing"
                mode: Literal["overwrite", "append"] = "overwrite" if replace else "append"
                layout = _arrow(change.add).schema if replace else delta.schema()
                delta.create_write_transaction(list(change.files), mode, layout, [], commit_properties=said)
                delta.update_incremental()
            elif replace == "true":
                new = change.add
                write_deltalake(delta, new, mode="overwrite", schema_mode="overwrite", commit_properties=said)
            elif replace is not None:
                write_deltalake(delta, change.add, mode="overwrite", predicate=replace, commit_properties=said)
            else:
                write_deltalake(delta, change.add, mode="append", commit_properties=said)
        except CommitFailedError as error:
            raise SupersededError(f"another run committed to {delta.table_uri} first; nothing was written") from error
        except (DeltaError, OSError) as error:
            raise unavailable(error, "a table cannot be written") from error
        return delta.version()

    def changed(self, table: str, old: int | None, new: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of version `old` that `new` no longer has, and rows of `new` that `old` did not have, whole rows each.

        Reads only the data files that differ between the two, so the cost follows the change; files that were only
        compacted after `old` count as they are afterwards. (Compacted after changes that come after `old`, they differ:
        the result is right and costs as much as reading them.) With `old` None, or no longer readable, every row of
        `new` counts as added: the caller starts over.
        """
        after = self.open(table, new)
        assert after is not None, f"{table} has no version {new}"
        files = set(after.file_uris())
        try:
            before = None if old is None else self.open(table, self.same_rows(table, old, new))
            kept = set(before.file_uris()) if before else set()
            gone = self.scan_files(kept - files, after).collect()
        except (UnavailableError, OSError):
            # Its log or its files have been cleaned up.
            return self.scan_files((), after).collect(), self.scan_files(files, after).collect()
        added = self.scan_files(files - kept, after).collect()
        if gone.is_empty() or added.is_empty():
            return gone, added
        key = added.columns
        return gone.join(added, on=key, how="anti", nulls_equal=True), added.join(
            gone, on=key, how="anti", nulls_equal=True
        )

    def same_rows(self, table: str, version: int, until: int) -> int:
        """The last version up to `until` whose rows are those of `version`: commits in between only moved them.

        Read from the log itself: `DeltaTable.history` numbers the commits of an older version wrongly.
        """
        while version < until:
            entry = f"{table}/_delta_log/{version + 1:020}.json"
            try:
                actions = [json.loads(line) for line in bytes(obstore.get(self.store, entry).bytes()).splitlines()]
            except FileNotFoundError:
                break
            files = [action.get("add") or action.get("remove") or {} for action in actions]
            if any(file.get("dataChange", bool(file)) for file in files):
                break
            version += 1
        return version

    def scan_files(self, files: Iterable[str], delta: DeltaTable) -> pl.LazyFrame:
        """The rows of some of the table's data files, lazily; the files as its `file_uris` names them."""
        schema = rows(delta).collect_schema()
        # Delta writes local paths the way addresses are written, with %20 for a space.
        paths = sorted(files) if self.remote else sorted(map(unquote, files))
        if not paths:
            return pl.LazyFrame(schema=schema)
        return pl.scan_parquet(
            paths, schema=schema, missing_columns="insert", glob=False, storage_options=self._storage or None
        )

    def _folders(self, parent: str) -> list[str]:
        prefixes = obstore.list_with_delimiter(self.store, parent or None)["common_prefixes"]
        return [unquote(name) for name in prefixes]

    def _logged(self, folders: Iterable[str]) -> list[str]:
        return [folder for folder in folders if f"{folder}/_delta_log" in self._folders(folder)]

    @cached_property
    def store(self) -> ObjectStore:
        """Everything under the root, as files."""
        if self.remote:
            # obstore takes options of the connection apart from those of the store, and in place of the environment's.
            named = {name.lower().removeprefix("aws_"): (name, value) for name, value in self._storage.items()}
            client = {short: value for short, (_, value) in named.items() if short in _CONNECTION}
            config = dict(item for short, item in named.items() if short not in client)
            store: ObjectStore = from_url(self.root, config=config, client_options=client or None)  # type: ignore[call-overload]
            return store
        return LocalStore(prefix=self.root, mkdir=True)

    def keep(self, data: bytes, checksum: str, *, renew: bool = False) -> None:
        """Keep delivered bytes, compressed, under their checksum; bytes kept already are left alone, or renewed."""
        # In a folder a file is renamed in half the time that it is linked in; the same bytes may be put there twice.
        if not self.remote and not renew and self._has(checksum):
            return
        mode: Literal["create", "overwrite"] = "create" if self.remote and not renew else "overwrite"
        try:
            obstore.put(self.store, _key(checksum), zstandard.compress(data, 3), mode=mode)
        except AlreadyExistsError:
            return
        except Exception as error:
            raise unavailable(error, "delivered bytes cannot be kept") from error

    def keep_file(self, file: Path, checksum: str, *, renew: bool = False) -> bool:
        """Keep a file's bytes like `keep`, without holding them; False when they are no longer those of `checksum`.

        Raises OSError when the file cannot be read, UnavailableError when the lake cannot be written.
        """
        digest, packer = hashlib.sha256(), zstandard.ZstdCompressor(level=3).compressobj()
        changed = False

        def packed() -> Iterator[bytes]:
            nonlocal changed
            try:
                with file.open("rb") as source, ThreadPoolExecutor(1) as beside:
                    while chunk := source.read(_CHUNK):
                        hashed = beside.submit(digest.update, chunk)
                        yield packer.compress(chunk)
                        hashed.result()
            except OSError:
                changed = True
                raise
            if changed := digest.hexdigest() != checksum:
                # Cuts the upload short: nothing of it stays.
                raise _ChangedError
            yield packer.flush()

        try:
            if renew or not self._has(checksum):
                obstore.put(self.store, _key(checksum), filter(None, packed()))
        except Exception as error:
            if changed:
                return False
            raise unavailable(error, "delivered bytes cannot be kept") from error
        return True

    def _has(self, checksum: str) -> bool:
        if not self.remote:
            return os.path.exists(f"{self.root}/{_key(checksum)}")  # noqa: PTH110
        try:
            obstore.head(self.store, _key(checksum))
        except FileNotFoundError:
            return False
        return True

    def kept(self, checksum: str) -> bytes:
        """The delivered bytes with this checksum, verified. Raises UnavailableError when they are gone or damaged."""
        return b"".join(self.kept_chunks(checksum))

    def kept_chunks(self, checksum: str) -> Iterator[bytes]:
        """The delivered bytes a chunk at a time; whoever reads to the end knows that they are verified.

        Raises UnavailableError when they are gone or damaged.
        """
        digest = hashlib.sha256()
        try:
            packed = Joined(map(bytes, obstore.get(self.store, _key(checksum)).stream(min_chunk_size=_PACKED)))
            # Not all that some packed bytes hold at once: a thousand equal lines pack to a few bytes.
            unpacked = zstandard.ZstdDecompressor().read_to_iter(cast("IO[bytes]", packed), _PACKED, _CHUNK)
            for chunk in unpacked:
                digest.update(chunk)
                yield chunk
            if digest.hexdigest() == checksum:
                return
        except (FileNotFoundError, zstandard.ZstdError):
            pass
        except BaseError as error:
            raise unavailable(error, "delivered bytes cannot be read") from error
        raise UnavailableError(f"the kept bytes of {checksum} are gone or damaged; restore objects/ from a backup")


class _ChangedError(Exception):
    """A file is not the one it was when its checksum was taken."""


def made_by(delta: DeltaTable, app: str, by: str) -> bool:
    """Whether the newest commit that says where `app` is was made by this code."""
    return delta.transaction_version(f"{app} by {by}") == delta.transaction_version(app)


def rows(delta: DeltaTable) -> pl.LazyFrame:
    """A table's rows, lazily."""
    if delta.table_uri.startswith("file:") and "%" in delta.table_uri:
        # Polars looks for local files under the names as they stand in addresses, and finds none in `My Documents`.
        # What filters there leave unread by itself, and cannot compare what a merge has written.
        return pl.scan_pyarrow_dataset(delta.to_pyarrow_dataset(), allow_pyarrow_filter=False)
    return pl.scan_delta(delta)


def _key(checksum: str) -> str:
    return f"objects/{checksum[:2]}/{checksum}.zst"


def _arrow(frame: pl.DataFrame) -> "pa.Table":
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def same_types(name: str, layout: Mapping[str, pl.DataType], given: Mapping[str, pl.DataType]) -> None:
    """Raise DefinitionError when rows of the types `given` are not of exactly the table's."""
    table = dict(layout)
    if table != dict(given):
        wrong = {item: (table.get(item), given.get(item)) for item in table.keys() | given.keys()}
        told = ", ".join(
            f"{item}: {old} stored, {new} given" for item, (old, new) in sorted(wrong.items()) if old != new
        )
        raise DefinitionError(f"{name}: the rows are not of the table's types ({told}); nothing was written")
