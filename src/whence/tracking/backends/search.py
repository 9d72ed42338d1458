"""A condition on runs as SQL: one EXISTS for each comparison, so that absence is false and NOT is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, false, not_, null, or_, select

from whence.tracking.backends.tables import KEY, LATEST, PARAM, RUN, TAG
from whence.tracking.filter import All, Condition, Field, Not, Order, Predicate, Some

_TABLES: dict[str, Any] = {"metric": LATEST, "param": PARAM, "tag": TAG}


def find_statement(where: Condition | None, order_by: Sequence[Order], *, dialect: str) -> Select[tuple[str]]:
    """The uids of the runs for which `where` holds, in order."""
    statement = select(RUN.c.uid)
    if where is not None:
        statement = statement.where(_condition(where, dialect))
    for order in order_by:
        statement = _ordered(statement, order)
    return statement.order_by(RUN.c.started_us.desc(), RUN.c.uid.desc())


def _condition(condition: Condition, dialect: str) -> ColumnElement[bool]:
    if isinstance(condition, All):
        return and_(*(_condition(part, dialect) for part in condition.parts))
    if isinstance(condition, Some):
        return or_(*(_condition(part, dialect) for part in condition.parts))
    if isinstance(condition, Not):
        return not_(_condition(condition.part, dialect))
    if condition.field.kind == "attribute":
        column = _attribute(condition.field)
        if condition.op == "IS NULL":
            return column.is_(null())
        return and_(column.is_not(null()), _compared(column, condition, dialect))
    return _of_key(condition, dialect)


def _of_key(condition: Predicate, dialect: str) -> ColumnElement[bool]:
    table = _TABLES[condition.field.kind]
    # The key's id as a scalar subquery: it is looked up once, and the run's own row by primary key.
    key = select(KEY.c.id).where(KEY.c.key == condition.field.key).scalar_subquery()
    mine = exists().where(table.c.run == RUN.c.id, table.c.key == key)
    if condition.op == "IS NULL":
        return not_(mine)
    return mine.where(or_(*(_of_column(table, condition, value, dialect) for value in condition.values)))


def _of_column(table: Any, condition: Predicate, value: float | str, dialect: str) -> ColumnElement[bool]:
    one = Predicate(condition.field, "=" if condition.op == "IN" else condition.op, (value,))
    if table is LATEST:
        return _compared(LATEST.c.value, one, dialect)
    if table is PARAM and not isinstance(value, str):
        return _compared(PARAM.c.number, one, dialect)
    return _compared(table.c.text, one, dialect)


def _compared(column: ColumnElement[Any], condition: Predicate, dialect: str) -> ColumnElement[bool]:
    parts = [_single(column, condition.op, value, dialect) for value in condition.values]
    return or_(false(), *parts)


def _single(column: ColumnElement[Any], op: str, value: float | str, dialect: str) -> ColumnElement[bool]:
    if op == "LIKE":
        return _like(column, str(value), dialect)
    if op in ("=", "IN"):
        return column == value
    return column.op(op, is_comparison=True)(value)


def _like(column: ColumnElement[Any], pattern: str, dialect: str) -> ColumnElement[bool]:
    if dialect != "sqlite":
        return column.like(pattern, escape="\x01")
    # SQLite's LIKE does not tell A from a; its GLOB does, with other signs.
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return column.op("GLOB", is_comparison=True)("".join(signs.get(char, char) for char in pattern))


def _attribute(field: Field) -> ColumnElement[Any]:
    return RUN.c.started_us if field.key == "started_at" else RUN.c[field.key]


def _ordered(statement: Select[tuple[str]], order: Order) -> Select[tuple[str]]:
    if order.field.kind == "attribute":
        return statement.order_by(*_directed([_attribute(order.field)], descending=order.descending))
    table = _TABLES[order.field.kind].alias()
    key = select(KEY.c.id).where(KEY.c.key == order.field.key).scalar_subquery()
    statement = statement.outerjoin(table, and_(table.c.run == RUN.c.id, table.c.key == key))
    columns = {
        "metric": lambda: [table.c.value],
        "param": lambda: [table.c.number, case((table.c.number.is_(null()), table.c.text))],
        "tag": lambda: [table.c.text],
    }[order.field.kind]()
    return statement.order_by(*_directed(columns, descending=order.descending))


def _directed(columns: Sequence[ColumnElement[Any]], *, descending: bool) -> list[ColumnElement[Any]]:
    # MySQL has no NULLS LAST; that a column is null sorts false before true on every system.
    return [
        part
        for column in columns
        for part in (column.is_(null()), column.desc() if descending else column.asc())
    ]
