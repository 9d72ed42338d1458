"""A source's rows in plain Python, cut at any moment: only what was known then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.compute import Engine
from whence.features.plain import content, micros
from whence.features.source import Source
from whence.features.types import Aggregation, FeatureView, Known
from whence.features.where import where_columns, where_holds

Ints = npt.NDArray[np.int64]

NEVER: Final = 2**62
"""The moment of what does not happen."""


class CutSource:
    """The rows of a source, read once."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source = source
        self.table = engine.scan(source.relation)
        self._retracted: Ints | None = None
        self._by_key: dict[tuple[str, frozenset[tuple[Any, ...]]], KeyedRows] = {}

    def times(self, timestamp: str | None) -> tuple[Ints, Ints]:
        """Event and knowledge time of each row in microseconds; a row without one never has it."""
        known_at = self.source.known_at or timestamp
        known = self._micros(known_at) if known_at else np.full(self.table.num_rows, -NEVER)
        return (self._micros(timestamp) if timestamp else known), known

    def _micros(self, column: str) -> Ints:
        values = self.table.column(column)
        if pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("us"))
        return np.asarray(pc.fill_null(values.cast(pa.int64()), NEVER).to_numpy()).astype(np.int64)

    def retracted(self, known: Ints) -> Ints:
        """When a newer row of the same declared key became known; `NEVER` where none is."""
        if self._retracted is None:
            self._retracted = self._find_retracted(known)
        return self._retracted

    def _find_retracted(self, known: Ints) -> Ints:
        result = np.full(self.table.num_rows, NEVER, dtype=np.int64)
        if not self.source.key:
            return result
        columns = [self.table.column(c).to_pylist() for c in self.source.key]
        versions: dict[tuple[Any, ...], list[int]] = {}
        for i, name in enumerate(zip(*columns, strict=True)):
            if None not in name:
                versions.setdefault(name, []).append(i)
        for rows in versions.values():
            if len(rows) > 1:
                facts = self.table.take(pa.array(rows)).to_pylist()
                # a row without knowledge time is never known: nothing it could take back, nothing taken back
                order = [j for j in range(len(rows)) if known[rows[j]] != NEVER]
                order.sort(key=lambda j: (known[rows[j]], content(facts[j])))
                for older, newer in pairwise(order):
                    result[rows[older]] = known[rows[newer]]
        return result

    def final(self, known: Ints) -> npt.NDArray[np.bool_]:
        """Which rows are the newest of their declared key, known at some time or not."""
        alive: npt.NDArray[np.bool_] = self.retracted(known) == NEVER
        if self.source.key and (known == NEVER).any():
            columns = [self.table.column(c).to_pylist() for c in self.source.key]
            best: dict[tuple[Any, ...], int] = {}
            facts = self.table.to_pylist()
            rank = [(-NEVER if known[i] == NEVER else known[i], content(facts[i])) for i in range(len(facts))]
            for i, name in enumerate(zip(*columns, strict=True)):
                if None not in name and (name not in best or rank[i] > rank[best[name]]):
                    best[name] = i
            alive = np.array(
                [None in name or best[name] == i for i, name in enumerate(zip(*columns, strict=True))],
                dtype=bool,
            )
        return alive

    def by_key(self, view: FeatureView, wanted: set[tuple[Any, ...]]) -> KeyedRows:
        """The rows of some join keys."""
        name = view.digest, frozenset(wanted)
        if name not in self._by_key:
            self._by_key[name] = KeyedRows(self, view, wanted)
        return self._by_key[name]

    def known_by(self, moment: datetime) -> pa.Table:
        """The rows known at a moment; all of them, where the source does not say when they were."""
        if self.source.known_at is None:
            return self.table
        limit = pa.scalar(moment, self.table.schema.field(self.source.known_at).type)
        return self.table.filter(pc.less_equal(self.table.column(self.source.known_at), limit))

    def newest(self, names: Sequence[str], rows: Sequence[dict[str, Any]], at: str) -> dict[str, list[Any]]:
        """For each row the values of the newest row of its declared key that was known at its moment."""
        _, known = self.times(None)
        wanted = {tuple(row[c] for c in self.source.key) for row in rows}
        keys = zip(*(self.table.column(c).to_pylist() for c in self.source.key), strict=True)
        positions: dict[tuple[Any, ...], list[int]] = {}
        for i, key in enumerate(keys):
            if key in wanted:
                positions.setdefault(key, []).append(i)
        needed = sorted(i for places in positions.values() for i in places)
        place = {row: n for n, row in enumerate(needed)}
        taken = self.table.select(list(names)).take(pa.array(needed, pa.int64()))
        columns = {name: taken.column(name).to_pylist() for name in names}
        found: dict[str, list[Any]] = {name: [] for name in names}
        for row in rows:
            q = micros(row[at])
            usable = [
                i for i in positions.get(tuple(row[c] for c in self.source.key), ()) if known[i] <= (q or 0)
            ]
            best = max(usable, key=lambda i: int(known[i]), default=None)
            for name in names:
                found[name].append(None if best is None else columns[name][place[best]])
        return found


class KeyedRows:
    """The rows of a source under the join keys of a view, in the order of time."""

    def __init__(self, cut: CutSource, view: FeatureView, wanted: set[tuple[Any, ...]]) -> None:
        self._cut = cut
        self._view = view
        self._event, self._known = cut.times(view.timestamp)
        self._retracted = cut.retracted(self._known)
        self._final = cut.final(self._known)
        self._values: dict[str, list[Any]] = {}
        self._holds: dict[tuple[str, int], bool] = {}
        self._positions = self._index(wanted)
        self._events = {key: self._event[rows] for key, rows in self._positions.items()}

    def _index(self, wanted: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], Ints]:
        """For each key its rows, oldest event first."""
        keys = self._view.entity.join_keys
        if not keys:
            return {(): np.argsort(self._event, kind="stable")}
        found: dict[tuple[Any, ...], list[int]] = {}
        columns = [self._cut.table.column(key).to_pylist() for key in keys]
        for i, key in enumerate(zip(*columns, strict=True)):
            if key in wanted and None not in key:
                found.setdefault(key, []).append(i)
        return {k: np.array(v)[np.argsort(self._event[v], kind="stable")] for k, v in found.items()}

    def values(self, feature: Aggregation, key: tuple[Any, ...], q: int, *, known: Known) -> list[Any]:
        """The values a feature is made of at a moment, oldest first; for a lookup at most one."""
        if key not in self._positions:
            return []
        chosen = self._usable(
            self._in_time(key, feature, q), q, windowed=feature.over is not None, known=known
        )
        if feature.where is not None:
            chosen = np.array([i for i in chosen if self._row_holds(feature.where, int(i))], dtype=np.int64)
        if feature.over is None:
            chosen = self._newest(chosen, q)
        elif feature.op in ("first", "last"):
            chosen = np.array(sorted(chosen, key=self._age), dtype=np.int64)
        if feature.column is None:
            return [True] * len(chosen)
        column = self._column(feature.column)
        return [column[i] for i in chosen]

    def _usable(self, rows: Ints, q: int, *, windowed: bool, known: Known) -> Ints:
        if known == "now":
            kept: Ints = rows[self._final[rows] & (self._event[rows] != NEVER)]
            return kept
        at, gone = self._known[rows], self._retracted[rows]
        usable: Ints = rows[(at < q) & ~(gone < q)] if windowed else rows[(at <= q) & ~(gone <= q)]
        return usable

    def _in_time(self, key: tuple[Any, ...], feature: Aggregation, q: int) -> Ints:
        """Of a key's rows those in the window, or those not after the moment."""
        rows, events = self._positions[key], self._events[key]
        if self._view.timestamp is None:
            return rows
        if feature.over is None:
            return rows[: np.searchsorted(events, q, side="right")]
        start = q - micros_of(feature.over)
        if self._view.hop is not None:
            start = start // micros_of(self._view.hop) * micros_of(self._view.hop)
        return rows[np.searchsorted(events, start, side="left") : np.searchsorted(events, q, side="left")]

    def _newest(self, rows: Ints, q: int) -> Ints:
        """The newest row by event time, knowledge time and content, if it is young enough."""
        if not len(rows):
            return rows
        newest: Ints = rows[self._event[rows] == self._event[rows].max()]
        known = np.where(self._known[newest] == NEVER, -NEVER, self._known[newest])
        newest = newest[known == known.max()]
        if len(newest) > 1:
            facts = self._cut.table.take(pa.array(newest)).to_pylist()
            newest = newest[[max(range(len(facts)), key=lambda j: content(facts[j]))]]
        ttl = self._view.ttl
        too_old = ttl is not None and q - int(self._event[newest[0]]) > micros_of(ttl)
        return newest[:0] if too_old else newest

    def _age(self, row: np.int64) -> tuple[Any, ...]:
        facts = self._cut.table.slice(int(row), 1).to_pylist()[0]
        known = int(self._known[row])
        return int(self._event[row]), -NEVER if known == NEVER else known, content(facts)

    def _column(self, name: str) -> list[Any]:
        if name not in self._values:
            self._values[name] = self._cut.table.column(name).to_pylist()
        return self._values[name]

    def _row_holds(self, where: str, row: int) -> bool:
        if (where, row) not in self._holds:
            facts = {name: self._column(name)[row] for name in where_columns(where)}
            self._holds[where, row] = where_holds(where, facts)
        return self._holds[where, row]


def micros_of(length: Any) -> int:
    """A length of time in microseconds."""
    return int(length.days * 86_400_000_000 + length.seconds * 1_000_000 + length.microseconds)
