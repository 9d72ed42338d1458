"""The tree of a filter as it was written: what each word says is decided when it is bound to a kind of node."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["properties", "custom_properties"]
Suffix: TypeAlias = Literal["int_value", "double_value", "string_value", "bool_value"]
Relation: TypeAlias = Literal[
    "contexts",
    "artifacts",
    "executions",
    "events",
    "inputs",
    "outputs",
    "parent_contexts",
    "child_contexts",
]
CompareOp: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
ArithOp: TypeAlias = Literal["+", "-", "*", "/"]
FunctionName: TypeAlias = Literal["LOWER", "UPPER", "LENGTH", "ABS"]
FoldName: TypeAlias = Literal["MIN", "MAX", "AVG", "SUM"]
WalkName: TypeAlias = Literal["ancestor", "descendant", "input", "output", "producer", "consumer"]


@dataclass(frozen=True, slots=True)
class Span:
    """Where in the text something stands, in characters."""

    offset: int
    length: int


NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A part of a tree knows its place; trees are equal wherever they stand."""

    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Constant(_Placed):
    """A number, text, TRUE, FALSE or NULL."""

    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Moment(_Placed):
    """A moment: ``timestamp '2026-05-03T00:00:00Z'``, in UTC."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Word(_Placed):
    """An upper-case word: the name of a state, or of a kind of event."""

    name: str


@dataclass(frozen=True, slots=True)
class Column(_Placed):
    """What every node of a kind has: ``name``, ``type``, ``created_at``."""

    name: str


@dataclass(frozen=True, slots=True)
class Property(_Placed):
    """A property: ``properties.n_rows``, ``custom_properties.note.string_value``."""

    part: Part
    name: str
    suffix: Suffix | None = None


@dataclass(frozen=True, slots=True)
class StatsField(_Placed):
    """A property of the newest statistics of an artifact: ``stats.drift``."""

    name: str


@dataclass(frozen=True, slots=True)
class AliasField(_Placed):
    """What a neighbour has: ``contexts_a.name``; the same alias is the same neighbour."""

    relation: Relation
    word: str
    field: Column | Property | StatsField


@dataclass(frozen=True, slots=True)
class And(_Placed):
    """Every part holds."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or(_Placed):
    """A part holds."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    """The part does not hold."""

    part: Expr


@dataclass(frozen=True, slots=True)
class Compare(_Placed):
    """Two values compared."""

    op: CompareOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class In(_Placed):
    """A value is one of several."""

    value: Expr
    options: tuple[Constant | Word | Moment, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(_Placed):
    """A text is like a pattern; `folded` (ILIKE) does not tell A from a."""

    value: Expr
    pattern: str
    escape: str | None = None
    negated: bool = False
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Between(_Placed):
    """A value lies between two, ends included."""

    value: Expr
    low: Expr
    high: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull(_Placed):
    """A value is absent."""

    value: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Arith(_Placed):
    """Two numbers added, subtracted, multiplied or divided."""

    op: ArithOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Minus(_Placed):
    """A number with its sign changed."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Call(_Placed):
    """A function of one value."""

    name: FunctionName
    value: Expr


@dataclass(frozen=True, slots=True)
class Walk(_Placed):
    """A node in this direction of the lineage holds `inside`; at most `hops` events away."""

    name: WalkName
    inside: Expr
    hops: int | None = None


@dataclass(frozen=True, slots=True)
class Count(_Placed):
    """How many neighbours there are, or how many for which `where` holds."""

    relation: Relation
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Fold(_Placed):
    """The least, greatest, mean or sum of what neighbours have."""

    name: FoldName
    relation: Relation
    field: Column | Property | StatsField
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Search(_Placed):
    """Every word of the text is a word of the node."""

    text: str


Expr: TypeAlias = (
    And
    | Or
    | Not
    | Compare
    | In
    | Like
    | Between
    | IsNull
    | Arith
    | Minus
    | Call
    | Constant
    | Moment
    | Word
    | Column
    | Property
    | StatsField
    | AliasField
    | Walk
    | Count
    | Fold
    | Search
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read: its text, and its tree. Filters are equal when their trees are."""

    text: str = field(compare=False)
    tree: Expr
