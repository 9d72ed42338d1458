"""Tables in the memory of this process: every version is an Arrow table. The stand-in of tests."""

# ruff: noqa: ARG002  # the arguments are the port's; each backend uses those it needs

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from whence._base.ids import new_uid
from whence.compute.base import Relation
from whence.errors import ConflictError, NotFoundError
from whence.lake.base import LakeBackend, Snapshot, changes_gone
from whence.lake.types import CommitFacts, LogEntry


@dataclass(slots=True)
class _Version:
    data: pa.Table | None
    added: pa.Table | None
    entry: LogEntry
    transactions: Mapping[str, int]


@dataclass(slots=True)
class _Kept:
    table_id: str
    declaration: str
    partition_by: tuple[str, ...]
    versions: list[_Version] = field(default_factory=list)


class MemoryBackend(LakeBackend):
    """Keeps versions in a dictionary; gone with the process."""

    name = "memory"

    def __init__(self) -> None:
        self._tables: dict[str, _Kept] = {}
        self._lock = threading.RLock()

    def list(self) -> list[str]:
        return sorted(self._tables)

    def find(self, table: str, version: int | None = None) -> Snapshot | None:
        with self._lock:
            kept = self._tables.get(table)
            if kept is None:
                return None
            number = len(kept.versions) - 1 if version is None else version
            return self._snapshot(table, kept, number)

    def _snapshot(self, table: str, kept: _Kept, number: int) -> Snapshot:
        data = kept.versions[number].data if 0 <= number < len(kept.versions) else None
        if data is None:
            raise NotFoundError("table version", f"{table}@{number}", hint="history() shows the versions")
        return Snapshot(
            table=table,
            version=number,
            schema=data.schema,
            table_id=kept.table_id,
            uri=f"memory://{table}",
            declaration=kept.declaration,
            partition_by=kept.partition_by,
        )

    def create(
        self, table: str, data: pa.Table, *, declaration: str, partition_by: Sequence[str], facts: CommitFacts
    ) -> Snapshot:
        with self._lock:
            if table in self._tables:
                raise ConflictError(f"table {table!r} exists", code="table-exists")
            self._tables[table] = _Kept(new_uid(), declaration, tuple(partition_by))
            return self._commit(table, data, "CREATE TABLE", facts, added=data)

    def append(self, base: Snapshot, data: pa.Table, *, evolve: bool, facts: CommitFacts) -> Snapshot:
        with self._lock:
            old = self._base(base)
            return self._commit(base.table, _stack(old, data, evolve=evolve), "WRITE", facts, added=data)

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
        kept = base.schema.empty_table() if where is None else rest()
        with self._lock:
            self._base(base)
            return self._commit(base.table, _stack(kept, data, evolve=evolve), "WRITE", facts)

    def delete(
        self, base: Snapshot, where: str, *, rest: Callable[[], pa.Table], facts: CommitFacts
    ) -> Snapshot:
        kept = rest()
        with self._lock:
            self._base(base)
            return self._commit(base.table, kept, "DELETE", facts)

    def merge(
        self,
        base: Snapshot,
        data: pa.Table,
        *,
        on: Sequence[str],
        rest: Callable[[], pa.Table],
        facts: CommitFacts,
    ) -> Snapshot:
        kept = rest()
        with self._lock:
            self._base(base)
            return self._commit(base.table, _stack(kept, data, evolve=False), "MERGE", facts)

    def relation(self, snapshot: Snapshot) -> Relation:
        with self._lock:
            kept = self._tables.get(snapshot.table)
            found = None if kept is None else kept.versions[snapshot.version].data
            if kept is None or kept.table_id != snapshot.table_id or found is None:
                raise NotFoundError("table version", f"{snapshot.table}@{snapshot.version}")
            return found

    def added(self, snapshot: Snapshot, version: int) -> Relation:
        with self._lock:
            kept = self._tables[snapshot.table].versions[version]
            if kept.added is None:
                raise changes_gone(snapshot.table, version, "its files were vacuumed")
            return _stack(snapshot.schema.empty_table(), kept.added, evolve=True)

    def log(self, table: str, *, after: int, upto: int) -> Sequence[LogEntry]:
        with self._lock:
            return [v.entry for v in self._tables[table].versions[after + 1 : upto + 1]]

    def transaction_version(self, base: Snapshot, application: str) -> int | None:
        with self._lock:
            return self._tables[base.table].versions[base.version].transactions.get(application)

    def compact(self, base: Snapshot, *, facts: CommitFacts) -> Snapshot:
        with self._lock:
            data = self._base(base)
            if data.num_columns == 0 or data.column(0).num_chunks <= 1:
                return base
            return self._commit(base.table, data.combine_chunks(), "OPTIMIZE", facts, changes_rows=False)

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
        with self._lock:
            versions = self._tables[base.table].versions
            newest = len(versions) - 1
            now = datetime.now(UTC)
            gone = []
            # a version is as old as the commit that replaced it
            for number, version in enumerate(versions[:newest]):
                age_h = (now - versions[number + 1].entry.at).total_seconds() / 3600
                if version.data is not None and number not in keep_versions and age_h >= retention_hours:
                    gone.append(number)
            if not dry_run:
                for number in gone:
                    versions[number].data = None
                rewritten = max((v.entry.version for v in versions if v.added is None), default=0)
                for number in gone:
                    if number < rewritten:
                        versions[number].added = None
            return [f"version-{number}" for number in gone], gone

    def close(self) -> None:
        self._tables.clear()

    def _base(self, base: Snapshot) -> pa.Table:
        kept = self._tables.get(base.table)
        if kept is None or kept.table_id != base.table_id:
            raise NotFoundError("table", base.table)
        if len(kept.versions) - 1 != base.version:
            raise ConflictError(
                f"table {base.table!r} is at version {len(kept.versions) - 1}, not {base.version}",
                code="commit-conflict",
            )
        return kept.versions[base.version].data

    def _commit(
        self,
        table: str,
        data: pa.Table,
        operation: str,
        facts: CommitFacts,
        *,
        added: pa.Table | None = None,
        changes_rows: bool = True,
    ) -> Snapshot:
        kept = self._tables[table]
        number = len(kept.versions)
        before = kept.versions[-1].transactions if kept.versions else {}
        entry = LogEntry(number, datetime.now(UTC), operation, changes_rows, dict(facts.metadata))
        kept.versions.append(_Version(data, added, entry, {**before, **dict(facts.transactions)}))
        return self._snapshot(table, kept, number)


def _stack(old: pa.Table, new: pa.Table, *, evolve: bool) -> pa.Table:
    mode = "default" if evolve else "none"
    return pa.concat_tables([old, new], promote_options=mode)
