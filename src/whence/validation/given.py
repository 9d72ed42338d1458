"""Statistics that were given and not computed: read like the others, but nothing can be added or merged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from whence.errors import UsageError
from whence.stats import Histogram
from whence.stats.base import decode
from whence.validation.cells import TEXT, TIMES, Cell, FeatureType, jsonable
from whence.validation.paths import Path
from whence.validation.view import FeatureView, Level, common_summary, numeric_summary, text_summary

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Ranked = tuple[tuple[Cell, float], ...]
"""Values with counts, the most frequent first."""


@dataclass(frozen=True)
class GivenWeighted:
    """The twins of a feature's statistics in which each row counts by its weight, as given."""

    num_non_missing: float = 0.0
    num_missing: float = 0.0
    avg_num_values: float | None = None
    tot_num_values: float = 0.0
    mean: float | None = None
    std_dev: float | None = None
    median: float | None = None
    histogram: Histogram | None = None
    quantile_histogram: Histogram | None = None
    rank_histogram: Ranked = ()
    top: Ranked = ()

    def top_values(self, k: int = 20) -> Sequence[tuple[Cell, float]]:
        """The heaviest values with their weights."""
        return _longer(self.top, self.rank_histogram)[:k]


@dataclass(frozen=True)
class GivenStatistics:
    """The statistics of one feature as a file says them; see `FeatureView` for what each is.

    Attributes:
        given_rank_error: How far a quantile's rank may be off; TFDV's are within 0.01.
        top: The most frequent values, as listed; `rank_histogram` may know more.
        untold_unique: How many different values a file says of bytes, which no check reads.

    Example:
        >>> g = GivenStatistics("x", "STRING", num_non_missing=3, n_values=3, rank_histogram=(("a", 2.0), ("b", 1.0)))
        >>> g.top_values(1), g.value_counts()
        ([('a', 2)], {'a': 2, 'b': 1})
    """

    name: str
    type: FeatureType
    path: Path = ()
    arrow_type: str = ""
    num_non_missing: int = 0
    num_missing: int = 0
    levels: tuple[Level, ...] = ()
    min_num_values: int | None = None
    max_num_values: int | None = None
    tot_num_values: int = 0
    num_values_histogram: Histogram | None = None
    n_values: int = 0
    mean: float | None = None
    std_dev: float | None = None
    num_zeros: int | None = None
    num_nan: int = 0
    num_inf: int = 0
    min: Cell = None
    max: Cell = None
    median: Cell = None
    given_rank_error: float = 0.01
    histogram: Histogram | None = None
    quantile_histogram: Histogram | None = None
    num_unique: int | None = None
    unique_is_exact: bool = True
    rank_histogram: Ranked = ()
    top: Ranked = ()
    count_error: int = 0
    avg_length: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    num_invalid_utf8: int = 0
    untold_unique: int | None = None
    weighted: GivenWeighted | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", (self.name,))
        if not self.levels:
            level = Level(
                self.num_non_missing,
                self.num_missing,
                self.min_num_values,
                self.max_num_values,
                self.tot_num_values,
            )
            object.__setattr__(self, "levels", (level,))

    # --- common

    @property
    def num_rows(self) -> int:
        """All rows."""
        return self.num_non_missing + self.num_missing

    @property
    def fraction_present(self) -> float | None:
        """Rows with a value over all rows; None without rows."""
        return self.num_non_missing / self.num_rows if self.num_rows else None

    @property
    def avg_num_values(self) -> float | None:
        """Values per present row."""
        return self.tot_num_values / self.num_non_missing if self.num_non_missing else None

    @property
    def is_time(self) -> bool:
        """Whether the values are instants or dates."""
        return self.type in TIMES

    @property
    def is_text(self) -> bool:
        """Whether the values are counted as text or bytes."""
        if self.type in TEXT:
            return self.untold_unique is None
        return bool(self.rank_histogram or self.top) and self.histogram is None

    # --- numbers

    @property
    def rank_error(self) -> float:
        """No quantile's rank is further off than this fraction."""
        return self.given_rank_error if self.quantile_histogram is not None else 0.0

    def quantile(self, q: float) -> Cell:
        """The value at quantile `q`: the ends and the median as given, the others from the buckets of equal mass."""
        known = {0.0: self.min, 0.5: self.median, 1.0: self.max}.get(q)
        if known is not None:
            return known
        if self.quantile_histogram is None:
            return None
        return self._cell(_interpolated(self.quantile_histogram, q))

    def _cell(self, number: float | None) -> Cell:
        if number is None or not math.isfinite(number):
            return number
        if self.type == "TIMESTAMP":
            return _EPOCH + timedelta(microseconds=int(number))
        if self.type == "DATE":
            return (_EPOCH + timedelta(days=int(number))).date()
        return number

    # --- values

    @cached_property
    def _ranked(self) -> Ranked:
        return _longer(self.top, self.rank_histogram)

    def top_values(self, k: int = 20) -> Sequence[tuple[Cell, float]]:
        """The most frequent values with counts."""
        return [(value, _whole(count)) for value, count in self._ranked[:k]]

    def value_counts(self) -> Mapping[Cell, float] | None:
        """All values with counts, when those that are listed make up all there are."""
        if self.num_unique is not None and len(self._ranked) < self.num_unique:
            return None
        if math.fsum(n for _, n in self._ranked) < self.n_values:
            return None
        return {value: _whole(count) for value, count in self._ranked}

    # --- as part of statistics

    def merge(self, other: FeatureView, /) -> FeatureView:
        """Refused, unless one side has no rows: without states there is nothing to merge.

        Raises:
            UsageError: Both sides have rows (``not-mergeable``).
        """
        if not other.num_rows:
            return self
        if not self.num_rows:
            return other
        raise UsageError(
            f"the statistics of {self.name!r} come from a file, which holds results and no states",
            code="not-mergeable",
            hint="describe the rows here, and merge that",
        )

    def absent(self, n_rows: int) -> FeatureView:
        """The same feature in that many rows of which none has it."""
        return GivenStatistics(
            self.name,
            self.type,
            self.path,
            self.arrow_type,
            num_missing=n_rows,
            weighted=GivenWeighted() if self.weighted else None,
        )

    def sealed(self) -> FeatureView:
        """Itself."""
        return self

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The statistics as people and tools read them: JSON, no states."""
        out = common_summary(self, top)
        if self.histogram is not None or self.mean is not None:
            out |= numeric_summary(self)
        return out | (text_summary(self) if self.avg_length is not None else {})

    def to_dict(self) -> dict[str, Any]:
        """What is stored, as JSON; what has its default is left out."""
        out: dict[str, Any] = {"given": True, "name": self.name, "type": self.type}
        return out | {
            k: _out(v) for k, v in _said(self).items() if k not in ("name", "type") and v is not None
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GivenStatistics:
        """The statistics that `to_dict` wrote."""
        type_: FeatureType = data["type"]
        given = {k: _read(k, v, type_) for k, v in data.items() if k not in ("given", "weighted")}
        if data.get("weighted") is not None:
            weighted = {k: _read(k, v, type_) for k, v in data["weighted"].items()}
            given["weighted"] = GivenWeighted(**weighted)
        return cls(**given)


def _said(value: GivenStatistics | GivenWeighted) -> dict[str, Any]:
    empty = GivenStatistics("", "STRUCT") if isinstance(value, GivenStatistics) else GivenWeighted()
    return {
        f.name: have
        for f in fields(value)
        if (have := getattr(value, f.name)) != getattr(empty, f.name) or f.name in ("path", "levels")
    }


def _out(value: Any) -> Any:
    if isinstance(value, Histogram):
        return value.to_dict()
    if isinstance(value, Level):
        return [value.n_present, value.n_missing, value.min, value.max, value.total]
    if isinstance(value, GivenWeighted):
        return {k: _out(v) for k, v in _said(value).items()}
    if isinstance(value, tuple):
        return [_out(v) for v in value]
    return dict(value) if isinstance(value, Mapping) else jsonable(value)


_HISTOGRAMS: Final = frozenset({"histogram", "num_values_histogram", "quantile_histogram"})
_NO_NUMBERS: Final = ("nan", "inf", "-inf")
"""How JSON says numbers that are none."""
_PLAIN: Final = frozenset({"arrow_type", "custom", "name", "type", "unique_is_exact"})


def _read(key: str, value: Any, type_: FeatureType) -> Any:
    if key in _PLAIN:
        return value
    if key in _HISTOGRAMS:
        return Histogram.from_dict(value)
    if key == "path":
        return tuple(value)
    if key == "levels":
        return tuple(Level(*level) for level in value)
    if key in ("rank_histogram", "top"):
        return tuple((_cell_of(v, type_), n) for v, n in value)
    if key in ("min", "max", "median"):
        return _cell_of(value, type_)
    return decode(value)


def _cell_of(value: Any, type_: FeatureType) -> Cell:
    if type_ == "BYTES" and isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if type_ == "TIMESTAMP" and isinstance(value, str):
        return datetime.fromisoformat(value)
    if type_ == "DATE" and isinstance(value, str):
        return date.fromisoformat(value)
    # Other text is text, or the label of a number that is a category.
    cell: Cell = decode(value) if type_ not in TEXT and value in _NO_NUMBERS else value
    return cell


def _longer(a: Ranked, b: Ranked) -> Ranked:
    return a if len(a) > len(b) else b


def _whole(count: float) -> float:
    return int(count) if float(count).is_integer() else count


def _interpolated(h: Histogram, q: float) -> float | None:
    """The value below which the share `q` of a histogram lies, mass spread evenly inside a bucket."""
    total = math.fsum(b.count for b in h.buckets)
    if not h.buckets or not total:
        return None
    left = q * total
    for bucket in h.buckets:
        if left <= bucket.count or bucket is h.buckets[-1]:
            if not (math.isfinite(bucket.low) and math.isfinite(bucket.high)) or not bucket.count:
                return bucket.low if left < bucket.count / 2 else bucket.high
            return bucket.low + (bucket.high - bucket.low) * min(left / bucket.count, 1.0)
        left -= bucket.count
    return None
