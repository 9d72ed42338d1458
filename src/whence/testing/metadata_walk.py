"""What walks over lineage promise. A part of `MetadataSuite`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    EventKind,
    Execution,
    Level,
    MetadataStore,
    Put,
    Removal,
    Type,
    WalkQuery,
)
from whence.metadata.differ import first_difference
from whence.metadata.impact import impact
from whence.metadata.lineage import shortest_path
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS
from whence.metadata.walk import list_pages, read_page
from whence.testing.metadata_world import Furnished, artifact, chain, put

KINDS: Final[tuple[EventKind, ...]] = (
    "INPUT", "INPUT", "OUTPUT", "OUTPUT",
    "DECLARED_INPUT", "PENDING_OUTPUT", "INTERNAL_INPUT", "INTERNAL_OUTPUT",
)  # fmt: skip
TRAIN: Final = Type("execution", "train")
STOP: Final = "custom_properties.s = TRUE"


@dataclass(frozen=True)
class Drawn:
    """A graph that a test draws: nodes by number, artifacts first, and edges between them.

    Attributes:
        flags: Which nodes carry the property that `STOP` asks for.
        types: The name of each node's type.
        edges: (number of the execution, number of the artifact, kind).
    """

    n_artifacts: int
    types: tuple[str, ...]
    flags: tuple[bool, ...]
    edges: tuple[tuple[int, int, EventKind], ...]

    def nodes(self) -> list[Artifact | Execution]:
        """Fresh nodes, so that one store can hold many drawn graphs."""
        return [
            Artifact(type=type_, custom={"s": True} if flag else {})
            if i < self.n_artifacts
            else Execution(type=type_, custom={"s": True} if flag else {})
            for i, (type_, flag) in enumerate(zip(self.types, self.flags, strict=True))
        ]


@st.composite
def graphs(draw: st.DrawFn) -> Drawn:
    """Small graphs with circles, doubles, events of every kind, and nodes apart."""
    n_artifacts, n_executions = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    artifacts = draw(
        st.lists(st.sampled_from(["Table", "Everything"]), min_size=n_artifacts, max_size=n_artifacts)
    )
    executions = draw(
        st.lists(st.sampled_from(["load", "train"]), min_size=n_executions, max_size=n_executions)
    )
    n = n_artifacts + n_executions
    flags = draw(st.lists(st.sampled_from([False, False, False, True]), min_size=n, max_size=n))
    edge = st.tuples(st.integers(n_artifacts, n - 1), st.integers(0, n_artifacts - 1), st.sampled_from(KINDS))
    edges = draw(st.lists(edge, max_size=18, unique=True))
    return Drawn(n_artifacts, (*artifacts, *executions), tuple(flags), tuple(edges))


@dataclass(frozen=True)
class Asked:
    """The options of a walk over a drawn graph; `starts` are numbers of nodes."""

    starts: tuple[int, ...]
    direction: Direction
    max_hops: int | None
    internal: bool
    stop: bool
    include_stops: bool
    only: frozenset[str] | None
    page_nodes: int

    def query(self, nodes: Sequence[AnyNode]) -> WalkQuery:
        """The query, for the nodes as they were put."""
        return WalkQuery(
            [nodes[i % len(nodes)].uid for i in self.starts],
            direction=self.direction,
            max_hops=self.max_hops,
            internal=self.internal,
            stop=STOP if self.stop else None,
            include_stops=self.include_stops,
            only=self.only,
            page_nodes=self.page_nodes,
        )


asks: Final = st.builds(
    Asked,
    st.lists(st.integers(0, 11), max_size=3).map(tuple),
    st.sampled_from(["up", "down", "both"]),
    st.none() | st.integers(0, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.frozensets(st.sampled_from(["Table", "Everything", "load", "train", "absent"])),
    st.sampled_from([1, 2, 3, 5_000]),
)


@dataclass(frozen=True)
class Naive:
    """A walk as it is defined: (hops, number) of every node in the answer, and the edges of each hop."""

    nodes: tuple[tuple[int, int], ...]
    edges: Mapping[int, frozenset[tuple[int, int, EventKind]]]


def naive_walk(graph: Drawn, asked: Asked) -> Naive:
    """Walk a drawn graph the slow and obvious way."""
    hops = _naive_hops(_naive_steps(graph, asked), graph, asked)
    shown = {
        i: h
        for i, h in hops.items()
        if (asked.only is None or graph.types[i] in asked.only)
        and (asked.include_stops or not (asked.stop and graph.flags[i]))
    }
    reads, writes = _followed(asked)
    edges: dict[int, set[tuple[int, int, EventKind]]] = {}
    for execution, art, kind in graph.edges:
        if kind in reads | writes and execution in shown and art in shown:
            edges.setdefault(max(shown[execution], shown[art]), set()).add((execution, art, kind))
    return Naive(
        tuple(sorted((h, i) for i, h in shown.items())), {h: frozenset(some) for h, some in edges.items()}
    )


def _followed(asked: Asked) -> tuple[frozenset[str], frozenset[str]]:
    if asked.internal:
        return INPUT_KINDS | {"INTERNAL_INPUT"}, OUTPUT_KINDS | {"INTERNAL_OUTPUT"}
    return INPUT_KINDS, OUTPUT_KINDS


def _naive_steps(graph: Drawn, asked: Asked) -> set[tuple[int, int]]:
    """(from, to) of every event that may be followed."""
    reads, writes = _followed(asked)
    steps: set[tuple[int, int]] = set()
    for execution, art, kind in graph.edges:
        to_inputs = (execution, art) if kind in reads else (art, execution)
        if kind in reads | writes:
            if asked.direction in ("up", "both"):
                steps.add(to_inputs)
            if asked.direction in ("down", "both"):
                steps.add(to_inputs[::-1])
    return steps


def _naive_hops(steps: set[tuple[int, int]], graph: Drawn, asked: Asked) -> dict[int, int]:
    """The distance of every node that is reached."""
    hops = {i % len(graph.types): 0 for i in asked.starts}
    changed = True
    while changed:
        changed = False
        for near, far in sorted(steps):
            if near not in hops or (asked.stop and graph.flags[near]):
                continue
            there = hops[near] + 1
            if (asked.max_hops is None or there <= asked.max_hops) and there < hops.get(far, 1_000):
                hops[far], changed = there, True
    return hops


def shape(levels: Sequence[Level], numbers: Mapping[str, int]) -> Naive:
    """What a walk answered, in the words of `naive_walk`."""
    edges: dict[int, set[tuple[int, int, EventKind]]] = {}
    for level in levels:
        for event in level.events:
            found = (numbers[event.execution], numbers[event.artifact], event.kind)
            assert found not in edges.get(level.hops, ()), "an event came twice"
            edges.setdefault(level.hops, set()).add(found)
    nodes = [(level.hops, numbers[node.uid]) for level in levels for node in level.nodes]
    return Naive(tuple(nodes), {h: frozenset(some) for h, some in edges.items()})


def plain(levels: Sequence[Level]) -> list[tuple[int, list[AnyNode], list[Event]]]:
    """Levels without their cursors."""
    return [(level.hops, list(level.nodes), list(level.events)) for level in levels]


def joined(levels: Sequence[Level]) -> list[tuple[int, AnyNode]]:
    """(hops, node) of every node, in order."""
    return [(level.hops, node) for level in levels for node in level.nodes]


# A store is fresh for a test, not for each of its examples: these bring nodes of their own. One suite runs for
# several stores, so one method has several executors: that is what it is for.
many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)


class WalkRules(Furnished):
    """Walks: what is reached, in which pieces, as of when."""

    @pytest.fixture
    def world(self, typed: MetadataStore) -> MetadataStore:
        """The store, with the types of drawn graphs."""
        typed.put_type(TRAIN)
        return typed

    def _put(self, store: MetadataStore, graph: Drawn) -> list[Artifact | Execution]:
        nodes = graph.nodes()
        events = [Event(nodes[e].uid, nodes[a].uid, kind) for e, a, kind in graph.edges]
        # Artifacts and executions in turn, so that ids are in another order than numbers.
        order = sorted(nodes, key=lambda node: node.uid[::-1])
        store.write(Change([Put(node) for node in order], events))
        return nodes

    @many
    @given(graph=graphs(), asked=asks)
    def test_a_walk_is_the_naive_walk(self, world: MetadataStore, graph: Drawn, asked: Asked) -> None:
        nodes = self._put(world, graph)
        numbers = {node.uid: i for i, node in enumerate(nodes)}
        query = asked.query(nodes)
        levels = list(world.walk(query))
        want = naive_walk(graph, asked)
        found = shape(levels, numbers)
        assert sorted(found.nodes) == sorted(want.nodes)
        assert found.edges == want.edges
        ids = [(level.hops, node.id or 0) for level in levels for node in level.nodes]
        assert ids == sorted(ids)
        assert all(0 < len(level.nodes) <= asked.page_nodes for level in levels)
        stored = {
            n.uid: n for kind in ("artifact", "execution") for n in world.get_nodes(kind, uids=list(numbers))
        }
        assert [stored[node.uid] for _, node in joined(levels)] == [node for _, node in joined(levels)]

    @many
    @given(graph=graphs(), asked=asks)
    def test_lineage_collects_the_walk(self, world: MetadataStore, graph: Drawn, asked: Asked) -> None:
        nodes = self._put(world, graph)
        query = asked.query(nodes)
        piece = world.lineage(
            query.starts,
            direction=query.direction,
            max_hops=query.max_hops,
            internal=query.internal,
            stop=query.stop,
            include_stops=query.include_stops,
            only=query.only,
        )
        levels = list(world.walk(query))
        walked = sorted((node for _, node in joined(levels)), key=lambda node: node.id or 0)
        assert list(piece.artifacts) == [node for node in walked if isinstance(node, Artifact)]
        assert list(piece.executions) == [node for node in walked if isinstance(node, Execution)]
        assert sorted(map(repr, piece.events)) == sorted(repr(e) for level in levels for e in level.events)

    @many
    @given(graph=graphs(), asked=asks)
    def test_every_piece_hangs_together(self, world: MetadataStore, graph: Drawn, asked: Asked) -> None:
        nodes = self._put(world, graph)
        come: set[str] = set()
        for level in world.walk(asked.query(nodes)):
            here = {node.uid for node in level.nodes}
            assert not here & come
            come |= here
            for event in level.events:
                assert {event.execution, event.artifact} <= come
                assert {event.execution, event.artifact} & here

    @many
    @given(
        graph=graphs(),
        asked=asks,
        more=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
    )
    def test_pages_are_the_stream_whatever_is_written_meanwhile(
        self, world: MetadataStore, graph: Drawn, asked: Asked, more: list[tuple[int, int]]
    ) -> None:
        nodes = self._put(world, graph)
        query = asked.query(nodes)
        whole = list(world.walk(query))
        page = read_page(world, query)
        found = list(page.levels)
        while page.cursor is not None:
            self._disturb(world, nodes, more)
            assert sum(len(level.nodes) for level in page.levels) <= query.page_nodes
            page = read_page(world, replace(query, cursor=page.cursor))
            found += page.levels
        assert plain(found) == plain(whole)

    def _disturb(
        self, store: MetadataStore, nodes: Sequence[Artifact | Execution], more: list[tuple[int, int]]
    ) -> None:
        """Write short cuts between the nodes, new neighbours, and other properties."""
        changes = []
        for i, k in more:
            art, run = artifact(), Execution(type="load")
            old, other = nodes[i % len(nodes)], nodes[k % len(nodes)]
            events = []
            for node, kind in ((old, "INPUT"), (other, "OUTPUT")):
                if isinstance(node, Artifact):
                    events.append(Event(run.uid, node.uid, kind))  # type: ignore[arg-type]  # a loop over literals
                else:
                    events.append(Event(node.uid, art.uid, kind, ("late",)))  # type: ignore[arg-type]  # the same
            flagged = replace(old, custom={"s": i % 2 == 0, "late": k})
            changes.append(Change([Put(art), Put(run), Put(flagged, "update")], events))
        for change in changes:
            store.write(change)

    @many
    @given(
        graph=graphs(),
        asked=asks,
        more=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
    )
    def test_a_stream_reads_one_state_of_the_graph(
        self, world: MetadataStore, graph: Drawn, asked: Asked, more: list[tuple[int, int]]
    ) -> None:
        nodes = self._put(world, graph)
        query = asked.query(nodes)
        whole = plain(list(world.walk(query)))
        stream = world.walk(query)
        found = [level for level in [next(stream, None)] if level is not None]
        self._disturb(world, nodes, more)
        found += stream
        assert plain(found) == whole

    @many
    @given(
        graph=graphs(),
        asked=asks,
        more=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
    )
    def test_as_of_is_the_graph_as_it_was(
        self, world: MetadataStore, graph: Drawn, asked: Asked, more: list[tuple[int, int]]
    ) -> None:
        nodes = self._put(world, graph)
        query = asked.query(nodes)
        was = []
        for begin in range(len(more) + 1):
            was.append((self._moment(), plain(list(world.walk(query)))))
            self._disturb(world, nodes, more[begin : begin + 1])
        for moment, want in was:
            assert plain(list(world.walk(replace(query, as_of=moment)))) == want

    def _moment(self) -> datetime:
        """A moment after all that was written, and before all that will be."""
        begun = datetime.now(UTC)
        while (now := datetime.now(UTC)) == begun:
            pass
        return now

    def test_as_of_a_moment_before_a_start_was_there(self, world: MetadataStore) -> None:
        moment = self._moment()
        (only,) = put(world, artifact())
        with pytest.raises(NotFoundError) as caught:
            list(world.walk(WalkQuery([only.uid], as_of=moment)))
        assert caught.value.code == "node-not-found"
        assert len(world.lineage([only.uid], as_of=self._moment()).artifacts) == 1
        with pytest.raises(UsageError) as naive:
            world.walk(WalkQuery([only.uid], as_of=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the test
        assert naive.value.code == "naive-time"

    def test_contexts_as_of_a_moment(self, world: MetadataStore) -> None:
        table, group, other = artifact(), Context(type="Group", name="g"), Context(type="Group", name="h")
        world.write(Change([Put(table), Put(group), Put(other)], attributions=[(group.uid, table.uid)]))
        moment = self._moment()
        world.write(Change(attributions=[(other.uid, table.uid)]))
        assert world.lineage([table.uid], as_of=moment).attributions == [(group.uid, table.uid)]
        assert len(world.lineage([table.uid]).attributions) == 2

    def test_stops_by_what_surrounds_a_node(self, world: MetadataStore) -> None:
        tables = chain(world, 6)
        stop = "name = 't3' AND COUNT(executions) = 2"
        found = world.lineage([tables[-1].uid], stop=stop)
        assert [a.name for a in found.artifacts] == ["t3", "t4", "t5"]
        without = world.lineage([tables[-1].uid], stop=stop, include_stops=False)
        assert [a.name for a in without.artifacts] == ["t4", "t5"]
        assert [(e.name) for e in without.executions] == ["e4", "e5"]

    def test_tombstones_hold_a_lineage_together(self, world: MetadataStore) -> None:
        tables = chain(world, 4)
        moment = self._moment()
        world.write(Change(removals=[Removal(tables[1].uid, "asked to")]))
        for as_of in (None, moment):
            found = world.lineage([tables[-1].uid], as_of=as_of)
            assert {a.uid for a in found.artifacts} == {t.uid for t in tables}
            (gone,) = [a for a in found.artifacts if a.uid == tables[1].uid]
            assert gone.removed_at is not None
        stopped = world.lineage([tables[-1].uid], stop="removed_at IS NOT NULL")
        assert [a.uid for a in stopped.artifacts] == [t.uid for t in tables[1:]]

    def test_only_some_types(self, world: MetadataStore) -> None:
        tables = chain(world, 4)
        found = list(world.walk(WalkQuery([tables[-1].uid], only=["Table"])))
        assert [(level.hops, node.name) for level in found for node in level.nodes] == [
            (0, "t3"), (2, "t2"), (4, "t1"), (6, "t0"),
        ]  # fmt: skip
        assert [level.events for level in found] == [[], [], [], []]
        assert list(world.walk(WalkQuery([tables[-1].uid], only=[]))) == []

    def test_the_last_level_has_no_cursor(self, world: MetadataStore) -> None:
        tables = chain(world, 3)
        levels = list(world.walk(WalkQuery([tables[-1].uid])))
        assert [level.cursor is None for level in levels] == [False] * 4 + [True]
        pages = list(list_pages(world, WalkQuery([tables[-1].uid], page_nodes=2)))
        assert [[node.name for _, node in joined(page.levels)] for page in pages] == [
            ["t2", "e2"],
            ["t1", "e1"],
            ["t0"],
        ]
        assert list(world.walk(WalkQuery([]))) == []
        assert read_page(world, WalkQuery([])).cursor is None

    @pytest.mark.parametrize(
        ("bad", "code"),
        [
            ({"max_hops": -1}, "bad-query"),
            ({"page_nodes": 0}, "bad-query"),
            ({"direction": "sideways"}, "bad-query"),
            ({"starts": "01J"}, "bad-query"),
            ({"stop": "nme = 'x'"}, "bad-filter"),
            ({"stop": "name ="}, "bad-filter"),
            ({"cursor": "x"}, "bad-cursor"),
            ({"cursor": "WzEsMl0"}, "bad-cursor"),
        ],
    )
    def test_a_bad_walk_is_refused_before_it_begins(
        self, world: MetadataStore, bad: dict[str, Any], code: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            world.walk(WalkQuery(**{"starts": [], **bad}))
        assert caught.value.code == code

    def test_a_cursor_belongs_to_its_walk(self, world: MetadataStore) -> None:
        tables = chain(world, 4)
        query = WalkQuery([tables[-1].uid], page_nodes=2)
        cursor = read_page(world, query).cursor
        assert read_page(world, replace(query, page_nodes=1, cursor=cursor)).levels
        for other in (
            replace(query, direction="down"),
            replace(query, max_hops=9),
            replace(query, stop=STOP),
            replace(query, starts=[tables[0].uid]),
        ):
            with pytest.raises(UsageError, match="another walk") as caught:
                world.walk(replace(other, cursor=cursor))
            assert caught.value.code == "bad-cursor"

    def test_a_wide_level_comes_in_pieces(self, world: MetadataStore) -> None:
        source = artifact("source")
        runs = [Execution(type="load") for _ in range(300)]
        world.write(Change([Put(source), *map(Put, runs)], [Event(r.uid, source.uid, "INPUT") for r in runs]))
        levels = list(world.walk(WalkQuery([source.uid], direction="down", page_nodes=128)))
        assert [(level.hops, len(level.nodes), len(level.events)) for level in levels] == [
            (0, 1, 0), (1, 128, 128), (1, 128, 128), (1, 44, 44),
        ]  # fmt: skip
        assert [
            {e.execution for e in level.events} == {n.uid for n in level.nodes} for level in levels[1:]
        ] == [True] * 3

    def test_events_of_one_kind_between_two_nodes_all_come(self, world: MetadataStore) -> None:
        table, run = artifact(), Execution(type="load")
        events = [Event(run.uid, table.uid, "INPUT", path) for path in (("a",), ("b", 1), ())]
        world.write(Change([Put(table), Put(run)], events))
        _, level = world.walk(WalkQuery([run.uid]))
        assert [event.path for event in level.events] == [("a",), ("b", 1), ()]
        assert len(level.events) == 3
        assert [event.path for event in world.lineage([run.uid]).events] == [("a",), ("b", 1), ()]

    def test_pages_beside_a_writer(self, world: MetadataStore) -> None:
        tables = chain(world, 30)
        query = WalkQuery([tables[-1].uid], direction="both", page_nodes=4)
        done = threading.Event()
        failed: list[BaseException] = []

        def write() -> None:
            try:
                for i in range(80):
                    if done.is_set():
                        return
                    near, far = tables[i % 30], tables[(i * 7 + 3) % 30]
                    run = Execution(type="load")
                    both = [Event(run.uid, near.uid, "INPUT"), Event(run.uid, far.uid, "OUTPUT")]
                    world.write(Change([Put(run)], both))
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                failed.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                pages = list(list_pages(world, query))
                uids = [node.uid for page in pages for _, node in joined(page.levels)]
                assert len(uids) == len(set(uids))
                assert {t.uid for t in tables} <= set(uids)
                # Every node but the start is reached by an event of a page that has come.
                ends = {
                    u
                    for page in pages
                    for level in page.levels
                    for e in level.events
                    for u in (e.execution, e.artifact)
                }
                assert set(uids) <= ends
        finally:
            done.set()
            writer.join()
        assert failed == []


class PathRules(Furnished):
    """Shortest paths, first differences, impact."""

    @many
    @given(graph=graphs(), a=st.integers(0, 11), b=st.integers(0, 11), direction=st.sampled_from(["up", "down", "both"]),
           max_hops=st.none() | st.integers(0, 6))  # fmt: skip
    def test_a_shortest_path_is_the_shortest(
        self, typed: MetadataStore, graph: Drawn, a: int, b: int, direction: Direction, max_hops: int | None
    ) -> None:
        typed.put_type(TRAIN)
        nodes = graph.nodes()
        events = [Event(nodes[e].uid, nodes[a_].uid, kind) for e, a_, kind in graph.edges]
        typed.write(Change([Put(node) for node in nodes], events))
        a, b = a % len(nodes), b % len(nodes)
        asked = Asked((a,), direction, max_hops, False, False, True, None, 5_000)
        far = {i: h for h, i in naive_walk(graph, asked).nodes}.get(b)
        path = shortest_path(typed, nodes[a].uid, nodes[b].uid, direction=direction, max_hops=max_hops)
        if far is None:
            assert path is None
            return
        assert path is not None
        assert len(path.events) == far
        assert [path.nodes[0].uid, path.nodes[-1].uid] == [nodes[a].uid, nodes[b].uid]
        for event, near, other in zip(path.events, path.nodes, path.nodes[1:], strict=False):
            assert {event.execution, event.artifact} == {near.uid, other.uid}
            if direction != "both":
                reads = event.kind in INPUT_KINDS
                assert (event.execution == near.uid) == (reads == (direction == "up"))

    def test_a_path_to_what_is_absent(self, typed: MetadataStore) -> None:
        (only,) = put(typed, artifact())
        same = shortest_path(typed, only.uid, only.uid)
        assert same is not None
        assert (list(same.nodes), list(same.events)) == ([only], [])
        for ends in ((only.uid, "absent"), ("absent", only.uid)):
            with pytest.raises(NotFoundError):
                shortest_path(typed, *ends)

    def _runs(self, store: MetadataStore, plant: Callable[[dict[str, Any]], None]) -> tuple[str, str]:
        """Two runs of one pipeline, raw → clean → join (with weather) → train → model, something planted in the second."""
        store.put_type(TRAIN)
        store.put_type(Type("artifact", "Model"))
        ends = []
        for name in "ab":
            said: dict[str, Any] = {
                "raw": {"digest": "d0"}, "weather": {"digest": "w0"}, "clean": {}, "joined": {}, "model": {},
                "load": {"params": {"drop": True}}, "join": {"params": {"on": "hour"}}, "fit": {"params": {"depth": 6}},
            }  # fmt: skip
            if name == "b":
                plant(said)
            run = name
            tables: dict[str, Artifact] = {
                key: artifact(f"{key}@{run}", custom=said[key])
                for key in ("raw", "weather", "clean", "joined")
                if key in said
            }
            tables["model"] = Artifact(type="Model", name=f"late@{run}", custom=said["model"])
            steps = {
                key: Execution(
                    type="train" if key == "fit" else "load",
                    name=f"{key} {run}",
                    custom=said[key],
                    state="COMPLETE",
                )
                for key in ("load", "join", "fit")
            }
            edges: list[tuple[str, str, EventKind, tuple[str, ...]]] = [
                ("load", "raw", "INPUT", ("rows",)), ("load", "clean", "OUTPUT", ()),
                ("join", "clean", "INPUT", ("left",)), ("join", "weather", "INPUT", ("right",)),
                ("join", "joined", "OUTPUT", ()), ("fit", "joined", "INPUT", ()), ("fit", "model", "OUTPUT", ()),
            ]  # fmt: skip
            events = [
                Event(steps[e].uid, tables[a].uid, kind, path) for e, a, kind, path in edges if a in tables
            ]
            store.write(Change([*map(Put, tables.values()), *map(Put, steps.values())], events))
            ends.append(tables["model"].uid)
        return ends[0], ends[1]

    @pytest.mark.parametrize(
        ("plant", "where", "what"),
        [
            (lambda said: said["load"]["params"].update(drop=False), "load", [("custom", "params.drop", True, False)]),
            (lambda said: said["fit"]["params"].update(depth=9), "fit", [("custom", "params.depth", 6, 9)]),
            (lambda said: said["weather"].update(digest="w1"), "weather", [("custom", "digest", "w0", "w1")]),
            (lambda said: said.pop("weather"), "join", [("inputs", "right", "weather@a", None)]),
            (lambda said: (said["fit"]["params"].update(depth=9), said["raw"].update(digest="d1")), "raw",
             [("custom", "digest", "d0", "d1")]),
        ],
    )  # fmt: skip
    def test_the_first_difference_is_the_planted_one(
        self,
        typed: MetadataStore,
        plant: Callable[[dict[str, Any]], None],
        where: str,
        what: list[tuple[str, str, object, object]],
    ) -> None:
        a, b = self._runs(typed, plant)
        found = first_difference(typed, a, b)
        assert found.first is not None
        names = {
            (found.first.a.name or "").split("@")[0].split(" ")[0],
            (found.first.b.name or "").split("@")[0].split(" ")[0],
        }
        assert names == {where}
        assert [(d.what, d.name, d.a, d.b) for d in found.first.differences] == what

    def test_equal_runs_do_not_differ(self, typed: MetadataStore) -> None:
        a, b = self._runs(typed, lambda _: None)
        found = first_difference(typed, a, b)
        assert (found.same, found.first, found.pairs) == (True, None, ())
        assert first_difference(typed, a, a).same

    def test_things_of_two_kinds_are_not_compared(self, typed: MetadataStore) -> None:
        table, run = artifact(), Execution(type="load")
        put(typed, table, run)
        with pytest.raises(UsageError) as caught:
            first_difference(typed, table.uid, run.uid)
        assert caught.value.code == "not-comparable"

    def test_impact_is_everything_downstream_by_type(self, typed: MetadataStore) -> None:
        tables = chain(typed, 4)
        found = impact(typed, tables[1].uid)
        assert {name: [(i.hops, i.node.name) for i in items] for name, items in found.by_type.items()} == {
            "Table": [(2, "t2"), (4, "t3")],
            "load": [(1, "e2"), (3, "e3")],
        }
        assert (found.n, found.depth) == (4, 4)
        assert impact(typed, tables[1].uid, max_hops=1).n == 1
        assert impact(typed, tables[1].uid, only=["Table"]).n == 2
        assert impact(typed, tables[-1].uid).by_type == {}


def unwound(levels: Iterator[Level]) -> int:
    """How many nodes a stream has, nothing of it kept."""
    return sum(len(level.nodes) for level in levels)
