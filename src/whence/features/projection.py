"""Features served online: rows brought into the store, keys answered from it, what is old forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, TypeAlias

from whence._base.clock import Clock, utc
from whence._base.crash import crash_point
from whence.errors import NotFoundError, UnsupportedError, UsageError
from whence.features.answer import OnlineAnswer
from whence.features.base import GroupState, OnlineStore
from whence.features.materialize import (
    BATCH_ROWS,
    BEFORE_RECORD,
    Loaded,
    Materialized,
    Materializer,
    Needs,
    Place,
    groups_by_source,
    needed_us,
)
from whence.features.packing import Facts, group_of
from whence.features.plain import micros
from whence.features.reader import OnlineReader
from whence.features.types import AnyView, FeatureView
from whence.lake import Lake, TableVersion
from whence.metadata import Artifact, Recorder, Type, declare_types

MATERIALIZE: Final = Type("execution", "materialize", {"n_rows": "INT"})
ONLINE_FEATURES: Final = Type(
    "artifact",
    "OnlineFeatures",
    {"group": "STRING", "source": "STRING", "version": "INT", "store": "STRING"},
    description="the rows of one table version in the online store, by one set of join keys",
)
OpenStore: TypeAlias = Callable[[], OnlineStore]
_Job: TypeAlias = tuple[Materializer, list[Facts], dict[str, GroupState | None]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_READERS: Final = 64
"""Lists of views whose plans are kept; a server has a few."""


class Projection:
    """An online store beside the lake it is a projection of.

    Args:
        store: The store, or what opens it when it is first needed; None: there is none.
        lake: The tables.
        recorder: Where `materialize` is recorded.
        clock: What time it is, for who names no moment.
    """

    def __init__(
        self, store: OnlineStore | OpenStore | None, lake: Lake, recorder: Recorder, clock: Clock
    ) -> None:
        self._given = store
        self._lake = lake
        self._recorder = recorder
        self._clock = clock
        self.batch_rows = BATCH_ROWS
        self._opening = threading.Lock()
        self._readers: dict[tuple[int, ...], OnlineReader] = {}
        declare_types(recorder.store, [MATERIALIZE, ONLINE_FEATURES])

    @property
    def store(self) -> OnlineStore:
        """The online store, open.

        Raises:
            UnsupportedError: There is none (``no-online-store``).
        """
        if self._given is None:
            raise UnsupportedError(
                "these features have no online store",
                code="no-online-store",
                hint="open a workspace: its setting features.online names one",
            )
        if not isinstance(self._given, OnlineStore):
            with self._opening:
                if not isinstance(self._given, OnlineStore):
                    self._given = self._given()
        return self._given

    # --- reading

    def reader(self, views: Sequence[AnyView]) -> OnlineReader:
        """What answers for these very views; the plan is kept."""
        # a reader holds its views, so none of these numbers is given to another object meanwhile
        number = tuple(map(id, views))
        found = self._readers.get(number)
        if found is None:
            if len(self._readers) >= _READERS:
                self._readers.pop(next(iter(self._readers)), None)
            found = self._readers[number] = OnlineReader(self.store, views)
        return found

    def get(
        self,
        keys: object,
        views: Sequence[AnyView],
        at: datetime | Sequence[datetime] | str | None,
        *,
        complete: bool,
    ) -> OnlineAnswer:
        """The features of keys; see `Features.get_online`."""
        moments = self._clock.now() if at is None else at
        return self.reader(views).read(keys, moments, complete=complete)

    # --- writing

    def materialize(
        self,
        views: Sequence[FeatureView],
        *,
        upto: Mapping[str, int],
        rebuild: bool,
        since: datetime | None,
        resolve: Callable[[str, int | None], TableVersion],
        view_artifact: Callable[[FeatureView], Artifact],
    ) -> Materialized:
        """Bring the rows of views to a version of each source; see `Features.materialize`."""
        started = time.monotonic()
        sources = groups_by_source(views)
        if unknown := sorted(set(upto) - set(sources)):
            raise NotFoundError("source", unknown[0], near=sources, hint="upto= names sources of the views")
        jobs: list[_Job] = []
        anew: set[str] = set()
        for name, groups in sources.items():
            job = Materializer(
                self.store, self._lake.table(name), resolve(name, upto.get(name)), self.batch_rows
            )
            facts = [job.facts(views[0]) for views in groups.values()]
            states = job.states(groups)
            if not rebuild:
                job.check(facts, states)
            needs = _needs(job.target, groups, None if since is None else micros(utc(since)))
            anew |= {g for g, state in states.items() if rebuild or (state and needs[g].short(state))}
            job.needs = {g: one if rebuild else one.and_of(states[g]) for g, one in needs.items()}
            jobs.append((job, facts, states))
        if not anew and not any(job.behind(states) for job, _, states in jobs):
            return Materialized(self._all_loaded(jobs), None, time.monotonic() - started)
        params: dict[str, Any] = {"views": [view.name for view in views], "rebuild": rebuild}
        with self._recorder.joined("materialize", params=params) as recording:
            for view in views:
                recording.input(view_artifact(view), path=("views", view.name))
            for job, facts, _ in jobs:
                recording.input(job.target.artifact(), path=("sources", job.table.name))
                for one in facts:
                    if one.group in anew:
                        self.store.drop(one.group)
                job.run(facts)
            crash_point(BEFORE_RECORD)
            done = self._all_loaded(jobs)
            for loaded in done:
                recording.output(self._artifact(loaded), path=("online", loaded.source))
            recording.set(n_rows=sum(loaded.n_rows for loaded in done))
        return Materialized(done, recording.uid, time.monotonic() - started)

    def _all_loaded(self, jobs: Sequence[_Job]) -> tuple[Loaded, ...]:
        return tuple(chain.from_iterable(self._loaded(*job) for job in jobs))

    def _loaded(
        self, job: Materializer, facts: Sequence[Facts], before: Mapping[str, GroupState | None]
    ) -> list[Loaded]:
        found = []
        states = job.states(one.group for one in facts)
        for one in facts:
            old, state = before[one.group], states[one.group]
            place = Place.of(state.progress if state else {})
            was = None if old is None else Place.of(old.progress)
            assert place is not None
            watermark = None if place.watermark_us is None else _moment(place.watermark_us)
            found.append(
                Loaded(
                    one.group, one.source, None if was is None or was.version < 0 else was.version,
                    place.version, job.written.get(one.group, 0), watermark,
                )
            )  # fmt: skip
        return found

    def _artifact(self, loaded: Loaded) -> Artifact:
        return Artifact(
            type=ONLINE_FEATURES.name,
            name=f"{loaded.group}@{loaded.version}",
            properties={
                "group": loaded.group,
                "source": loaded.source,
                "version": loaded.version,
                "store": self.store.name,
            },
        )

    # --- forgetting

    def forget(self, before: datetime, views: Sequence[FeatureView]) -> dict[str, int]:
        """Drop what no moment from `before` on can see; see `Features.forget_online`."""
        limit = micros(utc(before))
        assert limit is not None
        found: dict[str, int] = {}
        for group in self.store.list_groups():
            state = self.store.state(group)
            watermark = None if state is None else state.progress.get("watermark_us")
            if state is None or watermark is None:
                continue
            if limit > watermark:
                raise UsageError(
                    f"{_moment(limit).isoformat()} lies beyond {_moment(watermark).isoformat()}, up to which the online rows"
                    f" of table {Facts.from_text(state.facts).source!r} are complete",
                    code="forget-beyond-watermark",
                    hint="name an earlier moment, or materialize first",
                )
        for group in self.store.list_groups():
            state = self.store.state(group)
            if state is None or "watermark_us" not in state.progress:
                continue  # what comes late is not bounded, so nothing can be let go
            facts = Facts.from_text(state.facts)
            mine = [view for view in views if group_of(view) == group]
            needs = needed_us(mine, declared=bool(facts.declared)) if mine else None
            found[group] = self.store.forget(group, limit, None if needs is None else limit - needs)
        return found


def _needs(
    target: TableVersion, groups: Mapping[str, Sequence[FeatureView]], since_us: int | None
) -> dict[str, Needs]:
    """What each group must answer; what may still come late without bound lets nothing go."""
    watermark, declared = micros(target.watermark), bool(target.declaration.key)
    before = None if watermark is None or since_us is None else min(watermark, since_us)
    return {g: Needs(before, needed_us(views, declared=declared)) for g, views in groups.items()}


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
