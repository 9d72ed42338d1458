"""Pearson's correlation and the covariance of pairs of numeric columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa

from whence.errors import NotFoundError, UsageError
from whence.stats.base import Array, numbers
from whence.validation.extra.leaves import chosen_features, leaves_of
from whence.validation.extras import Extra, register_extra
from whence.validation.paths import Path
from whence.validation.weighted import weights_of

MAX_COLUMNS: Final = 2_000
"""Six numbers a pair: 2,000 columns are 190 MB."""
_NUMBERS: Final = frozenset({"INT", "FLOAT", "BOOL"})
_ROWS, _WEIGHT, _MEAN, _SQUARES, _PRODUCTS = range(5)


@register_extra
@dataclass(frozen=True)
class Correlation(Extra):
    """How numeric columns go together: covariance and Pearson's correlation of each pair.

    A pair (x, y) is judged by its complete rows: those in which both columns hold exactly one finite
    number. With weights w of these rows and W = Σw:

        mean(x) = Σ w·x / W
        covariance(x, y) = Σ w·(x - mean(x))·(y - mean(y)) / W
        correlation(x, y) = covariance(x, y) / √(covariance(x, x)·covariance(y, y))

    The correlation is None when one of the two is constant in these rows (deviates by no more than the
    rounding of its mean). Blocks are centred before
    they are multiplied, and co-moments are joined by the pairwise formula, so that neither large
    means nor the order of rows cost digits (1e-9 of the deviations); integers count as float64.

    Args:
        columns: Features (``trip.miles`` too); None is all of integers, floats and booleans.
        weight: A column of weights.

    Raises:
        UsageError: The columns are more than 2,000 (``too-many-columns``) or not of numbers
            (``not-numeric``).

    Source:
        Chan, Golub and LeVeque (1979); Pébay, Sandia report SAND2008-6212 (2008), §3. TFDV
        ``CrossFeatureStatsGenerator``. Differs: all rows instead of a tenth of them, infinities are
        left out, weights, and no difference of large sums.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"x": [1.0, 2.0, 3.0, None], "y": [2, 4, 7, 9]})
        >>> s = describe(t, options=StatisticsOptions(extras=(Correlation(),)))
        >>> s.extras["correlation"].finish()["pairs"]
        [{'x': 'x', 'y': 'y', 'count': 3, 'covariance': 1.6666..., 'correlation': 0.9933...}]
    """

    kind: ClassVar[str] = "correlation"

    names: tuple[str, ...] | None = None
    weight: str | None = None
    state: _Pairs = field(default_factory=lambda: _Pairs.empty(()), repr=False)

    def __init__(
        self, columns: Sequence[str] | None = None, *, weight: str | None = None, _state: _Pairs | None = None
    ) -> None:
        names = None if columns is None else tuple(columns)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "state", _Pairs.empty(()) if _state is None else _state)

    def key(self) -> str:
        """``correlation``, with the columns and the weight where they were said."""
        said = [] if self.names is None else [", ".join(self.names)]
        said += [] if self.weight is None else [f"weight={self.weight}"]
        return f"correlation({', '.join(said)})" if said else "correlation"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        chosen = chosen_features(block.schema, self.names, _NUMBERS)
        if self.names is None:
            chosen = {n: v for n, v in chosen.items() if n != self.weight}
        for name, (_, type_) in chosen.items():
            if type_ not in _NUMBERS:
                raise UsageError(f"column {name!r} is {type_} and has no correlation", code="not-numeric")
        if len(chosen) > MAX_COLUMNS:
            raise UsageError(
                f"a correlation of {len(chosen):,} columns has too many pairs (at most {MAX_COLUMNS:,} columns)",
                code="too-many-columns",
                hint="name the columns: Correlation(columns=(…))",
            )
        names = tuple(sorted(chosen))
        weights = None if self.weight is None else weights_of(block, self.weight)
        columns = [_single(block, chosen[n][0]) for n in names]
        return self._with(self.state.merge(_Pairs.of(names, columns, weights)))

    def merge(self, other: Self, /) -> Self:
        """The state of both; columns that only one side has keep their pairs."""
        return self._with(self.state.merge(other.state))

    def _with(self, state: _Pairs) -> Self:
        return type(self)(self.names, weight=self.weight, _state=state)

    def pairs(self) -> Iterator[tuple[str, str, int, float | None, float | None]]:
        """All pairs by name: x, y, complete rows, covariance, correlation."""
        names = self.state.names
        for i, x in enumerate(names):
            for j in range(i + 1, len(names)):
                yield (x, names[j], *self.state.of_pair(i, j))

    def correlation(self, x: str, y: str) -> float | None:
        """Pearson's correlation of two columns; None when it has no meaning.

        Raises:
            NotFoundError: One of them is not in it.
        """
        places = [self._place(x), self._place(y)]
        return self.state.of_pair(*places)[2]

    def _place(self, name: str) -> int:
        if name not in self.state.names:
            raise NotFoundError("column", name, near=self.state.names)
        return self.state.names.index(name)

    def finish(self) -> Any:
        """The pairs in the order of their names: ``{"weight", "pairs": [{"x", "y", "count", …}]}``."""
        keys = ("x", "y", "count", "covariance", "correlation")
        return {
            "weight": self.weight,
            "pairs": [dict(zip(keys, p, strict=True)) for p in self.pairs()],
        }

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"columns": self.names, "weight": self.weight, **self.state.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        return cls(data["columns"], weight=data["weight"], _state=_Pairs.from_dict(data))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Co-moments of all pairs of d columns.

    Attributes:
        names: The d columns, sorted.
        parts: (5, d, d): rows complete in i and j, their weight, the mean of i, the squares of i, and
            the products of i and j about those means.
    """

    names: tuple[str, ...]
    parts: Array

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> _Pairs:
        return cls(names, np.zeros((5, len(names), len(names))))

    @classmethod
    def of(cls, names: tuple[str, ...], columns: Sequence[Array], weights: Array | None) -> _Pairs:
        """The state of a block: d columns of n values, NaN where a row has none."""
        made = cls.empty(names)
        if not names:
            return made
        masks = [np.isfinite(c) for c in columns]
        groups: dict[bytes, list[int]] = {}  # columns missing in the same rows are multiplied together
        for i, mask in enumerate(masks):
            groups.setdefault(np.packbits(mask).tobytes(), []).append(i)
        for left in groups.values():
            for right in groups.values():
                both = masks[left[0]] & masks[right[0]]
                if both.any():
                    _fill(made.parts, left, right, columns, both, weights)
        return made

    def merge(self, other: _Pairs) -> _Pairs:
        """The state of both, by the pairwise formula."""
        names = tuple(sorted({*self.names, *other.names}))
        a, b = self._over(names), other._over(names)
        wa, wb = a[_WEIGHT], b[_WEIGHT]
        total = wa + wb
        share = np.divide(wb, total, out=np.zeros_like(total), where=total > 0)
        with np.errstate(over="ignore", invalid="ignore"):
            delta = b[_MEAN] - a[_MEAN]
            delta_t = delta.T
            out = a + b
            out[_MEAN] = np.where(wa > 0, a[_MEAN] + delta * share, b[_MEAN])
            out[_SQUARES] = a[_SQUARES] + b[_SQUARES] + delta * delta * wa * share
            out[_PRODUCTS] = a[_PRODUCTS] + b[_PRODUCTS] + delta * delta_t * wa * share
        return _Pairs(names, out)

    def _over(self, names: tuple[str, ...]) -> Array:
        if names == self.names:
            return self.parts
        out: Array = np.zeros((5, len(names), len(names)))
        place = {n: i for i, n in enumerate(names)}
        at = [place[n] for n in self.names]
        if at:
            out[np.ix_(range(5), at, at)] = self.parts
        return out

    def of_pair(self, i: int, j: int) -> tuple[int, float | None, float | None]:
        """Rows, covariance and correlation of two columns."""
        p = self.parts
        n, weight = int(p[_ROWS, i, j]), p[_WEIGHT, i, j]
        if not weight > 0:
            return n, None, None
        products = float(p[_PRODUCTS, i, j])
        around = math.sqrt(p[_SQUARES, i, j]) * math.sqrt(p[_SQUARES, j, i])
        covariance = products / float(weight)
        if not math.isfinite(covariance):
            return n, None, None
        if not (around > 0 and math.isfinite(around)) or self._constant(i, j) or self._constant(j, i):
            return n, covariance, None
        return n, covariance, max(-1.0, min(1.0, products / around))

    def _constant(self, i: int, j: int) -> bool:
        """Whether what i varies by is the rounding of its mean."""
        p = self.parts[:, i, j]
        return bool(math.sqrt(p[_SQUARES] / p[_WEIGHT]) <= 4 * np.finfo(float).eps * abs(p[_MEAN]))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON; what overflowed is text."""
        flat = self.parts.ravel().tolist()
        return {"names": list(self.names), "parts": [v if math.isfinite(v) else str(v) for v in flat]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> _Pairs:
        names = tuple(data["names"])
        parts = np.array([float(v) for v in data["parts"]]).reshape(5, len(names), len(names))
        return cls(names, parts)


def _fill(
    parts: Array,
    left: list[int],
    right: list[int],
    columns: Sequence[Array],
    both: Array,
    weights: Array | None,
) -> None:
    """The moments of the pairs of two groups of columns, over the rows complete in both."""
    every = bool(both.all())
    w = None if weights is None else weights[both]
    total = float(both.sum()) if w is None else float(w.sum())
    at = np.ix_(left, right)
    parts[_ROWS][at] = both.sum()
    if not total > 0:
        return
    parts[_WEIGHT][at] = total
    with np.errstate(over="ignore", invalid="ignore"):
        x, mean_x = _centred([columns[i] for i in left], None if every else both, w, total)
        y, _ = _centred([columns[j] for j in right], None if every else both, w, total)
        weighted = x if w is None else x * w
        parts[_MEAN][at] = mean_x[:, None]
        parts[_SQUARES][at] = np.einsum("ij,ij->i", weighted, x)[:, None]
        parts[_PRODUCTS][at] = weighted @ y.T


def _centred(
    columns: Sequence[Array], keep: Array | None, w: Array | None, total: float
) -> tuple[Array, Array]:
    x: Array = np.stack([c if keep is None else c[keep] for c in columns])
    mean: Array = np.zeros(len(x))
    for _ in range(2):  # the second round takes the rounding of the first mean away
        step = (x.sum(axis=1) if w is None else x @ w) / total
        x = x - step[:, None]
        mean = mean + step
    return x, mean


def _single(block: pa.Table, path: Path) -> Array:
    """A column as float64, NaN in rows that do not hold exactly one value."""
    found = leaves_of(block, path)
    values = numbers(found.values).astype(np.float64)
    out: Array = np.full(block.num_rows, np.nan)
    out[found.rows] = values
    if len(found.rows) > 1 and (np.diff(found.rows) == 0).any():
        out[np.bincount(found.rows, minlength=block.num_rows) > 1] = np.nan
    return out
