"""Filters answered by asking a graph: the meaning of the language, written down to be read.

The memory backend answers with it, and the SQL that other backends make is tested against it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final, Protocol, TypeAlias, cast

from whence.metadata.filter import bound as b
from whence.metadata.filter.bound import Bound, Scope
from whence.metadata.filter.patterns import is_like, lower, upper
from whence.metadata.filter.types import Relation
from whence.metadata.filter.words import words_of_node
from whence.metadata.ids import wire_id
from whence.metadata.rows import to_us
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Context,
    Event,
    Execution,
    Type,
    Value,
)
from whence.metadata.typetable import followed

STATISTICS: Final = frozenset({"Statistics", "mlmd.Statistics"})

Holder: TypeAlias = AnyNode | Event
Answer: TypeAlias = int | float | str | bool | None
"""A scalar, or None: NULL, unknown."""

# Any: both sides are of one kind that has an order.
_OPS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_READS, _WRITES = followed(internal=False)
_WALKERS: Final[Mapping[str, type[AnyNode]]] = {
    "consumer": Artifact,
    "input": Execution,
    "output": Execution,
    "producer": Artifact,
}
"""Who has such neighbours: where an artifact or an execution is asked, the other has none."""


class Graph(Protocol):
    """What a filter asks of a graph. Nodes are as stored: they have ids and times."""

    def node(self, uid: str) -> AnyNode:
        """The node with this uid."""

    def type(self, node: AnyNode) -> Type:
        """The type of a node."""

    def events(self, node: AnyNode) -> Iterable[Event]:
        """The events of an artifact or execution; none for a context."""

    def contexts(self, node: AnyNode) -> Iterable[AnyNode]:
        """The contexts an artifact or execution is in; none for a context."""

    def members(self, context: AnyNode) -> Iterable[AnyNode]:
        """The artifacts and executions in a context; none for another node."""

    def parents(self, context: AnyNode) -> Iterable[AnyNode]:
        """The parents of a context."""

    def children(self, context: AnyNode) -> Iterable[AnyNode]:
        """The contexts of which this one is a parent."""


def evaluate(bound: Scope, node: AnyNode, graph: Graph) -> bool:
    """Whether a node fits a filter; to ask it of many nodes, keep an `Evaluator`."""
    return Evaluator(graph).fits(bound, node)


class Evaluator:
    """Answers filters over one graph that does not change meanwhile; what it has found it remembers.

    Args:
        graph: The graph that is asked.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[int, str], bool] = {}
        # Scopes are remembered by identity, so they must outlive what is remembered of them.
        self._scopes: dict[int, Scope] = {}
        self._statistics: dict[str, AnyNode | None] = {}

    def fits(self, scope: Scope, holder: Holder) -> bool:
        """Whether a node, or an event, fits a scope."""
        if isinstance(holder, Event):
            return self._fits(scope, holder)
        key = id(scope), holder.uid
        if key not in self._known:
            self._scopes[id(scope)] = scope
            self._known[key] = self._fits(scope, holder)
        return self._known[key]

    def _fits(self, scope: Scope, holder: Holder) -> bool:
        if not _has(holder, scope.required):
            return False
        around = [
            [other for other in self._around(holder, n.relation) if _has(other, n.required)]
            for n in scope.neighbours
        ]
        return all(self._some(holder, around, *part) for part in b.conjuncts(scope))

    def _some(
        self,
        holder: Holder,
        around: list[list[Holder]],
        names: tuple[int, ...],
        conditions: tuple[Bound, ...],
    ) -> bool:
        """Whether there is a choice of neighbours for which the conditions are true."""
        for choice in product(*(around[name - 1] for name in names)):
            chosen = {0: holder, **dict(zip(names, choice, strict=True))}
            if all(self.value(condition, chosen) is True for condition in conditions):
                return True
        return False

    def value(self, bound: Bound, at: Mapping[int, Holder]) -> Answer:
        """What a value or condition is for these holders."""
        match bound:
            case b.Value(value):
                assert not isinstance(value, b.Slot)
                return value
            case b.ColumnOf(holder, name):
                return self._column(at[holder], name)
            case b.PropertyOf(holder, part, name, want):
                return _read(_properties(at[holder], part).get(name), want)
            case b.StatsOf(holder, name, want):
                return self._stats(at[holder], name, want)
            case b.Logic() | b.Negation() | b.Comparison() | b.Among() | b.Matches() | b.Missing():
                return self._condition(bound, at)
            case b.Arithmetic(op, left, right):
                return _reckon(op, self.value(left, at), self.value(right, at))
            case b.Function(name, value):
                return _call(name, self.value(value, at))
            case b.Words(words):
                return words_of_node(cast("AnyNode", at[0])).issuperset(words)
            case b.Walked() | b.Counted() | b.Folded():
                return self._inner(bound, at[0])

    def _condition(
        self,
        bound: b.Logic | b.Negation | b.Comparison | b.Among | b.Matches | b.Missing,
        at: Mapping[int, Holder],
    ) -> bool | None:
        match bound:
            case b.Logic(op, parts):
                return _together(op, [self.value(part, at) for part in parts])
            case b.Negation(part):
                inside = self.value(part, at)
                return None if inside is None else not inside
            case b.Comparison(op, left, right):
                first, second = self.value(left, at), self.value(right, at)
                if b.is_reckoned(left) or b.is_reckoned(right):
                    first, second = _as_double(first), _as_double(second)
                return _compare(op, first, second)
            case b.Among(value, options):
                found = self.value(value, at)
                return None if found is None else found in options
            case b.Matches(value, pattern):
                text = self.value(value, at)
                assert not isinstance(pattern, b.Slot)
                return is_like(text, pattern) if isinstance(text, str) else None
            case b.Missing(value):
                return self._is_missing(value, at)

    def _is_missing(self, bound: Bound, at: Mapping[int, Holder]) -> bool:
        if isinstance(bound, b.PropertyOf) and bound.want == "any":
            return _properties(at[bound.holder], bound.part).get(bound.name) is None
        if isinstance(bound, b.StatsOf) and bound.want == "any":
            newest = self._newest(at[bound.holder])
            return newest is None or newest.get(bound.name) is None
        return self.value(bound, at) is None

    def _inner(self, bound: b.Walked | b.Counted | b.Folded, holder: Holder) -> Answer:
        if isinstance(bound, b.Walked):
            return any(
                self.fits(bound.inside, node) for node in self._reached(bound, cast("AnyNode", holder))
            )
        fitting = [n for n in self._around(holder, bound.relation) if self.fits(bound.inside, n)]
        if isinstance(bound, b.Counted):
            return len(fitting)
        values = [v for n in fitting if (v := self.value(bound.value, {0: n})) is not None]
        return _fold(bound.name, values)

    def _reached(self, walked: b.Walked, node: AnyNode) -> Iterator[AnyNode]:
        """The nodes at the other end of a walk, each once, nearest first."""
        up = walked.name in ("ancestor", "input", "producer")
        far = walked.hops if walked.name in ("ancestor", "descendant") else 1
        if not isinstance(node, _WALKERS.get(walked.name, AnyNode)):
            return
        # The start is not among the seen: over a circle it is its own ancestor.
        seen: set[str] = set()
        front, hops = [node], 0
        while front and (far is None or hops < far):
            following = []
            for one in front:
                for other in self._step(one, up=up):
                    if other.uid not in seen:
                        seen.add(other.uid)
                        following.append(other)
                        yield other
            front, hops = following, hops + 1

    def _step(self, node: AnyNode, *, up: bool) -> Iterator[AnyNode]:
        """The nodes one event away."""
        of_artifact = isinstance(node, Artifact)
        kinds = _WRITES if of_artifact == up else _READS
        for event in self._graph.events(node):
            if event.kind in kinds:
                yield self._graph.node(event.execution if of_artifact else event.artifact)

    def _around(self, holder: Holder, relation: Relation) -> list[Holder]:
        """The neighbours of a node in one relation, each once."""
        assert not isinstance(holder, Event)
        graph = self._graph
        match relation:
            case "events":
                return list(graph.events(holder))
            case "contexts":
                found: Iterable[AnyNode] = graph.contexts(holder)
            case "parent_contexts":
                found = graph.parents(holder)
            case "child_contexts":
                found = graph.children(holder)
            case "inputs" | "outputs":
                up = relation == "inputs"
                found = self._step(holder, up=up) if isinstance(holder, Execution) else ()
            case "artifacts":
                found = self._beside(holder, Artifact)
            case "executions":
                found = self._beside(holder, Execution)
        return list({node.uid: node for node in found}.values())

    def _beside(self, node: AnyNode, kind: type[Artifact | Execution]) -> Iterator[AnyNode]:
        """The artifacts or executions of a context, or at the other end of a node's events."""
        if isinstance(node, Context):
            yield from (member for member in self._graph.members(node) if isinstance(member, kind))
        elif not isinstance(node, kind):
            for event in self._graph.events(node):
                yield self._graph.node(event.artifact if kind is Artifact else event.execution)

    def _column(self, holder: Holder, name: str) -> Answer:
        if isinstance(holder, Event):
            return self._event_column(holder, name)
        read = _COLUMNS.get(name)
        return _time_column(holder, name) if read is None else read(holder, self._graph)

    def _event_column(self, event: Event, name: str) -> Answer:
        assert event.at is not None
        match name:
            case "artifact_id":
                return _number_of(self._graph.node(event.artifact))
            case "execution_id":
                return _number_of(self._graph.node(event.execution))
            case "type":
                return event.kind
            case "path":
                return "/".join(str(step) for step in event.path)
            case "at":
                return to_us(event.at)
            case _:
                return to_us(event.at) // 1_000

    def _stats(self, holder: Holder, name: str, want: b.Want) -> Answer:
        newest = self._newest(holder)
        return None if newest is None else _read(newest.get(name), want)

    def _newest(self, holder: Holder) -> AnyNode | None:
        """The newest statistics of an artifact."""
        if not isinstance(holder, Artifact):
            return None
        if holder.uid not in self._statistics:
            made = (a for execution in self._step(holder, up=False) for a in self._step(execution, up=False))
            found = [
                a for a in made if isinstance(a, Artifact) and a.state == "LIVE" and self._is_statistics(a)
            ]
            self._statistics[holder.uid] = max(found, key=lambda a: a.id or 0, default=None)
        return self._statistics[holder.uid]

    def _is_statistics(self, artifact: Artifact) -> bool:
        type_ = self._graph.type(artifact)
        return type_.name in STATISTICS or type_.base == "mlmd.Statistics"


# What every node has but its times; of a tombstone the name it had, which another may have by now.
_COLUMNS: Final[Mapping[str, Callable[[AnyNode, Graph], Answer]]] = {
    "base": lambda node, graph: graph.type(node).base,
    "external_id": lambda node, _: node.external_id,
    "id": lambda node, _: _number_of(node),
    "last_known_state": lambda node, _: node.state if isinstance(node, Execution) else None,
    "name": lambda node, _: node.name,
    "namespace": lambda node, _: node.namespace,
    "revision": lambda node, _: node.revision,
    "state": lambda node, _: None if isinstance(node, Context) else node.state,
    "type": lambda node, _: node.type,
    "type_id": lambda node, graph: graph.type(node).id,
    "type_version": lambda node, _: node.type_version,
    "uid": lambda node, _: node.uid,
    "uri": lambda node, _: node.uri if isinstance(node, Artifact) else None,
}


def _number_of(node: AnyNode) -> int:
    """A node's number among all nodes, which the language calls its id."""
    assert node.id is not None
    return wire_id(node.id)


def _time_column(node: AnyNode, name: str) -> Answer:
    at = {
        "create_time_since_epoch": node.created_at,
        "created_at": node.created_at,
        "last_update_time_since_epoch": node.updated_at,
        "removed_at": node.removed_at,
        "updated_at": node.updated_at,
    }[name]
    if at is None:
        return None
    return to_us(at) // 1_000 if name.endswith("_since_epoch") else to_us(at)


def _has(holder: Holder, required: Iterable[tuple[str, str]]) -> bool:
    return all(_properties(holder, part).get(name) is not None for part, name in required)


def _properties(holder: Holder, part: str) -> Mapping[str, Value]:
    assert not isinstance(holder, Event)
    return holder.properties if part == "p" else holder.custom


def _read(value: Value, want: b.Want) -> Answer:
    if isinstance(value, bool):
        return value if want in ("bool", "any") else None
    if isinstance(value, int):
        return value if want in ("int", "number", "any") else None
    if isinstance(value, float):
        return value if want in ("double", "number", "any") and not math.isnan(value) else None
    if isinstance(value, str):
        return value if want in ("text", "any") and "\0" not in value else None
    return None


def _together(op: str, answers: list[Answer]) -> bool | None:
    ends = op == "or"
    if any(answer is ends for answer in answers):
        return ends
    return None if any(answer is None for answer in answers) else not ends


def _compare(op: str, left: Answer, right: Answer) -> bool | None:
    if left is None or right is None or _class(left) != _class(right):
        return None
    return _OPS[op](left, right)


def _as_double(answer: Answer) -> Answer:
    return float(answer) if type(answer) is int else answer


def _class(answer: Answer) -> type:
    """What may be compared with each other: numbers, text, true and false."""
    return float if type(answer) is int else type(answer)


def _reckon(op: str, left: Answer, right: Answer) -> float | None:
    if left is None or right is None:
        return None
    a, c = float(cast("float", left)), float(cast("float", right))
    if op == "/" and c == 0:
        return None
    value = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[op](a, c)
    return None if math.isnan(value) else value


def _call(name: str, value: Answer) -> Answer:
    if value is None:
        return None
    if name == "ABS":
        return abs(float(cast("float", value)))
    text = cast("str", value)
    if name == "LENGTH":
        return len(text)
    return lower(text) if name == "LOWER" else upper(text)


def _fold(name: str, values: Sequence[Answer]) -> Answer:
    if not values:
        return None
    if name in ("MIN", "MAX"):
        least: Callable[[Iterable[Answer]], Answer] = min if name == "MIN" else max  # type: ignore[assignment]  # of one kind
        return least(values)
    total = 0.0
    for value in values:
        total += cast("float", value)
    answer = total if name == "SUM" else total / len(values)
    return None if math.isnan(answer) else answer
