"""Why two nodes differ: the first ancestors in which they do, and what differs in those.

This is about nodes as they are stored, whatever wrote them. What a table, a run or a model of whence means
beyond its node (rows, commits, packages) is compared by `whence.trace`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whence.errors import DeniedError, NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.found import line_of, node_to_dict, nodes_html
from whence.metadata.lineage import Lineage
from whence.metadata.types import OUTPUT_KINDS, Artifact, Event, Execution, Value

Aspect: TypeAlias = Literal["type", "name", "state", "uri", "properties", "custom", "inputs", "outputs"]

OCCASION: Final = frozenset(
    {
        "attempt", "committed_at", "created_at", "duration_s", "finished_at", "host", "known_at", "life", "parent",
        "pid", "principal", "recovered", "started_at", "updated_at", "version",
    }
)  # fmt: skip
"""Properties that say when, where and by whom something happened, or which number it got: no two runs share them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two nodes differ.

    Attributes:
        what: A field of the node; ``inputs``: what only one of two executions has read; ``outputs``: what two
            executions have written that otherwise do not differ.
        name: Which property (``params.depth`` inside a struct); in which part something was read or written; else
            the field again.
        a: The value of the first; None when it is absent.
        b: The value of the second.
    """

    what: Aspect
    name: str
    a: Value
    b: Value


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ancestors that play the same part, and in what they differ by themselves.

    Attributes:
        hops: How many events they are away from what was compared.
        differences: Sorted by field, then name; without what follows from other pairs.
    """

    a: Artifact | Execution
    b: Artifact | Execution
    hops: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """In what two nodes differ.

    Attributes:
        same: Nothing that is recorded differs.
        pairs: Every pair that differs by itself. First those all of whose own ancestors are equal, the nearest of
            them first: these are where the histories part. Then those that differ on top of that.
    """

    a: Artifact | Execution
    b: Artifact | Execution
    same: bool
    pairs: tuple[Pair, ...] = ()

    @property
    def first(self) -> Pair | None:
        """The nearest pair that differs though everything before it is equal."""
        return self.pairs[0] if self.pairs else None

    def text(self) -> str:
        """Each pair that differs in a few lines, the first one first."""
        lines = []
        for i, pair in enumerate(self.pairs):
            lines += [
                f"{'first: ' if i == 0 else ''}{line_of(pair.a)}",
                f"{'       ' if i == 0 else ''}{line_of(pair.b)}",
            ]
            lines += [f"  {d.what} {d.name}: {d.a!r} | {d.b!r}" for d in pair.differences]
        return "\n".join(lines or ["nothing that is recorded differs"])

    def to_dict(self) -> dict[str, object]:
        """The answer as plain values, for ``--json``."""
        pairs = [
            {
                "a": node_to_dict(pair.a),
                "b": node_to_dict(pair.b),
                "hops": pair.hops,
                "differences": [
                    {"what": d.what, "name": d.name, "a": d.a, "b": d.b} for d in pair.differences
                ],
            }
            for pair in self.pairs
        ]
        return {
            "a": self.a.uid,
            "b": self.b.uid,
            "same": self.same,
            "first": pairs[0] if pairs else None,
            "pairs": pairs,
        }

    def __repr__(self) -> str:
        return f"<diff of {self.a.uid} and {self.b.uid}>\n{self.text()}"

    def _repr_html_(self) -> str:
        """For notebooks: the pairs as a table."""
        return nodes_html(
            [node for pair in self.pairs for node in (pair.a, pair.b)], caption=self.text().partition("\n")[0]
        )


def first_difference(
    store: MetadataStore,
    a: str,
    b: str,
    *,
    max_hops: int | None = None,
    ignore: Collection[str] = (),
    as_of: datetime | None = None,
) -> Diff:
    """Compare two executions, or two artifacts, by all they came from.

    Their ancestors are paired from the two nodes upwards: the executions that made two artifacts, and of two
    executions the inputs that were read in the same part (the event's path, else type and name without a version
    behind ``@``), code and environment included. Then:

    * Two artifacts are equal when they are one, or both have a `digest` and it is the same. Otherwise they differ
      by what their makers differ by; where that is nothing, or a maker is not known, by their own properties,
      and without makers also by uri and name.
    * Two executions differ by type, state, properties, and inputs that only one of them has; and by what their
      inputs differ by. Where that is nothing, by the digests of what they wrote.

    Args:
        store: The graph.
        a: The uid of an execution or an artifact.
        b: The uid of another of that kind.
        max_hops: Look at ancestors at most this many events away.
        ignore: Names of properties to leave out, beside `OCCASION`.
        as_of: In the graph as it was known at this moment.

    Raises:
        NotFoundError: One of them is unknown or a context (``node-not-found``).
        DeniedError: Of one nothing may be read (``namespace-denied``).
        UsageError: One is an artifact and the other an execution (``not-comparable``).

    Example:
        >>> from whence.metadata import Change, Put, open_store
        >>> store = open_store("memory://")
        >>> raw = Artifact(type="mlmd.Dataset", name="raw")
        >>> runs = [Execution(type="mlmd.Train", custom={"params": {"depth": depth}}) for depth in (6, 9)]
        >>> models = [Artifact(type="mlmd.Model", name=f"late@{version}") for version in (1, 2)]
        >>> events = [Event(run.uid, raw.uid, "INPUT") for run in runs]
        >>> events += [Event(run.uid, model.uid, "OUTPUT") for run, model in zip(runs, models, strict=True)]
        >>> written = store.write(Change([Put(node) for node in (raw, *runs, *models)], events))
        >>> pair = first_difference(store, models[0].uid, models[1].uid).first
        >>> pair.a.type, [(d.what, d.name, d.a, d.b) for d in pair.differences]
        ('mlmd.Train', [('custom', 'params.depth', 6, 9)])
    """
    sides = []
    for uid in (a, b):
        piece = store.lineage([uid], direction="up", max_hops=max_hops, internal=True, as_of=as_of)
        sides.append(_Side(Lineage(piece), uid))
    left, right = sides[0].node(a), sides[1].node(b)
    for node in (left, right):
        if not node.namespace:
            raise DeniedError(
                f"{node.type} {node.uid} is in a namespace that you may not read, and is not compared",
                code="namespace-denied",
                hint="ask for access to it",
            )
    if isinstance(left, Artifact) != isinstance(right, Artifact):
        raise UsageError(
            "an artifact and an execution are not compared",
            code="not-comparable",
            hint="compare two executions, or two artifacts",
        )
    pairs = _Comparison(sides[0], sides[1], OCCASION | frozenset(ignore)).run(left, right)
    if not pairs and left.uid != right.uid and isinstance(left, Execution) and isinstance(right, Execution):
        written = _outputs_differ(store, left, right, as_of)
        pairs = (Pair(left, right, 0, written),) if written else ()
    return Diff(left, right, not pairs, pairs)


Node: TypeAlias = Artifact | Execution
Key: TypeAlias = tuple[str, str]


class _Side:
    """One of the two ancestries."""

    def __init__(self, lineage: Lineage, start: str) -> None:
        self._lineage = lineage
        self._start = start

    def node(self, uid: str) -> Node:
        return self._lineage.node(uid)

    def maker(self, artifact: Artifact) -> Execution | None:
        """The execution that wrote it; of several, the newest that did not only find it in a cache."""
        made = [
            self._known(event.execution)
            for event in self._lineage.events(artifact.uid)
            if event.kind in OUTPUT_KINDS or event.kind == "INTERNAL_OUTPUT"
        ]
        known = [node for node in made if isinstance(node, Execution)]
        return max(known, key=lambda e: (e.state != "CACHED", e.id or 0)) if known else None

    def inputs(self, execution: Execution) -> dict[str, Artifact]:
        """What it read, by the part each plays."""
        found: dict[str, Artifact] = {}
        for event in self._lineage.events(execution.uid):
            node = self._known(event.artifact)
            if (
                event.kind in OUTPUT_KINDS
                or event.kind == "INTERNAL_OUTPUT"
                or not isinstance(node, Artifact)
            ):
                continue
            part, n = _part(event, node), 2
            while part in found and found[part].uid != node.uid:
                part, n = f"{_part(event, node)}#{n}", n + 1
            found[part] = node
        return found

    def _known(self, uid: str) -> Node | None:
        try:
            return self._lineage.node(uid)
        except NotFoundError:
            return None


@dataclass(slots=True)
class _Work:
    """A pair of ancestors that is being compared."""

    a: Node
    b: Node
    hops: int
    before: list[Key] = field(default_factory=list)
    """the pairs that it came from"""
    own: list[Difference] = field(default_factory=list)
    differs_before: bool = False
    looked: bool = False


class _Comparison:
    """Pairs ancestors from two nodes upwards; a stack and no recursion, lineages are as deep as they like."""

    def __init__(self, a: _Side, b: _Side, ignore: frozenset[str]) -> None:
        self._side_a, self._side_b = a, b
        self._ignore = ignore
        self._work: dict[Key, _Work] = {}
        self._differs: dict[Key, bool] = {}

    def run(self, a: Node, b: Node) -> tuple[Pair, ...]:
        begun = self._pair(a, b, 0)
        self._grow(begun)
        done = self._settle(begun)
        roots = sorted((w for w in done if w.own and not w.differs_before), key=lambda w: w.hops)
        others = [w for w in done if w.own and w.differs_before]
        return tuple(Pair(w.a, w.b, w.hops, tuple(w.own)) for w in (*roots, *others))

    def _pair(self, a: Node, b: Node, hops: int) -> Key:
        key = a.uid, b.uid
        if key not in self._work:
            self._work[key] = _Work(a, b, hops)
            if _equal(a, b):
                self._differs[key] = False
        return key

    def _grow(self, begun: Key) -> None:
        """Pair the ancestors, nearest first; each pair notes in what it differs by itself."""
        todo = deque([begun])
        while todo:
            key = todo.popleft()
            work = self._work[key]
            if key in self._differs:
                continue
            for a, b in self._ancestors(work):
                known = (a.uid, b.uid) in self._work
                work.before.append(self._pair(a, b, work.hops + 1))
                if not known:
                    todo.append(work.before[-1])

    def _settle(self, begun: Key) -> list[_Work]:
        """The pairs, each behind those that it came from."""
        done: list[_Work] = []
        stack = [begun]
        while stack:
            key = stack[-1]
            work = self._work[key]
            if key in self._differs:
                stack.pop()
            elif not work.looked:
                work.looked = True
                # One that is looked at but not settled is an ancestor of itself: no news from there.
                stack += [
                    k for k in reversed(work.before) if k not in self._differs and not self._work[k].looked
                ]
            else:
                stack.pop()
                work.differs_before = any(self._differs.get(k, False) for k in work.before)
                if isinstance(work.a, Artifact) and work.differs_before:
                    work.own = []  # that follows from how it was made
                self._differs[key] = bool(work.own) or work.differs_before
                done.append(work)
        return done

    def _ancestors(self, work: _Work) -> Iterator[tuple[Node, Node]]:
        """The pairs that a pair came from; what it differs in by itself is noted."""
        a, b = work.a, work.b
        if isinstance(a, Execution) and isinstance(b, Execution):
            yield from self._executions(work, a, b)
        elif isinstance(a, Artifact) and isinstance(b, Artifact):
            made_a, made_b = self._side_a.maker(a), self._side_b.maker(b)
            work.own += self._fields(a, b, made=made_a is not None and made_b is not None)
            if made_a is not None and made_b is not None:
                yield made_a, made_b

    def _executions(self, work: _Work, a: Execution, b: Execution) -> Iterator[tuple[Node, Node]]:
        left, right = self._side_a.inputs(a), self._side_b.inputs(b)
        alone: list[Difference] = []
        for part in [*left, *(p for p in right if p not in left)]:
            x, y = left.get(part), right.get(part)
            if x is None or y is None:
                alone.append(Difference("inputs", part, _label(x), _label(y)))
            else:
                yield x, y
        if a.type != b.type:
            work.own.append(Difference("type", "type", a.type, b.type))
        if a.state != b.state:
            work.own.append(Difference("state", "state", a.state, b.state))
        work.own += [*self._properties(a, b), *alone]

    def _fields(self, a: Artifact, b: Artifact, *, made: bool) -> list[Difference]:
        found = []
        if a.type != b.type:
            found.append(Difference("type", "type", a.type, b.type))
        if not made:
            if _base(a) != _base(b):
                found.append(Difference("name", "name", a.name, b.name))
            if a.uri != b.uri and None in (a.get("digest"), b.get("digest")):
                found.append(Difference("uri", "uri", a.uri, b.uri))
        return [*found, *self._properties(a, b)]

    def _properties(self, a: Node, b: Node) -> list[Difference]:
        ignore = self._ignore
        return [
            *_by_name("properties", a.properties, b.properties, ignore),
            *_by_name("custom", a.custom, b.custom, ignore),
        ]


def _outputs_differ(
    store: MetadataStore, a: Execution, b: Execution, as_of: datetime | None
) -> tuple[Difference, ...]:
    """What two executions wrote in the same part, with digests that differ."""
    sides: list[dict[str, Artifact]] = []
    for execution in (a, b):
        piece = store.lineage([execution.uid], direction="down", max_hops=1, internal=False, as_of=as_of)
        artifacts = {node.uid: node for node in piece.artifacts}
        events = [event for event in piece.events if event.kind in OUTPUT_KINDS]
        sides.append({_part(event, artifacts[event.artifact]): artifacts[event.artifact] for event in events})
    found = []
    for part in sides[0].keys() & sides[1].keys():
        x, y = sides[0][part].get("digest"), sides[1][part].get("digest")
        if x is not None and y is not None and x != y:
            found.append(Difference("outputs", part, x, y))
    return tuple(sorted(found, key=lambda difference: difference.name))


def _equal(a: Node, b: Node) -> bool:
    if a.uid == b.uid:
        return True
    if not isinstance(a, Artifact) or not isinstance(b, Artifact) or a.type != b.type:
        return False
    digest = a.get("digest")
    return digest is not None and digest == b.get("digest")


def _part(event: Event, artifact: Artifact) -> str:
    if event.path:
        return "/".join(str(step) for step in event.path)
    if event.kind == "INTERNAL_INPUT":
        return artifact.type  # code and environment are named by their digests
    return f"{artifact.type}:{_base(artifact) or ''}"


def _base(artifact: Artifact) -> str | None:
    """A name without its version."""
    name = artifact.name
    return name if name is None else (name.rpartition("@")[0] or name)


def _label(artifact: Artifact | None) -> str | None:
    return None if artifact is None else artifact.name or artifact.uid


def _by_name(
    what: Aspect, a: Mapping[str, Value], b: Mapping[str, Value], ignore: Collection[str] = ()
) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted({*a, *b} - set(ignore)):
        x, y = a.get(name), b.get(name)
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            found += [Difference(what, f"{name}.{d.name}", d.a, d.b) for d in _by_name(what, x, y)]
        elif not _same(x, y):
            found.append(Difference(what, name, x, y))
    return found


def _same(a: Value, b: Value) -> bool:
    """Whether two values are one value: 1 is not true, 1.0 is 1, and nan is nan."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if (
        isinstance(a, Sequence)
        and isinstance(b, Sequence)
        and not isinstance(a, str | bytes)
        and not isinstance(b, str | bytes)
    ):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)
