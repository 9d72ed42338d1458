"""A lake seen through substitutes: some tables have other rows, and nothing can be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, NoReturn

import pyarrow as pa

from whence._base.rows import rows_digest
from whence.compute.base import Relation
from whence.errors import DeniedError, WhenceError
from whence.lake.base import LakeBackend, Snapshot, changes_gone
from whence.lake.chain import Chain, write_facts
from whence.lake.types import CommitInfo, LogEntry, State


class OverlayBackend(LakeBackend):
    """Another backend, read only, with the rows of some tables replaced in every version.

    Args:
        below: The real one.
        substitutes: Table → the rows it has here.
    """

    name: ClassVar[str] = "overlay"

    def __init__(self, below: LakeBackend, substitutes: Mapping[str, pa.Table]) -> None:
        self._below = below
        self._substitutes = dict(substitutes)

    def list(self) -> list[str]:
        return sorted({*self._below.list(), *self._substitutes})

    def find(self, table: str, version: int | None = None) -> Snapshot | None:
        if table not in self._substitutes:
            return self._below.find(table, version)
        rows = self._substitutes[table]
        newest = self._below.find(table)
        number = version if version is not None else newest.version if newest is not None else 0
        return Snapshot(
            table=table,
            version=number,
            schema=rows.schema,
            table_id=f"substitute-{rows_digest(rows).text}",
            uri=f"substitute:{table}",
            declaration=newest.declaration if newest is not None else None,
            partition_by=(),
            native=rows,
        )

    def relation(self, snapshot: Snapshot) -> Relation:
        if snapshot.table in self._substitutes:
            return self._substitutes[snapshot.table]
        return self._below.relation(snapshot)

    def added(self, snapshot: Snapshot, version: int) -> Relation:
        if snapshot.table in self._substitutes:
            raise changes_gone(snapshot.table, version, "other rows stand in for the table's")
        return self._below.added(snapshot, version)

    def matching(self, base: Snapshot, where: str) -> pa.Table | None:
        return None if base.table in self._substitutes else self._below.matching(base, where)

    def log(self, table: str, *, after: int, upto: int) -> Sequence[LogEntry]:
        if table not in self._substitutes:
            return self._below.log(table, after=after, upto=upto)
        return (self._entry(table, upto),) if upto > after else ()

    def _entry(self, table: str, version: int) -> LogEntry:
        """The commit of a substitute: its rows, with the watermark of the version they stand in for."""
        digest = rows_digest(self._substitutes[table])
        real = Chain(self._below, table)
        try:
            watermark = real.state(version).watermark
        except WhenceError:  # the table, or its log, is not there: nothing is known of it
            watermark = None
        at = datetime.fromtimestamp(0, UTC)
        info = CommitInfo(
            table,
            version,
            "overwrite",
            at,
            "substitute",
            execution="substitute",
            state=State(digest.n_rows, digest.total, watermark, 0, at),
            base=version - 1 if version else None,
        )
        return LogEntry(version, at, "substitute", changes_rows=True, metadata=write_facts(info))

    def transaction_version(self, base: Snapshot, application: str) -> int | None:
        return None if base.table in self._substitutes else self._below.transaction_version(base, application)

    def close(self) -> None:
        self._below.close()

    def _refuse(self, *args: object, **options: object) -> NoReturn:  # noqa: ARG002  # whatever was to be written
        raise DeniedError(
            "a step that is made again may not write tables",
            code="reproduce-read-only",
            hint="return what the step makes as an output, so that it can be compared",
        )

    create = append = overwrite = delete = merge = compact = vacuum = _refuse
