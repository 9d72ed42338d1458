"""The SQL of `find_nodes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    tuple_,
)

from whence.database import Database, Prepared
from whence.metadata.backends.compile import PLAIN_NAME, compile_filter
from whence.metadata.backends.tables import MEMBER, NODE
from whence.metadata.query import COLUMNS, Query
from whence.metadata.rows import NODE_FIELDS

# Shapes of queries whose statements are kept; a program has a few dozen.
KEPT: Final = 256

Shape: TypeAlias = tuple[object, ...]
Tuple: TypeAlias = tuple[Any, ...]  # Any: the node table's columns


class Finder:
    """Runs queries on one database; a statement is composed once for each shape of query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Shape, Prepared] = {}

    def find(self, connection: Connection, query: Query, types: list[int] | None) -> list[Tuple]:
        """The rows of a query, one more than its limit when there are more."""
        shape = _shape(query, types)
        statement = self._kept.get(shape)
        if statement is None:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            statement = self._kept[shape] = self._database.prepare(self._compose(query, types))
        return statement.rows(connection, self._values(query, types))

    def _values(self, query: Query, types: list[int] | None) -> Mapping[str, object]:
        pack = self._database.pack
        values: dict[str, object] = {
            "node_kind": query.kind,
            "external_id": query.external_id,
            "node_uri": query.uri,
            "context": query.context,
        }
        for name, several in (("types", types), ("names", query.names), ("states", query.states)):
            if several is not None:
                values[name] = pack(list(several))
        if query.name_prefix is not None:
            values |= {"prefix": query.name_prefix, "prefix_length": len(query.name_prefix)}
        if query.after is not None:
            values |= {"after_value": query.after[0], "after_id": query.after[1]}
        if query.limit is not None:
            values["at_most"] = query.limit + 1
        for i, (name, value) in enumerate(query.where.items()):
            values |= {f"key_{i}": name, f"value_{i}": value}
        return values

    def _compose(self, query: Query, types: list[int] | None) -> Select[Any]:
        conditions = [NODE.c.kind == bindparam("node_kind")]
        columns = ((types, NODE.c.type_id, "types"), (query.names, NODE.c.name, "names"))
        for given, column, name in (*columns, (query.states, NODE.c.state, "states")):
            if given is not None:
                conditions.append(self._database.among(column, name))
        if query.name_prefix is not None:
            conditions.append(NODE.c.name >= bindparam("prefix"))
            conditions.append(func.substr(NODE.c.name, 1, bindparam("prefix_length")) == bindparam("prefix"))
        if query.external_id is not None:
            conditions.append(NODE.c.external_id == bindparam("external_id"))
        if query.uri is not None:
            conditions.append(NODE.c.uri == bindparam("node_uri"))
        if query.context is not None:
            conditions.append(_in_context())
        conditions += [_has(i, name, value is None) for i, (name, value) in enumerate(query.where.items())]
        if query.matching is not None:
            conditions.append(compile_filter(query.matching))
        return _ordered(query, select(*(NODE.c[name] for name in NODE_FIELDS)).where(and_(*conditions)))


def _shape(query: Query, types: list[int] | None) -> Shape:
    given = (types, query.names, query.name_prefix, query.external_id, query.uri, query.states, query.context)
    where = tuple((name, value is None) for name, value in query.where.items())
    asked = (query.order_by, query.descending, query.limit is None, query.after is None)
    return (*(value is None for value in given), where, query.matching_text, *asked)


def _ordered(query: Query, statement: Select[Any]) -> Select[Any]:
    place = [NODE.c[COLUMNS[query.order_by]], NODE.c.id]
    if query.after is not None:
        here = tuple_(*place)
        there = tuple_(bindparam("after_value"), bindparam("after_id"))
        statement = statement.where(here < there if query.descending else here > there)
    statement = statement.order_by(*(column.desc() if query.descending else column for column in place))
    # One more than asked tells whether there is a next page.
    return statement if query.limit is None else statement.limit(bindparam("at_most"))


def _in_context() -> ColumnElement[bool]:
    context = NODE.alias("context")
    members = (
        select(MEMBER.c.node_id)
        .join(context, context.c.id == MEMBER.c.context_id)
        .where(context.c.uid == bindparam("context"), context.c.kind == "context")
    )
    return NODE.c.id.in_(members)


def _has(i: int, name: str, absent: bool) -> ColumnElement[bool]:
    """A property, typed if there is one of that name, else custom, equals its value, or is null or absent."""
    value: ColumnElement[Any] = bindparam(f"value_{i}")
    if PLAIN_NAME.fullmatch(name):
        typed, custom = (f'$.{part}."{name}"' for part in "pc")
        found = case(
            (
                func.json_type(NODE.c.properties, typed).is_not(None),
                func.json_extract(NODE.c.properties, typed),
            ),
            else_=func.json_extract(NODE.c.properties, custom),
        )
        return found.is_(None) if absent else found == value
    typed_key, custom_key = _each("$.p", i, "key"), _each("$.c", i, "key")
    if absent:
        return ~or_(_each("$.p", i, "filled"), and_(~typed_key, _each("$.c", i, "filled")))
    return or_(_each("$.p", i, "equal"), and_(~typed_key, custom_key, _each("$.c", i, "equal")))


def _each(path: str, i: int, what: str) -> ColumnElement[bool]:
    each = func.json_each(NODE.c.properties, path).table_valued("key", "value").alias()
    condition = exists().where(each.c.key == bindparam(f"key_{i}"))
    if what == "equal":
        return condition.where(each.c.value == bindparam(f"value_{i}"))
    return condition.where(each.c.value.is_not(None)) if what == "filled" else condition
