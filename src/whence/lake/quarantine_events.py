"""What a quarantine holds: events about rows, of which the one known last counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence.errors import ConflictError, UsageError
from whence.lake.base import Snapshot
from whence.lake.commit import run
from whence.lake.core import Core
from whence.lake.operations import Append, Create, Effect
from whence.lake.types import State as TableState
from whence.lake.types import TableDeclaration
from whence.metadata import Artifact, Recording, Value

State: TypeAlias = Literal["in", "corrected", "replaying", "replayed", "dropped"]

PREFIX: Final = "quarantine."
REPLAY: Final = "whence.replay"
"""The app transaction of replays, in the table and in its quarantine."""

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.field("element", pa.string()))),
        pa.field("schema", pa.string()),
        pa.field("arrived_at", TS, nullable=False),
        pa.field("known_at", TS, nullable=False),
        pa.field("batch", pa.string()),
        pa.field("source", pa.string()),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("replay", pa.int64()),
        pa.field("note", pa.string()),
        pa.field("execution", pa.string(), nullable=False),
    ]
)
_DECLARED: Final = TableDeclaration(
    key=("id",), event_time="arrived_at", known_at="known_at", description="rows that may not enter a table"
)
_PENDING: Final = ("in", "corrected")


def quarantine_of(table: str) -> str:
    """The name of the table with the rows set aside from `table`.

    Raises:
        UsageError: `table` is such a table itself (``quarantine-of-quarantine``).
    """
    if table.startswith(PREFIX):
        raise UsageError(
            f"table {table!r} is a quarantine, it has none of its own",
            code="quarantine-of-quarantine",
            hint=f"name the table: {table.removeprefix(PREFIX)!r}",
        )
    return PREFIX + table


def make_quarantine(core: Core, table: str) -> str:
    """The name of the quarantine of `table`, which is made when there is none."""
    name = quarantine_of(table)
    if core.find(name) is None:
        run(core, Create(core, name, SCHEMA, _DECLARED))
    return name


@contextmanager
def recorded(core: Core, type_: str, writes: str | None, params: Mapping[str, Value]) -> Iterator[Recording]:
    """An execution of its own that is about to write a version of a table; else the one around the caller."""
    alone = core.recorder.current() is None and writes is not None
    expected = [Artifact(type="TableVersion", properties={"table": writes})] if alone else []
    with core.recorder.joined(type_, expects=expected, params=params) as recording:
        yield recording


def next_moment(core: Core, snapshot: Snapshot | None) -> datetime:
    """Now, but later than all that the quarantine has: on a clock that stands, batches keep their order."""
    now = core.clock.now()
    if snapshot is None or core.state(snapshot).n_rows == 0:
        return now
    known = pc.max(core.rows(snapshot, columns=["known_at"]).column("known_at")).as_py()
    return now if known is None else max(now, known.astimezone(UTC) + timedelta(microseconds=1))


def _event_rows(events: Sequence[Mapping[str, Any]]) -> pa.Table:
    # Any: the values of a row of the quarantine
    return pa.Table.from_pylist([{f: e.get(f) for f in SCHEMA.names} for e in events], schema=SCHEMA)


class Events(Append):
    """Rows added to a quarantine, if what they follow is still the last that is known of each id.

    Args:
        core: The lake.
        name: The quarantine.
        events: The rows.
        after: When the last of each id was known, when it was looked at; None for ids that are new: of these,
            those that others have brought in meanwhile are left out.
    """

    def __init__(
        self,
        core: Core,
        name: str,
        events: Sequence[Mapping[str, Any]],
        after: Mapping[str, datetime] | None = None,
    ) -> None:
        self._events = _event_rows(events)
        self._after = after
        super().__init__(core, name, self._events)

    def effect(self, base: Snapshot | None, state: TableState) -> Effect | None:
        last = {} if base is None else last_known(self.core, base, self._events.column("id"))
        if self._after is None:
            new = pc.invert(pc.is_in(self._events.column("id"), value_set=pa.array(list(last), pa.string())))
            rows = self._events.filter(new)
            return Append(self.core, self.table, rows).effect(base, state) if rows.num_rows else None
        if any(last.get(uid) != at for uid, at in self._after.items()):
            raise ConflictError(
                f"rows of table {self.table!r} were changed by another while this was done",
                code="quarantine-changed",
                hint="look at them again, then retry",
            )
        return super().effect(base, state)


def last_known(core: Core, snapshot: Snapshot, ids: pa.ChunkedArray) -> dict[str, datetime]:
    """When the last of each of these ids was known."""
    rows = core.rows(snapshot, columns=["id", "known_at"])
    rows = rows.filter(pc.is_in(rows.column("id"), value_set=ids.combine_chunks()))
    last = rows.group_by("id").aggregate([("known_at", "max")])
    return dict(zip(last.column("id").to_pylist(), last.column("known_at_max").to_pylist(), strict=True))


class Standing:
    """What the quarantine of a table holds."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name
        self._snapshot = core.find(name)

    def newest(self) -> pa.Table:
        """Each row as it stands: the one known last of each id, in the order of arrival.

        A replay that was broken off after the table had the rows is told as what it is, replayed; one
        broken off before, as waiting.
        """
        rows = self._newest_as_kept()
        open_ = pc.equal(rows.column("state"), "replaying")
        if not pc.any(open_).as_py():
            return rows
        base = self._core.find(self._name.removeprefix(PREFIX))
        there = None if base is None else self._core.backend.transaction_version(base, REPLAY)
        inside = pc.fill_null(pc.less_equal(rows.column("replay"), pa.scalar(there or 0, pa.int64())), False)
        state = pc.if_else(
            pc.and_(open_, inside), "replayed", pc.if_else(open_, "corrected", rows.column("state"))
        )
        return rows.set_column(rows.schema.get_field_index("state"), SCHEMA.field("state"), state)

    def _newest_as_kept(self) -> pa.Table:
        if self._snapshot is None:
            return SCHEMA.empty_table()
        sql = (
            "SELECT * FROM events QUALIFY row_number() OVER (PARTITION BY id ORDER BY known_at DESC) = 1 "
            "ORDER BY arrived_at, batch, source, position, id"
        )
        got = self._core.engine.query(sql, {"events": self._core.backend.relation(self._snapshot)})
        return got.select(SCHEMA.names).cast(SCHEMA)

    def claimed(self, number: int) -> pa.Table:
        """The rows that are being replayed under a number."""
        rows = self._newest_as_kept()
        return rows.filter(
            pc.and_(pc.equal(rows.column("state"), "replaying"), pc.equal(rows.column("replay"), number))
        )

    def open_numbers(self) -> list[int]:
        """The numbers of replays that were not ended, in their order."""
        rows = self._newest_as_kept()
        return sorted(
            set(rows.filter(pc.equal(rows.column("state"), "replaying")).column("replay").to_pylist())
        )
