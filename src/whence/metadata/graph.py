"""The face of the graph, `ws.graph`: ask it, write into it, look after it, in plain words.

Everything a `MetadataStore` does it does too; what stands here is made of that.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, Unpack, cast, get_args, overload

from whence.errors import UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.care import Cared
from whence.metadata.delegate import AsOf
from whence.metadata.differ import Diff, first_difference
from whence.metadata.filter import Filter
from whence.metadata.found import Found
from whence.metadata.impact import Impact, impact
from whence.metadata.lineage import Lineage, Path, shortest_path
from whence.metadata.making import (
    Roles,
    make_node,
    merged,
    one_of,
    property_word,
    read_moment,
    with_roles,
)
from whence.metadata.namespaces import Seen
from whence.metadata.query import OrderBy, make_query
from whence.metadata.refs import Ref, Resolver
from whence.metadata.removal import Holder
from whence.metadata.rows import KINDS
from whence.metadata.types import (
    NONE,
    AnyNode,
    Artifact,
    ArtifactState,
    Change,
    Context,
    Direction,
    Event,
    EventKind,
    Execution,
    ExecutionState,
    GraphTable,
    IfExists,
    NodeKind,
    Properties,
    PropertyType,
    Put,
    Type,
    Value,
)
from whence.metadata.walk import Level, WalkQuery

if TYPE_CHECKING:
    import pyarrow as pa

    from whence.metadata.exchange import Exported, Received
    from whence.metadata.recorder import Recorder
    from whence.metadata.recording import Recording

Format = Literal["prov", "graphml", "dot"]


How: TypeAlias = Literal["plain", "declared", "internal", "pending"]

_HOW: Final[dict[How, tuple[EventKind | None, EventKind]]] = {
    "plain": ("INPUT", "OUTPUT"),
    "declared": ("DECLARED_INPUT", "DECLARED_OUTPUT"),
    "internal": ("INTERNAL_INPUT", "INTERNAL_OUTPUT"),
    "pending": (None, "PENDING_OUTPUT"),
}


class FindOptions(TypedDict, total=False):
    """The options of `Graph.find`."""

    type_: str | Collection[str] | None
    name: str | Collection[str] | None
    uri: str | None
    external_id: str | None
    context: Ref | None
    state: str | Collection[str] | None
    order_by: OrderBy
    descending: bool
    limit: int | None
    removed: bool


class WalkOptions(TypedDict, total=False):
    """The options of `Graph.up`, `Graph.down`, `Graph.both` and `Graph.walk`."""

    hops: int | None
    stop: str | Filter | None
    only: Collection[str] | None
    internal: bool


class Graph(Cared):
    """The provenance graph: what happened, to what, inside what; whence it came and where it went.

    A node is meant by itself, its id, its uid, ``TYPE/NAME``, a name that only one has, or a reference such as
    ``table:flights@12`` and ``model:late@champion`` where a workspace stands behind it.

    Args:
        store: The graph itself.
        recorder: Gives what `record` records with.
        resolver: What the rooms of a workspace call things.
        holders: What keeps nodes from being removed.

    Example:
        >>> from whence.metadata import open_store
        >>> from whence.metadata.graph import Graph
        >>> graph = Graph(open_store("memory://"))
        >>> _ = graph.type("Dataset", "artifact", {"rows": int})
        >>> raw, model = graph.add("Dataset", "raw", rows=3), graph.add("Model", "late@1", kind="artifact")
        >>> train = graph.add("train", kind="execution", depth=6)
        >>> graph.link(train, reads=[raw], writes=[model])
        >>> [node.name or node.type for _, node in graph.up("late@1").up(model.uid)]
        ['late@1', 'train', 'raw']
        >>> graph.count("artifact", "properties.rows > 2")
        1
    """

    def __init__(
        self,
        store: MetadataStore,
        *,
        recorder: Callable[[], Recorder] | None = None,
        resolver: Resolver | None = None,
        holders: Sequence[Holder] = (),
    ) -> None:
        super().__init__(store, resolver=resolver, holders=holders)
        self._recorder = recorder

    def __repr__(self) -> str:
        place = "" if self.namespace == "default" else f" namespace {self.namespace}"
        then = f" as of {self.store.moment.isoformat()}" if isinstance(self.store, AsOf) else ""
        return f"<graph{place}{then}: {', '.join(f'{self._n(kind)} {kind}s' for kind in KINDS)}>"

    def _repr_html_(self) -> str:
        """For notebooks: how many nodes of which type."""
        from whence.drawing import html_table

        rows = [[k, type_, n] for k in KINDS for type_, n in sorted(self.count_nodes(k, by="type").items())]
        return html_table(["kind", "type", "nodes"], rows, caption=repr(self)[1:-1])

    def _n(self, kind: NodeKind) -> int:
        return self.count_nodes(kind).get(kind, 0)

    # one node

    def artifact(self, ref: Ref) -> Artifact:
        """The artifact that is meant; see `node`."""
        return cast("Artifact", self.node(ref, kind="artifact"))

    def execution(self, ref: Ref) -> Execution:
        """The execution that is meant; see `node`."""
        return cast("Execution", self.node(ref, kind="execution"))

    def context(self, ref: Ref) -> Context:
        """The context that is meant; see `node`."""
        return cast("Context", self.node(ref, kind="context"))

    def history(self, uid: Ref) -> list[AnyNode]:
        """Every revision of a node, oldest first.

        Example:
            >>> from whence.metadata import open_store
            >>> from whence.metadata.graph import Graph
            >>> graph = Graph(open_store("memory://"))
            >>> _ = graph.add("Report", "april", kind="artifact", pages=3)
            >>> _ = graph.add("Report", "april", kind="artifact", pages=4, if_exists="update")
            >>> [node.get("pages") for node in graph.history("april")]
            [3, 4]
        """
        return self.store.history(self.node(uid).uid)

    # many nodes

    @overload
    def find(self, kind: Literal["artifact"], matching: str | Filter | None = None, **more: Unpack[FindOptions]) -> Found[Artifact]: ...  # fmt: skip
    @overload
    def find(self, kind: Literal["execution"], matching: str | Filter | None = None, **more: Unpack[FindOptions]) -> Found[Execution]: ...  # fmt: skip
    @overload
    def find(self, kind: Literal["context"], matching: str | Filter | None = None, **more: Unpack[FindOptions]) -> Found[Context]: ...  # fmt: skip
    @overload
    def find(self, kind: NodeKind, matching: str | Filter | None = None, **more: Unpack[FindOptions]) -> Found[AnyNode]: ...  # fmt: skip
    def find(
        self,
        kind: NodeKind,
        matching: str | Filter | None = None,
        *,
        type_: str | Collection[str] | None = None,
        name: str | Collection[str] | None = None,
        uri: str | None = None,
        external_id: str | None = None,
        context: Ref | None = None,
        state: str | Collection[str] | None = None,
        order_by: OrderBy = "id",
        descending: bool = False,
        limit: int | None = None,
        removed: bool = False,
    ) -> Found[Artifact] | Found[Execution] | Found[Context] | Found[AnyNode]:
        """The nodes that fit a condition; they are read while they are iterated.

        Args:
            kind: ``artifact``, ``execution`` or ``context``.
            matching: A condition in the filter language, such as ``type = 'Model' AND auc > 0.8``.
            type_: Only of these types.
            name: Only with these names.
            uri: Only with this uri.
            external_id: Only with this external id.
            context: Only in this context.
            state: Only in these states.
            order_by: ``id``, ``created_at`` or ``updated_at``.
            descending: The largest first.
            limit: At most so many.
            removed: Tombstones too; they are found by the names they had.

        Raises:
            UsageError: The condition cannot be read (``bad-filter``); the message shows the place. Or an option makes
                no sense (``bad-query``, ``bad-state``).

        Example:
            >>> from whence.metadata import open_store
            >>> from whence.metadata.graph import Graph
            >>> graph = Graph(open_store("memory://"))
            >>> _ = graph.add("Report", "april", kind="artifact", uri="s3://b/april.html")
            >>> [node.name for node in graph.find("artifact", uri="s3://b/april.html")]
            ['april']
        """
        one_of(kind, KINDS, "kind")
        around = None if context is None else self.context(context).uid
        ask = partial(
            self.find_nodes, kind, type_=type_, name=name, uri=uri, external_id=external_id, context=around,
            state=state, matching=matching, order_by=order_by, descending=descending, removed=removed,
        )  # fmt: skip
        make_query(kind, type_=type_, name=name, state=state, order_by=order_by, limit=limit)
        page = 500 if limit is None else min(limit, 500)

        def read(most: int | None) -> Iterator[AnyNode]:
            left = min((n for n in (limit, most) if n is not None), default=None)
            cursor: str | None = None
            while left is None or left > 0:
                found = ask(limit=page if left is None else min(page, left), cursor=cursor)
                yield from found.nodes
                cursor = found.cursor
                if cursor is None:
                    return
                left = None if left is None else left - len(found.nodes)

        if matching is not None:
            ask(limit=1)  # a mistake shows now, not when somebody looks
        said = f"{kind}s" + (f" with {matching}" if isinstance(matching, str) else "")
        return Found[AnyNode](read, said)

    @overload
    def count(self, kind: NodeKind, matching: str | Filter | None = None) -> int: ...
    @overload
    def count(self, kind: NodeKind, matching: str | Filter | None = None, *, by: Literal["type", "state"]) -> dict[str, int]: ...  # fmt: skip
    def count(
        self,
        kind: NodeKind,
        matching: str | Filter | None = None,
        *,
        by: Literal["type", "state"] | None = None,
    ) -> int | dict[str, int]:
        """How many nodes fit a condition; for each type or state with `by`."""
        one_of(kind, KINDS, "kind")
        if by is not None:
            one_of(by, ("type", "state"), "by")
        found = self.count_nodes(kind, matching=matching, by=by)
        return found.get(kind, 0) if by is None else dict(found)

    # lineage

    def up(
        self,
        *refs: Ref,
        hops: int | None = None,
        stop: str | Filter | None = None,
        only: Collection[str] | None = None,
        internal: bool = False,
    ) -> Lineage:
        """Whence these came: everything they were made from.

        Args:
            refs: Artifacts and executions.
            hops: At most this many events away.
            stop: A condition in the filter language; nothing behind nodes that fit it is part of the answer.
            only: Names of types in the answer; the others are walked through.
            internal: Code and environment too.
        """
        return self._lineage(refs, "up", {"hops": hops, "stop": stop, "only": only, "internal": internal})

    def down(self, *refs: Ref, **options: Unpack[WalkOptions]) -> Lineage:
        """Where these went: everything made from them; options as for `up`."""
        return self._lineage(refs, "down", _known(options))

    def both(self, *refs: Ref, **options: Unpack[WalkOptions]) -> Lineage:
        """Everything that hangs together with these, whichever way the events go; options as for `up`."""
        return self._lineage(refs, "both", _known(options))

    def _lineage(self, refs: Sequence[Ref], direction: Direction, options: WalkOptions) -> Lineage:
        return Lineage(
            self.lineage(
                self._starts(refs),
                direction=direction,
                max_hops=options.get("hops"),
                internal=options.get("internal", False),
                stop=options.get("stop"),
                only=options.get("only"),
            )
        )

    def _starts(self, refs: Sequence[Ref]) -> list[str]:
        nodes = [(ref, self.node(ref)) for ref in refs]
        for ref, node in nodes:
            if isinstance(node, Context):
                said = repr(ref) if isinstance(ref, str | int) else f"{node.type} {node.name}"
                raise UsageError(
                    f"{said} is a context, and lineage is of artifacts and executions",
                    code="bad-reference",
                    hint="name one that is in it",
                )
        return [node.uid for _, node in nodes]

    @overload
    def walk(self, query: WalkQuery) -> Iterator[Level]: ...
    @overload
    def walk(self, query: Ref, *, direction: Direction = "up", **options: Unpack[WalkOptions]) -> Iterator[Level]: ...  # fmt: skip
    def walk(
        self, query: WalkQuery | Ref, *, direction: Direction = "up", **options: Unpack[WalkOptions]
    ) -> Iterator[Level]:
        """The lineage of a node level by level, nearest first: also where it is too large for memory."""
        _known(options)
        if not isinstance(query, WalkQuery):
            query = WalkQuery(
                self._starts([query]),
                direction,
                max_hops=options.get("hops"),
                internal=options.get("internal", False),
                stop=options.get("stop"),
                only=options.get("only"),
            )
        return self.store.walk(query)

    def path(self, a: Ref, b: Ref, *, direction: Direction = "both", hops: int | None = None) -> Path | None:
        """The shortest way from one node to another; None when they do not hang together.

        Args:
            a: An artifact or execution.
            b: Another.
            direction: ``up``: b is among what a came from; ``down``: among where it went; ``both``.
            hops: At most this many events.
        """
        one, other = self._starts([a, b])
        return shortest_path(self.store, one, other, direction=direction, max_hops=hops)

    def diff(self, a: Ref, b: Ref, *, ignore: Collection[str] = ()) -> Diff:
        """In what two executions or two artifacts differ, and in which ancestor first.

        Args:
            a: One of them.
            b: The other.
            ignore: Names of properties that do not count.
        """
        one, other = self._starts([a, b])
        return first_difference(self.store, one, other, ignore=ignore)

    def impact(self, *refs: Ref, **options: Unpack[WalkOptions]) -> Impact:
        """Everything made from these, by type, with the distance; options as for `up`."""
        _known(options)
        return impact(
            self.store,
            self._starts(refs),
            max_hops=options.get("hops"),
            internal=options.get("internal", False),
            stop=options.get("stop"),
            only=options.get("only"),
        )

    def at(self, moment: datetime | str) -> Graph:
        """The graph as it was known at a moment; nothing can be written there.

        Args:
            moment: An aware time, or its text: ``2026-05-03T12:00:00Z``.

        Raises:
            UsageError: It is no time (``bad-timestamp``), or has no zone (``naive-time``).
        """
        return Graph(AsOf(self.store, read_moment(moment)), resolver=None)

    # writing

    def type(
        self,
        name: str,
        kind: NodeKind = "artifact",
        properties: Mapping[str, PropertyType | type] | None = None,
        *,
        base: str | None = None,
        version: str | None = None,
        description: str | None = None,
    ) -> Type:
        """Declare a type of nodes, or give a stored one more properties.

        Args:
            name: Its name.
            kind: The kind of its nodes.
            properties: The type of each property: ``int float str bool dict list bytes``, or the words ``INT DOUBLE
                STRING BOOLEAN STRUCT PROTO``. What is not declared may still be given to a node, of whatever type.
            base: A simple type it is derived from, such as ``mlmd.Dataset``.
            version: Types of one name and several versions are several types.
            description: For people.

        Raises:
            ConflictError: A stored property has another type (``type-conflict``).
            UsageError: ``bad-type``.
        """
        one_of(kind, KINDS, "kind", code="bad-type")
        words = {key: property_word(name, key, want) for key, want in (properties or {}).items()}
        return self.put_type(
            Type(kind, name, words, version=version, description=description, base=base), extend=True
        )

    def add(
        self,
        type_: str | Type,
        name: str | None = None,
        *,
        kind: NodeKind | None = None,
        uri: str | None = None,
        state: ArtifactState | ExecutionState | None = None,
        external_id: str | None = None,
        if_exists: IfExists = "error",
        properties: Properties = NONE,
        **more: Value,
    ) -> AnyNode:
        """Write one node; returns it as stored.

        Inside a workspace what happens is recorded by itself; this is for what happened elsewhere.

        Args:
            type_: Its type. One that is not stored is made when `kind` says of which kind.
            name: Its name, unique in its type.
            kind: Needed where several kinds have a type of this name, or none.
            uri: Where an artifact lies.
            state: LIVE for an artifact, COMPLETE for an execution, by default.
            external_id: Its name elsewhere.
            if_exists: ``error`` refuses a name that is taken, ``reuse`` gives the stored node, ``update`` merges.
            properties: Its properties; one that the type does not declare is a custom property.
            more: The same, said as arguments; one called as an argument of this method goes into `properties`.

        Raises:
            NotFoundError: There is no such type, and no `kind` was given.
            ConflictError: The name is taken (``name-taken``).
            UsageError: A property does not fit its type (``property-type``), or what is given does not fit the kind.
        """
        one_of(if_exists, get_args(IfExists), "if_exists", code="bad-node")
        if kind is not None:
            one_of(kind, KINDS, "kind", code="bad-type")
        stored, known = self._type(type_, kind), merged(properties, more)
        node = make_node(stored, name, uri=uri, state=state, external_id=external_id, properties=known)
        return self.write(Change([Put(node, if_exists)])).nodes[node.uid]

    def new(
        self,
        type_: str | Type,
        name: str | None = None,
        *,
        uri: str | None = None,
        state: ArtifactState | None = None,
        external_id: str | None = None,
        properties: Properties = NONE,
        **more: Value,
    ) -> Artifact:
        """An artifact that is not written yet: for `output` and `expect` of a recording. Options as for `add`.

        Example:
            >>> from whence.metadata import open_store
            >>> from whence.metadata.graph import Graph
            >>> graph = Graph(open_store("memory://"))
            >>> made = graph.new("Report", "april", pages=3)
            >>> made.id, made.get("pages"), graph.count("artifact")
            (None, 3, 0)
        """
        stored, known = self._type(type_, "artifact"), merged(properties, more)
        node = make_node(stored, name, uri=uri, state=state, external_id=external_id, properties=known)
        return cast("Artifact", node)

    def _type(self, type_: str | Type, kind: NodeKind | None) -> Type:
        if isinstance(type_, Type):
            return self.put_type(type_, extend=True)
        found = [t for t in self.list_types(kind) if t.name == type_]
        if len({t.kind for t in found}) > 1:
            raise UsageError(f"several kinds have a type {type_!r}", code="bad-type", hint="say the kind too")
        if found:
            return found[-1]
        if kind is None:
            near = [t.name for t in self.list_types()]
            raise UsageError(
                f"there is no type {type_!r} yet",
                code="bad-type",
                near=near,
                hint="say its kind, then it is made",
            )
        return self.put_type(Type(kind, type_))

    def link(
        self,
        execution: Ref,
        *,
        reads: Roles = (),
        writes: Roles = (),
        how: How = "plain",
        at: datetime | None = None,
    ) -> None:
        """Say what an execution read and wrote.

        Args:
            execution: The execution.
            reads: Artifacts; as a mapping, by the role in which it read them, one or a list of them.
            writes: Artifacts; as a mapping, by the role in which it wrote them, one or a list of them.
            how: ``plain``; ``declared`` beforehand; ``internal``, which lineage follows only when asked (code,
                environment); ``pending``, written once it has ended well.
            at: When; now by default.

        Raises:
            UsageError: ``bad-event``: there is nothing pending about reading.
        """
        done = self.execution(execution).uid
        one_of(how, _HOW, "how", code="bad-event")
        reading, writing = _HOW[how]
        if reads and reading is None:
            raise UsageError("what is pending is written, not read", code="bad-event")
        events = [
            Event(done, self.artifact(ref).uid, kind, path, at)
            for kind, refs in ((reading, reads), (writing, writes))
            for path, ref in with_roles(refs)
            if kind is not None
        ]
        self.write(Change(events=events))

    def group(self, context: Ref, *refs: Ref) -> None:
        """Put artifacts and executions into a context, and contexts below it."""
        around = self.context(context).uid
        nodes = [self.node(ref) for ref in refs]
        self.write(
            Change(
                attributions=[(around, n.uid) for n in nodes if isinstance(n, Artifact)],
                associations=[(around, n.uid) for n in nodes if isinstance(n, Execution)],
                parents=[(n.uid, around) for n in nodes if isinstance(n, Context)],
            )
        )

    def record(
        self,
        type_: str,
        *,
        key: str | None = None,
        inputs: Roles = (),
        properties: Properties = NONE,
        params: Properties = NONE,
        allow_tainted: str | None = None,
    ) -> AbstractContextManager[Recording]:
        """Record what happens in the block as one execution.

        Args:
            type_: What happens: ``train``. A type that is not stored is made.
            key: Repetition under the same key is the same execution.
            inputs: What it reads; as a mapping, by role, one or a list of them.
            properties: What else is known of it.
            params: What it is called with.
            allow_tainted: Why it may read what is marked bad; recorded with it.

        Raises:
            DataRejectedError: An input is tainted (``tainted-input``).

        Records:
            One execution, as `whence.metadata.Recorder.execution` says.
        """
        if self._recorder is None:
            raise UsageError(
                "this graph has no recorder", code="no-recorder", hint="use the graph of a workspace"
            )
        read = [(self.artifact(ref), path) for path, ref in with_roles(inputs)]
        return self._recorder().execution(
            type_, key=key, params=params, properties=properties, inputs=read, allow_tainted=allow_tainted
        )

    # other views of it

    def in_namespace(self, name: str, *, create: bool = False) -> Graph:
        """The graph as one namespace sees it: names are looked up in it, and what is written belongs to it.

        Raises:
            NotFoundError: There is none of this name (``namespace-not-found``), and `create` is not set.
        """
        store, recorder = self.store.in_namespace(name, create=create), self._recorder
        beside = None if recorder is None else cache(lambda: recorder().beside(store))
        return Graph(store, recorder=beside, holders=self._holders)

    def seen_by(self, namespaces: Collection[str]) -> Graph:
        """The graph as somebody sees it who may read only these namespaces.

        What lies elsewhere is closed: lineage shows its uid and type, and nothing of it can be changed or linked.

        Raises:
            DeniedError: This handle's own namespace is not among them (``namespace-denied``).
        """
        return Graph(Seen(self.store, namespaces), holders=self._holders)

    def arrow(self, table: GraphTable, *, as_of: datetime | None = None) -> pa.Table:
        """The whole graph as one of its tables, such as ``executions``; `ws.sql` has them as ``graph.executions``."""
        from whence.metadata.arrow import read_table

        return read_table(self.store, table, as_of=as_of)

    def export(
        self,
        format_: Format,
        path: str | PathLike[str],
        *refs: Ref,
        direction: Direction = "both",
        hops: int | None = None,
        internal: bool = False,
        as_of: datetime | None = None,
        replace: bool = False,
    ) -> Exported:
        """Write the graph, or the lineage of some nodes, in a tongue that others read.

        Args:
            format_: ``prov`` (PROV-JSON), ``graphml`` or ``dot``.
            path: The file.
            refs: Where the lineage begins; without any, the whole graph.
            direction: From the starts ``up``, ``down`` or ``both``.
            hops: At most this many events away.
            internal: Code and environment too.
            as_of: The graph as it was known then.
            replace: A file that is there is replaced.

        Raises:
            ConflictError: A file is there (``file-exists``).
        """
        from whence.metadata import exchange

        writers = {"prov": exchange.write_prov, "graphml": exchange.write_graphml, "dot": exchange.write_dot}
        if format_ not in writers:
            raise UsageError(f"{format_!r} is not a format", code="bad-format", near=list(writers))
        starts = self._starts(refs) or None
        piece = exchange.Piece.of(
            self.store, starts, direction=direction, max_hops=hops, internal=internal, as_of=as_of
        )
        return writers[format_](piece, pathlib.Path(path), replace=replace)

    def read(self, format_: Literal["prov", "graphml"], path: str | PathLike[str]) -> Received:
        """Bring in a graph that was written as PROV-JSON or GraphML."""
        from whence.metadata import exchange

        readers = {"prov": exchange.read_prov, "graphml": exchange.read_graphml}
        if format_ not in readers:
            raise UsageError(f"{format_!r} is not a format", code="bad-format", near=list(readers))
        return readers[format_](self.store, pathlib.Path(path))


def _known(options: WalkOptions) -> WalkOptions:
    """The options, none of which is misspelt: one that is not there would be left out without a word."""
    names = WalkOptions.__annotations__
    for name in options:
        if name not in names:
            near = ["hops"] if name == "max_hops" else list(names)
            raise UsageError(f"a walk has no option {name!r}", code="bad-query", near=near)
    return options


__all__ = ["Format", "Graph", "Ref"]
