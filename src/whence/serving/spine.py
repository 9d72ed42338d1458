"""The rows that wait for an answer: what came into the spine table, in the order of its moments, each key once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.digest import sha256_bytes
from whence.compute import quoted
from whence.errors import IntegrityError, UsageError
from whence.features.points import moments_of
from whence.lake import Lake, TableVersion
from whence.lake.changes import BROKEN
from whence.serving.position import Position, instant, micros
from whence.serving.scored import Hashes, ScoredKeys, key_hashes
from whence.serving.types import Deployment


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of one step: late ones first, then those in the order of their moments.

    Attributes:
        rows: The rows, each key once.
        hashes: Of their keys.
        us: Their moments in microseconds.
        n_behind: How many of them, at the beginning, lie at or before the position.
        moment: Up to where everything that has come is answered by them, in microseconds.
        whole: No late row of the versions that were read is left over.
    """

    rows: pa.Table
    hashes: Hashes
    us: npt.NDArray[np.int64]
    n_behind: int
    moment: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Ordered:
    """Rows in the order of their moments; of one moment in that in which they came."""

    rows: pa.Table
    us: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.Table, us: npt.NDArray[np.int64]) -> Ordered:
        """The rows, put in order."""
        if (np.diff(us) < 0).any():
            order = np.argsort(us, kind="stable")
            rows, us = rows.take(pa.array(order)), us[order]
        return cls(rows, us)

    def __len__(self) -> int:
        return len(self.us)

    def upto(self, moment: int) -> Ordered:
        """Those at or before a moment."""
        n = int(np.searchsorted(self.us, moment, side="right"))
        return self if n == len(self.us) else Ordered(self.rows.slice(0, n), self.us[:n])

    def after(self, moment: int) -> Ordered | None:
        """Those after a moment."""
        n = int(np.searchsorted(self.us, moment, side="right"))
        return None if n == len(self.us) else self if not n else Ordered(self.rows.slice(n), self.us[n:])

    def first(self, n: int) -> Ordered:
        """About the first `n`: rows of one moment are never parted."""
        return self if n >= len(self.us) else self.upto(int(self.us[n]))


@dataclass
class Spine:
    """The rows of a spine table that wait, as far as they were read.

    Rows behind the position wait in `late`. Of those ahead at most `room` are kept; what lies beyond
    `horizon` is read again from the table when the position has come there.

    Args:
        lake: Where the table is.
        deployment: Which rows are answered for.
        room: How many rows ahead are kept.
    """

    lake: Lake
    deployment: Deployment
    room: int
    version: int = -1
    late: list[pa.Table] = field(default_factory=list)
    ahead: Ordered | None = None
    horizon: int | None = None
    nothing: tuple[int, pa.Table] | None = None

    def move_to(self, newest: TableVersion, position: Position) -> None:
        """Read what came since; everything anew at first, and when rows were changed or removed."""
        if self.version == newest.version:
            self._refill(newest, position)
            return
        try:
            if self.version < 0:
                self._open(newest, position)
            else:
                self._follow(newest, self.version, position)
        except IntegrityError as error:
            if error.code not in BROKEN:
                raise
            self._anew(newest, position)
        self.version = newest.version
        self._refill(newest, position)

    def copied(self) -> Spine:
        """The same rows, to go on from; this one stays as it is."""
        return replace(self, late=list(self.late))

    def answered(self, position: Position, *, whole: bool) -> None:
        """The step that was taken from here is committed: all rows up to the position have their answer.

        Args:
            position: Where the stream stands now.
            whole: No late row was left over.
        """
        self.late = [] if whole else self.late
        self.ahead = self._ahead_of(position)

    def overtaken(self, position: Position) -> None:
        """Another follower moved the position; rows that it had not seen are late now.

        Beyond the horizon nothing was kept of what came: if the position is there by now, all that came since
        the version it stands at is read again.
        """
        if self.horizon is not None and position.moment is not None and position.moment > self.horizon:
            self.version = -1
            return
        if position.moment is not None and self.ahead is not None:
            passed = self.ahead.upto(position.moment)
            self.late += [passed.rows] if len(passed) else []
        self.ahead = self._ahead_of(position)

    def _ahead_of(self, position: Position) -> Ordered | None:
        if position.moment is None or self.ahead is None:
            return self.ahead
        return self.ahead.after(position.moment)

    def take(self, upto: int | None, position: Position, scored: ScoredKeys, max_rows: int) -> Waiting | None:
        """The next rows to answer for; None when there are none and the position does not move.

        Args:
            upto: The last moment that may be answered; None: there is no limit.
            position: Where the stream stands.
            scored: Which keys are answered.
            max_rows: How many rows at most; rows of one moment are never parted.
        """
        late, whole = self._late(position, scored, max_rows)
        ahead, hashes, us, moment = self._ahead(upto, position, scored, max_rows - late.num_rows)
        if moment is None or (moment == position.moment and not late.num_rows and not ahead.num_rows):
            return None
        rows = ahead
        if late.num_rows:
            # a key may wait at two moments; the late one is the earlier
            rows = pa.concat_tables([late, ahead], promote_options="default")
            rows, hashes = self._once(rows, key_hashes(rows, self.deployment.key))
            us = self._us(rows)
        return Waiting(rows, hashes, us, late.num_rows, moment, whole)

    def reaches_beyond(self, moment: int) -> bool:
        """Whether rows with later moments wait, or are still to be read."""
        if self.horizon is not None:
            return True
        return self.ahead is not None and int(self.ahead.us[-1]) > moment

    def count(self, upto: int | None, position: Position, scored: ScoredKeys, newest: TableVersion) -> int:
        """How many rows with moments up to `upto` have no answer."""
        late, _ = self._late(position, scored, 2**62)
        ahead, *_ = self._ahead(upto, position, scored, 2**62)
        beyond = 0
        if self.horizon is not None and (upto is None or upto > self.horizon):
            keys = ", ".join(quoted(k) for k in self.deployment.key)
            limit = "" if upto is None else f" AND {self._at} <= {_moment(upto)}"
            sql = f"SELECT count(DISTINCT ({keys})) AS n FROM spine WHERE {self._at} > {_moment(self.horizon)}{limit}"
            beyond = self.lake.engine.query(sql, {"spine": newest.files()})["n"][0].as_py()
        return int(late.num_rows + ahead.num_rows + beyond)

    # --- reading

    def _open(self, newest: TableVersion, position: Position) -> None:
        """What the committed position has not seen: rows ahead of it, and late ones that came since."""
        self._empty()
        if position.spine >= 0:
            for change in self.lake.table(newest.table).changes(position.spine, newest.version):
                self._sort_in(change.rows, position, ahead=False)

    def _follow(self, newest: TableVersion, version: int, position: Position) -> None:
        for change in self.lake.table(newest.table).changes(version, newest.version):
            self._sort_in(change.rows, position)

    def _anew(self, newest: TableVersion, position: Position) -> None:
        """All rows of the version; those that are answered are known by their keys."""
        self._empty()
        if position.moment is not None and position.step:
            start = "" if self.deployment.start is None else f" AND {self._at} >= {_moment(self._start)}"
            behind = newest.arrow(where=f"{self._at} <= {_moment(position.moment)}{start}")
            self._sort_in(behind, position, ahead=False)

    def _empty(self) -> None:
        self.late, self.ahead = [], None
        # everything ahead is still in the table
        self.horizon = -(2**62)

    def _refill(self, newest: TableVersion, position: Position) -> None:
        """Once the position comes to the horizon, the next rows ahead are read."""
        if self.horizon is None or self.ahead is not None:
            return
        after = self.horizon if position.moment is None else max(self.horizon, position.moment)
        condition = f"{self._at} > {_moment(after)} OR {self._at} IS NULL" if after > -(2**62) else "TRUE"
        spine = {"spine": newest.files()}
        # one row more than there is room for tells whether there are more
        sql = f"SELECT {self._at} AS at FROM spine WHERE {condition} ORDER BY 1 NULLS FIRST LIMIT 1 OFFSET {self.room}"
        edge = self.lake.engine.query(sql, spine)["at"].cast(pa.int64()).to_pylist()
        self.horizon = None
        if edge and edge[0] is not None:
            first = self.lake.engine.query(
                f"SELECT min({self._at}) AS at FROM spine WHERE {condition}", spine
            )
            # rows of one moment are never parted
            self.horizon = max(edge[0] - 1, first["at"].cast(pa.int64())[0].as_py())
            condition = f"({condition}) AND {self._at} <= {_moment(self.horizon)}"
        rows = newest.arrow(where=condition)
        self._check(rows)
        if rows.num_rows:
            self.ahead = Ordered.of(rows, self._us(rows))

    def _sort_in(self, rows: pa.Table, position: Position, *, ahead: bool = True) -> None:
        """New rows go to those behind the position or ahead of it, up to the horizon."""
        self._check(rows)
        us = self._us(rows)
        behind = np.zeros(len(us), dtype=bool) if position.moment is None else us <= position.moment
        if self.deployment.start is not None:
            behind &= us >= self._start
        late = rows.filter(pa.array(behind))
        if late.num_rows:
            self.late.append(late)
        if not ahead:
            return
        near = us > (-(2**62) if position.moment is None else position.moment)
        if self.horizon is not None:
            near &= us <= self.horizon
        if near.any():
            rows, us = (rows, us) if near.all() else (rows.filter(pa.array(near)), us[near])
            if self.ahead is not None:
                rows = pa.concat_tables([self.ahead.rows, rows], promote_options="default")
                us = np.concatenate([self.ahead.us, us])
            self.ahead = Ordered.of(rows, us)

    def _check(self, rows: pa.Table) -> None:
        """Refuse rows that no answer could be given for.

        Raises:
            UsageError: A key is null (``spine-key``) or a moment (``null-time``).
        """
        moments_of(rows, self.deployment.at)
        for name in self.deployment.key:
            if rows.column(name).null_count:
                raise UsageError(
                    f"key column {name!r} is null in {rows.column(name).null_count} rows of table {self.deployment.table!r}",
                    code="spine-key",
                    hint="a row rule on the table keeps such rows out; delete these to go on",
                )

    # --- choosing

    def _late(self, position: Position, scored: ScoredKeys, max_rows: int) -> tuple[pa.Table, bool]:
        rows, _ = self._unanswered(self._all(self.late), scored, position)
        return rows.slice(0, max_rows), rows.num_rows <= max_rows

    def _ahead(
        self, upto: int | None, position: Position, scored: ScoredKeys, max_rows: int
    ) -> tuple[pa.Table, Hashes, npt.NDArray[np.int64], int | None]:
        """Rows ahead, the hashes of their keys, their moments, and the moment up to which they are all."""
        ahead = self.ahead
        nothing = self._all([]), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        limit = upto
        if self.horizon is not None and (limit is None or limit > self.horizon):
            limit = self.horizon
        if limit is None:
            limit = position.moment if ahead is None else int(ahead.us[-1])
        if position.moment is not None and (limit is None or limit <= position.moment):
            return *nothing, position.moment
        if limit is None:
            return *nothing, None
        inside = None if ahead is None else ahead.upto(limit)
        if inside is None or not len(inside):
            return *nothing, limit
        if max_rows <= 0:
            rows, hashes = self._unanswered(inside.rows, scored, position)
            return *nothing, position.moment if rows.num_rows else limit
        # of rows of one key the earliest counts: the first of them can be chosen without the others
        some = inside.first(max_rows)
        rows, hashes = self._unanswered(some.rows, scored, position)
        while rows.num_rows <= max_rows and len(some) < len(inside):
            some = inside.first(2 * len(some))
            rows, hashes = self._unanswered(some.rows, scored, position)
        us = self._us(rows)
        if len(us) > max_rows:
            limit = _cut(us, max_rows)
            n = int(np.searchsorted(us, limit, side="right"))
            rows, hashes, us = rows.slice(0, n), hashes[:n], us[:n]
        return rows, hashes, us, limit

    def _unanswered(self, rows: pa.Table, scored: ScoredKeys, position: Position) -> tuple[pa.Table, Hashes]:
        """The rows whose key has no answer yet, in the order of their moments, each key once; and their hashes."""
        hashes = key_hashes(rows, self.deployment.key)
        if not rows.num_rows:
            return rows, hashes
        seen = scored.seen(rows, hashes, position.step)
        if seen.any():
            rows, hashes = rows.filter(pa.array(~seen)), hashes[~seen]
        us = self._us(rows)
        if (np.diff(us) < 0).any():
            order = np.argsort(us, kind="stable")
            rows, hashes = rows.take(pa.array(order)), hashes[order]
        return self._once(rows, hashes)

    def _once(self, rows: pa.Table, hashes: Hashes) -> tuple[pa.Table, Hashes]:
        """Of several rows of one key the one with the earliest moment, then known last, then by content."""
        ordered = np.sort(hashes)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(twice):
            return rows, hashes
        doubtful = np.flatnonzero(np.isin(hashes, twice))
        kept = np.ones(rows.num_rows, dtype=bool)
        kept[doubtful] = False
        known_at = self.lake.table(self.deployment.table).declaration.known_at
        best: dict[tuple[object, ...], tuple[tuple[int, int, str], int]] = {}
        for at, row in zip(doubtful.tolist(), rows.take(pa.array(doubtful)).to_pylist(), strict=True):
            key = tuple(row[name] for name in self.deployment.key)
            rank = row_rank(row, self.deployment.at, known_at)
            if key not in best or rank < best[key][0]:
                best[key] = rank, at
        for _, at in best.values():
            kept[at] = True
        return rows.filter(pa.array(kept)), hashes[kept]

    # --- small things

    def _all(self, tables: list[pa.Table]) -> pa.Table:
        """The tables as one; a column that came later is null in earlier rows."""
        if not tables:
            if self.nothing is None or self.nothing[0] != self.version:
                self.nothing = self.version, self.lake.table(self.deployment.table).schema.empty_table()
            return self.nothing[1]
        if len(tables) > 1:
            tables[:] = [pa.concat_tables(tables, promote_options="default")]
        return tables[0]

    def _us(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        return np.asarray(rows.column(self.deployment.at).cast(pa.int64()).to_numpy())

    @property
    def _at(self) -> str:
        return quoted(self.deployment.at)

    @property
    def _start(self) -> int:
        assert self.deployment.start is not None
        return micros(self.deployment.start)


def row_rank(row: Mapping[str, object], at: str, known_at: str | None) -> tuple[int, int, str]:
    """Of several rows of one key the one with the least rank is answered for.

    The earliest moment counts; then the row that was known last, which corrects the others; then the content.

    Args:
        row: The row's columns.
        at: The column of the moment.
        known_at: The column of the knowledge time, where the table declares one.
    """
    moment, known = row[at], None if known_at is None else row[known_at]
    assert isinstance(moment, datetime)
    content = repr(sorted((name, str(value)) for name, value in row.items()))
    return (
        micros(moment),
        -micros(known) if isinstance(known, datetime) else 0,
        sha256_bytes(content.encode()),
    )


def _cut(us: npt.NDArray[np.int64], max_rows: int) -> int:
    """The last moment of which at most `max_rows` rows lie at or before it; at least the first moment.

    Example:
        >>> [_cut(np.array([1, 2, 2, 3]), n) for n in (1, 2, 3)]
        [1, 1, 2]
    """
    over = us[max_rows]
    before = us[:max_rows]
    before = before[before < over]
    return int(before[-1]) if len(before) else int(us[0])


def _moment(us: int) -> str:
    """A moment in SQL.

    Example:
        >>> _moment(0)
        "TIMESTAMPTZ '1970-01-01T00:00:00.000000+00:00'"
    """
    return f"TIMESTAMPTZ '{instant(us).isoformat(timespec='microseconds')}'"
