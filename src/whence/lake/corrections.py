"""Corrections of rows that wait: what is changed, in which of them, and whether they fit then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from whence._base.arrow import fit, to_arrow, widens
from whence.errors import NotFoundError, UsageError
from whence.lake.base import Snapshot
from whence.lake.conditions import check_condition
from whence.lake.core import Core
from whence.lake.operations import declaration_of
from whence.lake.sift import sift
from whence.lake.types import RowCheck
from whence.metadata import Value

Fix: TypeAlias = "Callable[[pa.Table], pa.Table] | Mapping[str, object]"

_ROW: Final = "__whence_row"


@dataclass(frozen=True, slots=True)
class Expression:
    """A value in SQL, over the columns of a row, for `Quarantine.correct`.

    Example:
        >>> Expression("(temp - 32) / 1.8").sql
        '(temp - 32) / 1.8'
    """

    sql: str


def reasons_of(group: pa.Table, base: Snapshot | None, check: RowCheck | None) -> list[tuple[str, ...]]:
    """For each row why it may not enter; empty where it may."""
    want = None if base is None else base.schema
    sifted = sift(group, want, declaration=declaration_of(base), check=check)
    reasons: list[tuple[str, ...]] = [()] * group.num_rows
    for bad in sifted.bad:
        reasons[bad.position] = bad.reasons
    return reasons


def _widened(base: Snapshot | None, group: pa.Table) -> pa.Table:
    """The rows with the columns of the table that they lack, null, and their own places."""
    for f in base.schema if base is not None else ():
        if f.name not in group.column_names:
            group = group.append_column(f.name, pa.nulls(group.num_rows, f.type))
    return group.append_column(_ROW, pa.array(range(group.num_rows), pa.int64()))


def chosen_rows(core: Core, base: Snapshot | None, group: pa.Table, where: str | None) -> list[int]:
    """Which of the rows fulfil a condition over the columns of the row and the table."""
    if where is None:
        return list(range(group.num_rows))
    check_condition(where)
    sql = f"SELECT {_ROW} FROM rows WHERE {where}\nORDER BY {_ROW}"
    found: list[int] = core.engine.query(sql, {"rows": _widened(base, group)}).column(_ROW).to_pylist()
    return found


def check_fix(base: Snapshot | None, groups: Sequence[pa.Table], fix: Fix) -> None:
    """Refuse new values for a column that neither the table nor any of these rows has.

    Raises:
        NotFoundError: ``column-not-found``, with near names.
    """
    if base is None or not groups or not isinstance(fix, Mapping):
        return
    names = {*base.schema.names, *(name for group in groups for name in group.column_names)}
    for name in fix:
        if name not in names:
            raise _no_column(base, name, names)


def _no_column(base: Snapshot, name: str, names: Iterable[str]) -> NotFoundError:
    return NotFoundError(
        "column", name, near=names,
        hint=f"neither table {base.table!r} nor the rows that wait have it: with it they could not enter",
    )  # fmt: skip


def fixed_rows(core: Core, base: Snapshot | None, rows: pa.Table, fix: Fix) -> pa.Table:
    """The rows after the correction.

    A column that neither they nor the table have is not added; one that the table does not have is taken away
    by nothing but null.
    """
    if not isinstance(fix, Mapping):
        fixed = to_arrow(fix(rows), schema=None if base is None else base.schema)
        if fixed.num_rows != rows.num_rows:
            raise UsageError(
                f"the correction was given {rows.num_rows} rows and gave {fixed.num_rows}",
                code="quarantine-fix",
                hint="give as many rows in the same order; drop(…) gives rows up",
            )
        names = {*rows.column_names, *(base.schema.names if base is not None else ())}
        for name in fixed.column_names:
            if base is not None and name not in names:
                raise _no_column(base, name, names)
        return fixed
    wide = _widened(base, rows)
    for name, value in fix.items():
        if base is not None and name not in wide.column_names:
            continue  # other rows that are meant have it
        column = _fixed_column(core, base, wide, name, value)
        at = rows.schema.get_field_index(name)
        if base is not None and name not in base.schema.names and column.null_count == len(column):
            rows = rows.remove_column(at)
        else:
            rows = rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)
    return rows


def _fixed_column(core: Core, base: Snapshot | None, wide: pa.Table, name: str, value: object) -> Any:
    # Any: an Arrow array
    want = None if base is None or name not in base.schema.names else base.schema.field(name).type
    if isinstance(value, Expression):
        check_condition(value.sql)
        sql = f"SELECT ({value.sql}\n) AS fixed FROM rows ORDER BY {_ROW}"
        found = core.engine.query(sql, {"rows": wide})
    else:
        found = to_arrow({"fixed": [value] * wide.num_rows})
    array = to_arrow(found).column("fixed").combine_chunks()
    if want is None:
        return array
    fitted = fit(array, want)
    if not isinstance(value, Expression) and fitted.type != want and not widens(fitted.type, want):
        raise UsageError(
            f"{value!r:.80} is {array.type}, which does not fit column {name!r} of {want}",
            code="quarantine-fix",
            hint="give a value of that type, or an Expression of SQL",
        )
    return fitted


def told_fix(fix: Fix) -> Value:
    """What the graph keeps of a correction."""
    if isinstance(fix, Mapping):
        return {n: v.sql if isinstance(v, Expression) else str(v) for n, v in fix.items()}
    return str(getattr(fix, "__qualname__", type(fix).__name__))
