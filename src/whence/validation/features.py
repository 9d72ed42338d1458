"""Statistics of one column as a mergeable state, read through TFDV's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import UsageError
from whence.stats import (
    Count,
    Histogram,
    IntegerMoments,
    MinMax,
    Moments,
    equal_mass,
    equal_width,
)
from whence.stats.base import as_arrow, encode
from whence.validation.states import Numbers, Texts, seen_values

FeatureType: TypeAlias = Literal["INT", "FLOAT", "STRING", "BYTES", "BOOL", "TIMESTAMP", "DATE", "STRUCT"]
"""What a column holds. TFDV knows INT, FLOAT, BYTES and STRUCT; text, booleans and times are told apart here."""

NUMERIC: Final = frozenset({"INT", "FLOAT", "BOOL", "TIMESTAMP", "DATE"})
TEXT: Final = frozenset({"STRING", "BYTES"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Cell: TypeAlias = int | float | str | bytes | bool | datetime | date | None
"""A value of a column as Python has it."""


def feature_type(kind: pa.DataType) -> FeatureType:
    """The feature type of an Arrow type; a list has the type of its values.

    Example:
        >>> feature_type(pa.list_(pa.int32())), feature_type(pa.string())
        ('INT', 'STRING')
    """
    t = pa.types
    if t.is_dictionary(kind) or _is_list(kind):
        return feature_type(kind.value_type)
    tests: tuple[tuple[FeatureType, bool], ...] = (
        ("BOOL", t.is_boolean(kind)),
        ("INT", t.is_integer(kind)),
        ("FLOAT", t.is_floating(kind) or t.is_decimal(kind)),
        ("STRING", t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind) or t.is_null(kind)),
        ("BYTES", t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind)),
        ("TIMESTAMP", t.is_timestamp(kind)),
        ("DATE", t.is_date(kind)),
        ("INT", t.is_time(kind) or t.is_duration(kind)),
    )
    return next((name for name, holds in tests if holds), "STRUCT")


def _is_list(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


@dataclass(frozen=True)
class FeatureStatistics:
    """What is known about one column. States merge; every property is read from them.

    For a list column a *value* is an element and a row is missing when the list is null; for other
    columns each present row has one value.

    Attributes:
        name: The column.
        type: What it holds.
        arrow_type: The Arrow type as text, as first seen.
        rows: Rows with and without a list or value.
        valency: Values per present row.
        number: State of numeric values, else None.
        text: State of text and bytes, else None.
    """

    name: str
    type: FeatureType
    arrow_type: str
    rows: Count = field(default_factory=Count)
    valency: MinMax = field(default_factory=MinMax)
    n_values: int = 0
    number: Numbers | None = None
    text: Texts | None = None

    @classmethod
    def empty(cls, name: str, kind: pa.DataType) -> FeatureStatistics:
        """The statistics of no rows of a column of this Arrow type."""
        type_ = feature_type(kind)
        if type_ in TEXT:
            return cls(name, type_, str(kind), text=Texts())
        if type_ in NUMERIC:
            exact = type_ != "FLOAT"
            return cls(name, type_, str(kind), number=Numbers(IntegerMoments() if exact else Moments()))
        return cls(name, type_, str(kind))

    def add(self, column: pa.ChunkedArray | pa.Array) -> FeatureStatistics:
        """The statistics after a batch of the column.

        Raises:
            UsageError: The batch has another type than the column (``mixed-types``).
        """
        kind = column.type
        if not pa.types.is_null(kind) and feature_type(kind) != self.type:
            raise UsageError(
                f"column {self.name!r} is {self.type}, a batch has {feature_type(kind)}", code="mixed-types"
            )
        rows = self.rows.merge(Count(len(column) - column.null_count, column.null_count))
        values = as_arrow(column)
        valency = MinMax() if not len(values) else MinMax(1, 1)
        if _is_list(kind):
            valency = MinMax().add(pc.list_value_length(values))
            while _is_list(values.type):
                values = as_arrow(values.flatten())
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        return FeatureStatistics(
            self.name,
            self.type,
            self.arrow_type,
            rows,
            self.valency.merge(valency),
            self.n_values + len(values),
            self.number.add(values) if self.number is not None else None,
            self.text.add(values) if self.text is not None else None,
        )

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """The statistics of both.

        Raises:
            UsageError: The types differ (``mixed-types``).
        """
        if self.type != other.type:
            raise UsageError(
                f"column {self.name!r} is {self.type} on one side and {other.type} on the other",
                code="mixed-types",
            )
        return FeatureStatistics(
            self.name,
            self.type,
            self.arrow_type,
            self.rows.merge(other.rows),
            self.valency.merge(other.valency),
            self.n_values + other.n_values,
            self.number.merge(other.number) if self.number and other.number else None,
            self.text.merge(other.text) if self.text and other.text else None,
        )

    def sealed(self) -> FeatureStatistics:
        """The statistics as they are stored: sketches cut to their stored size."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return FeatureStatistics(**{**values, "number": self.number.sealed() if self.number else None})

    # --- common

    @property
    def num_non_missing(self) -> int:
        """Rows with a value."""
        return self.rows.n

    @property
    def num_missing(self) -> int:
        """Rows without one."""
        return self.rows.n_missing

    @property
    def num_rows(self) -> int:
        """All rows."""
        return self.rows.n + self.rows.n_missing

    @property
    def fraction_present(self) -> float | None:
        """Rows with a value over all rows; None without rows."""
        return self.num_non_missing / self.num_rows if self.num_rows else None

    @property
    def min_num_values(self) -> int | None:
        """The fewest values of a present row."""
        return None if self.valency.low is None else int(self.valency.low)

    @property
    def max_num_values(self) -> int | None:
        """The most values of a present row."""
        return None if self.valency.high is None else int(self.valency.high)

    @property
    def avg_num_values(self) -> float | None:
        """Values per present row."""
        return self.n_values / self.num_non_missing if self.num_non_missing else None

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
        return self.type in ("TIMESTAMP", "DATE")

    def quantile(self, q: float) -> Cell:
        """The value at quantile `q`, within `rank_error`."""
        return None if self.number is None else self.cell(self.number.quantiles.quantile(q))

    def cell(self, number: float | None) -> Cell:
        """A number of the state as a value of the column."""
        if number is None:
            return None
        if self.type == "TIMESTAMP":
            return _EPOCH + timedelta(microseconds=int(number))
        if self.type == "DATE":
            return (_EPOCH + timedelta(days=int(number))).date()
        return bool(number) if self.type == "BOOL" else number

    @cached_property
    def histogram(self) -> Histogram | None:
        """Ten buckets of equal width (times: microseconds or days since 1970)."""
        if self.number is None:
            return None
        return equal_width(self.number.quantiles, n_nan=self.number.n_nan)

    @cached_property
    def quantile_histogram(self) -> Histogram | None:
        """Ten buckets of equal mass."""
        return None if self.number is None else equal_mass(self.number.quantiles, n_nan=self.number.n_nan)

    # --- text, and what both have

    @property
    def num_unique(self) -> int | None:
        """How many different values there are, NaN left out; see `unique_is_exact`."""
        if self.text is not None:
            return self.text.top.n_distinct
        if self.number is None:
            return None
        sketch = self.number.quantiles
        return len(sketch.entries()[0]) if sketch.exact else seen_values(self.number).estimate

    @property
    def unique_is_exact(self) -> bool:
        """Whether `num_unique` is a count and not an estimate (then: 1.6 % standard error)."""
        if self.text is not None:
            return self.text.top.exact
        return self.number is None or self.number.quantiles.exact

    def top_values(self, k: int = 20) -> list[tuple[Cell, int]]:
        """The most frequent values with counts; for numbers only while every value is known."""
        if self.text is not None:
            return self.text.top.top(k)
        if self.number is None or not self.number.quantiles.exact:
            return []
        values, weights = self.number.quantiles.entries()
        order = np.lexsort((values, -weights))[:k]
        return [(self.cell(v), int(w)) for v, w in zip(values[order].tolist(), weights[order], strict=True)]

    def value_counts(self) -> dict[Cell, int] | None:
        """All values with counts when each is known exactly, else None."""
        if self.text is not None:
            return dict(self.text.top.top()) if self.text.top.exact else None
        if self.number is None or not self.number.quantiles.exact:
            return None
        values, weights = self.number.quantiles.entries()
        return {self.cell(v): w for v, w in zip(values.tolist(), weights.tolist(), strict=True)}

    @property
    def avg_length(self) -> float | None:
        """The mean length of a text in bytes."""
        return None if self.text is None else self.text.lengths.mean

    @property
    def num_invalid_utf8(self) -> int:
        """Values that are not UTF-8; for bytes that is no fault."""
        return 0 if self.text is None else self.text.n_invalid_utf8

    # --- out and in

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The statistics as people and tools read them: JSON, no states."""
        out: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "arrow_type": self.arrow_type,
            "num_non_missing": self.num_non_missing,
            "num_missing": self.num_missing,
            "min_num_values": self.min_num_values,
            "max_num_values": self.max_num_values,
            "avg_num_values": self.avg_num_values,
            "num_unique": self.num_unique,
            "unique_is_exact": self.unique_is_exact,
            "top_values": [[jsonable(v), n] for v, n in self.top_values(top)],
        }
        if self.number is not None:
            out |= self._numeric_summary()
        if self.text is not None:
            out |= {
                "avg_length": self.avg_length,
                "min_length": self.text.length_range.low,
                "max_length": self.text.length_range.high,
                "num_invalid_utf8": self.num_invalid_utf8,
                "count_error": self.text.top.undercount,
            }
        return out

    def _numeric_summary(self) -> dict[str, Any]:
        return {
            "mean": jsonable(self.mean),
            "std_dev": jsonable(self.std_dev),
            "num_zeros": self.num_zeros,
            "num_nan": self.num_nan,
            "num_inf": self.num_inf,
            "min": jsonable(self.min),
            "median": jsonable(self.median),
            "max": jsonable(self.max),
            "rank_error": self.rank_error,
            "histogram": self.histogram.to_dict() if self.histogram else None,
            "quantile_histogram": self.quantile_histogram.to_dict() if self.quantile_histogram else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """The states as JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "arrow_type": self.arrow_type,
            "rows": self.rows.to_dict(),
            "valency": self.valency.to_dict(),
            "n_values": self.n_values,
            "number": self.number.to_dict() if self.number else None,
            "text": self.text.to_dict() if self.text else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeatureStatistics:
        """The statistics that `to_dict` wrote."""
        return cls(
            data["name"],
            data["type"],
            data["arrow_type"],
            Count.from_dict(data["rows"]),
            MinMax.from_dict(data["valency"]),
            data["n_values"],
            Numbers.from_dict(data["number"]) if data["number"] else None,
            Texts.from_dict(data["text"]) if data["text"] else None,
        )


def jsonable(value: Any) -> Any:
    """A cell as JSON says it: times as ISO text, bytes with surrogate escapes, NaN and infinities as text.

    Example:
        >>> jsonable(date(2013, 1, 1)), jsonable(float("inf")), jsonable(True)
        ('2013-01-01', 'inf', True)
    """
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return encode(value)
