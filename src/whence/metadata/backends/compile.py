"""Filters as SQL: one condition on a row of the node table, its values bound, its names never spelled raw.

A scope becomes a condition on one alias of the node table; each neighbour it names is a row that EXISTS,
each walk a recursive query over the events that is asked once, not for each row. Where systems differ in
words, `whence.metadata.backends.spelling` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.sql.elements import BindParameter, Case, ColumnClause, Grouping, Null
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import ScalarSelect
from sqlalchemy.types import TypeEngine

from whence.database import Database
from whence.errors import UsageError, WhenceError
from whence.metadata.backends.spelling import Place, Spelling, number, shown, spelled, spelling_of
from whence.metadata.backends.tables import EVENT, MEMBER, NAMESPACE, NODE, PARENT, TYPE, code_of, is_open
from whence.metadata.codes import EVENT_CODES, KIND_CODES, STATE_CODES, pack_uid
from whence.metadata.filter import bound as b
from whence.metadata.filter.bound import Bound, Scope
from whence.metadata.filter.evaluate import STATISTICS
from whence.metadata.filter.shape import Constant, flavour_of
from whence.metadata.filter.types import Relation
from whence.metadata.ids import node_id
from whence.metadata.types import NodeKind
from whence.metadata.typetable import followed

Sql: TypeAlias = ColumnElement[Any]  # Any: what kind a value has, the binder has checked
Rows: TypeAlias = Mapping[int, FromClause]
"""The row that stands for each holder of a scope: the node's own is 0."""
Made: TypeAlias = Callable[[Constant], object]
"""What is bound for a constant."""

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
_OPEN: Final = {("artifact", "PENDING"), ("execution", "NEW"), ("execution", "RUNNING")}
_TIMES: Final = {"created_at": "created_us", "removed_at": "removed_us"}
# Ids have two bits for the kind; no node has a number beyond.
_LAST_NODE: Final = 2**60


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter as a condition.

    Attributes:
        condition: The condition on a row of the node table.
        slots: For each name that is bound: the number of the constant, and what becomes of it.
        searched: For each name that is bound to the ids of nodes (packed): the words they have, and their kinds.
    """

    condition: ColumnElement[bool]
    slots: Mapping[str, tuple[int, Made]]
    searched: Mapping[str, Searched]

    def values(self, constants: Sequence[Constant]) -> dict[str, object]:
        """What is bound for the constants of a filter of this shape."""
        return {name: made(constants[i]) for name, (i, made) in self.slots.items()}


@dataclass(frozen=True, slots=True)
class Searched:
    """Nodes to be searched for: those of these kinds that have every word."""

    words: tuple[str, ...]
    kinds: tuple[NodeKind, ...]


def compile_scope(
    scope: Scope, database: Database, *, node: FromClause = NODE, living: bool = False
) -> Compiled:
    """A filter, or its shape (`whence.metadata.filter.shape`), as a condition with what is to be bound.

    Answers what `whence.metadata.filter.evaluate` answers, for every graph. A filter with SEARCH leaves
    names to be bound, see `whence.metadata.backends.search.found`.

    Args:
        scope: A filter bound to a kind; that the row is of that kind is for the caller to ask.
        database: Where it will be asked.
        node: The node table, or an alias of it, in the caller's query.
        living: The query asks that no row is a tombstone: then an index of names serves.
    """
    abilities = database.abilities
    compiler = _Compiler(spelling_of(abilities.json, abilities.dialect), database, node if living else None)
    condition = compiler.scope(scope, node)
    return Compiled(condition, compiler.slots, compiler.searched)


def refused(error: WhenceError) -> WhenceError:
    """What a store's error says of the filter it was asked: ``bad-filter`` when it is the filter's fault.

    How deep SQLite reads depends on what is nested in what; functions and COUNTs take more than parentheses.
    Versions of SQLite from 3.46 on read deeper. PostgreSQL and MariaDB have no infinite doubles.
    """
    said = f"{error.message} {error.__cause__ or ''}"
    if any(sign in said for sign in ("parser stack overflow", "Expression tree is too large")):
        return UsageError(
            "the filter is nested more deeply than this SQLite reads",
            code="bad-filter",
            hint="ask in several filters, or with fewer functions and COUNTs inside each other",
        )
    if "value is out of range" in said or "out of range: " in said or "out of range for type double" in said:
        return UsageError("a number that the filter reckons does not fit a double", code="bad-filter")
    return error


@dataclass(slots=True)
class _Compiler:
    """Composes the SQL of one filter; parameters are numbered, so that equal filters are equal text."""

    spelling: Spelling
    database: Database
    living: FromClause | None
    slots: dict[str, tuple[int, Made]] = field(default_factory=dict)
    searched: dict[str, Searched] = field(default_factory=dict)
    _names: int = 0
    _values: int = 0
    _kinds: dict[FromClause, b.ScopeKind] = field(default_factory=dict)

    def scope(self, scope: Scope, row: FromClause) -> ColumnElement[bool]:
        """The condition that a row fits a scope."""
        self._kinds[row] = scope.kind
        conditions = [self._place(row, part, name).filled for part, name in scope.required]
        for names, parts in b.conjuncts(scope):
            around = {name: scope.neighbours[name - 1] for name in names}
            others = {name: self._alias(neighbour.kind) for name, neighbour in around.items()}
            for name, other in others.items():
                self._kinds[other] = around[name].kind
            wanted = [self.value(part, {0: row, **others}) for part in parts]
            if not names:
                conditions += wanted
                continue
            joined = [self._beside(row, others[name], around[name].relation) for name in names]
            joined += [
                self._place(others[name], *pair).filled for name in names for pair in around[name].required
            ]
            found: Select[Any] = select(number(1)).select_from(*others.values()).where(*joined, *wanted)
            conditions.append(exists(found.correlate_except(*others.values())))
        return _joined(and_, conditions) if conditions else true()

    def _name(self) -> str:
        self._names += 1
        return f"f{self._names}"

    def _alias(self, kind: b.ScopeKind) -> FromClause:
        return (EVENT if kind == "event" else NODE).alias(self._name())

    def _bind(self, value: object, type_: TypeEngine[Any] | None = None) -> Sql:
        self._values += 1
        return bindparam(f"filter_{self._values}", value, type_=type_)

    def _constant(self, value: b.Scalar | b.Slot | tuple[str, ...] | None, made: Made | None = None) -> Sql:
        """A constant, or the name of one that is bound later."""
        if value is None:
            return null()
        if isinstance(value, bool):
            return self._bind(value, Boolean())
        flavour = "pattern" if isinstance(value, tuple) else flavour_of(value)
        assert flavour is not None
        spelling = self.spelling
        type_: TypeEngine[Any] | None = None
        if made is None:
            type_ = spelling.type_of(flavour)

            def made(constant: Constant) -> object:
                return spelling.constant(constant, flavour)

        if not isinstance(value, b.Slot):
            found = made(value)
            return self._bind(found, LargeBinary() if isinstance(found, bytes) else type_)
        self._values += 1
        name = f"filter_{self._values}"
        self.slots[name] = value.number, made
        return bindparam(name, type_=type_)

    def value(self, bound: Bound, rows: Rows) -> Sql:
        """A value or condition for these rows."""
        match bound:
            case b.Value(value):
                return self._constant(value)
            case b.ColumnOf(holder, name):
                return self._column(rows[holder], name)
            case b.PropertyOf(holder, part, name, want):
                return self._place(rows[holder], part, name).read(want)
            case b.StatsOf(holder, name, want):
                return self._stats(rows[holder], name, lambda place: place.read(want))
            case b.Logic() | b.Negation() | b.Comparison() | b.Among() | b.Matches() | b.Missing():
                return self._test(bound, rows)
            case b.Arithmetic(op, left, right):
                return self._reckon(op, self._operand(left, rows), self._operand(right, rows))
            case b.Function(name, value):
                return self._call(name, self._operand(value, rows))
            case b.Walked() | b.Counted() | b.Folded():
                return self._inner(bound, rows[0])
            case b.Words(words):
                return self._words(words, rows[0])

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
                inside = [self.value(part, rows) for part in parts]
                return _joined(and_ if op == "and" else or_, inside)
            case b.Negation(part):
                return not_(self.value(part, rows))
            case b.Comparison():
                return self._compare(bound, rows)
            case b.Among(value, options):
                return self._among(value, options, rows)
            case b.Matches(value, pattern):
                return self.spelling.matches(self._operand(value, rows), self._constant(pattern))
            case b.Missing(value):
                return self._missing(value, rows)

    def _compare(self, bound: b.Comparison, rows: Rows) -> Sql:
        left, right, op = bound.left, bound.right, bound.op
        if bound.kind in ("state", "event"):
            return self._compare_words(bound, rows)
        if bound.kind == "any":
            # Each is NULL unless both are numbers, text, true or false.
            wants: tuple[b.Want, ...] = ("number", "text", "bool")
            kinds: tuple[b.ValueKind, ...] = ("number", "text", "bool")
            tests = [
                self._compare(b.Comparison(op, _read_as(left, want), _read_as(right, want), kind), rows)
                for want, kind in zip(wants, kinds, strict=True)
            ]
            return func.coalesce(*tests, type_=Boolean())
        if op in ("=", "!="):
            for one, other in ((left, right), (right, left)):
                if isinstance(one, b.ColumnOf) and isinstance(other, b.Value) and other.value is not None:
                    found = self._among(one, [other.value], rows)
                    return found if op == "=" else not_(found)
        if bound.kind == "number" and self._must_be_whole(left, right):
            whole = self._compared(op, self._whole(left, rows), self._whole(right, rows))
            return func.coalesce(
                whole,
                self._compared(op, self._operand(left, rows), self._operand(right, rows)),
                type_=Boolean(),
            )
        first, second = self._operand(left, rows), self._operand(right, rows)
        if bound.kind == "number" and b.is_reckoned(left) is not b.is_reckoned(right):
            # Some systems do so by themselves, SQLite compares exactly.
            first, second = self.spelling.as_double(first), self.spelling.as_double(second)
        if bound.kind == "text" and op not in ("=", "!="):
            first = self.spelling.ordered(first)
        return self._compared(op, first, second)

    def _compared(self, op: str, left: Sql, right: Sql) -> Sql:
        return left.op(op, is_comparison=True)(right)

    def _must_be_whole(self, left: Bound, right: Bound) -> bool:
        """Whether doubles do not do for comparing what may be whole numbers on both sides."""
        if self.spelling.exact_numbers:
            return False
        mixed = [_flavour(bound) for bound in (left, right)]
        return mixed in (["mixed", "mixed"], ["mixed", "big"], ["big", "mixed"])

    def _whole(self, bound: Bound, rows: Rows) -> Sql:
        return self._operand(_read_as(bound, "int"), rows)

    def _compare_words(self, bound: b.Comparison, rows: Rows) -> Sql:
        """States, or kinds of events, equal or not."""
        left, right = bound.left, bound.right
        if isinstance(left, b.Value):
            left, right = right, left
        assert isinstance(left, b.ColumnOf)
        if isinstance(right, b.Value):
            assert isinstance(right.value, str)
            found = self._among(left, [right.value], rows)
            return found if bound.op == "=" else not_(found)
        assert isinstance(right, b.ColumnOf)
        sides = [
            self._column(rows[side.holder], side.name)
            if bound.kind == "event"
            else _said(rows[side.holder], side.name)
            for side in (left, right)
        ]
        return self._compared(bound.op, sides[0], sides[1])

    def _among(self, value: Bound, options: Sequence[b.Scalar | b.Slot], rows: Rows) -> Sql:
        if isinstance(value, b.ColumnOf):
            row = rows[value.holder]
            found = self._known(row, value.name, options)
            if found is None and value.kind == "state":
                found = self._states(row, value.name, [str(option) for option in options])
            if found is None and value.kind == "event":
                found = row.c.kind.in_([number(EVENT_CODES[str(option)]) for option in options])
            if found is not None:
                return found
        if not self.spelling.exact_numbers and any(flavour_of(option) == "big" for option in options):
            tests = [b.Comparison("=", value, b.Value(option, "number"), "number") for option in options]
            return _joined(or_, [self._compare(test, rows) for test in tests])
        left, right = self._operand(value, rows), [self._constant(option) for option in options]
        return left == right[0] if len(right) == 1 else left.in_(right)

    def _known(self, row: FromClause, name: str, options: Sequence[b.Scalar | b.Slot]) -> Sql | None:
        """Columns whose constants are looked up in the words of the tables, so that an index serves."""
        if name == "uid":
            return row.c.uid.in_([self._constant(option, _packed) for option in options])
        if name in ("type", "namespace") and "uid" in row.c:
            # The few ids of those names are looked up once, not the name of each row's type.
            table = TYPE if name == "type" else NAMESPACE
            named = select(table.c.id).where(table.c.name.in_([self._constant(o) for o in options]))
            return row.c[f"{name}_id"].in_(named.correlate(None))
        ends: dict[str, tuple[NodeKind, ...]] = {"artifact_id": ("artifact",), "execution_id": ("execution",)}
        if name == "id" or name in ends:
            kinds = ends.get(name) or self._of_row(row)
            ids = [self._constant(option, _node_id(kind)) for option in options for kind in kinds]
            return row.c[name].in_(ids)
        return None

    def _of_row(self, row: FromClause) -> tuple[NodeKind, ...]:
        kind = self._kinds[row]
        if kind == "lineage":
            return ("artifact", "execution")
        return () if kind == "event" else (kind,)

    def _states(self, row: FromClause, name: str, words: Sequence[str]) -> Sql:
        """Whether a state is one of these; unknown for a node that has none."""
        kinds = self._of_row(row)
        if len(kinds) == 1:
            codes = [number(STATE_CODES[kinds[0]][word]) for word in words]
            found = row.c.state == codes[0] if len(codes) == 1 else row.c.state.in_(codes)
            # In these words the index of open states serves.
            return and_(is_open(row), found) if all((kinds[0], word) in _OPEN for word in words) else found
        codes = [
            number(8 * KIND_CODES[kind] + STATE_CODES[kind][word])
            for word in words
            for kind in kinds
            if word in STATE_CODES[kind] and (name == "state" or kind == "execution")
        ]
        place = case((row.c.state.is_not(None), code_of(row) * number(8) + row.c.state))
        if name == "last_known_state":
            place = case((code_of(row) == number(KIND_CODES["execution"]), place))
        return place.in_(codes)

    def _words(self, words: tuple[str, ...], row: FromClause) -> Sql:
        name = f"searched_{len(self.searched) + 1}"
        self.searched[name] = Searched(words, self._of_row(row))
        return self.database.among(row.c.id, name)

    def _missing(self, bound: Bound, rows: Rows) -> Sql:
        if isinstance(bound, b.PropertyOf) and bound.want == "any":
            return not_(self._place(rows[bound.holder], bound.part, bound.name).filled)
        if isinstance(bound, b.StatsOf) and bound.want == "any":
            # Of no statistics it is NULL; of some that lack the property it is false.
            found = self._stats(rows[bound.holder], bound.name, lambda place: place.filled)
            return not_(func.coalesce(found, self._bind(value=False, type_=Boolean())))
        return self._operand(bound, rows).is_(None)

    def _place(self, row: FromClause, part: str, name: str) -> Place:
        return self.spelling.place(
            row.c.properties, part, name, lambda value: self._bind(value, String()), self._name
        )

    def _stats(self, row: FromClause, name: str, read: Callable[[Place], Sql]) -> Sql:
        """What is read of the newest statistics of an artifact; NULL when there are none."""
        reading, writing = EVENT.alias(self._name()), EVENT.alias(self._name())
        made, newest = self._alias("artifact"), self._alias("artifact")
        of_name = TYPE.c.name.in_([spelled(known) for known in sorted(STATISTICS)])
        kinds = (
            select(TYPE.c.id).where(or_(of_name, TYPE.c.base == spelled("mlmd.Statistics"))).correlate(None)
        )
        last = (
            select(func.max(made.c.id))
            .select_from(reading, writing, made)
            .where(
                reading.c.artifact_id == row.c.id,
                _of_kinds(reading, _READS),
                writing.c.execution_id == reading.c.execution_id,
                _of_kinds(writing, _WRITES),
                made.c.id == writing.c.artifact_id,
                made.c.state == number(STATE_CODES["artifact"]["LIVE"]),
                made.c.type_id.in_(kinds),
            )
            .correlate_except(reading, writing, made)
            .scalar_subquery()
        )
        typed, custom = (self._place(newest, part, name) for part in "pc")
        # A typed property that is null is a property: the custom one of its name is not asked.
        found = case((typed.present, read(typed)), else_=read(custom))
        return select(found).where(newest.c.id == last).correlate_except(newest).scalar_subquery()

    def _reckon(self, op: str, left: Sql, right: Sql) -> Sql:
        left, right = self.spelling.as_double(left), self.spelling.as_double(right)
        if op == "/":
            right = func.nullif(right, number(0), type_=self.spelling.double)
        reckoned = Grouping(left).op(op, return_type=self.spelling.double)(_grouped(right))
        return self.spelling.without_nan(reckoned)

    def _call(self, name: str, value: Sql) -> Sql:
        spelling = self.spelling
        if name == "ABS":
            return func.abs(spelling.as_double(value), type_=spelling.double)
        return {"LENGTH": spelling.length, "LOWER": spelling.lower, "UPPER": spelling.upper}[name](value)

    def _inner(self, bound: b.Walked | b.Counted | b.Folded, row: FromClause) -> Sql:
        if isinstance(bound, b.Walked):
            return row.c.id.in_(self._walk(bound))
        other = self._alias(bound.inside.kind)
        answer: Sql = func.count()
        inside = self.scope(bound.inside, other)
        if isinstance(bound, b.Folded):
            value = self._operand(bound.value, {0: other})
            if bound.name not in ("MIN", "MAX"):
                value = self.spelling.as_double(value)
            elif bound.kind == "text":
                value = self.spelling.ordered(value)
            answer = getattr(func, bound.name.lower())(value)
            answer = self.spelling.without_nan(answer) if bound.name not in ("MIN", "MAX") else answer
        return (
            select(answer)
            .select_from(other)
            .where(self._beside(row, other, bound.relation), inside)
            .correlate_except(other)
            .scalar_subquery()
        )

    def _beside(self, row: FromClause, other: FromClause, relation: Relation) -> ColumnElement[bool]:
        """The condition that a row is a neighbour of a node."""
        if relation == "events":
            kind = self._kinds[row]
            if kind == "lineage":
                return or_(other.c.execution_id == row.c.id, other.c.artifact_id == row.c.id)
            return other.c[f"{kind}_id"] == row.c.id
        if relation in _CONTEXTS:
            table, near, far = _CONTEXTS[relation]
            return other.c.id.in_(self._ends(table, near, far, row))
        kind = "execution" if relation == "executions" else "artifact"
        if self._kinds[row] == "context":
            members = self._ends(MEMBER, "context_id", "node_id", row)
            return and_(code_of(other) == number(KIND_CODES[kind]), other.c.id.in_(members))
        near, far = _WAYS[kind == "execution"]
        kinds = {"inputs": _READS, "outputs": _WRITES}.get(relation)
        return other.c.id.in_(self._ends(EVENT, near, far, row, kinds))

    def _ends(
        self, table: FromClause, near: str, far: str, row: FromClause, kinds: Sequence[int] | None = None
    ) -> Select[Any]:
        edge = table.alias(self._name())
        found = select(edge.c[far]).where(edge.c[near] == row.c.id).correlate_except(edge)
        return found if kinds is None else found.where(_of_kinds(edge, kinds))

    def _walk(self, walked: b.Walked) -> Select[Any]:
        """The ids of the nodes that reach one that fits: the way is gone backwards, from those."""
        seed = self._alias(walked.inside.kind)
        kinds: list[NodeKind] = ["artifact", "execution"]
        if walked.inside.kind != "lineage":
            kinds = [kind for kind in kinds if kind == walked.inside.kind]
        fits = (
            code_of(seed).in_([number(KIND_CODES[kind]) for kind in kinds]),
            self.scope(walked.inside, seed),
        )
        if walked.name not in ("ancestor", "descendant"):
            near, far = _WAYS[walked.name in ("input", "output")]
            edge = EVENT.alias(self._name())
            of = _READS if walked.name in ("input", "consumer") else _WRITES
            there = edge.c[near].in_(select(seed.c.id).where(*fits).correlate(None))
            found = select(edge.c[far].label("id")).where(_of_kinds(edge, of), there).correlate(None)
            # Named in front of the statement it nests nothing, however many walks stand in each other.
            return select(found.cte(self._name()).c.id).correlate(None)
        # Without a limit the second column only tells what is reached from what it began with.
        begun = select(seed.c.id.label("id"), number(0).label("hops")).where(*fits).correlate(None)
        reached = begun.cte(self._name(), recursive=True)
        hops = number(1) if walked.hops is None else reached.c.hops + number(1)
        steps = [self._step(walked, reached, from_artifact=way) for way in (True, False)]
        members: list[Select[Any]] = [select(far, hops).where(there) for far, there in steps]
        if self.spelling.lateral:
            # One member of a recursion may speak of it, so both ways stand in one.
            ways = [select(far.label("id")).where(there).correlate(reached) for far, there in steps]
            beside = union_all(*ways).lateral(self._name())
            members = [select(beside.c.id, hops).select_from(reached.join(beside, true()))]
        if walked.hops is not None:
            members = [member.where(reached.c.hops < self._bind(walked.hops)) for member in members]
        whole = reached.union(*members)
        return select(whole.c.id).where(whole.c.hops > number(0)).correlate(None)

    def _step(
        self, walked: b.Walked, reached: FromClause, *, from_artifact: bool
    ) -> tuple[Sql, ColumnElement[bool]]:
        """From the ids that are reached to those one event further: the id, and where it is found."""
        near, far = _WAYS[from_artifact]
        edge = EVENT.alias(self._name())
        of = _READS if from_artifact == (walked.name == "ancestor") else _WRITES
        return edge.c[far], and_(edge.c[near] == reached.c.id, _of_kinds(edge, of))

    def _column(self, row: FromClause, name: str) -> Sql:
        if "artifact_id" in row.c:
            return self._event_column(row, name)
        match name:
            case "id":
                return _wire(row.c.id)
            case "type" | "base" | "type_version":
                column = TYPE.c[{"type": "name", "type_version": "version"}.get(name, name)]
                of = select(column).where(TYPE.c.id == row.c.type_id).correlate_except(TYPE).scalar_subquery()
                return func.nullif(of, spelled(""), type_=String()) if name == "type_version" else of
            case "namespace":
                found = select(NAMESPACE.c.name).where(NAMESPACE.c.id == row.c.namespace_id)
                return found.correlate_except(NAMESPACE).scalar_subquery()
            case "updated_at" | "last_update_time_since_epoch":
                updated = func.coalesce(row.c.updated_us, row.c.created_us)
                return updated if name == "updated_at" else self.spelling.thousandth(updated)
            case "create_time_since_epoch":
                return self.spelling.thousandth(row.c.created_us)
            case "last_known_state":
                return case((code_of(row) == number(KIND_CODES["execution"]), row.c.state))
            case "name" | "external_id" if row is not self.living:
                return shown(self.spelling, row, name)
            case _:
                return row.c[_TIMES.get(name, name)]

    def _event_column(self, row: FromClause, name: str) -> Sql:
        match name:
            case "type":
                return row.c.kind
            case "at":
                return row.c.at_us
            case "milliseconds_since_epoch":
                return self.spelling.thousandth(row.c.at_us)
            case "path":
                return self.spelling.steps(row.c.path, self._name)
            case _:
                return _wire(row.c[name])


def _codes(kinds: frozenset[str]) -> tuple[int, ...]:
    return tuple(sorted(EVENT_CODES[kind] for kind in kinds))


_READS, _WRITES = (_codes(kinds) for kinds in followed(internal=False))


def _of_kinds(edge: FromClause, kinds: Sequence[int]) -> ColumnElement[bool]:
    return edge.c.kind.in_([number(kind) for kind in kinds])


def _wire(id_: Sql) -> Sql:
    """A node's number, which the language calls its id."""
    return Grouping(id_.op(">>")(literal_column("2")))


def _said(row: FromClause, name: str) -> Sql:
    """A state as a number that is equal for equal words, whatever kinds of nodes have them."""
    qualified = case((row.c.state == number(0), number(0)), else_=code_of(row) * number(8) + row.c.state)
    if name == "last_known_state":
        return case((code_of(row) == number(KIND_CODES["execution"]), qualified))
    return qualified


def _packed(constant: Constant) -> object:
    assert isinstance(constant, str)
    return pack_uid(constant)[0]


def _node_id(kind: NodeKind) -> Made:
    def made(constant: Constant) -> object:
        assert isinstance(constant, int | float)
        n = int(constant)
        # 0 is no node's id.
        return node_id(n, kind) if n == constant and 0 < n < _LAST_NODE else 0

    return made


def _read_as(bound: Bound, want: b.Want) -> Bound:
    """A property read as something else; what is no property stays as it is."""
    if isinstance(bound, b.PropertyOf):
        return b.PropertyOf(bound.holder, bound.part, bound.name, want)
    return b.StatsOf(bound.holder, bound.name, want) if isinstance(bound, b.StatsOf) else bound


def _flavour(bound: Bound) -> str:
    """Whether a number is a small or big whole one, a double, or a property that may be anything of that."""
    if isinstance(bound, b.Value):
        return flavour_of(bound.value) or "int"
    return (
        "mixed" if isinstance(bound, b.PropertyOf | b.StatsOf) and bound.want in ("int", "number") else "else"
    )


def _grouped(value: Sql) -> Sql:
    return value if isinstance(value, _ATOMS) else Grouping(value)


def _joined(operator: Callable[..., ColumnElement[bool]], parts: Sequence[Sql]) -> ColumnElement[bool]:
    """Conditions joined by AND or OR, however many: SQLite reads a chain as a tree as deep as it is long."""
    while len(parts) > CHAIN:
        chunks = [parts[i : i + CHAIN] for i in range(0, len(parts), CHAIN)]
        # SQLAlchemy takes plain parentheses away again.
        parts = [type_coerce(Grouping(operator(*chunk)), Boolean()) for chunk in chunks]
    return operator(*parts)
