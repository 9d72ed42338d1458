"""A ``filter_query`` of ML Metadata as a filter of the graph.

The graph's language is ML Metadata's with more words in it; three things ML Metadata answers otherwise are put into
its words here, so that queries find what they found there:

::

    uri            one that is not given is the empty text: uri = '', never uri IS NULL
    state          one that is UNKNOWN is not given: state IS NULL finds it, NOT state = LIVE does not,
                   state != LIVE does
    LIKE           does not tell A from a, as on SQLite and MySQL

Inside ``ancestor(…)``, ``COUNT(…)`` and the other words that ML Metadata has not, everything is as the graph says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, cast

from whence.errors import UsageError
from whence.integrations.mlmd.errors import PermissionDeniedError, invalid
from whence.metadata import NodeKind
from whence.metadata.filter import Evaluator, Filter, Graph, bind_filter, format_filter, parse_filter
from whence.metadata.filter.types import (
    AliasField,
    And,
    Arith,
    Between,
    Call,
    Column,
    Compare,
    Constant,
    Count,
    Expr,
    Fold,
    In,
    IsNull,
    Like,
    Minus,
    Not,
    Or,
    StatsField,
    Walk,
    Word,
)

MAX_URIS: Final = 4
"""Uris in one comparison; each doubles its text."""

_MAX_MESSAGE: Final = 800  # gRPC sends a message in a header, and headers have 8 KiB
_STATES: Final = frozenset({"state", "last_known_state"})
_Place: TypeAlias = Column | Word | AliasField
_NO_GRAPH: Final = cast("Graph", None)  # constants ask no graph


def read_filter(text: str, kind: NodeKind) -> str | None:
    """The graph's filter that says what a filter query says; None when there is no query.

    Raises:
        StatusError: INVALID_ARGUMENT: it is no condition on nodes of this kind; the message shows where.

    Example:
        >>> read_filter("NOT uri = 'a' OR name LIKE 'A%'", "artifact")
        "NOT (uri IS NOT NULL AND uri = 'a') OR name ILIKE 'A%'"
        >>> read_filter("state IS NULL", "artifact")
        'state = UNKNOWN'
    """
    if not text:
        return None
    try:
        tree = parse_filter(text).tree
        bind_filter(Filter(text, tree), kind)  # first as it was written, so that an error shows this text
        ours = format_filter(_filled(_worded(tree), kind, positive=True))
        bind_filter(ours, kind)
    except UsageError as error:
        raise invalid(f"Invalid `filter_query`: {error}"[:_MAX_MESSAGE]) from error
    return ours


def among(filter_: str, ids: list[int]) -> str:
    """A filter, of the nodes with these ids only.

    Example:
        >>> among("name = 'a' OR name = 'b'", [3, 5])
        "id IN (3, 5) AND (name = 'a' OR name = 'b')"
    """
    return f"id IN ({', '.join(map(str, ids))}) AND ({filter_})"


def within(filter_: str, kind: NodeKind, namespace: str) -> str:
    """A filter that looks at neighbours in one namespace only.

    Raises:
        StatusError: PERMISSION_DENIED: it asks for statistics, which may be in another.

    Example:
        >>> within("contexts_a.name = 'x' OR COUNT(artifacts) > 1", "execution", "team")
        "contexts_a.namespace = 'team' AND (contexts_a.name = 'x' OR COUNT(artifacts WHERE namespace = 'team') > 1)"
    """
    tree = _enclosed(parse_filter(filter_).tree, Constant(namespace))
    text = format_filter(tree)
    bind_filter(text, kind)
    return text


def _enclosed(tree: Expr, own: Constant) -> Expr:
    """A scope of which every alias is a node of the namespace, and so in the scopes within."""
    aliases: dict[AliasField, None] = {}

    def look(part: Expr) -> Expr:
        here: Expr = Compare("=", Column("namespace"), own)
        match part:
            case AliasField(relation, word) if relation != "events":
                aliases[AliasField(relation, word, Column("namespace"))] = None
                if isinstance(part.field, StatsField):
                    raise _denied()
            case StatsField():
                raise _denied()
            case Walk(inside=inside):
                return dataclasses.replace(part, inside=And((here, _enclosed(inside, own))))
            case Count(relation, where) | Fold(relation=relation, where=where):
                if isinstance(part, Fold) and isinstance(part.field, StatsField):
                    raise _denied()
                inner = None if where is None else _enclosed(where, own)
                if relation != "events":
                    inner = here if inner is None else And((here, inner))
                return dataclasses.replace(part, where=inner)
        return _with(part, look)

    looked = look(tree)
    return And((*(Compare("=", alias, own) for alias in aliases), looked)) if aliases else looked


def _denied() -> PermissionDeniedError:
    return PermissionDeniedError("Statistics may be in a namespace that this service does not serve.")


def _worded(tree: Expr) -> Expr:
    """States and patterns as ML Metadata reads them."""
    if isinstance(tree, IsNull) and _column(tree.value) in _STATES:
        return Compare("!=" if tree.negated else "=", tree.value, Word("UNKNOWN"))
    if isinstance(tree, Like):
        tree = dataclasses.replace(tree, folded=True)
    return _with(tree, _worded)


def _filled(tree: Expr, kind: NodeKind, *, positive: bool) -> Expr:
    """Uris and states that are not given as ML Metadata reads them.

    `positive`: under no NOT, or an even number of them. There a test that is unknown may as well be false,
    elsewhere as well be true, and the whole holds for the same nodes.
    """
    match tree:
        case And() | Or():
            return _with(tree, lambda part: _filled(part, kind, positive=positive))
        case Not(part):
            return Not(_filled(part, kind, positive=not positive))
    if not positive:
        tree = _or_unknown(tree)
    places = list(dict.fromkeys(_uris(tree)))
    if len(places) > MAX_URIS:
        raise UsageError(f"one comparison names at most {MAX_URIS} uris", code="bad-filter")
    for place in places:
        tree = _without(tree, place, kind, kept=positive and len(places) == 1)
    return tree


def _or_unknown(test: Expr) -> Expr:
    """A test that a state is a certain one, true where the state is not given."""
    unknown = Word("UNKNOWN")
    match test:
        case Compare("=", left, right) if unknown not in (left, right):
            for column in (left, right):
                if _column(column) in _STATES:
                    return Or((test, Compare("=", column, unknown)))
        case In(column, options, False) if _column(column) in _STATES:
            return dataclasses.replace(test, options=(*options, unknown))
    return test


def _without(test: Expr, place: _Place, kind: NodeKind, *, kept: bool) -> Expr:
    """A test that reads one uri as the empty text where it is NULL."""
    empty = _emptied(test, place)
    given, missing = IsNull(place, negated=True), IsNull(place)
    answer = _answer(empty, kind)
    if answer is True:
        return Or((missing, test))
    if answer is False:
        # Where the uri is NULL, such a test is unknown.
        plain = isinstance(test, Compare | In | Like | Between) and place in _parts(test)
        return test if kept and plain else And((given, test))
    return Or((And((given, test)), And((missing, empty))))


def _answer(test: Expr, kind: NodeKind) -> bool | None:
    """What a test of constants is; None when it is more, or unknown."""
    if not _is_constant(test):
        return None
    answer = Evaluator(_NO_GRAPH).value(bind_filter(Filter("", test), kind).condition, {})
    return cast("bool | None", answer)


def _is_constant(tree: Expr) -> bool:
    parts = list(_parts(tree))
    return all(map(_is_constant, parts)) if parts else isinstance(tree, Constant)


def _uris(tree: Expr) -> Iterator[_Place]:
    if isinstance(tree, Column | Word | AliasField) and _column(tree) == "uri":
        yield tree
    for part in _parts(tree):
        yield from _uris(part)


def _emptied(tree: Expr, place: _Place) -> Expr:
    return Constant("") if tree == place else _with(tree, lambda part: _emptied(part, place))


def _column(tree: Expr) -> str | None:
    """The name of the column; an upper-case word may be one, as in ``URI = 'a'``."""
    match tree:
        case Column(name) | AliasField(field=Column(name)):
            return name
        case Word(name):
            return name.lower()
        case _:
            return None


def _parts(tree: Expr) -> Iterator[Expr]:
    found: list[Expr] = []

    def note(part: Expr) -> Expr:
        found.append(part)
        return part

    _with(tree, note)
    yield from found


def _with(tree: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """A tree with its parts changed; scopes of their own (walks, counts, folds) have no parts here."""
    match tree:
        case And(parts) | Or(parts):
            return dataclasses.replace(tree, parts=tuple(map(change, parts)))
        case Not(part):
            return dataclasses.replace(tree, part=change(part))
        case Compare(_, left, right) | Arith(_, left, right):
            return dataclasses.replace(tree, left=change(left), right=change(right))
        case Between(value, low, high):
            return dataclasses.replace(tree, value=change(value), low=change(low), high=change(high))
        case In() | Like() | IsNull() | Minus() | Call():
            return dataclasses.replace(tree, value=change(tree.value))
        case _:
            return tree
