"""Defaults of the schema in place of missing values, and how many there were."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.clock import utc
from whence.errors import UsageError
from whence.validation.base import Version
from whence.validation.extra.filled import FilledValues
from whence.validation.kept import AddedRows, filled_in
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics, with_custom
from whence.validation.types import Feature

_KINDS: Final[Mapping[str, pa.DataType]] = {
    "BOOL": pa.bool_(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "FLOAT": pa.float64(),
    "INT": pa.int64(),
    "STRING": pa.string(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Filled:
    """Rows without the values that were missing and have a default.

    Attributes:
        rows: The rows.
        counts: Column → how many values were filled; columns of which none was are left out.
    """

    rows: pa.Table
    counts: Mapping[str, int] = field(default_factory=dict)

    def told_in(self, statistics: Statistics) -> Statistics:
        """The statistics of these rows, with ``num_filled`` among the custom statistics of each filled column.

        The count is an extra: it is stored with the statistics, and added when they are merged.
        """
        return _with(statistics, FilledValues(dict(self.counts)))


def with_filled(statistics: Statistics, version: Version) -> Statistics:
    """The statistics of a version, with how many values were filled as its rows came, as its commits tell it.

    Commits do not tell which rows they were: of a slice it is known how many there are at most, all of them or as
    many as it has values. A version of a view, or one whose early commits are gone, tells nothing.
    """
    if isinstance(version, AddedRows):
        told = version.filled()
    else:
        commits = getattr(version, "commits", None)
        told = None if commits is None else filled_in(commits())
    if told is None:
        return statistics
    slices = {k: _with(s, FilledValues(_most(told, s), exact=False)) for k, s in statistics.slices.items()}
    counts = {n: c for n, c in told.counts.items() if n in statistics}
    made = _with(statistics, FilledValues(counts, told.exact and statistics.sample is None))
    return replace(made, slices=slices)


def _most(told: FilledValues, rows: Statistics) -> dict[str, int]:
    """Column → how many of its values in some of the rows can have been filled."""
    return {n: min(c, rows[n].num_non_missing) for n, c in told.counts.items() if n in rows}


def _with(statistics: Statistics, told: FilledValues) -> Statistics:
    features = with_custom(statistics.features, {told.key(): told})
    return replace(statistics, features=features, extras={**statistics.extras, told.key(): told})


def defaults_of(schema: Schema, environment: str | None = None) -> dict[str, Any]:
    """Column → the value a missing one stands for, of the features that belong to an environment.

    Parts of structures have none: nothing is put inside a value that came.

    Raises:
        NotFoundError: The schema speaks of environments, but not of this one.
        UsageError: A default is no value of its feature's type (``bad-default``).

    Example:
        >>> defaults_of(Schema().add(Feature("delay", "FLOAT", default=0), Feature("carrier", "STRING")))
        {'delay': 0.0}
    """
    given = [f for f in schema.expected(environment) if f.default is not None and len(f.steps) == 1]
    return {f.name: _value(f) for f in given}


def apply_defaults(
    rows: pa.Table | pa.RecordBatch,
    schema: Schema,
    environment: str | None = None,
    *,
    want: pa.Schema | None = None,
) -> Filled:
    """Put the schema's defaults in place of nulls; a column that is absent is made of its default.

    Args:
        rows: The rows.
        schema: Says the defaults.
        environment: For which environment: a column that does not belong to it is not made.
        want: The types columns that are absent get; by default those of the features. With it, only
            columns in it are made.

    Returns:
        The rows in their order, new columns last, and how many values were filled.

    Raises:
        UsageError: A default is no value of its column's type (``bad-default``).

    Example:
        >>> schema = Schema().add(Feature("delay", "FLOAT", default=0.0))
        >>> filled = apply_defaults(pa.table({"delay": [1.5, None]}), schema)
        >>> filled.rows.column("delay").to_pylist(), dict(filled.counts)
        ([1.5, 0.0], {'delay': 1})
    """
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    counts: dict[str, int] = {}
    for name, value in defaults_of(schema, environment).items():
        if name in table.column_names:
            column, at = table.column(name), table.schema.get_field_index(name)
            if not column.null_count:
                continue
            kind = column.type if not pa.types.is_null(column.type) else _kind(schema[name], name, want)
            filled = pc.if_else(column.is_valid(), column.cast(kind), _scalar(name, value, kind))
            table = table.set_column(at, table.schema.field(at).with_type(kind), filled)
            counts[name] = column.null_count
        elif want is None or name in want.names:
            kind = _kind(schema[name], name, want)
            made = pa.repeat(_scalar(name, value, kind), table.num_rows)
            table = table.append_column(pa.field(name, kind), made)
            counts[name] = table.num_rows
    return Filled(table, {n: c for n, c in counts.items() if c})


def row_filler(
    schema: Schema, environment: str | None = None
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function that gives one row (a mapping) with the defaults in place of what is None or absent.

    Example:
        >>> row_filler(Schema().add(Feature("delay", "FLOAT", default=0.0)))({"carrier": "AA"})
        {'carrier': 'AA', 'delay': 0.0}
    """
    defaults = defaults_of(schema, environment)

    def fill(row: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(row)
        for name, value in defaults.items():
            if made.get(name) is None:
                made[name] = value
        return made

    return fill


def _kind(f: Feature, name: str, want: pa.Schema | None) -> pa.DataType:
    if want is not None and name in want.names:
        return want.field(name).type
    kind = _KINDS[f.type or "STRING"]
    return pa.list_(kind) if isinstance(f.default, (list, tuple)) else kind


def _value(f: Feature) -> Any:
    """The default as a value of the feature's type; JSON says times as text."""
    if f.type not in _KINDS:
        raise UsageError(f"{f.name}: a default for a feature of type {f.type}", code="bad-default")
    if isinstance(f.default, (list, tuple)):
        return [_one(f, v) for v in f.default]
    return _one(f, f.default)


def _one(f: Feature, value: Any) -> Any:
    try:
        if f.type == "TIMESTAMP":
            return utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
        if f.type == "DATE":
            return date.fromisoformat(value) if isinstance(value, str) else value
        if f.type == "BYTES":
            return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
        if f.type == "FLOAT" and not isinstance(value, bool):
            return float(value)
        if type(value) is {"BOOL": bool, "INT": int, "STRING": str}.get(f.type or ""):
            return value
    except (TypeError, ValueError, AttributeError, UsageError) as error:
        raise _bad(f.name, value, str(f.type)) from error
    raise _bad(f.name, value, str(f.type))


def _scalar(name: str, value: Any, kind: pa.DataType) -> pa.Scalar:
    try:
        made = pa.scalar(value, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _bad(name, value, str(kind)) from error
    if _is_cut(value, made.as_py()):
        raise _bad(name, value, str(kind))
    return made


def _is_cut(value: Any, made: Any) -> bool:
    """Whether Arrow made another number of it: a fraction as a whole number, a large one as infinity."""
    if isinstance(value, list):
        return any(map(_is_cut, value, made))
    return isinstance(value, float) and (
        (isinstance(made, int) and made != value) or (made in (math.inf, -math.inf) and math.isfinite(value))
    )


def _bad(name: str, value: Any, kind: str) -> UsageError:
    return UsageError(
        f"the default {value!r} of {name} is no {kind}",
        code="bad-default",
        hint="edit the schema: schema.edit(column, default=…)",
    )
