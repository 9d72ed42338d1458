"""Filters as SQL: one condition on a row of the node table, its values bound, its names never spelled raw.

A scope becomes a condition on one alias of the node table; each neighbour it names is a row that EXISTS,
each walk a recursive query over the events that is asked once, not for each row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Float,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.sql.elements import BindParameter, Case, ColumnClause, Grouping, Null
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import ScalarSelect

from whence.errors import UnsupportedError, UsageError, WhenceError
from whence.metadata.backends.tables import EVENT, MEMBER, NODE, PARENT, TYPE
from whence.metadata.filter import bound as b
from whence.metadata.filter.bound import Bound, Scope
from whence.metadata.filter.evaluate import STATISTICS
from whence.metadata.filter.patterns import to_glob
from whence.metadata.filter.types import Relation
from whence.metadata.typetable import followed

Sql: TypeAlias = ColumnElement[Any]  # Any: SQLite's values have no kinds; the binder has checked them
Rows: TypeAlias = Mapping[int, FromClause]
"""The row that stands for each holder of a scope: the node's own is 0."""

# Names that a JSON path can spell; SQLite reads a path's text raw, so others go through json_each.
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.: -]+")

_READS, _WRITES = followed(internal=False)
_CONTEXTS: Final[dict[Relation, tuple[FromClause, str, str]]] = {
    "contexts": (MEMBER, "node_id", "context_id"),
    "parent_contexts": (PARENT, "child_id", "parent_id"),
    "child_contexts": (PARENT, "parent_id", "child_id"),
}
# SQLite's parser keeps at most 100 symbols, so that parentheses nobody needs are depth somebody may.
_ATOMS: Final = (BindParameter, Case, ColumnClause, FunctionElement, Null, ScalarSelect)
# SQLITE_MAX_EXPR_DEPTH is 1,000; two chains stand in each other for the longest filter there may be.
CHAIN: Final = 250
_WAYS: Final = {True: ("artifact_id", "execution_id"), False: ("execution_id", "artifact_id")}
"""Over an event: from an artifact or not, and to the other end."""
_TIMES: Final = {"created_at": "created_us", "updated_at": "updated_us"}
_MILLISECONDS: Final = {"create_time_since_epoch": "created_us", "last_update_time_since_epoch": "updated_us"}


def compile_filter(scope: Scope, *, dialect: str = "sqlite", node: FromClause = NODE) -> ColumnElement[bool]:
    """The condition that a row of `node` fits a filter.

    Answers what `whence.metadata.filter.evaluate` answers, for every graph.

    Args:
        scope: A filter bound to a kind; that the row is of that kind is for the caller to ask.
        dialect: The system's name in SQLAlchemy.
        node: The node table, or an alias of it, in the caller's query.

    Raises:
        UnsupportedError: The system has no compiler yet, or the filter searches for words.
    """
    if dialect != "sqlite":
        raise UnsupportedError(
            f"filters are not compiled for {dialect} yet", hint="SQLite and the memory store have them"
        )
    return _Compiler().scope(scope, node)


def refused(error: WhenceError) -> WhenceError:
    """What a store's error says of the filter it was asked: ``bad-filter`` when SQLite cannot read so deep a one.

    How deep it reads depends on what is nested in what; functions and COUNTs take more than parentheses.
    Versions of SQLite from 3.46 on read deeper.
    """
    if any(sign in error.message for sign in ("parser stack overflow", "Expression tree is too large")):
        return UsageError(
            "the filter is nested more deeply than this SQLite reads",
            code="bad-filter",
            hint="ask in several filters, or with fewer functions and COUNTs inside each other",
        )
    return error


class _Compiler:
    """Composes the SQL of one filter; parameters are numbered, so that equal filters are equal text."""

    def __init__(self) -> None:
        self._values = 0
        self._names = 0
        self._kinds: dict[FromClause, b.ScopeKind] = {}

    def scope(self, scope: Scope, row: FromClause) -> ColumnElement[bool]:
        """The condition that a row fits a scope."""
        self._kinds[row] = scope.kind
        conditions = [self._has(row, part, name) for part, name in scope.required]
        for names, parts in b.conjuncts(scope):
            around = {name: scope.neighbours[name - 1] for name in names}
            others = {name: self._alias(neighbour.kind) for name, neighbour in around.items()}
            wanted = [self.condition(part, {0: row, **others}) for part in parts]
            if not names:
                conditions += wanted
                continue
            joined = [self._beside(row, others[name], around[name].relation) for name in names]
            joined += [self._has(others[name], *pair) for name in names for pair in around[name].required]
            found: Select[Any] = (
                select(literal_column("1")).select_from(*others.values()).where(*joined, *wanted)
            )
            conditions.append(exists(found.correlate_except(*others.values())))
        return _joined(and_, conditions) if conditions else true()

    def _name(self) -> str:
        self._names += 1
        return f"f{self._names}"

    def _alias(self, kind: b.ScopeKind) -> FromClause:
        return (EVENT if kind == "event" else NODE).alias(self._name())

    def _bind(self, value: object) -> Sql:
        self._values += 1
        return bindparam(f"filter_{self._values}", value)

    def _binds(self, values: Sequence[object]) -> list[Sql]:
        return [self._bind(value) for value in values]

    def condition(self, bound: Bound, rows: Rows) -> Sql:
        """A condition: 1, 0 or NULL."""
        return self.value(bound, rows)

    def value(self, bound: Bound, rows: Rows) -> Sql:
        """A value or condition for these rows."""
        match bound:
            case b.Value(value):
                return null() if value is None else self._bind(value)
            case b.ColumnOf(holder, name):
                return _column(rows[holder], name)
            case b.PropertyOf(holder, part, name, want):
                return _wanted(self._place(rows[holder], part, name), want)
            case b.StatsOf(holder, name, want):
                return self._stats(rows[holder], name, lambda place: _wanted(place, want))
            case b.Logic() | b.Negation() | b.Comparison() | b.Among() | b.Matches() | b.Missing():
                return self._test(bound, rows)
            case b.Arithmetic(op, left, right):
                return self._reckon(op, self._operand(left, rows), self._operand(right, rows))
            case b.Function(name, value):
                return self._call(name, self._operand(value, rows))
            case b.Walked() | b.Counted() | b.Folded():
                return self._inner(bound, rows[0])
            case b.Words():
                raise UnsupportedError(
                    "text search is not compiled for sqlite yet",
                    hint="the memory store has it; LIKE works here",
                )

    def _operand(self, bound: Bound, rows: Rows) -> Sql:
        """A value as a side of an operator: in parentheses when it is more than one word of SQL."""
        value = self.value(bound, rows)
        return value if isinstance(value, _ATOMS) else Grouping(value)

    def _test(
        self,
        bound: b.Logic | b.Negation | b.Comparison | b.Among | b.Matches | b.Missing,
        rows: Rows,
    ) -> Sql:
        match bound:
            case b.Logic(op, parts):
                inside = [self.condition(part, rows) for part in parts]
                return _joined(and_ if op == "and" else or_, inside)
            case b.Negation(part):
                return not_(self.condition(part, rows))
            case b.Comparison():
                return self._compare(bound, rows)
            case b.Among(value, options):
                return self._among(value, self._binds(options), rows)
            case b.Matches(value, pattern):
                return self._operand(value, rows).op("GLOB", is_comparison=True)(self._bind(to_glob(pattern)))
            case b.Missing(value):
                return self._missing(value, rows)

    def _compare(self, bound: b.Comparison, rows: Rows) -> Sql:
        left, right = bound.left, bound.right
        if bound.kind == "any":
            return self._compare_any(bound, rows)
        if bound.op == "=" and isinstance(left, b.ColumnOf) and isinstance(right, b.Value):
            return self._among(left, [self._bind(right.value)], rows)
        return self._operand(left, rows).op(bound.op, is_comparison=True)(self._operand(right, rows))

    def _among(self, value: Bound, options: Sequence[Sql], rows: Rows) -> Sql:
        if isinstance(value, b.ColumnOf) and (value.name, value.kind) == ("type", "text"):
            # The few ids of those names are looked up once, not the name of each row's type.
            kinds = select(TYPE.c.id).where(TYPE.c.name.in_(options)).correlate(None)
            return rows[value.holder].c.type_id.in_(kinds)
        found = self._operand(value, rows)
        return found == options[0] if len(options) == 1 else found.in_(options)

    def _compare_any(self, bound: b.Comparison, rows: Rows) -> Sql:
        """Two properties, compared when both are numbers, both text, or both true or false."""
        left, right = self._operand(bound.left, rows), self._operand(bound.right, rows)
        first, second = self._class(bound.left, rows), self._class(bound.right, rows)
        return case((first == second, left.op(bound.op, is_comparison=True)(right)))

    def _class(self, bound: Bound, rows: Rows) -> Sql:
        if isinstance(bound, b.StatsOf):
            return self._stats(rows[bound.holder], bound.name, _class)
        assert isinstance(bound, b.PropertyOf)
        return _class(self._place(rows[bound.holder], bound.part, bound.name))

    def _missing(self, bound: Bound, rows: Rows) -> Sql:
        if isinstance(bound, b.PropertyOf) and bound.want == "any":
            return not_(self._has(rows[bound.holder], bound.part, bound.name))
        if isinstance(bound, b.StatsOf) and bound.want == "any":
            return self._stats(rows[bound.holder], bound.name, _filled).is_(None)
        return self._operand(bound, rows).is_(None)

    def _has(self, row: FromClause, part: str, name: str) -> Sql:
        """Whether a node has a property that is not null; never unknown."""
        return func.coalesce(_filled(self._place(row, part, name)), literal_column("0")) == literal_column(
            "1"
        )

    def _place(self, row: FromClause, part: str, name: str) -> _Place:
        properties = row.c.properties
        if PLAIN_NAME.fullmatch(name):
            # Spelled out and not bound: only so can an index on the expression serve it.
            path = f'$.{part}."{name}"'
            return _Place(
                func.json_type(properties, _spelled(path)),
                func.json_extract(properties, _spelled(path)),
                func.json_extract(properties, _spelled(f'{path}."$float"')),
            )

        def found(what: Callable[[FromClause], Sql]) -> Sql:
            each = func.json_each(properties, _spelled(f"$.{part}")).table_valued("key", "value", "type")
            one = each.alias(self._name())
            return (
                select(what(one)).where(one.c.key == self._bind(name)).correlate_except(one).scalar_subquery()
            )

        def special(each: FromClause) -> Sql:
            special = func.json_extract(each.c.value, _spelled('$."$float"'))
            return case((each.c.type == _spelled("object"), special))

        return _Place(found(lambda each: each.c.type), found(lambda each: each.c.value), found(special))

    def _stats(self, row: FromClause, name: str, read: Callable[[_Place], Sql]) -> Sql:
        """What is read of the newest statistics of an artifact; NULL when there are none."""
        reading, writing = EVENT.alias(self._name()), EVENT.alias(self._name())
        made, newest = self._alias("artifact"), self._alias("artifact")
        of_name = TYPE.c.name.in_([_spelled(known) for known in sorted(STATISTICS)])
        kinds = (
            select(TYPE.c.id).where(or_(of_name, TYPE.c.base == _spelled("mlmd.Statistics"))).correlate(None)
        )
        last = (
            select(func.max(made.c.id))
            .select_from(reading, writing, made)
            .where(
                reading.c.artifact_id == row.c.id,
                self._of_kinds(reading, _READS),
                writing.c.execution_id == reading.c.execution_id,
                self._of_kinds(writing, _WRITES),
                made.c.id == writing.c.artifact_id,
                made.c.state == _spelled("LIVE"),
                made.c.type_id.in_(kinds),
            )
            .correlate_except(reading, writing, made)
            .scalar_subquery()
        )
        typed, custom = (self._place(newest, part, name) for part in "pc")
        # A typed property that is null is a property: the custom one of its name is not asked.
        found = case((typed.kind.is_not(None), read(typed)), else_=read(custom))
        return select(found).where(newest.c.id == last).correlate_except(newest).scalar_subquery()

    def _reckon(self, op: str, left: Sql, right: Sql) -> Sql:
        if op == "/":
            return cast(left, Float).op("/")(cast(right, Float))
        return left.op(op)(right)

    def _call(self, name: str, value: Sql) -> Sql:
        if name == "ABS":
            # SQLite's abs() fails on the least whole number. The value is named, not repeated: else a chain of
            # calls would double with each.
            one = select(value.label("v")).correlate(*self._kinds).subquery(self._name())
            sign = case((one.c.v < literal_column("0"), literal_column("0").op("-")(one.c.v)), else_=one.c.v)
            return select(sign).correlate_except(one).scalar_subquery()
        if name == "LENGTH":
            return func.length(value)
        # SQLite changes the letters A to Z and no others, unless it is built with ICU.
        return func.lower(value) if name == "LOWER" else func.upper(value)

    def _inner(self, bound: b.Walked | b.Counted | b.Folded, row: FromClause) -> Sql:
        if isinstance(bound, b.Walked):
            return row.c.id.in_(self._walk(bound))
        other = self._alias(bound.inside.kind)
        answer: Sql = func.count()
        if isinstance(bound, b.Folded):
            value = self._operand(bound.value, {0: other})
            reckoned = value if bound.name in ("MIN", "MAX") else cast(value, Float)
            answer = getattr(func, bound.name.lower())(reckoned)
        return (
            select(answer)
            .select_from(other)
            .where(self._beside(row, other, bound.relation), self.scope(bound.inside, other))
            .correlate_except(other)
            .scalar_subquery()
        )

    def _beside(self, row: FromClause, other: FromClause, relation: Relation) -> ColumnElement[bool]:
        """The condition that a row is a neighbour of a node."""
        if relation == "events":
            return or_(other.c.execution_id == row.c.id, other.c.artifact_id == row.c.id)
        if relation in _CONTEXTS:
            table, near, far = _CONTEXTS[relation]
            return other.c.id.in_(self._ends(table, near, far, row))
        kind = "execution" if relation == "executions" else "artifact"
        if self._kinds[row] == "context":
            members = self._ends(MEMBER, "context_id", "node_id", row)
            return and_(other.c.kind == _spelled(kind), other.c.id.in_(members))
        near, far = (
            ("artifact_id", "execution_id") if kind == "execution" else ("execution_id", "artifact_id")
        )
        kinds = {"inputs": _READS, "outputs": _WRITES}.get(relation)
        return other.c.id.in_(self._ends(EVENT, near, far, row, kinds))

    def _ends(
        self, table: FromClause, near: str, far: str, row: FromClause, kinds: frozenset[str] | None = None
    ) -> Select[Any]:
        edge = table.alias(self._name())
        found = select(edge.c[far]).where(edge.c[near] == row.c.id).correlate_except(edge)
        return found if kinds is None else found.where(self._of_kinds(edge, kinds))

    def _of_kinds(self, edge: FromClause, kinds: frozenset[str]) -> ColumnElement[bool]:
        return edge.c.kind.in_([_spelled(kind) for kind in sorted(kinds)])

    def _walk(self, walked: b.Walked) -> Select[Any]:
        """The ids of the nodes that reach one that fits: the way is gone backwards, from those."""
        seed = self._alias(walked.inside.kind)
        kinds = ["artifact", "execution"] if walked.inside.kind == "lineage" else [walked.inside.kind]
        fits = seed.c.kind.in_([_spelled(kind) for kind in kinds]), self.scope(walked.inside, seed)
        if walked.name not in ("ancestor", "descendant"):
            near, far = _WAYS[walked.name in ("input", "output")]
            edge = EVENT.alias(self._name())
            of = _READS if walked.name in ("input", "consumer") else _WRITES
            there = edge.c[near].in_(select(seed.c.id).where(*fits).correlate(None))
            found = select(edge.c[far].label("id")).where(self._of_kinds(edge, of), there).correlate(None)
            # Named in front of the statement it nests nothing, however many walks stand in each other.
            return select(found.cte(self._name()).c.id).correlate(None)
        # Without a limit the second column only tells what is reached from what it began with.
        begun = select(seed.c.id.label("id"), literal_column("0").label("hops")).where(*fits).correlate(None)
        reached = begun.cte(self._name(), recursive=True)
        steps = []
        for from_artifact in (True, False):
            near, far = _WAYS[from_artifact]
            edge = EVENT.alias(self._name())
            of = _READS if from_artifact == (walked.name == "ancestor") else _WRITES
            hops = literal_column("1") if walked.hops is None else reached.c.hops + literal_column("1")
            step = select(edge.c[far], hops).where(edge.c[near] == reached.c.id, self._of_kinds(edge, of))
            steps.append(
                step if walked.hops is None else step.where(reached.c.hops < self._bind(walked.hops))
            )
        whole = reached.union(*steps)
        return select(whole.c.id).where(whole.c.hops > literal_column("0")).correlate(None)


@dataclass(frozen=True, slots=True)
class _Place:
    """A property in its JSON: its kind there, its value, and the name of a float that JSON has not."""

    kind: Sql
    value: Sql
    special: Sql


def _joined(operator: Callable[..., ColumnElement[bool]], parts: Sequence[Sql]) -> ColumnElement[bool]:
    """Conditions joined by AND or OR, however many: SQLite reads a chain as a tree as deep as it is long."""
    while len(parts) > CHAIN:
        chunks = [parts[i : i + CHAIN] for i in range(0, len(parts), CHAIN)]
        # SQLAlchemy takes plain parentheses away again.
        parts = [type_coerce(Grouping(operator(*chunk)), Boolean()) for chunk in chunks]
    return operator(*parts)


def _filled(place: _Place) -> Sql:
    return place.kind != _spelled("null")


def _wanted(place: _Place, want: b.Want) -> Sql:
    """A property as something; NULL when it is something else."""
    special = case(
        # An infinite number: no double of SQLite's grammar is larger.
        (place.special == _spelled("inf"), literal_column("9e999")),
        (place.special == _spelled("-inf"), literal_column("-9e999")),
    )
    whens: dict[str, Sql] = {}
    if want in ("int", "number", "any"):
        whens["integer"] = place.value
    if want in ("double", "number", "any"):
        whens |= {"real": place.value, "object": special}
    if want in ("text", "any"):
        whens["text"] = place.value
    if want in ("bool", "any"):
        whens |= {"true": literal_column("1"), "false": literal_column("0")}
    return case(*((place.kind == _spelled(kind), value) for kind, value in whens.items()))


def _class(place: _Place) -> Sql:
    """A letter for what may be compared with each other."""
    classes = {"true": "b", "false": "b", "integer": "n", "real": "n", "object": "n", "text": "t"}
    return case(*((place.kind == _spelled(kind), _spelled(letter)) for kind, letter in classes.items()))


def _spelled(text: str) -> Sql:
    """A word of ours as it stands in SQL; nothing a caller wrote but names of letters and digits."""
    assert "'" not in text
    return literal_column(f"'{text}'")


def _column(row: FromClause, name: str) -> Sql:
    if "artifact_id" in row.c:
        return _event_column(row, name)
    if name in ("type", "base", "type_version"):
        column = TYPE.c[{"type": "name", "type_version": "version"}.get(name, name)]
        of = select(column).where(TYPE.c.id == row.c.type_id).correlate_except(TYPE).scalar_subquery()
        return func.nullif(of, _spelled("")) if name == "type_version" else of
    if name in _TIMES:
        return row.c[_TIMES[name]]
    if name in _MILLISECONDS:
        return row.c[_MILLISECONDS[name]].op("/")(literal_column("1000"))
    if name == "last_known_state":
        return case((row.c.kind == _spelled("execution"), row.c.state))
    return row.c[name]


def _event_column(row: FromClause, name: str) -> Sql:
    match name:
        case "type":
            return row.c.kind
        case "at":
            return row.c.at_us
        case "milliseconds_since_epoch":
            return row.c.at_us.op("/")(literal_column("1000"))
        case "path":
            steps = func.json_each(row.c.path).table_valued("value").alias("steps")
            joined = select(func.group_concat(steps.c.value, _spelled("/"))).correlate_except(steps)
            return case((row.c.path == _spelled(""), _spelled("")), else_=joined.scalar_subquery())
        case _:
            return row.c[name]
