"""One row of many: the newest as of a moment, the first or last of a window, the least or greatest value.

Each row counts for a key from one moment to another, which is a stretch of the moments asked about, in their
order. Rows are ranked; the best row of each moment is the greatest rank of the stretches that cover it. Late
rows, corrections and rasters need no case of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.features.folding.asked import Asked
from whence.features.folding.growing import Ints
from whence.features.folding.rows import Rows
from whence.features.folding.spans import ALWAYS, NEVER, Span

Best: TypeAlias = Literal["newest", "oldest", "greatest", "least"]


@dataclass(frozen=True, slots=True)
class Pick:
    """Which row is taken.

    Attributes:
        best: By which order.
        span: The window; for a lookup the ttl, None without.
        windowed: Whether it is a window, from which a row at the very moment is left out.
        column: The column whose nulls are passed over and whose values are compared; None for lookups.
        where: The condition on rows.
    """

    best: Best
    span: Span | None
    windowed: bool
    column: str | None = None
    where: str | None = None


def pick(rows: Rows, keys: tuple[str, ...], what: Pick, asked: Asked) -> Ints:
    """The row taken for each row of the batch; -1 where there is none."""
    if not len(asked.codes):
        return np.full(asked.n_rows, -1)
    strict = int(what.windowed)
    earliest, latest = int(asked.moments[0]), int(asked.moments[-1])
    low = ALWAYS if what.span is None else what.span.start(earliest)
    found = rows.between(low, latest + 1 - strict)
    codes = rows.codes[keys].values[found]
    some = asked.wanted(codes) & rows.presence[what.where, what.column].values[found]
    found, codes = found[some], codes[some]
    begin = rows.usable.values[found] + strict
    end = rows.until.values[found] + strict
    if what.span is not None:
        end = np.minimum(end, what.span.expiry(rows.event.values[found]) + 1)
    places = asked.places
    lo = np.searchsorted(places, asked.place(codes, begin))
    hi = np.searchsorted(places, asked.place(codes, end))
    some = lo < hi
    found, codes, lo, hi = found[some], codes[some], lo[some], hi[some]
    by_time = what.best in ("newest", "oldest")
    order = _by_time(rows, found, codes) if by_time else _by_value(rows, found, str(what.column))
    if what.best in ("oldest", "least"):
        order = order[::-1]
    best = _cover(lo[order], hi[order], len(places))
    return asked.spread(np.append(found[order], -1)[best], -1)


def _by_time(rows: Rows, found: Ints, codes: Ints) -> Ints:
    """The order of rows by event, knowledge time and content."""
    event, known = rows.event.values[found], rows.known.values[found]
    order = np.lexsort((codes, known, event))
    event, known, codes = event[order], known[order], codes[order]
    same = (event[1:] == event[:-1]) & (known[1:] == known[:-1]) & (codes[1:] == codes[:-1])
    again = np.flatnonzero(same) + 1
    if not len(again):
        return order
    at = np.empty(len(rows), dtype=np.int64)
    at[found] = np.arange(len(found))
    return np.asarray(at[rows.by_content(found[order], again)])


def _by_value(rows: Rows, found: Ints, column: str) -> Ints:
    """The order of rows by a value; NaN is greatest, -0 is 0."""
    values = rows.column(column).take(pa.array(found))
    if pa.types.is_floating(values.type):
        doubles = np.asarray(values.cast(pa.float64()).to_numpy()) + 0.0
        return np.argsort(doubles, kind="stable")  # numpy, too, puts NaN last
    return np.asarray(pc.sort_indices(values)).astype(np.int64)


def _cover(lo: Ints, hi: Ints, n: int) -> Ints:
    """For each of n places the number of the last stretch ``[lo, hi)`` that covers it; -1 for none.

    A stretch is two overlapping ones of a power of two; those of each power are laid down, then each
    power is handed down to the next smaller one.
    """
    power = np.frexp((hi - lo).astype(np.float64))[1].astype(np.int64) - 1
    n_powers = int(power.max(initial=0)) + 1
    best = np.full((n_powers, n), -1, dtype=np.int64)
    flat, number = best.reshape(-1), np.arange(len(lo))
    # of repeated places the last assignment stays, and numbers ascend; two steps would not keep that order
    at = np.stack([power * n + lo, power * n + hi - (1 << power)], axis=1).reshape(-1)
    flat[at] = np.repeat(number, 2)
    for p in range(n_powers - 1, 0, -1):
        half = 1 << (p - 1)
        np.maximum(best[p - 1], best[p], out=best[p - 1])
        if half < n:
            np.maximum(best[p - 1, half:], best[p, :-half], out=best[p - 1, half:])
    return np.asarray(best[0])


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows that were picked, for each row of the batch.

    Attributes:
        first: No row lies before it.
        places: Where they are from there on; null where there is none.
    """

    first: int
    places: pa.Array

    @classmethod
    def of(cls, rows: Ints) -> Picked:
        """From the numbers of rows, -1 for none."""
        none = rows < 0
        first = int(rows.min(initial=NEVER, where=~none)) if len(rows) else 0
        first = 0 if first == NEVER else first
        return cls(first, pa.array(rows - first, mask=none))


def values_of(rows: Rows, columns: Sequence[str], picked: Picked, *, plain: bool) -> list[pa.Array]:
    """The values of columns in picked rows; null for none. `plain` makes -0 a 0, as comparing does."""
    values = rows.since(columns, picked.first).take(picked.places).columns
    return [_plain(column) for column in values] if plain else values


def _plain(values: pa.Array) -> pa.Array:
    return pc.add(values, pa.scalar(0.0, values.type)) if pa.types.is_floating(values.type) else values
