"""What tables, versions, queries and views of one lake share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from whence._base.clock import Clock
from whence._base.locks import file_lock
from whence._base.rows import RowsDigest, rows_digest, schema_digest
from whence.compute.base import Engine
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.lake.base import Describer, LakeBackend, Snapshot, TableProvider
from whence.lake.chain import Chain
from whence.lake.conditions import check_condition
from whence.lake.types import RowCheck, State, check_name
from whence.metadata import Artifact, Recorder, Type, declare_types

# A commit takes milliseconds, a merge of a large table minutes; who waits longer than this is told.
LOCK_TIMEOUT_S: Final = 600.0

TABLE_VERSION: Final = Type(
    "artifact",
    "TableVersion",
    {
        "table": "STRING",
        "version": "INT",
        "n_rows": "INT",
        "digest": "STRING",
        "schema_digest": "STRING",
        "watermark": "STRING",
        "epoch": "INT",
    },
    description="one version of a table; its name is table@version",
)
VIEW: Final = Type(
    "artifact",
    "View",
    {"view": "STRING", "version": "INT", "definition": "STRING", "sources": "STRUCT"},
    description="a view pinned to versions of its tables: a dataset version; its name is view@version",
)
VIEW_DEFINITION: Final = Type(
    "artifact",
    "ViewDefinition",
    {"view": "STRING", "sql": "STRING", "digest": "STRING"},
    description="a named query; its name is view#digest",
)
HOLD: Final = Type(
    "context",
    "Hold",
    {"table": "STRING", "version": "INT", "reason": "STRING", "released": "BOOLEAN"},
    description="a table version that cleanup leaves alone; its name is table@version/reason",
)
TYPES: Final = (TABLE_VERSION, VIEW, VIEW_DEFINITION, HOLD)


class TableLocks:
    """One writer per table at a time, among the processes that share `folder` (or the threads, without one).

    The lock spares writers lost races; that nothing is lost or doubled rests on the commit itself.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def holding(self, purpose: str, table: str) -> Iterator[None]:
        """Hold the lock of a table for one purpose: ``write`` or ``hold``."""
        if self._folder is not None:
            path = self._folder / f"{table}.{purpose}.lock"
            with file_lock(path, what=f"the {purpose} lock of table {table!r}", timeout_s=LOCK_TIMEOUT_S):
                yield
            return
        with self._guard:
            lock = self._locks.setdefault(f"{table}.{purpose}", threading.RLock())
        with lock:
            yield


def fills_of(check: RowCheck | None) -> frozenset[str]:
    """The columns a row check has defaults for."""
    return frozenset(getattr(check, "fills", ()))


def filled_by(check: RowCheck | None, rows: pa.Table, want: pa.Schema | None) -> pa.Table:
    """The rows with the defaults of a row check, as they came when it has none."""
    made: pa.Table = getattr(check, "filled")(rows, want) if fills_of(check) else rows  # noqa: B009  # part of no port
    return made


def n_filled(before: pa.Table, after: pa.Table) -> dict[str, int]:
    """How many values of each column are there that were missing."""
    if after is before:
        return {}
    missing = {
        n: before.column(n).null_count if n in before.column_names else len(after) for n in after.column_names
    }
    counts = {n: missing[n] - after.column(n).null_count for n in after.column_names}
    return {n: c for n, c in counts.items() if c}


class Core:
    """The collaborators of a lake, and what is known of its tables so far."""

    def __init__(
        self, backend: LakeBackend, recorder: Recorder, engine: Engine, *, clock: Clock, locks: Path | None
    ) -> None:
        self.backend = backend
        self.recorder = recorder
        self.engine = engine
        self.clock = clock
        self.locks = TableLocks(locks)
        self.row_checks: dict[str, RowCheck] = {}
        self.find_guard: Callable[[str], RowCheck | None] | None = None
        self.describer: Describer | None = None
        self.providers: list[TableProvider] = []
        self.view_names: Callable[[], list[str]] = list
        self._chains: dict[str, Chain] = {}
        self._digests: dict[tuple[str, int], RowsDigest] = {}
        declare_types(recorder.store, TYPES)

    def row_check(self, table: str) -> RowCheck | None:
        """What decides whether rows may enter `table`: set by hand, else found by the handed-in guard."""
        check = self.row_checks.get(table)
        return check if check is not None or self.find_guard is None else self.find_guard(table)

    def find(self, table: str, version: int | None = None) -> Snapshot | None:
        """A version of a table; None when there is no such table."""
        return self.backend.find(check_name(table), version)

    def get(self, table: str, version: int | None = None) -> Snapshot:
        """A version of a table.

        Raises:
            NotFoundError: ``table-not-found`` with near names, ``table-version-not-found``.
        """
        found = self.find(table, version)
        if found is None:
            raise NotFoundError(
                "table", table, near=self.backend.list(), hint="whence table list shows all tables"
            )
        return found

    def check_own(self, name: str) -> None:
        """Refuse a name that a table of another room has, such as ``graph.artifacts``: it would hide that one.

        Raises:
            ConflictError: ``table-exists``.
        """
        if any(name in provider.names() for provider in self.providers):
            raise ConflictError(
                f"{name!r} is a table that whence itself keeps",
                code="table-exists",
                hint="choose another name",
            )

    def check_free(self, table: str) -> None:
        """Refuse a name for a new table that another thing has.

        Raises:
            UsageError: A table would lie inside another's folder (``nested-name``).
            ConflictError: A view has the name (``view-exists``), or a table that another room shows (``table-exists``).
        """
        self.check_own(table)
        for other in self.backend.list():
            if other.startswith(f"{table}.") or table.startswith(f"{other}."):
                raise UsageError(
                    f"{table!r} cannot be a table beside table {other!r}: one folder would hold the other",
                    code="nested-name",
                    hint="choose a name in another namespace",
                )
        if table in self.view_names():
            raise ConflictError(f"{table!r} is a view", code="view-exists", hint="choose another name")

    def chain(self, snapshot: Snapshot) -> Chain:
        """The commits of the snapshot's table."""
        if snapshot.table_id not in self._chains:
            self._chains[snapshot.table_id] = Chain(self.backend, snapshot.table)
        return self._chains[snapshot.table_id]

    def state(self, snapshot: Snapshot) -> State:
        """What the log knows of a version."""
        return self.chain(snapshot).state(snapshot.version)

    def digest(self, snapshot: Snapshot) -> RowsDigest:
        """The digest of a version: from the log, else of its rows."""
        known = self.state(snapshot).digest(schema_digest(snapshot.schema))
        key = snapshot.table_id, snapshot.version
        if known is None and key in self._digests:
            known = self._digests[key]
        if known is None:
            known = self._digests[key] = rows_digest(self.rows(snapshot))
        return known

    def rows(
        self, snapshot: Snapshot, *, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """The rows of a version in its own order, with exactly its types."""
        if where is not None:
            check_condition(where)
        relation = self.backend.relation(snapshot)
        got = self.engine.scan(relation, columns=columns, where=where)
        schema = snapshot.schema
        wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
        return got if got.schema.equals(wanted) else got.cast(wanted)

    def artifact(self, snapshot: Snapshot) -> Artifact:
        """The node of a version in the graph."""
        digest, state = self.digest(snapshot), self.state(snapshot)
        watermark = state.watermark
        return Artifact(
            type="TableVersion",
            name=f"{snapshot.table}@{snapshot.version}",
            uri=snapshot.uri,
            properties={
                "table": snapshot.table,
                "version": snapshot.version,
                "n_rows": digest.n_rows,
                "digest": digest.text,
                "schema_digest": digest.schema,
                **({} if watermark is None else {"watermark": watermark.isoformat()}),
                "epoch": state.epoch,
            },
        )

    def record_read(self, snapshot: Snapshot) -> None:
        """Inside a recording, the version becomes an input of it, once."""
        recording = self.recorder.current()
        if recording is None:
            return
        name = f"{snapshot.table}@{snapshot.version}"
        if not any(
            a.type == "TableVersion" and a.name == name for a in (*recording.inputs, *recording.outputs)
        ):
            recording.input(self.artifact(snapshot), path=(snapshot.table,))
