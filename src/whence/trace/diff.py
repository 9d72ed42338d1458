"""Why two things differ: the first ancestor in which they do, and what differs in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from whence.errors import UsageError
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, AnyNode, Artifact, Event, Execution, Subgraph
from whence.trace import render
from whence.trace.ancestry import MAX_DEPTH
from whence.trace.base import Graph
from whence.trace.names import LAKE_WRITES, kind_of, label_of, ref_of, table_version
from whence.trace.node import TraceNode, leaf
from whence.trace.plain import Json, plain

Aspect: TypeAlias = Literal["kind", "params", "code", "inputs", "environment", "content", "state"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two nodes differ.

    Attributes:
        what: ``params``, ``code``, ``inputs``, ``environment``, ``content`` (rows or bytes without a
            recorded maker), ``state`` or ``kind``.
        name: Which parameter, which input, which package; the aspect again when there is one only.
        a: Its value on the first side; None when absent.
        b: Its value on the second side; None when absent.
    """

    what: Aspect
    name: str
    a: object
    b: object

    def to_dict(self) -> dict[str, Json]:
        """The difference as JSON."""
        return {"what": self.what, "name": self.name, "a": plain(self.a), "b": plain(self.b)}


@dataclass(frozen=True, slots=True)
class DifferingPair:
    """Two ancestors that play the same part and differ in themselves, not only in what they read."""

    a: str
    b: str
    label: str
    kind: str
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Json]:
        """The pair as JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "label": self.label,
            "kind": self.kind,
            "differences": [d.to_dict() for d in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between two things.

    Attributes:
        same: Whether nothing that is recorded differs: the same node, equal digests, or equal in all
            that was read, done and written.
        pairs: Every pair of ancestors that differ in themselves, the most upstream first.
    """

    a: str
    b: str
    same: bool
    pairs: tuple[DifferingPair, ...] = ()

    @property
    def first(self) -> DifferingPair | None:
        """The most upstream pair that differs: where to look."""
        return self.pairs[0] if self.pairs else None

    def to_dict(self) -> dict[str, Json]:
        """The answer as JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "first": self.first.to_dict() if self.first else None,
            "pairs": [pair.to_dict() for pair in self.pairs],
        }

    def tree(self) -> TraceNode:
        """The answer as a tree."""
        said = "nothing recorded differs" if self.same else "differ"
        pairs = []
        for i, pair in enumerate(self.pairs):
            leaves = tuple(leaf(f"{d.what} {d.name}", d.what, a=d.a, b=d.b) for d in pair.differences)
            prefix = "first: " if i == 0 else ""
            pairs.append(
                TraceNode(f"{prefix}{pair.label}", pair.kind, None, {"a": pair.a, "b": pair.b}, leaves)
            )
        return TraceNode(f"{self.a} and {self.b}: {said}", "diff", None, children=tuple(pairs))

    def text(self) -> str:
        """The answer in a few lines."""
        return render.tree_text(self.tree())

    def html(self) -> str:
        """One self-contained page."""
        return render.page(f"{self.a} and {self.b}", self.tree())

    def _repr_html_(self) -> str:
        return render.fragment(self.tree())


def diff_nodes(graph: Graph, a: AnyNode, b: AnyNode) -> Diff:
    """Compare two executions, models or table versions by their ancestry.

    Two artifacts with equal digests are the same whatever made them. Otherwise their makers are
    compared: inputs are paired by the part they play (the event's path), else by type and name
    without the version. A pair that differs only because its inputs do is passed over; what
    remains is listed from the most upstream down.

    Raises:
        UsageError: One is an artifact and the other an execution (``not-comparable``).
    """
    if isinstance(a, Artifact) != isinstance(b, Artifact):
        raise UsageError(
            f"{ref_of(a)} and {ref_of(b)} are not of one kind",
            code="not-comparable",
            hint="compare two executions, two models or two versions of tables",
        )
    pairs = tuple(_Comparison(graph, a, b).run())
    return Diff(ref_of(a), ref_of(b), not pairs, pairs)


class _Comparison:
    def __init__(self, graph: Graph, a: AnyNode, b: AnyNode) -> None:
        self._a, self._b = a, b
        self._side_a = _Side(graph.lineage([a.uid], direction="up", internal=True))
        self._side_b = _Side(graph.lineage([b.uid], direction="up", internal=True))
        self._done: set[tuple[str, str]] = set()

    def run(self) -> list[DifferingPair]:
        a, b = self._a, self._b
        found = list(self._compare(a, b))
        if found or a.uid == b.uid or not isinstance(a, Execution) or not isinstance(b, Execution):
            return found
        outputs = self._outputs(a, b)
        return [_pair(a, b, outputs)] if outputs else []

    def _compare(self, a: AnyNode, b: AnyNode, depth: int = 0) -> Iterator[DifferingPair]:
        if (a.uid, b.uid) in self._done or _equal(a, b) or depth > MAX_DEPTH:
            return
        self._done.add((a.uid, b.uid))
        if isinstance(a, Execution) and isinstance(b, Execution):
            yield from self._executions(a, b, depth)
        elif isinstance(a, Artifact) and isinstance(b, Artifact):
            yield from self._artifacts(a, b, depth)

    def _artifacts(self, a: Artifact, b: Artifact, depth: int) -> Iterator[DifferingPair]:
        maker_a, maker_b = self._side_a.maker(a), self._side_b.maker(b)
        if (
            maker_a is None
            or maker_b is None
            or maker_a.uid == maker_b.uid
            or _same_history(a, b, maker_a, maker_b)
        ):
            yield _pair(a, b, [_content(a, b)])
            return
        found = list(self._executions(maker_a, maker_b, depth + 1))
        yield from found or [_pair(a, b, [_content(a, b)])]

    def _executions(self, a: Execution, b: Execution, depth: int) -> Iterator[DifferingPair]:
        own: list[Difference] = []
        if a.type != b.type:
            own.append(Difference("kind", "type", a.type, b.type))
        for name, left, right in self._inputs(a, b):
            if left is None or right is None:
                own.append(Difference("inputs", name, _ref(left), _ref(right)))
            else:
                yield from self._compare(left, right, depth + 1)
        own += self._own(a, b)
        if own:
            yield _pair(a, b, own)

    def _outputs(self, a: Execution, b: Execution) -> list[Difference]:
        left, right = self._side_a.outputs(a), self._side_b.outputs(b)
        names = [*left, *(n for n in right if n not in left)]
        pairs = [(n, left.get(n), right.get(n)) for n in names]
        return [
            Difference("content", n, _ref(x), _ref(y))
            for n, x, y in pairs
            if x is None or y is None or not _equal(x, y)
        ]

    def _own(self, a: Execution, b: Execution) -> list[Difference]:
        found = _by_name("params", a.get("params"), b.get("params"))
        for what in ("code", "environment"):
            left, right = self._side_a.belonging(a, what), self._side_b.belonging(b, what)
            found += _aspect(what, left, right)
        if a.state != b.state:
            found.append(Difference("state", "state", a.state, b.state))
        return found

    def _inputs(self, a: Execution, b: Execution) -> Iterator[tuple[str, Artifact | None, Artifact | None]]:
        left, right = self._side_a.inputs(a), self._side_b.inputs(b)
        for name in [*left, *(n for n in right if n not in left)]:
            yield name, left.get(name), right.get(name)


class _Side:
    """One ancestry, indexed."""

    def __init__(self, piece: Subgraph) -> None:
        self._artifacts = {a.uid: a for a in piece.artifacts}
        self._executions = {e.uid: e for e in piece.executions}
        self._made: dict[str, list[str]] = {}
        self._written: dict[str, list[Event]] = {}
        self._events: dict[str, list[Event]] = {}
        for event in piece.events:
            if event.kind in OUTPUT_KINDS:
                self._made.setdefault(event.artifact, []).append(event.execution)
                self._written.setdefault(event.execution, []).append(event)
            else:
                self._events.setdefault(event.execution, []).append(event)

    def maker(self, artifact: Artifact) -> Execution | None:
        """The execution that wrote it; of several, the newest that did not only find it in the cache."""
        made = [self._executions[e] for e in self._made.get(artifact.uid, ()) if e in self._executions]
        return max(made, key=lambda e: (e.state != "CACHED", e.uid)) if made else None

    def inputs(self, execution: Execution) -> dict[str, Artifact]:
        """What it read, by the part each plays; the version before of a table it wrote is none of them."""
        written = {(table_version(a) or ("",))[0] for a in self.outputs(execution).values()} - {""}
        events = [e for e in self._events.get(execution.uid, ()) if e.kind in INPUT_KINDS]
        read = self._by_part(events)
        return {name: a for name, a in read.items() if (table_version(a) or ("",))[0] not in written}

    def outputs(self, execution: Execution) -> dict[str, Artifact]:
        """What it wrote, as far as this ancestry knows it."""
        return self._by_part([e for e in self._written.get(execution.uid, ()) if e.kind in OUTPUT_KINDS])

    def _by_part(self, events: Sequence[Event]) -> dict[str, Artifact]:
        found: dict[str, Artifact] = {}
        for event in events:
            artifact = self._artifacts.get(event.artifact)
            if artifact is None:
                continue
            name = _part(event, artifact)
            n = 2
            while name in found and found[name].uid != artifact.uid:
                name, n = f"{_part(event, artifact)}#{n}", n + 1
            found[name] = artifact
        return found

    def belonging(self, execution: Execution, what: str) -> object:
        """The code or environment of an execution: its internal inputs of that type, else its property."""
        found: dict[str, object] = {}
        for event in self._events.get(execution.uid, ()):
            artifact = self._artifacts.get(event.artifact)
            if artifact is not None and artifact.type.lower() == what:
                found = {**found, **_content_of(artifact)}
        return found or execution.get(what) or execution.get(f"{what}_digest")


def _same_history(a: Artifact, b: Artifact, maker_a: Execution, maker_b: Execution) -> bool:
    """Two versions of one table, both written by the lake itself: the commits between are the difference."""
    left, right = table_version(a), table_version(b)
    if left is None or right is None or left[0] != right[0]:
        return False
    return maker_a.type in LAKE_WRITES and maker_b.type in LAKE_WRITES


def _content_of(artifact: Artifact) -> dict[str, object]:
    digest = artifact.get("digest") or artifact.name or artifact.uid
    rest = {k: v for k, v in {**artifact.properties, **artifact.custom}.items() if k != "digest"}
    return {"digest": digest, **rest}


def _part(event: Event, artifact: Artifact) -> str:
    if event.path:
        return "/".join(str(part) for part in event.path)
    named = table_version(artifact)
    if named is not None:
        return f"table:{named[0]}"
    return f"{kind_of(artifact)}:{(artifact.name or '').rpartition('@')[0] or artifact.name or ''}"


def _equal(a: AnyNode, b: AnyNode) -> bool:
    if a.uid == b.uid:
        return True
    if not isinstance(a, Artifact) or not isinstance(b, Artifact) or a.type != b.type:
        return False
    left, right = a.get("digest"), b.get("digest")
    return left is not None and left == right


def _ref(node: AnyNode | None) -> str | None:
    return None if node is None else ref_of(node)


def _pair(a: AnyNode, b: AnyNode, differences: Sequence[Difference]) -> DifferingPair:
    label = label_of(a) if label_of(a) == label_of(b) else f"{label_of(a)} | {label_of(b)}"
    return DifferingPair(ref_of(a), ref_of(b), label, kind_of(a), tuple(differences))


def _content(a: Artifact, b: Artifact) -> Difference:
    left = {k: a.get(k) for k in ("digest", "n_rows") if a.get(k) is not None} or ref_of(a)
    right = {k: b.get(k) for k in ("digest", "n_rows") if b.get(k) is not None} or ref_of(b)
    return Difference("content", "rows" if table_version(a) else "bytes", left, right)


def _aspect(what: str, a: object, b: object) -> list[Difference]:
    aspect: Aspect = "code" if what == "code" else "environment"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found = [d for d in _by_name(aspect, a, b) if d.name != "digest"]
        digest = Difference(aspect, "digest", a.get("digest"), b.get("digest"))
        return found or ([digest] if digest.a != digest.b else [])
    return [] if a == b else [Difference(aspect, aspect, a, b)]


def _by_name(what: Aspect, a: object, b: object) -> list[Difference]:
    left = a if isinstance(a, Mapping) else {}
    right = b if isinstance(b, Mapping) else {}
    found: list[Difference] = []
    for name in sorted({*left, *right}):
        x, y = left.get(name), right.get(name)
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            found += [Difference(what, f"{name}.{d.name}", d.a, d.b) for d in _by_name(what, x, y)]
        elif x != y or type(x) is not type(y):
            found.append(Difference(what, str(name), x, y))
    return found
