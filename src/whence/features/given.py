"""What a caller of the online store gives: keys, moments, and columns that are features as they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import pyarrow as pa

from whence._base.arrow import TS
from whence._base.clock import utc
from whence.errors import UsageError
from whence.features.answer import Status
from whence.features.rowwise import row_columns
from whence.features.types import AnyView, Calendar, Category, Given

Columns: TypeAlias = Mapping[str, Sequence[Any]]
"""n values a column."""

_COLUMNS: Final = (list, tuple, pa.Array, pa.ChunkedArray)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def read_columns(keys: object, wanted: Sequence[str]) -> tuple[dict[str, Sequence[Any]], int]:
    """The wanted columns of what a caller gives, and how many keys that are.

    Raises:
        UsageError: A column is missing (``missing-key``), or the columns differ in length (``bad-data``).
    """
    if isinstance(keys, pa.Table | pa.RecordBatch):
        keys = {name: keys.column(name) for name in keys.schema.names}
    if isinstance(keys, Mapping):
        _check_given(keys, wanted)
        lengths = {len(_listed(value)) for value in keys.values() if _is_column(value)}
        if not lengths:
            return {name: (keys[name],) for name in wanted}, 1
        if len(lengths) > 1 or not all(_is_column(keys[name]) for name in wanted):
            raise UsageError("the keys' columns differ in length", code="bad-data")
        return {name: _listed(keys[name]) for name in wanted}, lengths.pop()
    if isinstance(keys, Sequence) and not isinstance(keys, str | bytes):
        for row in keys:
            if not isinstance(row, Mapping):
                raise UsageError(f"a key is a {type(row).__name__}, not a mapping", code="bad-data")
            if any(name not in row for name in wanted):
                _check_given(row, wanted)
        return {name: [row[name] for row in keys] for name in wanted}, len(keys)
    raise UsageError(
        f"keys of type {type(keys).__name__} are not accepted",
        code="bad-data",
        hint="give a mapping, a sequence of mappings, a mapping of columns or an Arrow table",
    )


def _check_given(row: Mapping[str, Any], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in row:
            raise UsageError(
                f"the keys have no {name!r}, which the views need",
                code="missing-key",
                hint=f"given: {', '.join(map(str, row)) or 'none'}",
            )


def _is_column(value: object) -> bool:
    kind = type(value)
    if kind is list or kind is str:  # nearly always
        return kind is list
    return isinstance(value, _COLUMNS) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1)


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    return list(value.to_pylist() if hasattr(value, "to_pylist") else value.tolist())


def read_moments(
    moments: Sequence[datetime] | datetime | str, columns: Mapping[str, Sequence[Any]], n: int
) -> Sequence[datetime]:
    """The moment of each key, in UTC."""
    if isinstance(moments, datetime):
        return [utc(moments)] * n
    given = columns[moments] if isinstance(moments, str) else moments
    if len(given) != n:
        raise UsageError(f"{len(given)} moments for {n} keys", code="bad-data")
    for moment in given:
        if not isinstance(moment, datetime):
            raise UsageError(
                f"a moment is {moment!r}, not an instant", code="bad-timestamp", hint="an aware datetime"
            )
    return [utc(moment) for moment in given]


def in_micros(moments: Sequence[datetime]) -> list[int]:
    """The same in microseconds; one moment for all is counted once."""
    if len(moments) > 1 and all(moment is moments[0] for moment in moments):
        return [(moments[0] - _EPOCH) // _MICROSECOND] * len(moments)
    return [(moment - _EPOCH) // _MICROSECOND for moment in moments]


def answer_row(
    view: AnyView,
    columns: Columns,
    values: dict[str, list[Any]],
    statuses: dict[str, list[Status]],
    types: Mapping[str, pa.DataType],
) -> dict[str, pa.DataType]:
    """Put features of what the caller gave alone into their places; gives their types.

    Columns come with the `types` they are known to have; that of others is read off their values.
    """
    if isinstance(view, Given):
        found = {name: pa.array(list(columns[name]), types.get(name)) for name in view.columns}
    else:
        assert isinstance(view, Calendar | Category)
        type_ = TS if isinstance(view, Calendar) else pa.string()
        try:
            given = pa.array(list(columns[view.column]), type_)
        except (pa.ArrowException, TypeError) as error:
            code = "bad-timestamp" if isinstance(view, Calendar) else "bad-category"
            raise UsageError(f"{view.name!r} reads {view.column!r}: {error}", code=code) from error
        made = row_columns(pa.table({view.column: given}), view)
        found = dict(zip(view.outputs, made, strict=True))
    for name, array in found.items():
        values[name] = array.to_pylist()
        statuses[name] = ["NULL_VALUE" if v is None else "PRESENT" for v in values[name]]
    return {name: array.type for name, array in found.items()}


def typed(text: str, type_: pa.DataType, name: str) -> Any:
    """The value that a text of the command line means in a column.

    Raises:
        UsageError: It means none there (``bad-key-type``).

    Example:
        >>> typed("35", pa.int64(), "flight"), typed("35", pa.string(), "flight")
        (35, '35')
    """
    try:
        if type_ == TS:
            return utc(datetime.fromisoformat(text))
        return pa.array([text]).cast(type_)[0].as_py()
    except (pa.ArrowException, ValueError) as error:
        raise UsageError(
            f"{name}={text} is no {type_}", code="bad-key-type", hint="instants are written in ISO 8601"
        ) from error


def moment_of(us: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=us)
