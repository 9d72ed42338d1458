"""Delta tables in a folder, by delta-rs.

What delta-rs does not do, and is done here or above: it casts silently (the lake conforms data first); it
writes over a newer version from a stale handle (every write names its snapshot); a handle that has seen
many commits gets slow (it is opened anew); it deletes expired log files at checkpoints (switched off).
"""

# ruff: noqa: ARG002  # the arguments are the port's; each backend uses those it needs

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
from deltalake import (
    DeltaTable,
    PostCommitHookProperties,
    QueryBuilder,
    write_deltalake,
)

from whence._base.arrow import normalise
from whence.compute import quoted
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
from whence.lake.backends.delta_errors import as_whence_errors
from whence.lake.backends.delta_facts import (
    CHECKPOINT_INTERVAL,
    INDIRECT,
    KEEP_LOG,
    added_files,
    arrow_schema,
    configuration,
    log_entry,
    needing,
    properties,
    read_files,
    read_indirectly,
)
from whence.lake.base import LakeBackend, Snapshot, changes_gone
from whence.lake.types import CommitFacts, LogEntry

LOG_FOLDER: Final = "_delta_log"
VERSIONS_KEPT: Final = 128
# What a small commit added is read without an engine: 2 ms instead of 18 for 900 rows of 50 columns.
READ_AT_ONCE_BYTES: Final = 16 << 20
_HOOKS: Final = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_WRITABLE: Final = frozenset(
    {"appendOnly", "invariants", "checkConstraints", "generatedColumns", "changeDataFeed"}
)
_WRITER_VERSIONS: Final = range(1, 5)


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


#: What delta-rs (1.6.6) reads as something else in the path of a table, or not at all.
_UNREACHABLE: Final = re.compile(r"[\x00-\x1f\x7f\[\]^|\\]|%[0-9A-Fa-f]{2}")


class DeltaBackend(LakeBackend):
    """Delta tables below one folder; ``train.late`` is the folder ``train/late``.

    Args:
        root: The folder; made when the first table is.

    Raises:
        UsageError: delta-rs cannot reach a folder of this name (``bad-folder``).
    """

    name = "delta"

    def __init__(self, root: Path) -> None:
        odd = _UNREACHABLE.search(str(root.absolute()))
        if odd:
            raise UsageError(
                f"tables cannot be kept in {str(root)!r}: delta-rs does not find folders with {odd[0]!r} in their names",
                code="bad-folder",
                hint="name a folder without it, or one for the tables alone with lake.url",
            )
        self._root = root
        self._handles: dict[str, _Handle] = {}
        self._folders: dict[str, Path] = {}
        self._logs: dict[str, str] = {}
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
        with handle.lock, as_whence_errors(table):
            self._catch_up(handle)
            if version is None or version == handle.snapshot.version:
                return handle.snapshot
        return self._at(table, version, handle.snapshot)[0]

    def _folder(self, table: str) -> Path:
        found = self._folders.get(table)
        if found is None:
            found = self._folders[table] = self._root.joinpath(*table.split("."))
        return found

    def _log(self, table: str) -> str:
        """The log folder as text: whether something is in it is asked many times a commit."""
        found = self._logs.get(table)
        if found is None:
            found = self._logs[table] = str(self._folder(table) / LOG_FOLDER)
        return found

    def _handle(self, table: str) -> _Handle | None:
        with self._lock:
            handle = self._handles.get(table)
            if not os.path.isdir(self._log(table)):  # noqa: PTH112  # asked thirty times a commit
                self._handles.pop(table, None)
                return None
            if handle is None:
                try:
                    with as_whence_errors(table):
                        opened = DeltaTable(self._folder(table))
                        handle = _Handle(opened, self._snapshot(table, opened), opened.version())
                except NotFoundError:
                    return None  # a log folder without a first commit: a creation that did not end
                self._handles[table] = handle
            return handle

    def _catch_up(self, handle: _Handle) -> None:
        """Bring a handle to the newest version; asking the folder is a hundred times cheaper than delta-rs."""
        snapshot = handle.snapshot
        following = f"{self._log(snapshot.table)}/{snapshot.version + 1:020}.json"
        if os.path.exists(following):  # noqa: PTH110  # as above
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
            schema=arrow_schema(opened),
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
        with as_whence_errors(table):
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
            with as_whence_errors(table):
                folder.mkdir(parents=True, exist_ok=True)
                write_deltalake(
                    folder,
                    data,
                    mode="error",
                    partition_by=list(partition_by) or None,
                    description=declaration,
                    configuration=configuration(declaration),
                    commit_properties=properties(facts),
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
                commit_properties=properties(facts),
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
                commit_properties=properties(facts),
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
                where, commit_properties=properties(facts), post_commithook_properties=_HOOKS
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
        predicate = " AND ".join(f"t.{quoted(c)} = s.{quoted(c)}" for c in on)

        def write(table: DeltaTable) -> None:
            merger = table.merge(
                data,
                predicate,
                source_alias="s",
                target_alias="t",
                commit_properties=properties(facts),
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
                with as_whence_errors(base.table):
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
        with self._opened(base) as opened:
            protocol = opened.protocol()
            configuration = opened.metadata().configuration
        features = frozenset(protocol.writer_features or ()) | frozenset(protocol.reader_features or ())
        unknown = sorted(features - _WRITABLE)
        if unknown or protocol.min_writer_version not in (*_WRITER_VERSIONS, 7):
            raise UnsupportedError(
                f"table {base.table!r} uses {', '.join(unknown) or 'column mapping'}, which delta-rs does not write safely",
                code="table-features",
                hint="write it with the engine that made it",
            )
        if configuration.get("delta.enableExpiredLogCleanup") != "false":
            raise ConflictError(
                f"the log of table {base.table!r} is cleaned up by itself, versions would be lost",
                code="log-cleanup",
                hint="call attach() on the table: it sets delta.enableExpiredLogCleanup=false",
            )
        if handle is not None and handle.snapshot.version == base.version:
            handle.writable = True

    def attach(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        with self._opened(base) as opened:
            if opened.metadata().configuration.get("delta.enableExpiredLogCleanup") == "false":
                return base
        return self._write(
            base,
            facts,
            lambda table: table.alter.set_table_properties(
                KEEP_LOG, commit_properties=properties(facts), post_commithook_properties=_HOOKS
            ),
        )

    # --- reading

    def relation(self, snapshot: Snapshot) -> Relation:
        with self._opened(snapshot) as opened:
            protocol = opened.protocol()
            direct = protocol.min_reader_version == 1 or (
                protocol.min_reader_version == 3 and not INDIRECT & frozenset(protocol.reader_features or ())
            )
            if not direct:
                return read_indirectly(opened)
            paths = tuple(sorted(self._files_of(snapshot.table, opened)))
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110  # a Path for each of thousands of files costs more
                raise self._gone(snapshot, path)
        return Files(paths, snapshot.schema, snapshot.partition_by)

    def _files_of(self, table: str, opened: DeltaTable) -> Iterator[str]:
        """What delta-rs calls its files is the folder as in a URL, then the name as it is on the disk."""
        folder, in_url = f"{self._folder(table).absolute()}/", urlsplit(opened.table_uri).path
        return (folder + uri.removeprefix(in_url) for uri in opened.file_uris())

    def added(self, snapshot: Snapshot, version: int) -> Relation:
        with self._opened(snapshot) as opened:
            protocol = opened.protocol()
        if protocol.min_reader_version == 2 or "columnMapping" in (protocol.reader_features or ()):
            raise UnsupportedError(
                f"the files of table {snapshot.table!r} do not name its columns; what a commit added cannot be read",
                code="table-features",
                hint="read whole versions of it",
            )
        folder = self._folder(snapshot.table)
        with as_whence_errors(snapshot.table):
            names = added_files(folder / LOG_FOLDER, version)
        if names is None:
            raise changes_gone(snapshot.table, version, "its log is gone")
        paths = tuple(sorted(str(folder.absolute() / name) for name in names))
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110  # as above
                raise changes_gone(snapshot.table, version, f"file {Path(path).name} was vacuumed")
        if snapshot.partition_by or sum(os.path.getsize(path) for path in paths) > READ_AT_ONCE_BYTES:  # noqa: PTH202
            return Files(paths, snapshot.schema, snapshot.partition_by)
        with as_whence_errors(snapshot.table):
            return read_files(paths, snapshot.schema)

    def _gone(self, snapshot: Snapshot, path: str) -> WhenceError:
        handle = self._handle(snapshot.table)
        if handle is not None and handle.snapshot.version == snapshot.version:
            return IntegrityError(
                f"file {Path(path).name} of table {snapshot.table!r} is gone", code="file-missing"
            )
        return _no_version(snapshot.table, snapshot.version, "its files were vacuumed")

    def matching(self, base: Snapshot, where: str) -> pa.Table | None:
        with self._opened(base) as opened:
            builder = QueryBuilder().register("t", opened)
            found = builder.execute(f"SELECT * FROM t WHERE {where}").read_all()
            return normalise(pa.table(found)).select(base.schema.names)

    @contextmanager
    def _opened(self, snapshot: Snapshot) -> Iterator[DeltaTable]:
        """The table at exactly this version; while it is used, its handle does not move on."""
        handle = self._handle(snapshot.table)
        if handle is None:
            raise NotFoundError("table", snapshot.table)
        with handle.lock, as_whence_errors(snapshot.table):
            if handle.snapshot.version == snapshot.version:
                yield handle.table
                return
            newest = handle.snapshot
        opened = self._at(snapshot.table, snapshot.version, newest)[1]
        with as_whence_errors(snapshot.table):
            yield opened

    def transaction_version(self, base: Snapshot, application: str) -> int | None:
        handle = self._handle(base.table)
        newest = handle is not None and handle.snapshot.version == base.version
        if handle is not None and newest and application in handle.transactions:
            return handle.transactions[application]
        with self._opened(base) as opened:
            found = opened.transaction_version(application)
        version = None if found is None else int(found)
        if handle is not None and newest:
            handle.transactions[application] = version
        return version

    def log(self, table: str, *, after: int, upto: int) -> Sequence[LogEntry]:
        # `DeltaTable.history` counts down from the version of its handle, while the commits it lists may
        # be newer by then (delta-rs 1.6.6): with another writer beside, versions are taken for each other.
        folder = self._folder(table) / LOG_FOLDER
        with as_whence_errors(table):
            entries = [log_entry(folder, version) for version in range(after + 1, upto + 1)]
        return [entry for entry in entries if entry is not None]

    # --- keeping house

    def compact(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        return self._write(
            base,
            facts,
            lambda table: table.optimize.compact(
                commit_properties=properties(facts), post_commithook_properties=_HOOKS
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
                    commit_properties=properties(facts),
                    post_commithook_properties=_HOOKS,
                )
            )

        self._write(base, facts, write)
        log = self._folder(base.table) / LOG_FOLDER
        return sorted(gone), needing(log, base.version, frozenset(gone))

    def close(self) -> None:
        with self._lock:
            self._handles.clear()
            self._versions.clear()


def _no_version(table: str, version: int, why: str) -> NotFoundError:
    return NotFoundError("table version", f"{table}@{version}", hint=f"{why}; history() shows what there is")


def _moved_on(base: Snapshot, version: int) -> ConflictError:
    return ConflictError(
        f"table {base.table!r} is at version {version}, not {base.version}", code="commit-conflict"
    )
