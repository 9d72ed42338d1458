"""What is computed when rows are described: columns, weights, buckets, slices, samples, extras."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any, Final, TypeAlias

from whence.errors import UsageError
from whence.stats.frequency import EXACT_LIMIT
from whence.validation.cells import FeatureType
from whence.validation.expressions import check_expression
from whence.validation.extras import Extra, extra_to_dict
from whence.validation.queries import closed

MAX_SLICES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows to be described on their own, besides all rows.

    One of three:

    - `by`: columns; one slice for each combination of their values, called ``country=US`` or
      ``country=US,device=phone``. Rows without a value are ``country=None``; a text "None", one that begins
      with a quotation mark, and of crossed columns one with a comma stand in quotation marks;
    - `where`: an SQL expression over the columns. Where it is a condition, the rows for which it is
      true are the slice `name`; any other value v makes a slice ``name=v``, a list of values several;
    - `query`: a SELECT over the relation ``rows`` and no other; the rows it gives are the slice `name`.

    Raises:
        UsageError: It is none or several of these, has no name, `where` is not one expression over the
            columns, or `query` is not one SELECT over ``rows`` (``bad-slice``); one calls a function that
            reads from elsewhere (``sql-function``).

    Attributes:
        name: The slice's name; for `by` it follows from the columns.
        where: The expression.
        by: The columns.
        query: The SELECT.

    Example:
        >>> Slice("late", "arr_delay > 15").name, Slice(by=("origin", "dest")).name
        ('late', 'origin,dest')
    """

    name: str = ""
    where: str | None = None
    by: tuple[str, ...] = ()
    query: str | None = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.where, self.by, self.query))) != 1:
            raise UsageError(
                "a slice is given by one of columns, an expression, and a query", code="bad-slice"
            )
        if not self.by and not self.name:
            raise UsageError("a slice by SQL has a name", code="bad-slice", hint="Slice(name, expression)")
        if self.by and not self.name:
            object.__setattr__(self, "name", ",".join(self.by))
        if self.where:
            check_expression(f"slice {self.name!r}", self.where, "bad-slice")
        if self.query:
            closed(f"slice {self.name!r}", self.query)


SliceLike: TypeAlias = "str | Sequence[str] | Slice"
"""A column, several crossed columns, or a `Slice`."""


def as_slice(given: SliceLike) -> Slice:
    """A column or columns as a `Slice`.

    Example:
        >>> as_slice("origin").by, as_slice(["origin", "dest"]).by
        (('origin',), ('origin', 'dest'))
    """
    if isinstance(given, Slice):
        return given
    return Slice(by=(given,) if isinstance(given, str) else tuple(given))


@dataclass(frozen=True, kw_only=True)
class Display:
    """How much of the states is shown: numbers of values, ranks and buckets, as `StatisticsOptions` explains them."""

    num_top_values: int = 20
    frequency_threshold: int = 1
    weighted_frequency_threshold: float = 1.0
    num_rank_histogram_buckets: int = 1_000
    num_values_histogram_buckets: int = 10
    num_histogram_buckets: int = 10
    num_quantiles_histogram_buckets: int = 10

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


@dataclass(frozen=True)
class StatisticsOptions(Display):
    """How rows are described.

    Attributes:
        columns: Only these top-level columns (weights, slices and extras may need others; they are
            read and not described); None is all.
        slices: Rows that are also described on their own.
        weight: A column of numbers: statistics get twins in which each row counts by its weight.
        feature_weights: Another weight column for single top-level columns.
        types: Columns described as another type than they have, by name: text as ``INT``, ``FLOAT``,
            ``BOOL`` or ``TIMESTAMP`` where every value reads so, anything as ``STRING``.
        categorical: Integer columns whose values are categories: they are counted as text is.
        num_top_values: Top values shown; all up to the limit are known.
        frequency_threshold: Values that occur more rarely are not shown among the top values.
        weighted_frequency_threshold: The same for weights.
        num_rank_histogram_buckets: Ranks of the rank histogram.
        num_values_histogram_buckets: Buckets of values per row.
        num_histogram_buckets: Buckets of equal width.
        num_quantiles_histogram_buckets: Buckets of equal mass.
        exact_limit: Up to so many different values of a column every count is exact; beyond, the heaviest
            are kept (of text) and how many there are is estimated.
        sample_rate: The share of rows that is described; None is all. The result says so.
        sample_seed: Which rows: the same seed and order of rows give the same ones.
        extras: Optional statistics, as empty states.

    Raises:
        UsageError: An option is out of its range (``bad-options``).

    Example:
        >>> StatisticsOptions(slices=("origin",), sample_rate=0.1).slices[0].by
        ('origin',)
    """

    columns: tuple[str, ...] | None = None
    slices: tuple[Slice, ...] = ()
    weight: str | None = None
    feature_weights: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, FeatureType] = field(default_factory=dict)
    categorical: tuple[str, ...] = ()
    exact_limit: int = EXACT_LIMIT
    sample_rate: float | None = None
    sample_seed: int = 0
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        given: Sequence[SliceLike] = self.slices
        object.__setattr__(self, "slices", tuple(map(as_slice, given)))
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))
        for name in _COUNTS:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is a number from 1 on, got {value!r}", code="bad-options")
        rate = self.sample_rate
        if rate is not None and not 0 < rate <= 1:
            raise UsageError(f"sample_rate lies above 0 and up to 1, got {rate!r}", code="bad-options")
        self._check_names()

    def _check_names(self) -> None:
        keys = [e.key() for e in self.extras]
        twice = [k for k in keys if keys.count(k) > 1]
        if twice:
            raise UsageError(f"extra {twice[0]!r} is asked for twice", code="bad-options")
        names = [s.name for s in self.slices]
        twice = [n for n in names if names.count(n) > 1]
        if twice:
            raise UsageError(f"slice {twice[0]!r} is asked for twice", code="bad-options")

    @property
    def display(self) -> Display:
        """The part that says how much is shown, which travels with the statistics."""
        return Display(**{f.name: getattr(self, f.name) for f in fields(Display)})

    @property
    def rereads(self) -> bool:
        """Whether rows are read more than once, for slices by query: rows that stream by are then held."""
        return any(s.query for s in self.slices)

    def with_slices(self, slices: Sequence[SliceLike]) -> StatisticsOptions:
        """The options with more slices."""
        more = tuple(s for s in map(as_slice, slices) if s not in self.slices)
        return replace(self, slices=(*self.slices, *more)) if more else self

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if value != getattr(DEFAULTS, f.name):
                out[f.name] = _plain(f.name, value)
        return out

    def suffix(self) -> str:
        """What the name of kept statistics carries for these options; empty for the defaults.

        Example:
            >>> StatisticsOptions(columns=("a", "b"), slices=("c",)).suffix()
            '[a,b]/by:c'
            >>> StatisticsOptions(sample_rate=0.5).suffix()
            '/with:bb34c0c6c0e1'
        """
        chosen = "" if self.columns is None else f"[{','.join(self.columns)}]"
        rest = replace(self, columns=None)
        if self.slices and all(len(s.by) == 1 and s == as_slice(s.by) for s in self.slices):
            chosen += f"/by:{','.join(s.name for s in self.slices)}"
            rest = replace(rest, slices=())
        said = rest.to_dict()
        if not said:
            return chosen
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return f"{chosen}/with:{sha256(text.encode()).hexdigest()[:12]}"


def _plain(name: str, value: Any) -> Any:
    if name == "slices":
        return [{f.name: getattr(s, f.name) for f in fields(s) if getattr(s, f.name)} for s in value]
    if name == "extras":
        return [extra_to_dict(e) for e in value]
    return dict(value) if isinstance(value, Mapping) else value


_COUNTS: Final = (*(f.name for f in fields(Display) if f.name.startswith("num_")), "exact_limit")
DEFAULTS: Final = StatisticsOptions()
