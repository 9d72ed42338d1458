"""Walking by numbers: breadth first, one question a level, whatever backend answers it.

An event belongs to the level of its later end, so that what has come of a walk is always a whole piece of the
graph. Only ids are kept: of few nodes in sets, of many one byte for each id there is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from whence.metadata.walk import Walk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Edge: TypeAlias = tuple[int, int, int]
"""An event: execution id, number of its kind, artifact id."""

Ids: TypeAlias = Sequence[int]

CHUNK: Final = 5_000
"""Nodes whose events are asked for at once."""

MANY: Final = 100_000
"""From so many nodes, or edges of one level, on they are kept as bytes and not as objects."""

NEW, NEXT, HERE, PAST = 0, 1, 2, 3
"""A node is not reached yet, reached for the next level, of this level, of an earlier one."""

_SHOWN: Final = 4
_NONE: Final[frozenset[int]] = frozenset()


class Source(Protocol):
    """What a walk asks of a store, in one snapshot of it."""

    def follow(self, ids: Sequence[int], *, of_artifacts: bool) -> Iterable[list[Edge]]:
        """The events over which the walk may leave these nodes, all artifacts or all executions; in batches."""

    def stops(self, ids: Sequence[int]) -> Collection[int]:
        """Those of these nodes at which the walk ends."""

    def of_types(self, ids: Sequence[int]) -> Collection[int]:
        """Those of these nodes whose type is asked for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A level, or a part of a large one: ids in order, and the events whose later end is among them.

    Attributes:
        last: Nothing comes behind it.
    """

    hops: int
    ids: list[int]
    edges: list[Edge]
    last: bool


def walk_pieces(
    source: Source, walk: Walk, artifacts: Collection[int], executions: Collection[int]
) -> Iterator[Piece]:
    """The pieces of a walk from these nodes, behind its place; pieces that would show nothing are left out."""
    return _Walking(source, walk).run(artifacts, executions)


def reach(
    follow: Callable[[Ids, bool], list[Edge]],
    walk: Walk,
    artifacts: Collection[int],
    executions: Collection[int],
) -> tuple[set[int], set[int], list[Edge]]:
    """All at once what `walk_pieces` gives level by level: executions, artifacts and events of a walk without filters.

    Args:
        follow: Gives the events over which the walk may leave nodes; the second argument says that they are artifacts.
        walk: A walk that shows every node it reaches.
        artifacts: Where it begins.
        executions: Where it begins.
    """
    both, hops = walk.query.direction == "both", 0
    found = set(executions), set(artifacts)
    fronts: tuple[Collection[int], Collection[int]] = found
    edges: list[Edge] = []
    loose: list[Edge] = []
    while fronts[0] or fronts[1]:
        last = hops == walk.query.max_hops
        reached: list[set[int]] = [set(), set()]
        for of_artifacts in (False, True):
            front = fronts[of_artifacts]
            if not front:
                continue
            rows = follow(list(front), of_artifacts)
            if both:
                # Each event is met from both of its ends: the execution tells it.
                loose += () if of_artifacts else rows
            elif last:
                loose += rows
            else:
                edges += rows
            if not last:
                end = 0 if of_artifacts else 2
                reached[not of_artifacts] = {row[end] for row in rows} - found[not of_artifacts]
        for kind in (0, 1):
            found[kind].update(reached[kind])
        fronts, hops = (reached[0], reached[1]), hops + 1
    edges += [row for row in loose if row[0] in found[0] and row[2] in found[1]]
    return found[0], found[1], edges


class _Few:
    """What is reached, in sets."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.here: set[int] = set()
        self.next: tuple[set[int], set[int]] = (set(), set())
        """executions, artifacts"""
        self.visible: set[int] = set()

    def state(self, id_: int) -> int:
        if id_ in self.seen:
            return HERE if id_ in self.here else PAST
        return NEXT if id_ in self.next[0] or id_ in self.next[1] else NEW

    def add(self, id_: int, *, artifact: bool) -> None:
        self.next[artifact].add(id_)

    def turn(self) -> tuple[Ids, Ids]:
        """Go on to the next level: its executions and its artifacts, by id."""
        executions, artifacts = self.next
        self.here = executions | artifacts if executions and artifacts else executions or artifacts
        self.seen |= self.here
        self.next = (set(), set())
        return sorted(executions), sorted(artifacts)

    def show(self, ids: Iterable[int]) -> None:
        self.visible.update(ids)

    def shows(self, id_: int) -> bool:
        return id_ in self.visible

    def is_full(self) -> bool:
        return len(self.seen) + len(self.next[0]) + len(self.next[1]) > MANY


class _Many:
    """What is reached, as one byte for each id."""

    def __init__(self, few: _Few) -> None:
        self._marks = bytearray()
        self._next = (array("q"), array("q"))
        for id_ in few.seen:
            self._mark(id_, HERE if id_ in few.here else PAST)
        for artifact in (False, True):
            for id_ in few.next[artifact]:
                self.add(id_, artifact=bool(artifact))
        self.show(few.visible)
        self._here: list[array[int]] = [array("q", few.here)]

    def _mark(self, id_: int, state: int) -> None:
        marks = self._marks
        if id_ >= len(marks):
            marks.extend(bytes(id_ + 1 + len(marks) // 4 - len(marks)))
        marks[id_] = marks[id_] & _SHOWN | state

    def state(self, id_: int) -> int:
        return self._marks[id_] & 3 if id_ < len(self._marks) else NEW

    def add(self, id_: int, *, artifact: bool) -> None:
        if self.state(id_) == NEW:
            self._mark(id_, NEXT)
            self._next[artifact].append(id_)

    def turn(self) -> tuple[Ids, Ids]:
        marks = self._marks
        for ids in self._here:
            for id_ in ids:
                marks[id_] = marks[id_] & _SHOWN | PAST
        executions, artifacts = (_sorted(ids) for ids in self._next)
        for ids in (executions, artifacts):
            for id_ in ids:
                marks[id_] = marks[id_] & _SHOWN | HERE
        self._here = [executions, artifacts]
        self._next = (array("q"), array("q"))
        return executions, artifacts

    def show(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            self._marks[id_] |= _SHOWN

    def shows(self, id_: int) -> bool:
        return bool(self._marks[id_] & _SHOWN)

    def is_full(self) -> bool:
        return False


class _Edges:
    """Edges of one level: few as tuples, many as plain numbers, three each."""

    def __init__(self) -> None:
        self.few: list[Edge] = []
        self.many = array("q")

    def extend(self, edges: Iterable[Edge]) -> None:
        self.few += edges
        if len(self.few) > MANY:
            self.many.extend(chain.from_iterable(self.few))
            self.few = []

    def all(self) -> list[Edge]:
        """All of them, as tuples."""
        return list(self) if self.many else self.few

    def __iter__(self) -> Iterator[Edge]:
        for i in range(0, len(self.many), 3):
            yield self.many[i], self.many[i + 1], self.many[i + 2]
        yield from self.few

    def kept(self, reached: _Few | _Many) -> _Edges:
        """Those between nodes that are shown."""
        out, shows = _Edges(), reached.shows
        for batch in _batches(self):
            out.extend([edge for edge in batch if shows(edge[0]) and shows(edge[2])])
        return out


class _Walking:
    """One walk under way."""

    def __init__(self, source: Source, walk: Walk) -> None:
        self._source = source
        self._walk = walk
        self._both = walk.query.direction == "both"
        self._reached: _Few | _Many = _Few()
        self._here = _Edges()
        self._arriving = _Edges()
        self._open: dict[int, list[Edge]] = {}
        """Events of nodes at which the walk ended, by their other end, which is not reached yet."""

    def run(self, artifacts: Collection[int], executions: Collection[int]) -> Iterator[Piece]:
        for artifact, ids in ((True, artifacts), (False, executions)):
            for id_ in ids:
                self._reached.add(id_, artifact=artifact)
        hops = 0
        front = self._turn()
        while front[0] or front[1]:
            here = self._here
            self._level(front, last=hops == self._walk.query.max_hops)
            following = self._turn()
            yield from self._pieces(hops, front, here, last=not (following[0] or following[1]))
            front, hops = following, hops + 1

    def _turn(self) -> tuple[Ids, Ids]:
        front = self._reached.turn()
        self._here, self._arriving = self._arriving, _Edges()
        if self._open:
            for id_ in chain(*front):
                self._here.extend(self._open.pop(id_, ()))
        return front

    def _level(self, front: tuple[Ids, Ids], *, last: bool) -> None:
        """Ask for the events of every node of this level."""
        source, walk = self._source, self._walk
        for ids, of_artifacts in zip(front, (False, True), strict=True):
            for begin in range(0, len(ids), CHUNK):
                chunk = list(ids[begin : begin + CHUNK])
                stops: Collection[int] = _NONE
                if walk.stop is not None:
                    stops = source.stops(chunk)
                if walk.filtered:
                    self._show(chunk, stops)
                for batch in source.follow(chunk, of_artifacts=of_artifacts):
                    self._take(batch, stops, of_artifacts=of_artifacts, last=last)

    def _show(self, chunk: list[int], stops: Collection[int]) -> None:
        kept: Iterable[int] = chunk if self._walk.only is None else self._source.of_types(chunk)
        if stops and not self._walk.query.include_stops:
            kept = [id_ for id_ in kept if id_ not in stops]
        self._reached.show(kept)

    def _take(self, batch: list[Edge], stops: Collection[int], *, of_artifacts: bool, last: bool) -> None:
        """Sort events by whether their other end is there already."""
        reached = self._reached
        if last or stops or self._both or isinstance(reached, _Many):
            self._take_each(batch, stops, of_artifacts=of_artifacts, last=last)
        else:
            end = 0 if of_artifacts else 2
            far = {edge[end] for edge in batch}
            fresh = far - reached.seen
            reached.next[not of_artifacts].update(fresh)
            if len(fresh) == len(far):
                self._arriving.extend(batch)
            else:
                self._arriving.extend([edge for edge in batch if edge[end] in fresh])
                self._here.extend([edge for edge in batch if edge[end] not in fresh])
        if reached.is_full():
            assert isinstance(reached, _Few)
            self._reached = _Many(reached)

    def _take_each(
        self, batch: list[Edge], stops: Collection[int], *, of_artifacts: bool, last: bool
    ) -> None:
        near, far = (2, 0) if of_artifacts else (0, 2)
        state, add = self._reached.state, self._reached.add
        here: list[Edge] = []
        arriving: list[Edge] = []
        for edge in batch:
            other = edge[far]
            known = state(other)
            if known >= HERE:
                # Both ways an event is met from both of its ends: it is taken from the later one's side
                # when that one arrives, and within a level from the artifact's.
                if not self._both or (known == HERE and of_artifacts):
                    here.append(edge)
            elif last:
                continue
            elif edge[near] in stops:
                if not self._walk.query.include_stops:
                    continue
                self._open.setdefault(other, []).append(edge)
            else:
                add(other, artifact=not of_artifacts)
                arriving.append(edge)
        self._here.extend(here)
        self._arriving.extend(arriving)

    def _pieces(self, hops: int, front: tuple[Ids, Ids], edges: _Edges, *, last: bool) -> Iterator[Piece]:
        place = self._walk.place
        if place is not None and hops < place.hops:
            return
        executions, artifacts = front
        if self._walk.filtered:
            shows = self._reached.shows
            executions = array("q", (id_ for id_ in executions if shows(id_)))
            artifacts = array("q", (id_ for id_ in artifacts if shows(id_)))
            edges = edges.kept(self._reached)
        after = place.last_id if place is not None and hops == place.hops else -1
        size = self._walk.query.page_nodes
        n = len(executions) + len(artifacts)
        if n <= size and after < 0:
            if n:
                ids = (
                    sorted((*executions, *artifacts))
                    if executions and artifacts
                    else list(executions or artifacts)
                )
                yield Piece(hops, ids, edges.all(), last)
            return
        yield from _cut(hops, (executions, artifacts), edges, size, after, last=last)


def _cut(
    hops: int, front: tuple[Ids, Ids], edges: _Edges, size: int, after: int, *, last: bool
) -> Iterator[Piece]:
    """A level in pieces of at most `size` nodes, those behind the node `after`."""
    import numpy as np

    ids = np.sort(np.concatenate([np.array(side, dtype=np.int64) for side in front]))
    few = np.array(edges.few, dtype=np.int64).reshape(-1, 3)
    table = np.concatenate([np.frombuffer(edges.many, dtype=np.int64).reshape(-1, 3), few])

    def of_level(ends: NDArray[np.int64]) -> NDArray[np.int64]:
        found = ids[np.minimum(np.searchsorted(ids, ends), len(ids) - 1)] == ends
        return np.where(found, ends, -1)

    if len(ids) == 0:
        return
    later = np.maximum(of_level(table[:, 0]), of_level(table[:, 2]))
    order = np.argsort(later, kind="stable")
    table, later = table[order], later[order]
    begin = int(np.searchsorted(ids, after, side="right"))
    for start in range(begin, len(ids), size):
        part = ids[start : start + size]
        low, high = (
            np.searchsorted(later, part[0], side="left"),
            np.searchsorted(later, part[-1], side="right"),
        )
        rows = [(row[0], row[1], row[2]) for row in table[low:high].tolist()]
        yield Piece(hops, part.tolist(), rows, last and start + size >= len(ids))


def _sorted(ids: array[int]) -> array[int]:
    if len(ids) <= CHUNK:
        return array("q", sorted(ids))
    import numpy as np

    return array("q", np.sort(np.frombuffer(ids, dtype=np.int64)).tobytes())


def _batches(edges: Iterable[Edge]) -> Iterator[list[Edge]]:
    batch: list[Edge] = []
    for edge in edges:
        batch.append(edge)
        if len(batch) >= CHUNK:
            yield batch
            batch = []
    yield batch
