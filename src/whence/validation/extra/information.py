"""Mutual information: how many bits a column says of a label, beyond what chance would say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa

from whence.stats.base import Array
from whence.validation.extra.joint import Joint, Label
from whence.validation.extras import Extra, register_extra

_MOST_TERMS: Final = 5_000_000
_SMALL: Final = np.array([math.lgamma(k + 1) for k in range(16)])


@register_extra
class MutualInformation(Extra):
    """How many bits each column says of y, beyond what columns of such counts say by chance.

    With the shares p of rows by x, by y and by both:

        I(x; y) = Σ p(x, y)·log₂(p(x, y) / (p(x)·p(y)))
        adjusted = I - E
        normalized = (I - E) / (max(H(x), H(y)) - E), cut to 0…1; 0 when that is not above 0

    E is the mean of I over all ways to shuffle y (the hypergeometric model), exact to 1e-6 of itself;
    where that has more than 5,000,000 terms it is (a - 1)·(b - 1) / (2·n·ln 2) of the numbers a and b
    of values, and ``expected_is`` says ``approximate``. A missing value is a value of its own. Numbers
    go by buckets of stated edges, so that counts add up and any split of the rows merges exactly.

    Args:
        y: The label: text, bytes, booleans, dates or integers as they are; other numbers with edges.
        x: Columns; None is all of such types, and those with edges. A column with several values in
            a row is left out.
        edges: Ascending edges of buckets by column, y included.

    Raises:
        UsageError: Edges do not ascend (``bad-edges``), or numbers with a fraction, or instants, have
            none (``needs-edges``).

    Source:
        Vinh, Epps and Bailey, JMLR 11 (2010), "Information Theoretic Measures for Clusterings
        Comparison" (E). TFDV ``MutualInformation`` and ``SkLearnMutualInformation``. Differs: those
        estimate numbers by their 3 nearest neighbours in a partition of the rows, add noise, shuffle
        once and average over partitions; here numbers are in buckets, which hides what happens inside
        of a bucket, and the result is a count of all rows without chance. scikit-learn's is in nats.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"x": ["a", "a", "b", "b"], "y": [0, 0, 1, 1]})
        >>> s = describe(t, options=StatisticsOptions(extras=(MutualInformation("y"),)))
        >>> told = s.extras["mutual information(y)"].finish()["columns"][0]
        >>> told["mutual_information"], round(told["expected"], 12), told["normalized"]
        (1.0, 0.333333333333, 1.0)
    """

    kind: ClassVar[str] = "mutual-information"

    def __init__(
        self,
        y: str,
        x: Sequence[str] | None = None,
        *,
        edges: Mapping[str, Sequence[float]] | None = None,
        _joint: Joint | None = None,
    ) -> None:
        if _joint is None:
            given = {k: tuple(map(float, v)) for k, v in (edges or {}).items()}
            _joint = Joint(y, None if x is None else tuple(dict.fromkeys(x)), given, missing=True)
        self._joint = _joint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MutualInformation) and self._joint == other._joint

    def __hash__(self) -> int:
        return hash((self.key(), self._joint.n_rows))

    def __repr__(self) -> str:
        return f"<Mutual information of {self._joint.y} over {self._joint.n_rows:,} rows>"

    def key(self) -> str:
        """``mutual information(y)``, with the columns where they were said."""
        j = self._joint
        return f"mutual information({j.y}{'' if j.x is None else ' | ' + ', '.join(j.x)})"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        return type(self)(self._joint.y, _joint=self._joint.add(block))

    def merge(self, other: Self, /) -> Self:
        """The state of both."""
        return type(self)(self._joint.y, _joint=self._joint.merge(other._joint))

    def finish(self) -> Any:
        """``{"y", "n_rows", "entropy", "columns": [{"x", "mutual_information", …}], "left_out"}``, in bits.

        The columns descend by what they say beyond chance.
        """
        j = self._joint
        columns = [{"x": c, **said} for c, said in self._found.items()]
        columns.sort(key=lambda c: (-c["adjusted"], c["x"]))
        return {
            "y": j.y,
            "n_rows": j.n_rows,
            "entropy": _entropy(j.of_y.values()),
            "columns": columns,
            "left_out": dict(j.left_out),
        }

    @cached_property
    def _found(self) -> dict[str, dict[str, Any]]:
        """By column, computed once: what chance says can have millions of terms."""
        return {c: information_of(self._joint.of_both[c]) for c in self._joint.of_x}

    def by_feature(self) -> Mapping[str, Any]:
        """``mutual_information(y)`` and ``adjusted_mutual_information(y)`` of each column, found when looked at."""
        return {c: _OfColumn(self, self._joint.y, c) for c in self._joint.of_x}

    def of_column(self, column: str, name: str) -> float:
        """One of the numbers of `information_of`."""
        return float(self._found[column][name])

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return self._joint.to_dict()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        return cls(data["y"], _joint=Joint.from_dict(data, missing=True))


class _OfColumn(Mapping[str, float]):
    """What is said of a column: merging statistics does not look at it, and so does not pay for it."""

    def __init__(self, of: MutualInformation, y: str, column: str) -> None:
        self._of, self._column = of, column
        self._names = {
            f"mutual_information({y})": "mutual_information",
            f"adjusted_mutual_information({y})": "adjusted",
        }

    def __getitem__(self, name: str) -> float:
        return self._of.of_column(self._column, self._names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def information_of(counts: Mapping[Label, Mapping[Label, float]]) -> dict[str, Any]:
    """Mutual information of a table of counts by x, then y, in bits: as is, by chance, and beyond it.

    Example:
        >>> information_of({"a": {0: 2, 1: 2}, "b": {0: 2, 1: 2}})["mutual_information"]
        0.0
    """
    by_x = {x: sum(ys.values()) for x, ys in counts.items()}
    by_y: dict[Label, float] = {}
    for ys in counts.values():
        for y, n in ys.items():
            by_y[y] = by_y.get(y, 0) + n
    total = sum(by_x.values())
    found = math.fsum(
        n / total * math.log2(n * total / (by_x[x] * by_y[y]))
        for x, ys in counts.items()
        for y, n in ys.items()
        if n > 0
    )
    found = max(found, 0.0)
    of_x, of_y = _entropy(by_x.values()), _entropy(by_y.values())
    a, b = (np.array(list(v.values()), dtype=np.int64) for v in (by_x, by_y))
    expected, exact = expected_information(a, b)
    room = max(of_x, of_y) - expected
    adjusted = found - expected
    return {
        "mutual_information": found,
        "entropy": of_x,
        "expected": expected,
        "expected_is": "exact" if exact else "approximate",
        "adjusted": adjusted,
        "normalized": min(1.0, max(0.0, adjusted / room)) if room > 1e-12 else 0.0,
    }


def expected_information(a: Array, b: Array) -> tuple[float, bool]:
    """The mean of the mutual information over all tables with these margins, in bits; whether it is exact.

    Args:
        a: r counts of the values of x, above 0.
        b: c counts of the values of y, of the same sum.

    Example:
        >>> expected_information(np.array([2]), np.array([1, 1]))
        (0.0, True)
    """
    total = int(a.sum())
    if not total:
        return 0.0, True
    of_a, times_a = np.unique(a, return_counts=True)
    of_b, times_b = np.unique(b, return_counts=True)
    windows = [
        (x, y, kx * ky, *_window(x, y, total))
        for x, kx in zip(of_a.tolist(), times_a.tolist(), strict=True)
        for y, ky in zip(of_b.tolist(), times_b.tolist(), strict=True)
    ]
    if sum(high - low + 1 for *_, low, high in windows) > _MOST_TERMS:
        return (len(a) - 1) * (len(b) - 1) / (2 * total * math.log(2)), False
    terms = [times * _expected_cell(x, y, total, low, high) for x, y, times, low, high in windows]
    return max(math.fsum(terms) / math.log(2), 0.0), True


def _window(x: int, y: int, total: int) -> tuple[int, int]:
    """The counts of a cell that matter: within 12 deviations of its mean, and 20 beside."""
    mean = x * y / total
    spread = math.sqrt(mean * (1 - x / total) * (total - y) / max(total - 1, 1))
    low = max(1, x + y - total, math.floor(mean - 12 * spread) - 20)
    return low, min(x, y, math.ceil(mean + 12 * spread) + 20)


def _expected_cell(x: int, y: int, total: int, low: int, high: int) -> float:
    n = np.arange(low, high + 1, dtype=np.float64)
    log_p = (
        _log_factorial(np.array([x, y, total - x, total - y])).sum() - _log_factorial(np.array([total]))[0]
    )
    log_p = log_p - _log_factorial(n) - _log_factorial(x - n) - _log_factorial(y - n)
    log_p = log_p - _log_factorial(total - x - y + n)
    return float((n / total * np.log(n * total / (x * y)) * np.exp(log_p)).sum())


def _log_factorial(k: Array) -> Array:
    """The logarithm of k! by Stirling's series, from a table below 16; within 1e-15 of itself."""
    k = np.asarray(k, dtype=np.float64)
    big = np.maximum(k, 16.0)
    inverse = 1 / (big * big)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / big
    out: Array = big * np.log(big) - big + 0.5 * np.log(2 * np.pi * big) + series
    return np.where(k < 16, _SMALL[np.minimum(k, 15).astype(np.int64)], out)


def _entropy(counts: Iterable[float]) -> float:
    found = [n for n in counts if n > 0]
    total = sum(found)
    return max(-math.fsum(n / total * math.log2(n / total) for n in found), 0.0) if found else 0.0
