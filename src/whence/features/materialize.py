"""Rows of tables brought into an online store: forward only, by table version, each batch with its progress.

::

    new group      the rows of one version, in slices                      {"snapshot": 7, "row": 40000, "version": -1}
    later          the rows of each commit after the version it has        {"version": 9, "row": 0, "epoch": 0, …}

A slice and the place behind it are one transaction, made only where the store still stands at the place before
it. So a process may die anywhere and another go on, and of two that do the same one is faster with each slice.

What no moment that will be asked can see need not be loaded at first: then the store is told that it has forgotten
it before any row comes, and what it says decides which rows come, whoever goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from whence._base.crash import crash_point, register
from whence._base.progress import progress as show_progress
from whence.errors import ConflictError, IntegrityError
from whence.features.base import NO_PROGRESS, GroupState, OnlineStore
from whence.features.duration import microseconds
from whence.features.packing import Batch, Facts, Ints, Mask, group_of
from whence.features.plain import micros
from whence.features.types import FeatureView
from whence.features.visible import visible
from whence.lake import Table, TableVersion

BEGUN: Final = register(
    "features.materialize.begun", "a new group is made, the store does not know yet what it need not answer"
)
BEFORE_PUT: Final = register(
    "features.materialize.before_put", "a batch of rows is read, nothing of it is written"
)
AFTER_PUT: Final = register(
    "features.materialize.after_put", "a batch is in the online store with its progress, later ones are not"
)
BEFORE_RECORD: Final = register(
    "features.materialize.before_record", "the online store has everything, the graph does not know it yet"
)

BATCH_ROWS: Final = 20_000
"""Rows in one transaction: a tenth of a second, so that other writers wait no longer."""

LOAD_BATCHES: Final = 5
"""So many batches at once in a group that is new: its keys lie all over the file, and each transaction writes most
of its pages again.
"""

LOADING: Final = "snapshot"

Limits: TypeAlias = tuple[int, int]
"""The first moment that is asked, and from where rows are kept, in microseconds."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one group.

    Attributes:
        group: The group.
        source: Its table.
        before: The version it had; None when it was new.
        version: The version it has now.
        n_rows: Rows that were written by this call.
        watermark: Up to when the source is complete there.
    """

    group: str
    source: str
    before: int | None
    version: int
    n_rows: int
    watermark: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the group by its source, its event time and its keys."""
        _, timestamp, keys = json.loads(self.group)
        return {
            "source": self.source,
            "timestamp": timestamp,
            "keys": keys,
            "before": self.before,
            "version": self.version,
            "n_rows": self.n_rows,
            "complete_to": None if self.watermark is None else self.watermark.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Materialized:
    """What a call of `materialize` did.

    Attributes:
        groups: Each group of rows the views read.
        execution: The uid of the execution; None when there was nothing to do.
        seconds: How long it took.
    """

    groups: tuple[Loaded, ...]
    execution: str | None
    seconds: float

    @property
    def n_rows(self) -> int:
        """Rows that were written."""
        return sum(group.n_rows for group in self.groups)

    @property
    def versions(self) -> dict[str, int]:
        """By source, the version the store has now."""
        return {group.source: group.version for group in self.groups}


@dataclass(frozen=True, slots=True)
class Place:
    """How far a group has come.

    Attributes:
        version: Everything up to here is in the store; -1: nothing is.
        row: So many rows of what comes next are, too.
        epoch: The epoch of the table.
        snapshot: The version whose rows are being loaded, of a new group.
        watermark_us: Up to when the table was complete.
    """

    version: int
    row: int
    epoch: int
    snapshot: int | None = None
    watermark_us: int | None = None

    def to_progress(self) -> dict[str, int]:
        """As the store keeps it."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, progress: Mapping[str, int]) -> Place | None:
        """What the store keeps; None for a group that is not there."""
        return cls(**progress) if progress else None


class Slice(NamedTuple):
    """Rows on their way, the place behind them, and which of them a group wants; a group that is not named: all."""

    rows: pa.Table
    after: Place
    chosen: Mapping[str, Mask] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Needs:
    """What a group must answer.

    Attributes:
        before_us: The first moment that is asked; None: any may be.
        reach_us: How far back its views look, besides the newest row of each key; None: to the beginning.
    """

    before_us: int | None = None
    reach_us: int | None = None

    @property
    def limits(self) -> Limits | None:
        """The first moment, and from where rows are kept; None: all are."""
        if self.before_us is None or self.reach_us is None:
            return None
        return self.before_us, self.before_us - self.reach_us

    def short(self, state: GroupState) -> bool:
        """Whether a group has fewer rows than that; where nothing is said of moments it is as it is."""
        if self.before_us is None or state.since_us is None:
            return False
        before = max(self.before_us, state.forgotten_us or state.since_us)
        return self.reach_us is None or before - self.reach_us < state.since_us

    def and_of(self, state: GroupState | None) -> Needs:
        """For a group that is loaded anew: it also keeps what it has kept so far."""
        if state is None or self.limits is None or self.reach_us is None:
            return self
        if state.since_us is None or state.forgotten_us is None:
            return replace(self, reach_us=None)
        return replace(self, reach_us=max(self.reach_us, state.forgotten_us - state.since_us))


@dataclass
class Materializer:
    """Brings groups of one source to a version.

    Args:
        store: The online store.
        table: The source.
        target: The version to come to.
        batch_rows: Rows in one transaction.
        needs: By group, what it must answer; a new group gets no row that is not needed for that.
    """

    store: OnlineStore
    table: Table
    target: TableVersion
    batch_rows: int = BATCH_ROWS
    needs: Mapping[str, Needs] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)

    def facts(self, view: FeatureView) -> Facts:
        """What the store shall know of the rows of a view's group."""
        declared, schema = self.target.declaration, self.target.schema
        names = sorted(schema.names)
        return Facts(
            source=self.table.name,
            table_id=self.target.table_id,
            timestamp=view.timestamp,
            keys=tuple(sorted(view.entity.join_keys)),
            declared=declared.key,
            known_at=declared.known_at,
            schema=pa.schema([schema.field(name).remove_metadata() for name in names]),
        )

    def behind(self, states: Mapping[str, GroupState | None]) -> list[str]:
        """The groups that are not at the target yet."""
        found = []
        for group, state in states.items():
            place = None if state is None else Place.of(state.progress)
            if place is None or place.version < self.target.version or place.snapshot is not None:
                found.append(group)
        return found

    def check(self, wanted: Sequence[Facts], states: Mapping[str, GroupState | None]) -> None:
        """Refuse groups whose table has been rewritten since.

        Raises:
            ConflictError: ``online-rewritten``.
        """
        for facts in wanted:
            state = states[facts.group]
            place = None if state is None else Place.of(state.progress)
            if state is None or place is None:
                continue
            other = Facts.from_text(state.facts).table_id != facts.table_id
            if other or (0 <= place.version < self.target.version and place.epoch != self.target.epoch):
                raise _rewritten(facts.source, place.version)

    def states(self, groups: Iterable[str]) -> dict[str, GroupState | None]:
        """What the store says of groups now."""
        names = [*groups]
        with self.store.reading() as reading:
            return dict(zip(names, reading.states(names), strict=True))

    def run(self, wanted: Sequence[Facts]) -> None:
        """Bring groups to the target; those that stand at one place are read for together."""
        by_group = {facts.group: facts for facts in wanted}
        while True:
            states = self.states(by_group)
            self.check(wanted, states)
            behind = self.behind(states)
            if not behind:
                return
            if self._begin([by_group[group] for group in behind if states[group] is None]):
                continue
            progress = self._progress(states[behind[0]])
            together = [g for g in behind if self._progress(states[g]) == progress]
            grown = {g: self._grown(by_group[g], states[g]) for g in together}
            self._advance(grown, progress, {g: _limits(states[g]) for g in together})

    def _begin(self, new: Sequence[Facts]) -> bool:
        """Make the groups that need not have all rows; gives whether there was one."""
        begun = False
        for facts in new:
            limits = self.needs.get(facts.group, Needs()).limits
            if limits is None:
                continue
            place = Place(-1, 0, self.target.epoch, snapshot=self.target.version)
            if self.store.put(
                facts.group, [], progress=place.to_progress(), after=NO_PROGRESS, facts=facts.to_text(),
                rank=facts.rank,
            ):  # fmt: skip
                crash_point(BEGUN)  # nothing is said yet: then all rows come
                self.store.forget(facts.group, *limits)
            begun = True
        return begun

    def _progress(self, state: GroupState | None) -> Mapping[str, int]:
        return NO_PROGRESS if state is None else dict(state.progress)

    def _grown(self, facts: Facts, state: GroupState | None) -> Facts:
        return facts if state is None else Facts.from_text(state.facts).grown(self.target.schema)

    def _advance(
        self, groups: dict[str, Facts], progress: Mapping[str, int], limits: Mapping[str, Limits | None]
    ) -> None:
        """Write what is missing, slice by slice, while nobody else does."""
        place = Place.of(progress)
        texts = {group: facts.to_text() for group, facts in groups.items()}
        with show_progress(f"online {self.table.name}") as step:
            if place is None or place.snapshot is not None:
                slices = self._snapshot(place, [(facts, limits[group]) for group, facts in groups.items()])
            else:
                slices = (Slice(rows, after) for rows, after in self._changes(place))
            for rows, after, chosen in slices:
                batch = Batch(rows)
                for group in [*groups]:
                    facts = groups[group]
                    packed = facts.pack(batch, chosen.get(group))
                    crash_point(BEFORE_PUT)
                    done = self.store.put(
                        group, packed, progress=after.to_progress(), after=progress, facts=texts[group],
                        rank=facts.rank,
                    )  # fmt: skip
                    crash_point(AFTER_PUT)
                    if done:
                        self.written[group] = self.written.get(group, 0) + len(packed)
                    else:
                        del groups[group]  # somebody was faster: read again where it stands
                if not groups:
                    return
                progress = after.to_progress()
                step(rows.num_rows)

    def _snapshot(
        self, place: Place | None, groups: Sequence[tuple[Facts, Limits | None]]
    ) -> Iterator[Slice]:
        """The rows of one version, in the version's own order: the same for whoever goes on."""
        version = self.target if place is None else self._version(place)
        rows = version.arrow()
        masks = {f.group: visible(rows, f, *limits) for f, limits in groups if limits is not None}
        wanted = np.ones(rows.num_rows, dtype=bool)
        if len(masks) == len(groups):
            wanted = np.logical_or.reduce([*masks.values()])
        places = np.flatnonzero(wanted)
        places = places[places >= (0 if place is None else place.row)]
        first, n_rows = 0, self.batch_rows * LOAD_BATCHES
        while first + n_rows < len(places):
            part = places[first : first + n_rows]
            first += n_rows
            # the slice ends where the next one begins
            after = Place(-1, int(places[first]), version.epoch, snapshot=version.version)
            yield Slice(_taken(rows, part), after, {group: mask[part] for group, mask in masks.items()})
        part = places[first:]
        yield Slice(_taken(rows, part), _at(version), {group: mask[part] for group, mask in masks.items()})

    def _version(self, place: Place) -> TableVersion:
        assert place.snapshot is not None
        return self.table.at(place.snapshot)

    def _changes(self, place: Place) -> Iterator[tuple[pa.Table, Place]]:
        """What came after a version; small commits together, large ones cut."""
        waiting: list[pa.Table] = []
        n_waiting, done = 0, place.version
        for version, rows in self._commits(place):
            start = place.row if version[0] else 0
            while n_waiting + rows.num_rows - start >= self.batch_rows:
                part = rows.slice(start, self.batch_rows - n_waiting)
                start += part.num_rows
                yield (
                    pa.concat_tables([*waiting, part]),
                    Place(done, start, place.epoch, None, place.watermark_us),
                )
                waiting, n_waiting = [], 0
            waiting.append(rows.slice(start))
            n_waiting += rows.num_rows - start
            done = version[1]
        yield pa.concat_tables(waiting or [self.target.schema.empty_table()]), _at(self.target)

    def _commits(self, place: Place) -> Iterator[tuple[tuple[bool, int], pa.Table]]:
        """Each commit's rows: whether it is the first, and its version."""
        try:
            for number, change in enumerate(self.table.changes(place.version, self.target.version)):
                yield (number == 0, change.version), change.rows
        except IntegrityError as error:
            if error.code != "table-epoch":
                raise
            raise _rewritten(self.table.name, place.version) from error


def _limits(state: GroupState | None) -> Limits | None:
    """What a group that is being loaded has forgotten beforehand."""
    if state is None or state.forgotten_us is None or state.since_us is None:
        return None
    return state.forgotten_us, state.since_us


def _taken(rows: pa.Table, places: Ints) -> pa.Table:
    """Some rows; those that lie together are not copied."""
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return rows.slice(int(places[0]), len(places))
    return rows.take(pa.array(places))


def _at(version: TableVersion) -> Place:
    """Everything of a version is there."""
    return Place(version.version, 0, version.epoch, None, micros(version.watermark))


def _rewritten(source: str, version: int) -> ConflictError:
    return ConflictError(
        f"rows of table {source!r} were changed or removed since version {version}, which the online store has",
        code="online-rewritten",
        hint="materialize(…, rebuild=True), or whence features materialize --rebuild: its rows are loaded anew",
    )


def groups_by_source(views: Sequence[FeatureView]) -> dict[str, dict[str, list[FeatureView]]]:
    """By source, the groups that views read, each with its views."""
    found: dict[str, dict[str, list[FeatureView]]] = {}
    for view in views:
        found.setdefault(view.source, {}).setdefault(group_of(view), []).append(view)
    return found


def needed_us(views: Sequence[FeatureView], *, declared: bool) -> int | None:
    """How far back views look, besides the newest row of each key; None: to the beginning.

    Args:
        views: Views of one group.
        declared: Whether its rows have a declared key, so that a correction may take the newest row back.
    """
    found = []
    for view in views:
        hop = 0 if view.hop is None else microseconds(view.hop)
        for feature in view.features:
            if feature.over is not None:
                found.append(microseconds(feature.over) + hop)
            elif view.ttl is not None:
                found.append(microseconds(view.ttl))
            elif feature.where is not None or (declared and view.timestamp is not None):
                return None
    return max(found, default=0)
