"""What the words of a filter mean for one kind of node."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NoReturn, TypeAlias, cast, get_args

from whence.errors import UsageError, near_names
from whence.metadata.filter import bound as b
from whence.metadata.filter import types as t
from whence.metadata.filter.bound import Bound, Neighbour, Scope, ScopeKind, ValueKind, Want
from whence.metadata.filter.patterns import lower, read_pattern
from whence.metadata.filter.syntax import parse_filter
from whence.metadata.filter.tokens import bad_filter
from whence.metadata.filter.words import words_of
from whence.metadata.rows import to_us
from whence.metadata.types import ArtifactState, EventKind, ExecutionState, NodeKind

MAX_ALIASES: Final = 20
MAX_WALKS: Final = 8

Columns: TypeAlias = dict[str, ValueKind]

_SHARED: Final[Columns] = {
    "base": "text",
    "create_time_since_epoch": "number",
    "created_at": "time",
    "external_id": "text",
    "id": "number",
    "last_update_time_since_epoch": "number",
    "name": "text",
    "namespace": "text",
    "removed_at": "time",
    "revision": "number",
    "type": "text",
    "type_id": "number",
    "type_version": "text",
    "uid": "uid",
    "updated_at": "time",
}
COLUMNS: Final[dict[ScopeKind, Columns]] = {
    "artifact": {**_SHARED, "state": "state", "uri": "text"},
    "execution": {**_SHARED, "last_known_state": "state", "state": "state"},
    "context": _SHARED,
    "lineage": {**_SHARED, "last_known_state": "state", "state": "state", "uri": "text"},
    "event": {
        "artifact_id": "number",
        "at": "time",
        "execution_id": "number",
        "milliseconds_since_epoch": "number",
        "path": "text",
        "type": "event",
    },
}
"""What can be asked of each kind; of ``lineage``, a column its node has not is NULL."""

_AROUND: Final[dict[ScopeKind, dict[t.Relation, ScopeKind]]] = {
    "artifact": {"contexts": "context", "events": "event", "executions": "execution"},
    "execution": {
        "contexts": "context",
        "events": "event",
        "artifacts": "artifact",
        "inputs": "artifact",
        "outputs": "artifact",
    },
    "context": {
        "artifacts": "artifact",
        "executions": "execution",
        "parent_contexts": "context",
        "child_contexts": "context",
    },
    "event": {},
}
_AROUND["lineage"] = {**_AROUND["artifact"], **_AROUND["execution"]}
"""The neighbours of each kind, and of which kind they are."""

_STATES: Final[dict[ScopeKind, frozenset[str]]] = {
    "artifact": frozenset(get_args(ArtifactState)),
    "execution": frozenset(get_args(ExecutionState)),
    "lineage": frozenset((*get_args(ArtifactState), *get_args(ExecutionState))),
    "event": frozenset(get_args(EventKind)),
}
_WALKS: Final[dict[t.WalkName, tuple[frozenset[str], ScopeKind]]] = {
    "ancestor": (frozenset({"artifact", "execution", "lineage"}), "lineage"),
    "descendant": (frozenset({"artifact", "execution", "lineage"}), "lineage"),
    "input": (frozenset({"execution", "lineage"}), "artifact"),
    "output": (frozenset({"execution", "lineage"}), "artifact"),
    "producer": (frozenset({"artifact", "lineage"}), "execution"),
    "consumer": (frozenset({"artifact", "lineage"}), "execution"),
}
_SUFFIX_WANTS: Final[dict[t.Suffix, Want]] = {
    "int_value": "int",
    "double_value": "double",
    "string_value": "text",
    "bool_value": "bool",
}
_SUFFIX_KINDS: Final[dict[t.Suffix, ValueKind]] = {
    "int_value": "number",
    "double_value": "number",
    "string_value": "text",
    "bool_value": "bool",
}
_WANTS: Final[dict[ValueKind, Want]] = {"number": "number", "text": "text", "bool": "bool", "any": "any"}
_SAID: Final[dict[ValueKind, str]] = {
    "number": "a number",
    "text": "text",
    "bool": "a condition",
    "time": "a time",
    "state": "a state",
    "event": "a kind of event",
    "uid": "a uid",
    "any": "a property",
}
_ORDERED: Final[frozenset[ValueKind]] = frozenset({"number", "text", "time", "any"})


def read_filter(given: t.Filter | str) -> t.Filter:
    """A filter, read when it is text.

    Raises:
        UsageError: It cannot be read, or is no text (``bad-filter``).

    Example:
        >>> read_filter("name = 'late'").text
        "name = 'late'"
    """
    if isinstance(given, str):
        return parse_filter(given)
    if not isinstance(cast("object", given), t.Filter):
        raise UsageError(
            f"a filter is text, got {type(given).__name__} {given!r:.40}",
            code="bad-filter",
            hint="such as type = 'Model' AND custom_properties.auc > 0.8",
        )
    return given


def bind_filter(filter_: t.Filter | str, kind: NodeKind | Literal["lineage"]) -> Scope:
    """What a filter says of the nodes of one kind.

    An alias stands for one neighbour in its whole scope: the filter, or the inside of a walk, COUNT or
    fold. A property read by its suffix (``properties.x.int_value``) must be there for the scope to hold,
    under OR and NOT too; the short form is NULL where it is absent. A property of another kind than it
    is compared with is NULL.

    Args:
        filter_: A filter that was read, or its text.
        kind: The kind of the nodes it is asked of; ``lineage`` is an artifact or an execution.

    Raises:
        UsageError: A name is unknown, or values do not fit each other (``bad-filter``); the message shows where.

    Source:
        ML Metadata 1.17's ``filter_query``. Differs: the short form; LIKE tells A from a; a state that is not
        known is UNKNOWN and a uri that is not given is NULL, where ML Metadata has NULL and the empty text.

    Example:
        >>> bind_filter("name = 'late'", "artifact").condition
        Comparison(op='=', left=ColumnOf(holder=0, name='name', kind='text'), right=Value(value='late', kind='text'),
                   kind='text')
        >>> bind_filter("state = 'LIVE'", "artifact")
        Traceback (most recent call last):
            ...
        whence.errors.UsageError: line 1, column 9: a state is not text
          state = 'LIVE'
                  ^ (bad-filter). Hint: write LIVE without quotes
    """
    filter_ = read_filter(filter_)
    return _Binder(filter_.text).scope(filter_.tree, kind)


class _Limits:
    """What a whole filter may have."""

    def __init__(self) -> None:
        self.aliases = 0
        self.walks = 0


class _Binder:
    """Binds one scope; inner ones have a binder each."""

    def __init__(self, text: str, limits: _Limits | None = None) -> None:
        self._text = text
        self._limits = limits or _Limits()
        self._kind: ScopeKind = "artifact"
        self._aliases: dict[tuple[t.Relation, str], int] = {}
        self._neighbours: list[Neighbour] = []
        self._required: dict[tuple[int, Literal["p", "c"], str], None] = {}

    def scope(self, tree: t.Expr | None, kind: ScopeKind) -> Scope:
        """The scope of a condition; None is the condition that always holds."""
        self._kind = kind
        return self._closed(b.Value(value=True, kind="bool") if tree is None else self._condition(tree))

    def folded(
        self,
        tree: t.Expr | None,
        field: t.Column | t.Property | t.StatsField,
        kind: ScopeKind,
        name: t.FoldName,
    ) -> tuple[Scope, Bound, ValueKind]:
        """The scope of a fold, what is folded, and of which kind it is."""
        self._kind = kind
        value, of = self._value(field)
        allowed: tuple[ValueKind, ...] = ("number", "text", "time") if name in ("MIN", "MAX") else ("number",)
        if of == "any":
            value, of = self._read(field, value, "number"), "number"
        if of not in allowed:
            self._refuse(field, f"{name} takes {' or '.join(_SAID[k] for k in allowed)}, not {_SAID[of]}")
        condition = b.Value(value=True, kind="bool") if tree is None else self._condition(tree)
        return self._closed(condition), value, of

    def _closed(self, condition: Bound) -> Scope:
        def required(holder: int) -> tuple[tuple[Literal["p", "c"], str], ...]:
            return tuple((part, name) for h, part, name in self._required if h == holder)

        neighbours = tuple(
            dataclasses.replace(neighbour, required=required(i))
            for i, neighbour in enumerate(self._neighbours, 1)
        )
        return Scope(self._kind, condition, neighbours, required(0))

    def _inner(self) -> _Binder:
        return _Binder(self._text, self._limits)

    def _refuse(
        self, tree: t.Expr, problem: str, *, hint: str | None = None, near: Sequence[str] = ()
    ) -> NoReturn:
        raise bad_filter(self._text, tree.span, problem, hint=hint, near=near)

    def _condition(self, tree: t.Expr) -> Bound:
        value, kind = self._value(tree)
        if kind == "any":
            return self._read(tree, value, "bool")
        if kind != "bool":
            self._refuse(tree, f"{_SAID[kind]} is no condition", hint="compare it with something")
        return value

    def _number(self, tree: t.Expr, what: str) -> Bound:
        return self._as(tree, "number", what)

    def _as(self, tree: t.Expr, wanted: ValueKind, what: str) -> Bound:
        value, kind = self._value(tree)
        if kind == "any":
            return self._read(tree, value, wanted)
        if kind != wanted:
            self._refuse(tree, f"{what} takes {_SAID[wanted]}, not {_SAID[kind]}")
        return value

    def _value(self, tree: t.Expr) -> tuple[Bound, ValueKind]:
        match tree:
            case t.And() | t.Or():
                joined: Literal["and", "or"] = "and" if isinstance(tree, t.And) else "or"
                return b.Logic(joined, tuple(self._condition(part) for part in tree.parts)), "bool"
            case t.Not(part):
                return b.Negation(self._condition(part)), "bool"
            case t.Compare() | t.In() | t.Like() | t.Between() | t.IsNull():
                return self._test(tree), "bool"
            case t.Arith(op, left, right):
                return b.Arithmetic(op, self._number(left, op), self._number(right, op)), "number"
            case t.Minus(value):
                return b.Arithmetic("-", b.Value(0, "number"), self._number(value, "-")), "number"
            case t.Call():
                return self._call(tree)
            case t.Walk():
                return self._walk(tree), "bool"
            case t.Count() | t.Fold():
                return self._aggregate(tree)
            case t.Search():
                return self._search(tree), "bool"
            case t.Constant() | t.Moment() | t.Word():
                return self._literal(tree)
            case t.AliasField() | t.Column() | t.Property() | t.StatsField():
                return self._read_field(tree)

    def _read_field(
        self, tree: t.AliasField | t.Column | t.Property | t.StatsField
    ) -> tuple[Bound, ValueKind]:
        if isinstance(tree, t.AliasField):
            holder, kind = self._alias(tree)
            return self._field(tree.field, holder, kind)
        return self._field(tree, 0, self._kind)

    def _literal(self, tree: t.Constant | t.Moment | t.Word) -> tuple[Bound, ValueKind]:
        if isinstance(tree, t.Moment):
            return b.Value(to_us(tree.at), "time"), "time"
        if isinstance(tree, t.Word):
            column = self._as_column(tree)
            if isinstance(column, t.Column):
                return self._field(column, 0, self._kind)
            self._refuse(
                tree,
                f"{tree.name} would be a state, and is not compared with one",
                hint="text stands in quotes, columns are lower-case",
            )
        if tree.value is None:
            self._refuse(tree, "nothing equals NULL", hint="ask with IS NULL")
        kind: ValueKind = "number"
        if isinstance(tree.value, bool):
            kind = "bool"
        elif isinstance(tree.value, str):
            kind = "text"
        return b.Value(tree.value, kind), kind

    def _as_column(self, tree: t.Expr) -> t.Expr:
        """ML Metadata's columns are found in any case; an upper-case word that is one is that column."""
        if isinstance(tree, t.Word) and tree.name.lower() in COLUMNS[self._kind]:
            return t.Column(tree.name.lower(), span=tree.span)
        return tree

    def _field(
        self, field: t.Column | t.Property | t.StatsField, holder: int, kind: ScopeKind
    ) -> tuple[Bound, ValueKind]:
        if isinstance(field, t.Column):
            return self._column(field, holder, kind)
        if isinstance(field, t.StatsField):
            if kind not in ("artifact", "lineage"):
                self._refuse(field, f"{_spoken(kind)} has no statistics", hint="an artifact has")
            return b.StatsOf(holder, field.name, "any"), "any"
        if kind == "event":
            self._refuse(field, "an event has no properties", near=())
        part: Literal["p", "c"] = "p" if field.part == "properties" else "c"
        if field.suffix is None:
            return b.PropertyOf(holder, part, field.name, "any"), "any"
        self._required[holder, part, field.name] = None
        return b.PropertyOf(holder, part, field.name, _SUFFIX_WANTS[field.suffix]), _SUFFIX_KINDS[
            field.suffix
        ]

    def _column(self, field: t.Column, holder: int, kind: ScopeKind) -> tuple[Bound, ValueKind]:
        found = COLUMNS[kind].get(field.name)
        if found is None:
            near = near_names(field.name, COLUMNS[kind])
            hint = None if near else f"text stands in quotes; a property is properties.{field.name}"
            self._refuse(field, f"{_spoken(kind)} has no column {field.name}", near=near, hint=hint)
        return b.ColumnOf(holder, field.name, found), found

    def _alias(self, tree: t.AliasField) -> tuple[int, ScopeKind]:
        around = _AROUND[self._kind]
        kind = around.get(tree.relation)
        if kind is None:
            has = ", ".join(around) or "no neighbours"
            self._refuse(tree, f"{_spoken(self._kind)} has no {tree.relation}", hint=f"it has {has}")
        key = tree.relation, tree.word
        if key not in self._aliases:
            self._limits.aliases += 1
            if self._limits.aliases > MAX_ALIASES:
                self._refuse(tree, f"a filter names at most {MAX_ALIASES} neighbours")
            self._neighbours.append(Neighbour(tree.relation, kind))
            self._aliases[key] = len(self._neighbours)
        return self._aliases[key], kind

    def _call(self, tree: t.Call) -> tuple[Bound, ValueKind]:
        if tree.name == "ABS":
            return b.Function("ABS", self._number(tree.value, "ABS")), "number"
        value = self._as(tree.value, "text", tree.name)
        return b.Function(tree.name, value), "number" if tree.name == "LENGTH" else "text"

    def _walk(self, tree: t.Walk) -> Bound:
        of, kind = _WALKS[tree.name]
        if self._kind not in of:
            other = {"input", "output"} if self._kind == "execution" else {"producer", "consumer"}
            hint = "ask with " + ", ".join(sorted({"ancestor", "descendant", *other}))
            self._refuse(
                tree,
                f"{_spoken(self._kind)} has no {tree.name}",
                hint=hint if self._kind in ("artifact", "execution") else None,
            )
        self._limits.walks += 1
        if self._limits.walks > MAX_WALKS:
            self._refuse(tree, f"a filter walks the lineage at most {MAX_WALKS} times")
        return b.Walked(tree.name, self._inner().scope(tree.inside, kind), tree.hops)

    def _aggregate(self, tree: t.Count | t.Fold) -> tuple[Bound, ValueKind]:
        around = _AROUND[self._kind]
        kind = around.get(tree.relation)
        if kind is None:
            has = ", ".join(around) or "no neighbours"
            self._refuse(tree, f"{_spoken(self._kind)} has no {tree.relation}", hint=f"it has {has}")
        if isinstance(tree, t.Count):
            return b.Counted(tree.relation, self._inner().scope(tree.where, kind)), "number"
        inside, value, of = self._inner().folded(tree.where, tree.field, kind, tree.name)
        return b.Folded(tree.name, tree.relation, inside, value, of), of

    def _search(self, tree: t.Search) -> Bound:
        if self._kind == "event":
            self._refuse(tree, "an event has no words")
        words = tuple(dict.fromkeys(words_of(tree.text)))
        if not words:
            self._refuse(tree, "there is no word to search for", hint="a word has letters or digits")
        return b.Words(words)

    def _test(self, tree: t.Compare | t.In | t.Like | t.Between | t.IsNull) -> Bound:
        match tree:
            case t.Compare():
                return self._compare(tree)
            case t.In(value, options, negated):
                return _negated(self._among(value, options), negated=negated)
            case t.Like(value, pattern, escape, negated, folded):
                text = self._as(value, "text", "LIKE")
                signs = read_pattern(pattern, escape)
                if folded:
                    text, signs = b.Function("LOWER", text), tuple(lower(sign) for sign in signs)
                return _negated(b.Matches(text, signs), negated=negated)
            case t.Between(value, low, high, negated):
                least = t.Compare(">=", value, low, span=tree.span)
                most = t.Compare("<=", value, high, span=tree.span)
                inside = b.Logic("and", (self._compare(least), self._compare(most)))
                return _negated(inside, negated=negated)
            case t.IsNull(value, negated):
                null = isinstance(value, t.Constant) and value.value is None
                found: Bound = b.Value(None, "any") if null else self._value(value)[0]
                return _negated(b.Missing(found), negated=negated)

    def _compare(self, tree: t.Compare) -> Bound:
        left, right, kind = self._pair(tree.left, tree.right)
        if tree.op not in ("=", "!=") and kind not in _ORDERED:
            self._refuse(
                tree, f"{_SAID[kind]} is not more or less than another", hint="compare with = and !="
            )
        return b.Comparison(tree.op, left, right, kind)

    def _pair(self, left: t.Expr, right: t.Expr) -> tuple[Bound, Bound, ValueKind]:
        """Both sides of a comparison, and the kind they have in common."""
        left, right = self._as_column(left), self._as_column(right)
        for one, other, turned in ((left, right, False), (right, left, True)):
            named = self._state_beside(one, other)
            if named is not None:
                column, value, kind = named
                return (value, column, kind) if turned else (column, value, kind)
        first, kind = self._value(left)
        second, other_kind = self._value(right)
        if kind == "any":
            return self._read(left, first, other_kind), second, other_kind
        if other_kind == "any":
            return first, self._read(right, second, kind), kind
        if {kind, other_kind} == {"uid", "text"}:
            return self._uid_beside(left, first, right, second)
        if kind != other_kind:
            self._unlike(right, other_kind, kind)
        return first, second, kind

    def _uid_beside(
        self, left: t.Expr, first: Bound, right: t.Expr, second: Bound
    ) -> tuple[Bound, Bound, ValueKind]:
        """A uid beside text, which must stand there in quotes: stores keep uids as numbers."""
        both = [
            b.Value(value.value, "uid") if isinstance(value, b.Value) else value for value in (first, second)
        ]
        for tree, value in ((left, both[0]), (right, both[1])):
            if not (isinstance(value, b.Value) or (isinstance(value, b.ColumnOf) and value.kind == "uid")):
                self._refuse(tree, "a uid is compared with text in quotes")
        return both[0], both[1], "uid"

    def _read(self, tree: t.Expr, value: Bound, kind: ValueKind) -> Bound:
        """A property as what it is compared with."""
        assert isinstance(value, b.PropertyOf | b.StatsOf)
        want = _WANTS.get(kind)
        if want is None:
            self._refuse(tree, f"a property is a number, text or true or false, never {_SAID[kind]}")
        return dataclasses.replace(value, want=want)

    def _unlike(self, tree: t.Expr, is_: ValueKind, wanted: ValueKind) -> NoReturn:
        hint = None
        if wanted in ("state", "event") and isinstance(tree, t.Constant):
            hint = f"write {tree.value} without quotes" if is_ == "text" else "write its name"
        if {is_, wanted} == {"time", "text"}:
            hint = "write TIMESTAMP '2026-05-03T12:00:00Z'"
        if {is_, wanted} == {"time", "number"}:
            hint = "compare create_time_since_epoch with milliseconds"
        self._refuse(tree, f"{_SAID[wanted]} is not {_SAID[is_]}", hint=hint)

    def _state_beside(self, column: t.Expr, word: t.Expr) -> tuple[Bound, Bound, ValueKind] | None:
        """A column of states beside the name of one; None when it is something else."""
        if not isinstance(word, t.Word) or not isinstance(column, t.Column | t.AliasField):
            return None
        value, kind = self._value(column)
        if kind not in ("state", "event"):
            return None
        of = self._aliases_kind(column)
        return value, b.Value(self._state(word, of), kind), kind

    def _aliases_kind(self, tree: t.Column | t.AliasField) -> ScopeKind:
        return self._kind if isinstance(tree, t.Column) else self._alias(tree)[1]

    def _state(self, word: t.Word, kind: ScopeKind) -> str:
        known = _STATES[kind]
        if word.name not in known:
            what = "kind of event" if kind == "event" else "state"
            self._refuse(
                word,
                f"{word.name} is no {what}",
                near=near_names(word.name, known),
                hint="one of " + ", ".join(sorted(known)),
            )
        return word.name

    def _among(self, value: t.Expr, options: Iterable[t.Constant | t.Word | t.Moment]) -> Bound:
        value = self._as_column(value)
        found, kind = self._value(value)
        scalars: list[b.Scalar] = []
        for option in options:
            if kind in ("state", "event") and isinstance(option, t.Word):
                assert isinstance(value, t.Column | t.AliasField)
                scalars.append(self._state(option, self._aliases_kind(value)))
                continue
            literal, of = self._literal(option)
            if kind == "any":
                found, kind = self._read(value, found, of), of
            scalar = literal.value if isinstance(literal, b.Value) else None
            if scalar is None or isinstance(scalar, b.Slot):
                self._refuse(option, "expected a literal", hint="compare with = and OR")
            if of != kind and (kind, of) != ("uid", "text"):
                self._unlike(option, of, kind)
            scalars.append(scalar)
        return b.Among(found, tuple(scalars))


def _negated(bound: Bound, *, negated: bool) -> Bound:
    return b.Negation(bound) if negated else bound


def _spoken(kind: ScopeKind) -> str:
    if kind == "lineage":
        return "an artifact or execution"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
