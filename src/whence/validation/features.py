"""Statistics of one feature as a mergeable state, read through TFDV's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence.errors import UsageError
from whence.stats import (
    Histogram,
    IntegerMoments,
    Moments,
    Quantiles,
    TopValues,
    equal_mass,
    equal_width,
)
from whence.stats.base import Array
from whence.validation.cells import (
    NUMERIC,
    TEXT,
    TIMES,
    Cell,
    FeatureType,
    feature_type,
    is_list,
    jsonable,
)
from whence.validation.nested import Column, Opened, depth_of, inner_type, open_column
from whence.validation.options import DEFAULTS, Display, StatisticsOptions
from whence.validation.paths import Path
from whence.validation.states import Numbers, Texts, seen_values
from whence.validation.view import FeatureView, Level, common_summary, numeric_summary, text_summary
from whence.validation.weighted import WeightedStatistics

__all__ = ["Cell", "FeatureStatistics", "FeatureType", "feature_type", "jsonable"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN: Final = Display()
_NONE: Final = Level()
_NULL: Final = re.compile(r"(^|: )null>*$")


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """What is known about one feature. States merge; every property is read from them; equal when they are.

    For a list column a *value* is an element and a row is missing when the list is null; for other
    columns each present row has one value. For a field of a struct a *row* is one value of the struct.

    Attributes:
        name: The text of the path.
        type: What the values are.
        arrow_type: The Arrow type as text, as first seen.
        path: The column, then the fields of structs.
        levels: Presence and valency per level of nesting.
        leaves: Present and missing rows, and leaf values per present row.
        n_values: Leaf values that are not null.
        lengths: Leaf values per present row as a sketch; None for a column without lists.
        number: State of numeric values, else None.
        text: State of text, bytes and categories, else None.
        weighted: The twins in which each row counts by its weight, else None.
        display: How much is shown.
        custom: What optional statistics say of this feature.
    """

    name: str
    type: FeatureType
    arrow_type: str
    path: Path = ()
    levels: tuple[Level, ...] = (_NONE,)
    leaves: Level = _NONE
    n_values: int = 0
    lengths: Quantiles | None = None
    number: Numbers | None = None
    text: Texts | None = None
    weighted: WeightedStatistics | None = None
    display: Display = _PLAIN
    custom: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", (self.name,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureStatistics) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.path, self.n_values))

    @classmethod
    def empty(
        cls,
        name: str,
        kind: pa.DataType,
        *,
        path: Path = (),
        options: StatisticsOptions = DEFAULTS,
    ) -> FeatureStatistics:
        """The statistics of no rows of a feature of this Arrow type."""
        type_, path, display = feature_type(kind), path or (name,), options.display
        as_text = type_ in TEXT or (type_ in ("INT", "BOOL") and path[0] in options.categorical)
        weighted = None
        if options.weight is not None or path[0] in options.feature_weights:
            weighted = WeightedStatistics.empty(
                type_, as_text=as_text, limit=options.exact_limit, display=display
            )
        return cls(
            name,
            type_,
            str(kind),
            path,
            levels=(_NONE,) * depth_of(kind),
            lengths=Quantiles() if is_list(kind) else None,
            number=None if as_text or type_ not in NUMERIC else _no_numbers(type_, options.exact_limit),
            text=Texts(TopValues(limit=options.exact_limit)) if as_text else None,
            weighted=weighted,
            display=display,
        )

    def add(self, column: Column) -> FeatureStatistics:
        """The statistics after a batch of the column.

        Raises:
            UsageError: The batch has another type than the column (``mixed-types``).
        """
        return self.add_opened(open_column(column), column.type)

    def add_opened(self, opened: Opened, kind: pa.DataType) -> FeatureStatistics:
        """The statistics after a batch whose lists are open already."""
        if pa.types.is_null(inner_type(kind)):
            opened = replace(opened, values=opened.values[:0])
        elif feature_type(kind) != self.type:
            if not self.is_null:
                raise self._mixed(feature_type(kind))
            return self._retyped(kind).add_opened(opened, kind)
        values = opened.values
        if pa.types.is_dictionary(values.type) and self.text is None:
            values = values.dictionary_decode()
        leaves = opened.levels[0]
        if opened.lengths is not None and len(opened.levels) > 1:
            leaves = _leaves(opened)
        lengths = self.lengths
        if opened.lengths is not None:
            lengths = (lengths or Quantiles()).add(opened.lengths)
        more = len(values) > 0
        return replace(
            self,
            levels=_levels(self.levels, opened.levels),
            leaves=self.leaves.merge(leaves),
            n_values=self.n_values + len(values),
            lengths=lengths,
            number=self._numbers_after(values) if more else self.number,
            text=self.text.add(values) if self.text is not None and more else self.text,
            weighted=None if self.weighted is None else self.weighted.add(opened),
        )

    def _numbers_after(self, values: pa.Array) -> Numbers | None:
        try:
            return None if self.number is None else self.number.add(values)
        except UsageError as error:
            raise UsageError(
                f"column {self.name!r}: {error.message}", code=error.code, hint=error.hint
            ) from error

    def merge(self, other: FeatureView, /) -> FeatureStatistics:
        """The statistics of both; whole numbers and other numbers are FLOAT together.

        Raises:
            UsageError: The types differ otherwise (``mixed-types``); the other side has no states
                (``not-mergeable``).
        """
        if not isinstance(other, FeatureStatistics):
            if not other.num_rows:
                return self
            raise UsageError(
                f"the statistics of {self.name!r} on one side were given and not computed: "
                "they hold no states that merge",
                code="not-mergeable",
                hint="describe the rows here, and merge that",
            )
        if self.type != other.type or (self.text is None) != (other.text is None):
            if {self.type, other.type} == {"INT", "FLOAT"} and self.text is None and other.text is None:
                return self.as_floats_beside(other).merge(other.as_floats_beside(self))
            if not self.n_values and self.is_null:
                return other.missing_like(self).merge(other)
            if not other.n_values and other.is_null:
                return self.merge(self.missing_like(other))
            raise self._mixed(other.type, "on one side")
        return replace(
            self,
            levels=_levels(self.levels, other.levels),
            leaves=self.leaves.merge(other.leaves),
            n_values=self.n_values + other.n_values,
            lengths=self.lengths.merge(other.lengths) if self.lengths and other.lengths else self.lengths,
            number=self.number.merge(other.number) if self.number and other.number else None,
            text=self.text.merge(other.text) if self.text and other.text else None,
            weighted=self.weighted.merge(other.weighted) if self.weighted and other.weighted else None,
            custom={},
        )

    def as_floats_beside(self, other: FeatureStatistics) -> FeatureStatistics:
        """The statistics of whole numbers as those of the numbers on the other side.

        Raises:
            UsageError: They are stored as a sketch that does not know their doubles (``not-mergeable``).
        """
        if self.type == "FLOAT" or self.number is None:
            return self
        if not self.number.has_floats:
            raise UsageError(
                f"column {self.name!r} is INT on one side and FLOAT on the other, and its statistics were stored "
                "before whole numbers told their doubles",
                code="not-mergeable",
                hint="describe the rows of whole numbers anew",
            )
        weighted = None if self.weighted is None else replace(self.weighted, type="FLOAT")
        return replace(
            self,
            type="FLOAT",
            arrow_type=other.arrow_type,
            number=self.number.as_floats(),
            weighted=weighted,
        )

    def _mixed(self, other: FeatureType, where: str = "") -> UsageError:
        if where:
            text = f"column {self.name!r} is {self.type} {where} and {other} on the other"
        else:
            text = f"column {self.name!r} is {self.type}, a batch has {other}"
        hint = f"read it as one type everywhere: StatisticsOptions(types={{{self.name!r}: 'STRING'}})"
        return UsageError(text, code="mixed-types", hint=hint)

    def rounded(self, n: int) -> FeatureStatistics:
        """The same when so many of its values were rounded to doubles before they came."""
        return self if self.number is None or not n else replace(self, number=self.number.rounded(n))

    def _retyped(self, kind: pa.DataType) -> FeatureStatistics:
        """The same rows, all of them missing so far, of a column whose type is only now known."""
        weighted = self.weighted
        if weighted is not None:
            type_ = feature_type(kind)
            empty = WeightedStatistics.empty(
                type_,
                as_text=type_ in TEXT,
                limit=weighted.top.limit if weighted.top else DEFAULTS.exact_limit,
                display=self.display,
            )
            weighted = replace(empty, num_missing=weighted.num_missing)
        options = replace(DEFAULTS, exact_limit=self._limit)
        fresh = FeatureStatistics.empty(self.name, kind, path=self.path, options=options)
        return replace(fresh, levels=self.levels, leaves=self.leaves, weighted=weighted, display=self.display)

    @property
    def _limit(self) -> int:
        if self.text is not None:
            return self.text.top.limit
        return DEFAULTS.exact_limit if self.number is None else self.number.limit

    def missing_like(self, rows: FeatureStatistics) -> FeatureStatistics:
        """The rows of `rows` (all missing) as rows of this feature."""
        empty = self.absent(0)
        weighted = empty.weighted
        if weighted is not None and rows.weighted is not None:
            weighted = replace(weighted, num_missing=rows.weighted.num_missing)
        return replace(empty, levels=rows.levels, leaves=rows.leaves, weighted=weighted)

    def absent(self, n_rows: int) -> FeatureStatistics:
        """The same feature in that many rows of which none has it."""
        none = Level(0, n_rows)
        number = (
            None if self.number is None else Numbers(type(self.number.moments)(), limit=self.number.limit)
        )
        text = None if self.text is None else Texts(TopValues(limit=self.text.top.limit))
        weighted = self.weighted
        if weighted is not None:
            limit = weighted.top.limit if weighted.top else DEFAULTS.exact_limit
            weighted = WeightedStatistics.empty(
                self.type, as_text=weighted.top is not None, limit=limit, display=self.display
            )
        return replace(
            self,
            levels=(none, *(_NONE for _ in self.levels[1:])),
            leaves=none,
            n_values=0,
            lengths=None if self.lengths is None else Quantiles(),
            number=number,
            text=text,
            weighted=weighted,
            custom={},
        )

    def sealed(self) -> FeatureStatistics:
        """The statistics as they are stored: sketches cut to their stored size."""
        return replace(
            self,
            lengths=None if self.lengths is None else self.lengths.sealed(),
            number=None if self.number is None else self.number.sealed(),
            weighted=None if self.weighted is None else self.weighted.sealed(),
        )

    # --- common

    @property
    def num_non_missing(self) -> int:
        """Rows with a value."""
        return self.leaves.n_present

    @property
    def num_missing(self) -> int:
        """Rows without one."""
        return self.leaves.n_missing

    @property
    def num_rows(self) -> int:
        """All rows."""
        return self.leaves.n_present + self.leaves.n_missing

    @property
    def fraction_present(self) -> float | None:
        """Rows with a value over all rows; None without rows."""
        return self.num_non_missing / self.num_rows if self.num_rows else None

    @property
    def min_num_values(self) -> int | None:
        """The fewest values of a present row."""
        return self.leaves.min

    @property
    def max_num_values(self) -> int | None:
        """The most values of a present row."""
        return self.leaves.max

    @property
    def avg_num_values(self) -> float | None:
        """Values per present row."""
        return self.leaves.average

    @property
    def tot_num_values(self) -> int:
        """Values of all rows, null ones in lists included."""
        return self.leaves.total

    @cached_property
    def num_values_histogram(self) -> Histogram | None:
        """Values per present row in buckets of equal mass; None without rows."""
        if not self.num_non_missing:
            return None
        sketch = self.lengths
        if sketch is None:
            sketch = Quantiles().add_counts(np.array([1]), np.array([self.num_non_missing]))
        return equal_mass(sketch, buckets=self.display.num_values_histogram_buckets)

    # --- numeric

    @property
    def mean(self) -> float | None:
        """The mean of the finite values; None for text, times and no values."""
        return None if self.number is None or self.is_time else self.number.moments.mean

    @property
    def std_dev(self) -> float | None:
        """The population standard deviation of the finite values."""
        return None if self.number is None or self.is_time else self.number.moments.std

    @property
    def num_zeros(self) -> int | None:
        """Values equal to 0 (False)."""
        return None if self.number is None or self.is_time else self.number.n_zeros

    @property
    def num_nan(self) -> int:
        """NaN values."""
        return 0 if self.number is None else self.number.n_nan

    @property
    def num_inf(self) -> int:
        """Infinite values of either sign."""
        return 0 if self.number is None else self.number.n_low + self.number.n_high

    @property
    def min(self) -> Cell:
        """The smallest value, infinities included; a datetime or date for times."""
        return None if self.number is None else self.cell(self.number.range.low)

    @property
    def max(self) -> Cell:
        """The largest value, infinities included."""
        return None if self.number is None else self.cell(self.number.range.high)

    @property
    def median(self) -> Cell:
        """The median, within the sketch's rank error."""
        return self.quantile(0.5)

    @property
    def rank_error(self) -> float:
        """No quantile's rank is further off than this fraction; 0.0 is exact."""
        return 0.0 if self.number is None else self.number.quantiles.rank_error

    @property
    def is_time(self) -> bool:
        """Whether the values are instants or dates."""
        return self.type in TIMES

    @property
    def is_null(self) -> bool:
        """Whether the data said nothing of the type: every value is null."""
        return _NULL.search(self.arrow_type) is not None

    @property
    def is_text(self) -> bool:
        """Whether the values are counted as text or bytes."""
        return self.text is not None

    def quantile(self, q: float) -> Cell:
        """The value at quantile `q`, within `rank_error`."""
        return None if self.number is None else self.cell(self.number.quantiles.quantile(q))

    def cell(self, number: float | None) -> Cell:
        """A number of the state as a value of the column; times no calendar has stay numbers."""
        if number is None:
            return None
        if self.type == "BOOL":
            return bool(number)
        if self.type not in TIMES:
            return number
        try:
            if self.type == "TIMESTAMP":
                return _EPOCH + timedelta(microseconds=int(number))
            return (_EPOCH + timedelta(days=int(number))).date()
        except OverflowError:
            return number

    @cached_property
    def histogram(self) -> Histogram | None:
        """Buckets of equal width (times: microseconds or days since 1970)."""
        if self.number is None:
            return None
        buckets = self.display.num_histogram_buckets
        return equal_width(self.number.quantiles, buckets=buckets, n_nan=self.number.n_nan)

    @cached_property
    def quantile_histogram(self) -> Histogram | None:
        """Buckets of equal mass."""
        if self.number is None:
            return None
        buckets = self.display.num_quantiles_histogram_buckets
        return equal_mass(self.number.quantiles, buckets=buckets, n_nan=self.number.n_nan)

    # --- text, and what both have

    @property
    def num_unique(self) -> int | None:
        """How many different values there are, NaN left out; see `unique_is_exact`."""
        if self.text is not None:
            return min(self.text.top.n_distinct, self.n_values)
        if self.number is None:
            return None
        known = self.number.known
        if known is not None:
            return len(known)
        return min(seen_values(self.number).estimate, self.n_values - self.num_nan)

    @property
    def unique_is_exact(self) -> bool:
        """Whether `num_unique` is a count and not an estimate (then: 1.6 % standard error).

        Not when values were rounded (`num_rounded`): then those are counted that differ after it.
        """
        if self.text is not None:
            return self.text.top.exact
        return self.number is None or (self.number.known is not None and not self.number.n_rounded)

    @property
    def num_rounded(self) -> int:
        """Values that every other statistic takes rounded.

        Times finer than a microsecond are cut down to it; decimals of more digits than a double tells are
        the nearest double.
        """
        return 0 if self.number is None else self.number.n_rounded

    def top_values(self, k: int | None = None) -> list[tuple[Cell, int]]:
        """The most frequent values with counts; for numbers only while every value is known.

        Args:
            k: How many; None is what the options said (20). Values rarer than their threshold are left out.
        """
        k = self.display.num_top_values if k is None else k
        return [(v, n) for v, n in self._ranked(k) if n >= self.display.frequency_threshold]

    def _ranked(self, k: int) -> list[tuple[Cell, int]]:
        if self.text is not None:
            return self.text.top.top(k)
        known = None if self.number is None else self.number.known
        if known is None:
            return []
        values, weights = known.values, known.weights
        order = np.argsort(-weights, kind="stable")[:k]  # of equal counts the smallest values first
        return [(self.cell(v), int(w)) for v, w in zip(values[order].tolist(), weights[order], strict=True)]

    @cached_property
    def rank_histogram(self) -> list[tuple[Cell, int]]:
        """The most frequent values by rank with counts, at most 1,000 unless asked otherwise."""
        return self._ranked(self.display.num_rank_histogram_buckets)

    def value_counts(self) -> dict[Cell, int] | None:
        """All values with counts when each is known exactly, else None (also where some are cut short).

        A dict of up to 100,000 values: `num_unique` and `unique_is_exact` say how many without making it.
        """
        if self.text is not None:
            known = self.text.top.exact and not self.text.n_long
            return dict(self.text.top.top()) if known else None
        counted = None if self.number is None else self.number.known
        if counted is None or self.num_rounded:
            return None
        return {
            self.cell(v): int(w)
            for v, w in zip(counted.values.tolist(), counted.weights.tolist(), strict=True)
        }

    @property
    def count_error(self) -> int:
        """A count of `top_values` and `rank_histogram` is at most this much too small."""
        return 0 if self.text is None else self.text.top.undercount

    @property
    def avg_length(self) -> float | None:
        """The mean length of a text in bytes."""
        return None if self.text is None else self.text.lengths.mean

    @property
    def min_length(self) -> int | None:
        """The length of the shortest text in bytes."""
        low = None if self.text is None else self.text.length_range.low
        return None if low is None else int(low)

    @property
    def max_length(self) -> int | None:
        """The length of the longest."""
        high = None if self.text is None else self.text.length_range.high
        return None if high is None else int(high)

    @property
    def num_invalid_utf8(self) -> int:
        """Values that are not UTF-8; for bytes that is no fault."""
        return 0 if self.text is None else self.text.n_invalid_utf8

    # --- out and in

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The statistics as people and tools read them: JSON, no states."""
        out = common_summary(self, top)
        if self.number is not None:
            out |= numeric_summary(self)
            out |= {"num_rounded": self.num_rounded} if self.num_rounded else {}
        if self.text is not None:
            out |= text_summary(self)
        if self.weighted is not None:
            out["weighted"] = self.weighted.summary(top=top)
        return out | ({"custom": dict(self.custom)} if self.custom else {})

    def to_dict(self) -> dict[str, Any]:
        """The states as JSON; what a plain column does not have is left out."""
        out: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "arrow_type": self.arrow_type,
            "levels": [level.to_list() for level in self.levels],
            "n_values": self.n_values,
            "number": self.number.to_dict() if self.number else None,
            "text": self.text.to_dict() if self.text else None,
        }
        if self.path != (self.name,):
            out["path"] = list(self.path)
        if self.leaves != self.levels[0]:
            out["leaves"] = self.leaves.to_list()
        if self.lengths is not None:
            out["lengths"] = self.lengths.to_dict()
        if self.weighted is not None:
            out["weighted"] = self.weighted.to_dict()
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], display: Display = _PLAIN) -> FeatureStatistics:
        """The statistics that `to_dict` wrote, also those of the format before (``whence-statistics-1``)."""
        levels = tuple(Level(*level) for level in data["levels"]) if "levels" in data else _levels_1(data)
        leaves, lengths, weighted = data.get("leaves"), data.get("lengths"), data.get("weighted")
        return cls(
            data["name"],
            data["type"],
            data["arrow_type"],
            tuple(data.get("path", ())),
            levels,
            levels[0] if leaves is None else Level(*leaves),
            data["n_values"],
            None if lengths is None else Quantiles.from_dict(lengths),
            Numbers.from_dict(data["number"]) if data["number"] else None,
            Texts.from_dict(data["text"]) if data["text"] else None,
            None if weighted is None else WeightedStatistics.from_dict(data["type"], weighted, display),
            display,
        )


def _no_numbers(type_: FeatureType, limit: int) -> Numbers:
    return Numbers(Moments() if type_ == "FLOAT" else IntegerMoments(), limit=limit)


def _leaves(opened: Opened) -> Level:
    """Present and missing rows, and how many leaf values each present one has."""
    lengths: Array = np.empty(0, dtype=np.int64) if opened.lengths is None else opened.lengths
    top = opened.levels[0]
    if not len(lengths):
        return Level(0, top.n_missing)
    return Level(len(lengths), top.n_missing, int(lengths.min()), int(lengths.max()), int(lengths.sum()))


def _levels(a: tuple[Level, ...], b: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels of both; rows without the feature know only the first."""
    n = max(len(a), len(b))
    padded = ((*levels, *(Level() for _ in range(n - len(levels)))) for levels in (a, b))
    return tuple(x.merge(y) for x, y in zip(*padded, strict=True))


def _levels_1(data: Mapping[str, Any]) -> tuple[Level, ...]:
    rows, valency = data["rows"], data["valency"]
    return (Level(rows["n"], rows["n_missing"], valency["low"], valency["high"], data["n_values"]),)
