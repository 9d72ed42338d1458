"""Delta tables in a folder, by delta-rs.

What delta-rs does not do, and is done here or above: it casts silently (the lake conforms data first); it
writes over a newer version from a stale handle (every write names its snapshot); a handle that has seen
many commits gets slow (it is opened anew); it deletes expired log files at checkpoints (switched off).
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    QueryBuilder,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from whence._base.arrow import normalise, normalise_schema
from whence._base.rows import row_digests
from whence.compute.base import Files, Relation
from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WhenceError,
)
from whence.lake.base import LakeBackend, Snapshot
from whence.lake.types import CommitFacts, LogEntry, TableDeclaration

LOG_FOLDER: Final = "_delta_log"
# A commit costs the more the longer the log since the last checkpoint, and a handle remembers that log: with
# delta-rs 1.6.6 a commit of 1000 rows costs 7 ms of CPU at first and 24 ms as the 100th; with a checkpoint and
# a fresh handle every 20 commits it stays at 9 ms.
CHECKPOINT_INTERVAL: Final = 20
VERSIONS_KEPT: Final = 128
KEEP_LOG: Final = {"delta.enableExpiredLogCleanup": "false"}
_HOOKS: Final = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
# Reading the Parquet files directly is wrong with these: the files hold rows or names that are not the table's.
_INDIRECT: Final = frozenset({"deletionVectors", "columnMapping"})
_WRITABLE: Final = frozenset(
    {"appendOnly", "invariants", "checkConstraints", "generatedColumns", "changeDataFeed"}
)
_WRITER_VERSIONS: Final = range(1, 5)
_NO_ROWS_CHANGED: Final = frozenset(
    {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "ADD FEATURE"}
)


@dataclass(slots=True)
class _Handle:
    """One DeltaTable kept open.

    Attributes:
        table: The table; it moves on with every commit.
        snapshot: Where it stands.
        opened_at: The version it was opened at.
        writable: Whether that was found out since somebody else's last commit.
        transactions: App transactions as of `snapshot`, as far as they were asked for.
    """

    table: DeltaTable
    snapshot: Snapshot
    opened_at: int
    writable: bool = False
    transactions: dict[str, int | None] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class DeltaBackend(LakeBackend):
    """Delta tables below one folder; ``train.late`` is the folder ``train/late``.

    Args:
        root: The folder; made when the first table is.
    """

    name = "delta"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._handles: dict[str, _Handle] = {}
        self._versions: OrderedDict[tuple[str, int], tuple[Snapshot, DeltaTable]] = OrderedDict()
        self._lock = threading.RLock()

    # --- finding

    def list(self) -> list[str]:
        found = []
        for folder, below, _ in os.walk(self._root):
            if LOG_FOLDER in below:
                found.append(".".join(Path(folder).relative_to(self._root).parts))
                below.clear()
        return sorted(found)

    def find(self, table: str, version: int | None = None) -> Snapshot | None:
        handle = self._handle(table)
        if handle is None:
            return None
        with handle.lock, _as_whence_errors(table):
            self._catch_up(handle)
            if version is None or version == handle.snapshot.version:
                return handle.snapshot
        return self._at(table, version, handle.snapshot)[0]

    def _folder(self, table: str) -> Path:
        return self._root.joinpath(*table.split("."))

    def _handle(self, table: str) -> _Handle | None:
        with self._lock:
            handle = self._handles.get(table)
            folder = self._folder(table)
            if not (folder / LOG_FOLDER).is_dir():
                self._handles.pop(table, None)
                return None
            if handle is None:
                try:
                    with _as_whence_errors(table):
                        opened = DeltaTable(folder)
                        handle = _Handle(opened, self._snapshot(table, opened), opened.version())
                except NotFoundError:
                    return None  # a log folder without a first commit: a creation that did not end
                self._handles[table] = handle
            return handle

    def _catch_up(self, handle: _Handle) -> None:
        """Bring a handle to the newest version; asking the folder is a hundred times cheaper than delta-rs."""
        snapshot = handle.snapshot
        following = self._folder(snapshot.table) / LOG_FOLDER / f"{snapshot.version + 1:020}.json"
        if following.exists():
            handle.table.update_incremental()
            handle.snapshot = self._snapshot(snapshot.table, handle.table)
            handle.writable = False
            handle.transactions.clear()
            self._age(handle)

    def _age(self, handle: _Handle) -> None:
        """Past a checkpoint, the next look opens the table anew."""
        if handle.snapshot.version // CHECKPOINT_INTERVAL > handle.opened_at // CHECKPOINT_INTERVAL:
            self._forget(handle.snapshot.table)

    def _snapshot(self, table: str, opened: DeltaTable) -> Snapshot:
        facts = opened.metadata()
        return Snapshot(
            table=table,
            version=opened.version(),
            schema=_arrow_schema(opened),
            table_id=str(facts.id),
            uri=self._folder(table).absolute().as_uri(),
            declaration=facts.description,
            partition_by=tuple(facts.partition_columns),
        )

    def _at(self, table: str, version: int, newest: Snapshot) -> tuple[Snapshot, DeltaTable]:
        """An older version, from the few that are kept."""
        key = newest.table_id, version
        with self._lock:
            if key in self._versions:
                self._versions.move_to_end(key)
                return self._versions[key]
        if not 0 <= version <= newest.version:
            raise _no_version(table, version, f"the newest is {newest.version}")
        with _as_whence_errors(table):
            opened = DeltaTable(self._folder(table), version=version)
            found = self._snapshot(table, opened), opened
        with self._lock:
            self._versions[key] = found
            if len(self._versions) > VERSIONS_KEPT:
                self._versions.popitem(last=False)
        return found

    # --- writing

    def create(
        self, table: str, data: pa.Table, *, declaration: str, partition_by: Sequence[str], facts: CommitFacts
    ) -> Snapshot:
        folder = self._folder(table)
        if (folder / LOG_FOLDER).is_dir():
            raise ConflictError(f"table {table!r} exists", code="table-exists")
        try:
            with _as_whence_errors(table):
                folder.mkdir(parents=True, exist_ok=True)
                write_deltalake(
                    folder,
                    data,
                    mode="error",
                    partition_by=list(partition_by) or None,
                    description=declaration,
                    configuration=_configuration(declaration),
                    commit_properties=_properties(facts),
                    post_commithook_properties=_HOOKS,
                )
        except (BackendError, ConflictError) as error:
            if "already exists" in str(error) or error.code == "commit-conflict":
                raise ConflictError(f"table {table!r} exists", code="table-exists") from error
            raise
        found = self.find(table)
        assert found is not None
        return found

    def append(self, base: Snapshot, data: pa.Table, *, evolve: bool, facts: CommitFacts) -> Snapshot:
        def write(table: DeltaTable) -> None:
            write_deltalake(
                table,
                data,
                mode="append",
                schema_mode="merge" if evolve else None,
                commit_properties=_properties(facts),
                post_commithook_properties=_HOOKS,
            )

        return self._write(base, facts, write)

    def overwrite(
        self,
        base: Snapshot,
        data: pa.Table,
        *,
        where: str | None,
        evolve: bool,
        rest: Callable[[], pa.Table],
        facts: CommitFacts,
    ) -> Snapshot:
        def write(table: DeltaTable) -> None:
            write_deltalake(
                table,
                data,
                mode="overwrite",
                predicate=where,
                schema_mode="merge" if evolve else None,
                commit_properties=_properties(facts),
                post_commithook_properties=_HOOKS,
            )

        return self._write(base, facts, write)

    def delete(
        self, base: Snapshot, where: str, *, rest: Callable[[], pa.Table], facts: CommitFacts
    ) -> Snapshot:
        return self._write(
            base,
            facts,
            lambda table: table.delete(
                where, commit_properties=_properties(facts), post_commithook_properties=_HOOKS
            ),
        )

    def merge(
        self,
        base: Snapshot,
        data: pa.Table,
        *,
        on: Sequence[str],
        rest: Callable[[], pa.Table],
        facts: CommitFacts,
    ) -> Snapshot:
        predicate = " AND ".join(f"t.{_quoted(c)} = s.{_quoted(c)}" for c in on)

        def write(table: DeltaTable) -> None:
            merger = table.merge(
                data,
                predicate,
                source_alias="s",
                target_alias="t",
                commit_properties=_properties(facts),
                post_commithook_properties=_HOOKS,
            )
            merger.when_matched_update_all().when_not_matched_insert_all().execute()

        return self._write(base, facts, write)

    def _write(self, base: Snapshot, facts: CommitFacts, write: Callable[[DeltaTable], object]) -> Snapshot:
        handle = self._handle(base.table)
        if handle is None or handle.snapshot.table_id != base.table_id:
            raise NotFoundError("table", base.table)
        with handle.lock:
            if handle.snapshot.version != base.version:
                raise _moved_on(base, handle.snapshot.version)
            try:
                with _as_whence_errors(base.table):
                    write(handle.table)
            except BaseException:
                # what the handle believes after a failed write is not worth finding out
                self._forget(base.table)
                raise
            handle.snapshot = self._snapshot(base.table, handle.table)
            if handle.snapshot.version == base.version + 1:
                handle.transactions.update(facts.transactions)
            else:
                handle.transactions.clear()
            self._age(handle)
            return handle.snapshot

    def _forget(self, table: str) -> None:
        with self._lock:
            self._handles.pop(table, None)

    def check_writable(self, base: Snapshot) -> None:
        handle = self._handle(base.table)
        if handle is not None and handle.writable and handle.snapshot.version == base.version:
            return
        opened = self._opened(base)
        protocol = opened.protocol()
        features = frozenset(protocol.writer_features or ()) | frozenset(protocol.reader_features or ())
        unknown = sorted(features - _WRITABLE)
        if unknown or protocol.min_writer_version not in (*_WRITER_VERSIONS, 7):
            raise UnsupportedError(
                f"table {base.table!r} uses {', '.join(unknown) or 'column mapping'}, which delta-rs does not write safely",
                code="table-features",
                hint="write it with the engine that made it",
            )
        if opened.metadata().configuration.get("delta.enableExpiredLogCleanup") != "false":
            raise ConflictError(
                f"the log of table {base.table!r} is cleaned up by itself, versions would be lost",
                code="log-cleanup",
                hint="call attach() on the table: it sets delta.enableExpiredLogCleanup=false",
            )
        if handle is not None and handle.snapshot.version == base.version:
            handle.writable = True

    def attach(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        if self._opened(base).metadata().configuration.get("delta.enableExpiredLogCleanup") == "false":
            return base
        return self._write(
            base,
            facts,
            lambda table: table.alter.set_table_properties(
                KEEP_LOG, commit_properties=_properties(facts), post_commithook_properties=_HOOKS
            ),
        )

    # --- reading

    def relation(self, snapshot: Snapshot) -> Relation:
        opened = self._opened(snapshot)
        protocol = opened.protocol()
        direct = protocol.min_reader_version == 1 or (
            protocol.min_reader_version == 3 and not _INDIRECT & frozenset(protocol.reader_features or ())
        )
        if not direct:
            return self._read_indirectly(snapshot, opened)
        with _as_whence_errors(snapshot.table):
            paths = tuple(sorted(opened.file_uris()))
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110  # a Path for each of thousands of files costs more
                raise self._gone(snapshot, path)
        return Files(paths, snapshot.schema, snapshot.partition_by)

    def _gone(self, snapshot: Snapshot, path: str) -> WhenceError:
        handle = self._handle(snapshot.table)
        if handle is not None and handle.snapshot.version == snapshot.version:
            return IntegrityError(
                f"file {Path(path).name} of table {snapshot.table!r} is gone", code="file-missing"
            )
        return _no_version(snapshot.table, snapshot.version, "its files were vacuumed")

    def _read_indirectly(self, snapshot: Snapshot, opened: DeltaTable) -> pa.Table:
        """Through delta-rs, which knows deletion vectors and mapped names; rows in the order of their digests."""
        with _as_whence_errors(snapshot.table):
            builder = QueryBuilder().register("t", opened)
            table = normalise(pa.table(builder.execute("SELECT * FROM t").read_all()))
        digests = row_digests(table)
        return table.take(pa.array(np.lexsort((digests[:, 1], digests[:, 0]))))

    def matching(self, base: Snapshot, where: str) -> pa.Table | None:
        with _as_whence_errors(base.table):
            builder = QueryBuilder().register("t", self._opened(base))
            found = builder.execute(f"SELECT * FROM t WHERE {where}").read_all()
            return normalise(pa.table(found)).select(base.schema.names)

    def _opened(self, snapshot: Snapshot) -> DeltaTable:
        """The table at exactly this version."""
        handle = self._handle(snapshot.table)
        if handle is None:
            raise NotFoundError("table", snapshot.table)
        if handle.snapshot.version == snapshot.version:
            return handle.table
        return self._at(snapshot.table, snapshot.version, handle.snapshot)[1]

    def transaction_version(self, base: Snapshot, application: str) -> int | None:
        handle = self._handle(base.table)
        newest = handle is not None and handle.snapshot.version == base.version
        if handle is not None and newest and application in handle.transactions:
            return handle.transactions[application]
        with _as_whence_errors(base.table):
            found = self._opened(base).transaction_version(application)
        version = None if found is None else int(found)
        if handle is not None and newest:
            handle.transactions[application] = version
        return version

    def log(self, table: str, *, after: int, upto: int) -> Sequence[LogEntry]:
        handle = self._handle(table)
        if handle is None or after >= upto:
            return []
        with handle.lock, _as_whence_errors(table):
            self._catch_up(handle)
            entries = handle.table.history(limit=handle.snapshot.version - after)
        return [_log_entry(e) for e in reversed(entries) if after < e["version"] <= upto]

    # --- keeping house

    def compact(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        return self._write(
            base,
            facts,
            lambda table: table.optimize.compact(
                commit_properties=_properties(facts), post_commithook_properties=_HOOKS
            ),
        )

    def vacuum(
        self,
        base: Snapshot,
        *,
        retention_hours: float,
        keep_versions: Sequence[int],
        full: bool,
        dry_run: bool,
        facts: CommitFacts,
    ) -> tuple[Sequence[str], Sequence[int]]:
        gone: list[str] = []

        def write(table: DeltaTable) -> None:
            gone.extend(
                table.vacuum(
                    retention_hours=int(retention_hours),
                    dry_run=dry_run,
                    enforce_retention_duration=False,
                    keep_versions=list(keep_versions) or None,
                    full=full,
                    commit_properties=_properties(facts),
                    post_commithook_properties=_HOOKS,
                )
            )

        self._write(base, facts, write)
        files = sorted(unquote(path) for path in gone)
        return files, self._ended(base, frozenset(files))

    def _ended(self, base: Snapshot, gone: frozenset[str]) -> Sequence[int]:
        """The versions below `base` that need one of these files."""
        live: set[str] = set()
        ended = []
        for version in range(base.version + 1):
            path = self._folder(base.table) / LOG_FOLDER / f"{version:020}.json"
            for line in path.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    live.add(unquote(action["add"]["path"]))
                elif "remove" in action:
                    live.discard(unquote(action["remove"]["path"]))
            if live & gone:
                ended.append(version)
        return ended

    def close(self) -> None:
        with self._lock:
            self._handles.clear()
            self._versions.clear()


# --- small translations -------------------------------------------------------------------------


def _properties(facts: CommitFacts) -> CommitProperties:
    return CommitProperties(
        custom_metadata=dict(facts.metadata),
        app_transactions=[Transaction(name, version) for name, version in facts.transactions],
    )


def _configuration(declaration: str) -> dict[str, str]:
    """Properties of a new table.

    Reading goes through the files' own statistics; those in the log cost every commit and show values of the
    data, so only times are kept there.
    """
    said = TableDeclaration.from_json(declaration)
    times = [c for c in (said.event_time, said.known_at) if c is not None and c.isidentifier()]
    skipping = (
        {"delta.dataSkippingStatsColumns": ",".join(dict.fromkeys(times))}
        if times
        else {"delta.dataSkippingNumIndexedCols": "0"}
    )
    return {**KEEP_LOG, "delta.checkpointInterval": str(CHECKPOINT_INTERVAL), **skipping}


def _arrow_schema(opened: DeltaTable) -> pa.Schema:
    return normalise_schema(pa.schema(opened.schema().to_arrow()))


def _log_entry(entry: dict[str, Any]) -> LogEntry:
    # Any: the log's own JSON
    return LogEntry(
        version=entry["version"],
        at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
        operation=entry["operation"],
        changes_rows=entry["operation"] not in _NO_ROWS_CHANGED,
        metadata={k: str(v) for k, v in entry.items() if k.startswith("whence.")},
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _no_version(table: str, version: int, why: str) -> NotFoundError:
    return NotFoundError("table version", f"{table}@{version}", hint=f"{why}; history() shows what there is")


def _moved_on(base: Snapshot, version: int) -> ConflictError:
    return ConflictError(
        f"table {base.table!r} is at version {version}, not {base.version}", code="commit-conflict"
    )


@contextmanager
def _as_whence_errors(table: str) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise _translated(table, error) from error
    except ValueError as error:  # delta-rs reports unreadable JSON and bad arguments this way
        raise BackendError(f"delta-rs refuses table {table!r}: {error}", code="lake-failed") from error


def _translated(table: str, error: DeltaError | OSError) -> WhenceError:
    text = " ".join(str(error).split())
    lowered = text.lower()
    if (
        getattr(error, "errno", None) == errno.ENOSPC
        or "no space left" in lowered
        or "os error 28" in lowered
    ):
        return BackendError(
            f"no space is left for table {table!r}; nothing was committed",
            code="store-full",
            retryable=True,
            hint="free some space, then retry",
        )
    if isinstance(error, CommitFailedError):
        return ConflictError(f"another writer changed table {table!r}: {text}", code="commit-conflict")
    if isinstance(error, TableNotFoundError):
        return NotFoundError("table", table)
    if "no field named" in lowered or "sql" in lowered and "parser" in lowered:
        return UsageError(f"the condition does not fit table {table!r}: {text}", code="bad-sql")
    if "parquet error" in lowered and any(
        s in lowered for s in ("corrupt", "footer", "magic", "eof", "invalid")
    ):
        return IntegrityError(f"a file of table {table!r} cannot be read: {text}", code="file-corrupted")
    if "json" in lowered and isinstance(error, DeltaError):
        return IntegrityError(f"the log of table {table!r} cannot be read: {text}", code="log-corrupted")
    return BackendError(f"delta-rs failed on table {table!r}: {text}", code="lake-failed")
