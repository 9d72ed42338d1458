"""The weighted twins of a feature's statistics, as a mergeable state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import UsageError
from whence.stats import (
    Histogram,
    WeightedMoments,
    WeightedQuantiles,
    WeightedTop,
    equal_mass,
    equal_width,
)
from whence.stats.base import Array, numbers
from whence.validation.cells import TIMES, Cell, FeatureType, is_list
from whence.validation.nested import Opened
from whence.validation.options import Display
from whence.validation.states import plain_text


@dataclass(frozen=True)
class WeightedStatistics:
    """What is known of one feature when each row counts by its weight; read as `WeightedView`.

    Attributes:
        type: What the values are.
        num_non_missing: The weight of the rows with a value.
        num_missing: The weight of the rows without one.
        tot_num_values: Values, each by its row's weight.
        moments: Mean and deviation of numbers.
        quantiles: Their quantiles.
        nan: The weight of NaN values.
        top: Text and bytes by weight.
        display: How much is shown.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"x": [1.0, 4.0, None], "w": [2.0, 1.0, 5.0]})
        >>> twin = describe(t, options=StatisticsOptions(weight="w"))["x"].weighted
        >>> twin.mean, twin.num_missing
        (2.0, 5.0)
    """

    type: FeatureType
    num_non_missing: float = 0.0
    num_missing: float = 0.0
    tot_num_values: float = 0.0
    moments: WeightedMoments | None = None
    quantiles: WeightedQuantiles | None = None
    nan: float = 0.0
    top: WeightedTop | None = None
    display: Display = field(default_factory=Display)

    @classmethod
    def empty(cls, type_: FeatureType, *, as_text: bool, limit: int, display: Display) -> WeightedStatistics:
        """The twins of no rows."""
        if as_text:
            return cls(type_, top=WeightedTop(limit=limit), display=display)
        if type_ == "STRUCT":
            return cls(type_, display=display)
        return cls(type_, moments=WeightedMoments(), quantiles=WeightedQuantiles(), display=display)

    def add(self, opened: Opened) -> WeightedStatistics:
        """The twins after a batch."""
        weights, rows = opened.weights, opened.rows
        if weights is None or rows is None:
            return self
        counts = np.ones(len(rows)) if opened.lengths is None else opened.lengths
        more: dict[str, Any] = {}
        if self.top is not None and len(opened.values):
            values = opened.values
            plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
            more["top"] = self.top.add(plain_text(plain), weights)
        if self.moments is not None and self.quantiles is not None:
            array = _numbers(opened.values)
            more["moments"] = self.moments.add(array, weights)
            more["quantiles"] = self.quantiles.add(array, weights)
            if array.dtype == np.float64:
                more["nan"] = self.nan + float(weights[np.isnan(array)].sum())
        return self._with(float(rows.sum()), opened.missing, float(np.dot(rows, counts)), **more)

    def merge(self, other: WeightedStatistics) -> WeightedStatistics:
        """The twins of both."""
        more: dict[str, Any] = {"nan": self.nan + other.nan}
        if self.top is not None and other.top is not None:
            more["top"] = self.top.merge(other.top)
        if self.moments is not None and other.moments is not None:
            more["moments"] = self.moments.merge(other.moments)
        if self.quantiles is not None and other.quantiles is not None:
            more["quantiles"] = self.quantiles.merge(other.quantiles)
        return self._with(other.num_non_missing, other.num_missing, other.tot_num_values, **more)

    def _with(self, present: float, missing: float, total: float, **more: Any) -> WeightedStatistics:
        given = {
            "moments": self.moments,
            "quantiles": self.quantiles,
            "nan": self.nan,
            "top": self.top,
            "display": self.display,
        }
        return WeightedStatistics(
            self.type,
            self.num_non_missing + present,
            self.num_missing + missing,
            self.tot_num_values + total,
            **{**given, **more},
        )

    def sealed(self) -> WeightedStatistics:
        """The twins as they are stored."""
        if self.quantiles is None:
            return self
        return self._with(0.0, 0.0, 0.0, quantiles=self.quantiles.sealed())

    # --- read

    @property
    def avg_num_values(self) -> float | None:
        """Values per unit of weight of present rows."""
        return self.tot_num_values / self.num_non_missing if self.num_non_missing else None

    @property
    def mean(self) -> float | None:
        """The weighted mean of the finite values; None for text and times."""
        return None if self.moments is None or self.type in TIMES else self.moments.mean

    @property
    def std_dev(self) -> float | None:
        """Their weighted population standard deviation."""
        return None if self.moments is None or self.type in TIMES else self.moments.std

    @property
    def median(self) -> float | None:
        """Their weighted median, within the sketch's error (times: microseconds or days since 1970)."""
        return None if self.quantiles is None else self.quantiles.quantile(0.5)

    @cached_property
    def histogram(self) -> Histogram | None:
        """Buckets of equal width; counts are weights."""
        if self.quantiles is None:
            return None
        return equal_width(self.quantiles, buckets=self.display.num_histogram_buckets, n_nan=self.nan)

    @cached_property
    def quantile_histogram(self) -> Histogram | None:
        """Buckets of equal weight."""
        if self.quantiles is None:
            return None
        buckets = self.display.num_quantiles_histogram_buckets
        return equal_mass(self.quantiles, buckets=buckets, n_nan=self.nan)

    def top_values(self, k: int | None = None) -> list[tuple[Cell, float]]:
        """The heaviest values with their weights, those below the threshold left out; of numbers as `rank_histogram`."""
        found = self._ranked(self.display.num_top_values if k is None else k)
        return [(v, w) for v, w in found if w >= self.display.weighted_frequency_threshold]

    def _ranked(self, k: int) -> list[tuple[Cell, float]]:
        if self.top is not None:
            return self.top.top(k)
        if self.quantiles is None or self.type in TIMES or not self.quantiles.exact:
            return []
        values, weights = self.quantiles.entries()
        order = np.argsort(-weights, kind="stable")[:k]  # of equal weights the smallest values first
        made = {"BOOL": bool, "INT": int}.get(self.type, float)
        return [(made(v), w) for v, w in zip(values[order].tolist(), weights[order].tolist(), strict=True)]

    @cached_property
    def rank_histogram(self) -> list[tuple[Cell, float]]:
        """Values by weight, the heaviest first; of numbers only while every value is known."""
        return self._ranked(self.display.num_rank_histogram_buckets)

    # --- out and in

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The twins as people and tools read them: JSON, no states."""
        return {
            "num_non_missing": self.num_non_missing,
            "num_missing": self.num_missing,
            "avg_num_values": self.avg_num_values,
            "tot_num_values": self.tot_num_values,
            "mean": self.mean,
            "std_dev": self.std_dev,
            "median": self.median,
            "top_values": [list(pair) for pair in self.top_values(top)],
        }

    def to_dict(self) -> dict[str, Any]:
        """The states as JSON."""
        return {
            "counts": [self.num_non_missing, self.num_missing, self.tot_num_values, self.nan],
            "moments": None if self.moments is None else self.moments.to_dict(),
            "quantiles": None if self.quantiles is None else self.quantiles.to_dict(),
            "top": None if self.top is None else self.top.to_dict(),
        }

    @classmethod
    def from_dict(cls, type_: FeatureType, data: Mapping[str, Any], display: Display) -> WeightedStatistics:
        """The twins that `to_dict` wrote."""
        present, missing, total, nan = data["counts"]
        moments, quantiles, top = data["moments"], data["quantiles"], data["top"]
        return cls(
            type_,
            present,
            missing,
            total,
            None if moments is None else WeightedMoments.from_dict(moments),
            None if quantiles is None else WeightedQuantiles.from_dict(quantiles),
            nan,
            None if top is None else WeightedTop.from_dict(top),
            display,
        )


def _numbers(values: pa.Array) -> Array:
    return numbers(values.dictionary_decode() if pa.types.is_dictionary(values.type) else values)


_HEAVIEST: Final = 1e250


def weights_of(block: pa.Table, column: str) -> Array:
    """The weights of the rows of a block: numbers, or lists of one number each, as examples have them.

    Raises:
        UsageError: The column is not of numbers, or a row has no weight or several, or one that is NaN, below 0 or
            above 1e250: then sums of weights could be infinite (``bad-weight``).
    """
    values = block.column(column)
    if is_list(values.type) and not pa.types.is_map(values.type):
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        several = pc.not_equal(lengths, 1)
        n = pc.sum(several).as_py() or 0
        if n:
            raise _bad(column, f"a row has {lengths.filter(several)[0]} weights", n)
        values = pc.list_flatten(values)
    if not (
        pa.types.is_integer(values.type)
        or pa.types.is_floating(values.type)
        or pa.types.is_decimal(values.type)
    ):
        raise UsageError(f"weights are numbers, column {column!r} is {values.type}", code="bad-weight")
    if values.null_count:
        raise _bad(column, "a weight is missing", values.null_count)
    weights: Array = pc.cast(values, pa.float64(), safe=False).to_numpy().astype(np.float64)
    wrong = ~(weights <= _HEAVIEST) | (weights < 0)
    if wrong.any():
        raise _bad(column, f"a weight is {weights[wrong][0]}", int(wrong.sum()))
    return weights


def _bad(column: str, what: str, n: int) -> UsageError:
    return UsageError(
        f"column {column!r} cannot weigh rows: {what} ({n:,} rows of a block)",
        code="bad-weight",
        hint="weights are numbers from 0 to 1e250; fill or filter the rows first",
    )
