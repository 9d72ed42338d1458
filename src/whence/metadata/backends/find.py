"""The SQL of `find_nodes` and `count_nodes`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    tuple_,
)

from whence.database import Database, Prepared, Session
from whence.metadata.backends.compile import Compiled, compile_scope
from whence.metadata.backends.indexes import Indexer, Wanted, wanted_by
from whence.metadata.backends.reading import EXTERNAL_ID, NAME, PROPERTIES, URI
from whence.metadata.backends.search import found, has_words, may_have
from whence.metadata.backends.spelling import Place, number, shown, spelling_of
from whence.metadata.backends.tables import MEMBER, NODE, NODE_PAST, TYPE, code_of, is_open
from whence.metadata.codes import KIND_CODES, STATE_CODES, STATES, pack_uid
from whence.metadata.filter import Scope
from whence.metadata.filter.bound import without_words
from whence.metadata.filter.shape import Constant, flavour_of, shape_of
from whence.metadata.query import By, Query
from whence.metadata.types import NodeKind

# Shapes of queries whose statements are kept; a program has a few dozen.
KEPT: Final = 256

Shape: TypeAlias = tuple[object, ...]
Tuple: TypeAlias = tuple[Any, ...]  # Any: the node table's columns


@dataclass(frozen=True, slots=True)
class Kept:
    """The statement of a shape of query, its filter, and the indexes that would serve it."""

    statement: Prepared
    compiled: Compiled | None
    wanted: tuple[Wanted, ...]


_OPEN: Final = {"artifact": {"PENDING"}, "execution": {"NEW", "RUNNING"}, "context": set[str]()}


class Finder:
    """Runs queries on one database; a statement is composed once for each shape of query.

    Args:
        database: Where the tables are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spelling = spelling_of(database.abilities.json, database.abilities.dialect)
        self.kept: dict[Shape, Kept] = {}
        self.indexer = Indexer(database, self._spelling)

    def find(
        self, session: Session, query: Query, types: Sequence[int] | None, namespace: int | None
    ) -> list[Tuple]:
        """The raw rows of a query as of now, one more than its limit when there are more.

        Args:
            session: The transaction that reads.
            query: What is asked for.
            types: The ids of its types; None when it names none.
            namespace: The id of the namespace that is asked; None is all.
        """
        matching, words = (None, ()) if query.matching is None else without_words(query.matching)
        scope, constants = _abstract(matching)
        shape = (_shape(query, types, namespace), scope, words)
        kept = self.kept.get(shape)
        if kept is None:
            composed = self._composed(query, types, namespace, scope, words)
            kept = self._keep(shape, *composed, wanted_by(scope, query.order_by))
        values = {**self._values(query, types, namespace), **self._filter_values(session, kept, constants)}
        if words:
            return _having(words, kept.statement.stream(session, values), query.limit)
        return self._rows(session, kept, values)

    def count(
        self, session: Session, kind: NodeKind, matching: Scope | None, by: By | None, namespace: int | None
    ) -> dict[str, int]:
        """How many nodes there are, tombstones left out, by the name of their type or their state."""
        scope, constants = _abstract(matching)
        shape = ("count", kind, by, namespace is None, scope)
        kept = self.kept.get(shape)
        if kept is None:
            kept = self._keep(shape, *self._counting(kind, by, namespace, scope), wanted_by(scope))
        rows = self._rows(
            session, kept, {"namespace": namespace, **self._filter_values(session, kept, constants)}
        )
        if by is None:
            return {kind: rows[0][0]}
        if by == "type":
            return {str(name): n for name, n in rows}
        return {STATES[KIND_CODES[kind]][code]: n for code, n in rows if code is not None}

    def settle(self, timeout_s: float = 60.0) -> bool:
        """Wait until the indexes that were begun are there; see `Indexer.settle`."""
        return self.indexer.settle(timeout_s)

    def close(self) -> None:
        """End what works in the background."""
        self.indexer.close()

    def _rows(self, session: Session, kept: Kept, values: Mapping[str, object]) -> list[Tuple]:
        begun = time.perf_counter()
        rows = kept.statement.rows(session, values)
        self.indexer.note(kept.wanted, time.perf_counter() - begun)
        return rows

    def _keep(
        self, shape: Shape, statement: Select[Any], compiled: Compiled | None, wanted: tuple[Wanted, ...]
    ) -> Kept:
        if len(self.kept) >= KEPT:
            self.kept.clear()
        kept = self.kept[shape] = Kept(self._database.prepare(statement), compiled, wanted)
        return kept

    def _filter_values(self, session: Session, kept: Kept, constants: list[Constant]) -> dict[str, object]:
        if kept.compiled is None:
            return {}
        values = kept.compiled.values(constants)
        if kept.compiled.searched:
            values |= found(session, self._database, kept.compiled.searched)
        return values

    def _values(
        self, query: Query, types: Sequence[int] | None, namespace: int | None
    ) -> Mapping[str, object]:
        pack = self._database.pack
        values: dict[str, object] = {
            "external_id": query.external_id,
            "node_uri": query.uri,
            "namespace": namespace,
        }
        if query.context is not None:
            values["context"] = pack_uid(query.context)[0]
        for name, several in (("types", types), ("names", query.names)):
            if several is not None:
                values[name] = pack(list(several))
        if query.contexts is not None:
            values["contexts"] = pack([pack_uid(uid)[0] for uid in query.contexts])
        if query.name_prefix is not None:
            values |= {"prefix": query.name_prefix, "prefix_length": len(query.name_prefix)}
        if query.after is not None:
            values |= {"after_value": query.after[0], "after_id": query.after[1]}
        if query.pinned_us is not None:
            values |= {"pinned": query.pinned_us, "pinned_end": 4 * (query.pinned_n + 1)}
        if query.limit is not None:
            values["at_most"] = query.limit + 1
        for i, value in enumerate(query.where.values()):
            if value is not None:
                values[f"value_{i}"] = self._asked(value)
        return values

    def _asked(self, value: float | str) -> object:
        if isinstance(value, bool):
            return int(value)
        flavour = flavour_of(value)
        assert flavour is not None
        return self._spelling.constant(value, flavour)

    def _composed(
        self,
        query: Query,
        types: Sequence[int] | None,
        namespace: int | None,
        scope: Scope | None,
        words: Sequence[str],
    ) -> tuple[Select[Any], Compiled | None]:
        conditions = _living(query.kind, namespace, removed=query.removed)
        if words:
            conditions += may_have(words, self._spelling)
            query = replace(query, limit=None)  # of what may have them, the first ones may not
        among = self._database.among
        if types is not None:
            conditions.append(among(NODE.c.type_id, "types"))
        name = shown(self._spelling, NODE, "name") if query.removed else NODE.c.name
        external_id = shown(self._spelling, NODE, "external_id") if query.removed else NODE.c.external_id
        if query.names is not None:
            conditions.append(among(name, "names"))
        if query.states is not None:
            conditions.append(_in_states(query.kind, query.states))
        if query.name_prefix is not None:
            conditions.append(name >= bindparam("prefix"))
            conditions.append(func.substr(name, 1, bindparam("prefix_length")) == bindparam("prefix"))
        if query.external_id is not None:
            conditions.append(external_id == bindparam("external_id"))
        if query.uri is not None:
            conditions.append(NODE.c.uri == bindparam("node_uri"))
        if query.pinned_us is not None:
            conditions += _unchanged()
        conditions += self._in_contexts(query)
        conditions += [self._has(i, name, value) for i, (name, value) in enumerate(query.where.items())]
        compiled = None
        if scope is not None:
            compiled = compile_scope(scope, self._database, living=not query.removed)
            conditions.append(compiled.condition)
        return _ordered(query, select(*NODE.c).where(and_(*conditions))), compiled

    def _counting(
        self, kind: NodeKind, by: By | None, namespace: int | None, scope: Scope | None
    ) -> tuple[Select[Any], Compiled | None]:
        conditions, compiled = _living(kind, namespace, removed=False), None
        if scope is not None:
            compiled = compile_scope(scope, self._database, living=True)
            conditions.append(compiled.condition)
        if by is None:
            return select(func.count()).select_from(NODE).where(*conditions), compiled
        if by == "state":
            found = select(NODE.c.state, func.count()).where(*conditions)
            return found.group_by(NODE.c.state).order_by(NODE.c.state), compiled
        joined = NODE.join(TYPE, TYPE.c.id == NODE.c.type_id)
        named = select(TYPE.c.name, func.count()).select_from(joined).where(*conditions)
        return named.group_by(TYPE.c.name).order_by(TYPE.c.name), compiled

    def _in_contexts(self, query: Query) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        for given, name in ((query.context, "context"), (query.contexts, "contexts")):
            if given is None:
                continue
            group = NODE.alias(name)
            is_it = (
                group.c.uid == bindparam("context", type_=LargeBinary())
                if name == "context"
                else self._database.among(group.c.uid, "contexts")
            )
            members = select(MEMBER.c.node_id).join(group, group.c.id == MEMBER.c.context_id)
            is_context = code_of(group) == number(KIND_CODES["context"])
            conditions.append(NODE.c.id.in_(members.where(is_it, is_context)))
        return conditions

    def _has(self, i: int, name: str, value: float | str | None) -> ColumnElement[bool]:
        """A property, typed if there is one of that name, else custom, equals its value, or is null or absent."""
        names, numbers = count(), count()

        def bind(given: object) -> ColumnElement[Any]:
            return bindparam(f"key_{i}_{next(numbers)}", given, type_=String())

        typed, custom = (
            self._spelling.place(NODE.c.properties, part, name, bind, lambda: f"w{i}_{next(names)}")
            for part in "pc"
        )
        if value is None:
            return not_(case((typed.present, typed.filled), else_=custom.filled))
        asked: ColumnElement[Any] = bindparam(f"value_{i}", type_=self._type(value))
        if isinstance(value, str):
            return case((typed.present, typed.read("text") == asked), else_=custom.read("text") == asked)
        typed_equal, custom_equal = (self._equal(place, asked, value) for place in (typed, custom))
        return case((typed.present, typed_equal), else_=custom_equal)

    def _equal(self, place: Place, asked: ColumnElement[Any], value: float) -> ColumnElement[bool]:
        if value not in (0, 1):
            return place.read("number") == asked
        # TRUE is 1 here, as it is in Python.
        one = case((place.read("bool"), number(1)), else_=number(0))
        return or_(place.read("number") == asked, and_(place.read("bool").is_not(None), one == asked))

    def _type(self, value: float | str) -> Any:  # Any: a type of whatever Python value
        flavour = "int" if isinstance(value, bool) else flavour_of(value)
        assert flavour is not None
        return self._spelling.type_of(flavour)


def _having(words: Sequence[str], rows: Iterator[Tuple], limit: int | None) -> list[Tuple]:
    """The rows that have these words, one more than the limit when there are more: no more of them is read."""
    wanted = frozenset(words)
    with closing(rows):  # type: ignore[type-var]  # a generator
        found = (
            raw for raw in rows if has_words(wanted, raw[NAME], raw[EXTERNAL_ID], raw[URI], raw[PROPERTIES])
        )
        return list(islice(found, None if limit is None else limit + 1))


def _abstract(matching: Scope | None) -> tuple[Scope | None, list[Constant]]:
    return (None, []) if matching is None else shape_of(matching)


def _shape(query: Query, types: Sequence[int] | None, namespace: int | None) -> Shape:
    given = (
        types,
        namespace,
        query.names,
        query.name_prefix,
        query.external_id,
        query.uri,
        query.context,
        query.contexts,
    )
    where = tuple(
        (
            name,
            type(value),
            isinstance(value, int | float) and value in (0, 1),
            isinstance(value, int) and flavour_of(value),
        )
        for name, value in query.where.items()
    )
    asked = (
        query.kind,
        query.order_by,
        query.descending,
        query.limit is None,
        query.after is None,
        query.removed,
        query.pinned_us is None,
    )
    return (*(value is None for value in given), where, query.states, *asked)


def _living(kind: NodeKind, namespace: int | None, *, removed: bool) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [code_of(NODE) == number(KIND_CODES[kind])]
    if not removed:
        conditions.append(NODE.c.removed_us.is_(None))
    if namespace is not None:
        conditions.append(NODE.c.namespace_id == bindparam("namespace"))
    return conditions


def _in_states(kind: NodeKind, states: frozenset[str]) -> ColumnElement[bool]:
    codes = [number(STATE_CODES[kind][word]) for word in sorted(states) if word in STATE_CODES[kind]]
    if not codes:  # an empty list has no spelling that is known before it runs
        return false()
    found = NODE.c.state.in_(codes)
    # In these words the index of open states serves.
    return and_(is_open(NODE), found) if states and states <= _OPEN[kind] else found


def _unchanged() -> list[ColumnElement[bool]]:
    """The nodes that were there when the first page was read and are as they were, whatever times they claim."""
    pinned = bindparam("pinned", type_=BigInteger())
    since = exists().where(NODE_PAST.c.node_id == NODE.c.id, NODE_PAST.c.until_us > pinned)
    return [
        NODE.c.id < bindparam("pinned_end", type_=BigInteger()),
        or_(NODE.c.removed_us.is_(None), NODE.c.removed_us <= pinned),
        # Few have a later time: of those it is asked whether they had it then.
        or_(_updated() <= pinned, not_(since.correlate(NODE))),
    ]


def _updated() -> ColumnElement[int]:
    return func.coalesce(NODE.c.updated_us, NODE.c.created_us)


def _ordered(query: Query, statement: Select[Any]) -> Select[Any]:
    columns: dict[str, ColumnElement[Any]] = {
        "created_at": NODE.c.created_us,
        "updated_at": _updated(),
    }
    place = [columns[query.order_by], NODE.c.id] if query.order_by in columns else [NODE.c.id]
    if query.after is not None:
        names = ["after_value", "after_id"][-len(place) :]
        here, there = tuple_(*place), tuple_(*(bindparam(name) for name in names))
        if len(place) == 1:
            here, there = NODE.c.id, bindparam("after_id")  # type: ignore[assignment]  # compared alike
        statement = statement.where(here < there if query.descending else here > there)
    statement = statement.order_by(*(column.desc() if query.descending else column for column in place))
    # One more than asked tells whether there is a next page.
    return statement if query.limit is None else statement.limit(bindparam("at_most"))
