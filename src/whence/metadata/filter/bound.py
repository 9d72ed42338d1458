"""A filter that is bound: every name is found, every value has a kind, every text is a pattern or words.

Two things answer it: `whence.metadata.filter.evaluate` asks a graph, the compilers of the backends make
SQL. What both must agree on is decided here, so that this is all they need to read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from whence.metadata.filter.types import ArithOp, CompareOp, FoldName, FunctionName, Relation, WalkName
from whence.metadata.types import NodeKind

ScopeKind: TypeAlias = NodeKind | Literal["lineage", "event"]
"""What a scope speaks of: a kind of node, ``lineage`` (an artifact or an execution), or an event."""

ValueKind: TypeAlias = Literal["number", "text", "bool", "time", "state", "event", "uid", "any"]
"""``any`` is a property read without saying as what, compared with another such. A ``uid`` equals or not."""

Want: TypeAlias = Literal["int", "double", "number", "text", "bool", "any"]
Scalar: TypeAlias = int | float | str | bool

# Whole numbers up to here are doubles too.
EXACT: Final = 2**53


Flavour: TypeAlias = Literal["int", "big", "double", "text", "pattern"]
"""What a constant is; ``big`` is a whole number that a double may not hold."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a constant in the shape of a filter: its number, and what it is."""

    number: int
    flavour: Flavour


@dataclass(frozen=True, slots=True)
class Value:
    """A constant; a time as microseconds since 1970."""

    value: Scalar | Slot | None
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """A column of the scope's node (`holder` 0) or of a neighbour of the scope (1, 2, …)."""

    holder: int
    name: str
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class PropertyOf:
    """A property: NULL when it is absent, null, or not of the wanted kind; NaN is NULL as a number.

    Text with a NUL character is NULL as text: no database has such text. `part` is ``p`` (typed) or ``c`` (custom). ``number`` is an int or a double.
    """

    holder: int
    part: Literal["p", "c"]
    name: str
    want: Want


@dataclass(frozen=True, slots=True)
class StatsOf:
    """A property, typed if there is one of that name, else custom, of an artifact's newest statistics.

    These are, of the artifacts in state LIVE whose type is named ``Statistics`` or ``mlmd.Statistics`` or
    has the base ``mlmd.Statistics``, written by an execution that read the node, the one with the highest
    id. NULL when there is none.
    """

    holder: int
    name: str
    want: Want


@dataclass(frozen=True, slots=True)
class Logic:
    """Every part holds (``and``) or a part holds (``or``), in three-valued logic."""

    op: Literal["and", "or"]
    parts: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold; unknown stays unknown."""

    part: Bound


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values of one kind; unknown when one is NULL, or both are ``any`` and of different kinds.

    Text is ordered by code points, FALSE comes before TRUE. Whole numbers are compared exactly, and become
    doubles beside a number that was reckoned (see `is_reckoned`).
    """

    op: CompareOp
    left: Bound
    right: Bound
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class Among:
    """A value is one of several of its kind; unknown when it is NULL."""

    value: Bound
    options: tuple[Scalar | Slot, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """A text is like a pattern (see `whence.metadata.filter.patterns`); A is not a."""

    value: Bound
    pattern: tuple[str, ...] | Slot


@dataclass(frozen=True, slots=True)
class Missing:
    """A value is NULL; never unknown."""

    value: Bound


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers reckoned with, as doubles; NULL when divided by zero, and for what would be NaN.

    What does not fit a double is infinite, or refused by systems that have no infinite numbers.
    """

    op: ArithOp
    left: Bound
    right: Bound


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one value; LOWER and UPPER change the letters A to Z, LENGTH counts code points, ABS is a double."""

    name: FunctionName
    value: Bound


@dataclass(frozen=True, slots=True)
class Walked:
    """A node that can be reached over at least one event fits `inside`; never unknown.

    ``ancestor`` goes up and ``descendant`` down, at most `hops` events. ``input`` and ``output`` are the
    artifacts an execution read and wrote, ``producer`` and ``consumer`` the executions that wrote and
    read an artifact. Events are those that lineage follows, without INTERNAL ones.
    """

    name: WalkName
    inside: Scope
    hops: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """The number of neighbours, each once, that fit `inside`."""

    relation: Relation
    inside: Scope


@dataclass(frozen=True, slots=True)
class Folded:
    """MIN, MAX, AVG or SUM of `value` over the neighbours, each once, that fit `inside`.

    NULLs are left out; of nothing it is NULL. AVG and SUM are doubles.
    """

    name: FoldName
    relation: Relation
    inside: Scope
    value: Bound
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class Words:
    """Every word is a word of the node; see `whence.metadata.filter.words`. Never unknown."""

    words: tuple[str, ...]


Bound: TypeAlias = (
    Value
    | ColumnOf
    | PropertyOf
    | StatsOf
    | Logic
    | Negation
    | Comparison
    | Among
    | Matches
    | Missing
    | Arithmetic
    | Function
    | Walked
    | Counted
    | Folded
    | Words
)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour a scope names: one of this relation, which has these properties: (part, name)."""

    relation: Relation
    kind: ScopeKind
    required: tuple[tuple[Literal["p", "c"], str], ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What must hold of one node.

    A node fits when it has the `required` properties (with a value that is not null) and there is one
    choice of a neighbour for each of `neighbours`, each with its own required properties, for which
    `condition` is true. Not fitting and unknown are the same from outside.
    """

    kind: ScopeKind
    condition: Bound
    neighbours: tuple[Neighbour, ...] = ()
    required: tuple[tuple[Literal["p", "c"], str], ...] = ()


def is_reckoned(bound: Bound) -> bool:
    """Whether a number is a double that was reckoned, and is stored nowhere."""
    if isinstance(bound, Function):
        return bound.name == "ABS"
    return isinstance(bound, Arithmetic) or (isinstance(bound, Folded) and bound.name in ("AVG", "SUM"))


def conjuncts(scope: Scope) -> list[tuple[tuple[int, ...], tuple[Bound, ...]]]:
    """A scope's condition in parts that share no neighbour: (neighbours, conditions that must hold of them).

    Each part may be looked at for itself: a choice of neighbours for the whole is a choice for each part.
    A neighbour that a condition without others mentions is a part alone.

    Example:
        >>> a, b = (ColumnOf(i, "name", "text") for i in (1, 2))
        >>> both = Logic("and", (Missing(a), Missing(b)))
        >>> some = (Neighbour("contexts", "context"), Neighbour("contexts", "context"))
        >>> [holders for holders, _ in conjuncts(Scope("artifact", both, some))]
        [(1,), (2,)]
    """
    groups: list[tuple[set[int], list[Bound]]] = [({i}, []) for i in range(1, len(scope.neighbours) + 1)]
    alone: list[Bound] = []
    for part in _flat(scope.condition):
        wanted = holders(part) - {0}
        if not wanted:
            alone.append(part)
            continue
        touched = [group for group in groups if group[0] & wanted]
        merged = (
            set[int]().union(*(group[0] for group in touched)),
            [*(c for group in touched for c in group[1]), part],
        )
        groups = [group for group in groups if not group[0] & wanted] + [merged]
    groups.sort(key=lambda group: min(group[0]))
    found = [(tuple(sorted(names)), tuple(conditions)) for names, conditions in groups]
    return [((), tuple(alone)), *found] if alone else found


def _flat(condition: Bound) -> list[Bound]:
    if isinstance(condition, Logic) and condition.op == "and":
        return [c for part in condition.parts for c in _flat(part)]
    return [condition]


def without_words(scope: Scope) -> tuple[Scope | None, tuple[str, ...]]:
    """A filter without the words that its node must have whatever else holds, and those words.

    What is left is None when it asks for nothing more.

    Example:
        >>> from whence.metadata.filter.bind import bind_filter
        >>> rest, words = without_words(bind_filter("SEARCH('late model') AND name = 'a'", "artifact"))
        >>> words, rest.condition.op
        (('late', 'model'), '=')
        >>> without_words(bind_filter("SEARCH('late') OR name = 'a'", "artifact"))[1]
        ()
    """
    parts = _flat(scope.condition)
    words = [word for part in parts if isinstance(part, Words) for word in part.words]
    if not words:
        return scope, ()
    rest = tuple(part for part in parts if not isinstance(part, Words))
    found = tuple(dict.fromkeys(words))
    if not rest and not scope.neighbours and not scope.required:
        return None, found
    return replace(scope, condition=rest[0] if len(rest) == 1 else Logic("and", rest)), found


def asks_around(scope: Scope) -> bool:
    """Whether a filter asks for more than its node itself: for what is beside it, or can be reached from it.

    Example:
        >>> from whence.metadata.filter.bind import bind_filter
        >>> texts = ("name = 'a' OR properties.n > 1", "contexts_a.name = 'a'", "NOT ancestor(name = 'a')")
        >>> [asks_around(bind_filter(text, "artifact")) for text in texts]
        [False, True, True]
    """
    return bool(scope.neighbours) or _asks(scope.condition)


def _asks(bound: Bound) -> bool:
    match bound:
        case Walked() | Counted() | Folded() | StatsOf():
            return True
        case Logic(_, parts):
            return any(map(_asks, parts))
        case Comparison() | Arithmetic():
            return _asks(bound.left) or _asks(bound.right)
        case Negation(part):
            return _asks(part)
        case Among() | Matches() | Missing() | Function():
            return _asks(bound.value)
        case _:
            return False


def holders(bound: Bound) -> set[int]:
    """The holders a value or condition mentions, those of inner scopes left out."""
    match bound:
        case ColumnOf() | PropertyOf() | StatsOf():
            return {bound.holder}
        case Logic(_, parts):
            return set().union(*(holders(part) for part in parts))
        case Comparison() | Arithmetic():
            return holders(bound.left) | holders(bound.right)
        case Negation(part):
            return holders(part)
        case Among() | Matches() | Missing() | Function():
            return holders(bound.value)
        case Value():
            return set()
        case Walked() | Counted() | Folded() | Words():
            return {0}
