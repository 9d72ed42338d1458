"""What is known of one feature, as readers see it: the same words whether states or a file stand behind.

Checks, distances, inference and pages read a `FeatureView` and nothing else, so that statistics that were
computed here and statistics that came from elsewhere serve alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from whence.stats import Histogram
from whence.validation.cells import Cell, FeatureType, jsonable
from whence.validation.paths import Path


@dataclass(frozen=True, slots=True)
class Level:
    """Presence and valency of one level of nesting: 0 is the row, 1 the lists in its list, and so on.

    Attributes:
        n_present: Lists (or values) that are there.
        n_missing: Those that are null.
        min: The fewest values in one that is there; None when none is.
        max: The most.
        total: All values of this level together, null ones included.

    Example:
        >>> Level(2, 1, 0, 3, 3).merge(Level(1, 0, 1, 1, 1))
        Level(n_present=3, n_missing=1, min=0, max=3, total=4)
    """

    n_present: int = 0
    n_missing: int = 0
    min: int | None = None
    max: int | None = None
    total: int = 0

    @property
    def average(self) -> float | None:
        """Values per list that is there."""
        return self.total / self.n_present if self.n_present else None

    def to_list(self) -> list[int | None]:
        """The level as JSON, in the order of its attributes."""
        return [self.n_present, self.n_missing, self.min, self.max, self.total]

    def merge(self, other: Level) -> Level:
        """The level of both."""
        lows = [m for m in (self.min, other.min) if m is not None]
        highs = [m for m in (self.max, other.max) if m is not None]
        return Level(
            self.n_present + other.n_present,
            self.n_missing + other.n_missing,
            min(lows, default=None),
            max(highs, default=None),
            self.total + other.total,
        )


class WeightedView(Protocol):
    """The twins of a feature's statistics in which each row counts by its weight."""

    @property
    def num_non_missing(self) -> float:
        """The weight of the rows with a value."""
        ...

    @property
    def num_missing(self) -> float:
        """The weight of the rows without one."""
        ...

    @property
    def avg_num_values(self) -> float | None:
        """Values per unit of weight of present rows."""
        ...

    @property
    def tot_num_values(self) -> float:
        """Values, each by its row's weight."""
        ...

    @property
    def mean(self) -> float | None:
        """The weighted mean of the finite values."""
        ...

    @property
    def std_dev(self) -> float | None:
        """Their weighted population standard deviation."""
        ...

    @property
    def median(self) -> float | None:
        """Their weighted median."""
        ...

    @property
    def histogram(self) -> Histogram | None:
        """Equal widths."""
        ...

    @property
    def quantile_histogram(self) -> Histogram | None:
        """Equal weights."""
        ...

    @property
    def rank_histogram(self) -> Sequence[tuple[Cell, float]]:
        """Values by weight, the heaviest first."""
        ...

    def top_values(self, k: int = 20) -> Sequence[tuple[Cell, float]]:
        """The heaviest values with their weights."""
        ...


class FeatureView(Protocol):
    """The statistics of one feature, read through TFDV's words.

    A *row* of a nested feature is one value of the struct around it, as in TFDV. Where something is not
    known or has no meaning, it is None (or empty), never 0.
    """

    # --- common

    @property
    def name(self) -> str:
        """The text of the path."""
        ...

    @property
    def path(self) -> Path:
        """The column, then the fields of structs."""
        ...

    @property
    def type(self) -> FeatureType:
        """What the values are."""
        ...

    @property
    def arrow_type(self) -> str:
        """The Arrow type as text, as first seen; empty when not known."""
        ...

    @property
    def num_rows(self) -> int:
        """All rows."""
        ...

    @property
    def num_non_missing(self) -> int:
        """Rows with a value."""
        ...

    @property
    def num_missing(self) -> int:
        """Rows without one."""
        ...

    @property
    def fraction_present(self) -> float | None:
        """Rows with a value over all rows; None without rows."""
        ...

    @property
    def levels(self) -> tuple[Level, ...]:
        """Presence and valency per level of nesting, at least one."""
        ...

    @property
    def min_num_values(self) -> int | None:
        """The fewest leaf values of a present row, null ones in lists included, as in TFDV."""
        ...

    @property
    def max_num_values(self) -> int | None:
        """The most."""
        ...

    @property
    def avg_num_values(self) -> float | None:
        """Values per present row."""
        ...

    @property
    def tot_num_values(self) -> int:
        """Leaf values of all rows, null ones in lists included."""
        ...

    @property
    def num_values_histogram(self) -> Histogram | None:
        """Values per present row in buckets of equal mass."""
        ...

    @property
    def n_values(self) -> int:
        """Leaf values that are not null."""
        ...

    # --- numbers and times

    @property
    def mean(self) -> float | None:
        """The mean of the finite values; None for text and times."""
        ...

    @property
    def std_dev(self) -> float | None:
        """Their population standard deviation."""
        ...

    @property
    def num_zeros(self) -> int | None:
        """Values equal to 0."""
        ...

    @property
    def num_nan(self) -> int:
        """NaN values."""
        ...

    @property
    def num_inf(self) -> int:
        """Infinite values of either sign."""
        ...

    @property
    def min(self) -> Cell:
        """The smallest value, infinities included; a datetime or date for times."""
        ...

    @property
    def max(self) -> Cell:
        """The largest."""
        ...

    @property
    def median(self) -> Cell:
        """The median, within `rank_error`."""
        ...

    @property
    def rank_error(self) -> float:
        """No quantile's rank is further off than this fraction; 0.0 is exact."""
        ...

    def quantile(self, q: float) -> Cell:
        """The value at quantile `q`, within `rank_error`."""
        ...

    @property
    def histogram(self) -> Histogram | None:
        """Buckets of equal width."""
        ...

    @property
    def quantile_histogram(self) -> Histogram | None:
        """Buckets of equal mass."""
        ...

    # --- values

    @property
    def num_unique(self) -> int | None:
        """How many different values there are, NaN left out."""
        ...

    @property
    def unique_is_exact(self) -> bool:
        """Whether `num_unique` is a count and not an estimate (then: 1.6 % standard error)."""
        ...

    def top_values(self, k: int = 20) -> Sequence[tuple[Cell, float]]:
        """The most frequent values with counts; ties by value."""
        ...

    def value_counts(self) -> Mapping[Cell, float] | None:
        """All values with counts; None when not all are known."""
        ...

    @property
    def rank_histogram(self) -> Sequence[tuple[Cell, float]]:
        """The most frequent values by rank (at most 1,000 unless asked otherwise) with counts."""
        ...

    @property
    def count_error(self) -> int:
        """A count of `top_values` and `rank_histogram` is at most this much too small."""
        ...

    # --- text

    @property
    def avg_length(self) -> float | None:
        """The mean length in bytes."""
        ...

    @property
    def min_length(self) -> int | None:
        """The length of the shortest value in bytes."""
        ...

    @property
    def max_length(self) -> int | None:
        """The length of the longest."""
        ...

    @property
    def num_invalid_utf8(self) -> int:
        """Values that are not UTF-8; for bytes that is no fault."""
        ...

    # --- all else

    @property
    def weighted(self) -> WeightedView | None:
        """The weighted twins; None when no weights were given."""
        ...

    @property
    def custom(self) -> Mapping[str, Any]:
        """What optional statistics say of this feature: name to JSON value."""
        ...

    @property
    def is_time(self) -> bool:
        """Whether the values are instants or dates."""
        ...

    @property
    def is_text(self) -> bool:
        """Whether the values are counted as text or bytes."""
        ...

    # --- as part of statistics

    def merge(self, other: FeatureView, /) -> FeatureView:
        """The statistics of both sets of rows.

        Raises:
            UsageError: The types differ (``mixed-types``), or no states are known (``not-mergeable``).
        """
        ...

    def absent(self, n_rows: int) -> FeatureView:
        """The same feature in that many rows of which none has it."""
        ...

    def sealed(self) -> FeatureView:
        """The statistics as they are stored."""
        ...

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The statistics as people and tools read them: JSON, no states."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What is stored, as JSON."""
        ...


# --- as people and tools read them: JSON, no states -----------------------------------------------


def common_summary(f: FeatureView, top: int) -> dict[str, Any]:
    """What every feature has, with its `top` most frequent values."""
    out: dict[str, Any] = {
        "name": f.name,
        "type": f.type,
        "arrow_type": f.arrow_type,
        "num_non_missing": f.num_non_missing,
        "num_missing": f.num_missing,
        "min_num_values": f.min_num_values,
        "max_num_values": f.max_num_values,
        "avg_num_values": f.avg_num_values,
        "num_unique": f.num_unique,
        "unique_is_exact": f.unique_is_exact,
        "top_values": [[jsonable(v), n] for v, n in f.top_values(top)],
    }
    return out | ({"levels": [level.to_list() for level in f.levels]} if len(f.levels) > 1 else {})


def numeric_summary(f: FeatureView) -> dict[str, Any]:
    """What numbers and times have besides."""
    return {
        "mean": jsonable(f.mean),
        "std_dev": jsonable(f.std_dev),
        "num_zeros": f.num_zeros,
        "num_nan": f.num_nan,
        "num_inf": f.num_inf,
        "min": jsonable(f.min),
        "median": jsonable(f.median),
        "max": jsonable(f.max),
        "rank_error": f.rank_error,
        "histogram": f.histogram.to_dict() if f.histogram else None,
        "quantile_histogram": f.quantile_histogram.to_dict() if f.quantile_histogram else None,
    }


def text_summary(f: FeatureView) -> dict[str, Any]:
    """What text and bytes have besides."""
    return {
        "avg_length": f.avg_length,
        "min_length": f.min_length,
        "max_length": f.max_length,
        "num_invalid_utf8": f.num_invalid_utf8,
        "count_error": f.count_error,
    }
