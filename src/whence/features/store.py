"""The face of the room: views applied and found again, training sets, explanations, leaks."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.clock import Clock, WallClock
from whence._base.digest import is_digest
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UnsupportedError, UsageError
from whence.features.answer import OnlineAnswer
from whence.features.base import OnlineStore
from whence.features.explain import Explanation, explain_feature
from whence.features.explain import recompute as recompute_value
from whence.features.leaks import LeakReport, Rebuild, find_leaks
from whence.features.materialize import Materialized
from whence.features.pointintime import Joined, join_features, provenance_of, with_provenance
from whence.features.projection import OpenStore, Projection
from whence.features.reader import OnlineReader
from whence.features.source import Source, check_view
from whence.features.types import AnyView, Calendar, FeatureView, Given, Known, view_from_dict
from whence.lake import Lake, Table, TableVersion, View, ViewVersion
from whence.metadata import Artifact, Recorder, Recording, Type, declare_types
from whence.metadata.types import OUTPUT_KINDS

FEATURE_VIEW: Final = Type(
    "artifact",
    "FeatureView",
    {
        "view": "STRING",
        "kind": "STRING",
        "digest": "STRING",
        "source": "STRING",
        "definition": "STRUCT",
        "owner": "STRING",
        "sensitivity": "STRING",
        "description": "STRING",
        "applied_at": "STRING",
    },
    description="the definition of features; the name ends with its digest",
)
POINT_IN_TIME: Final = Type("execution", "point_in_time", {"point_in_time": "STRUCT"})
APPLY: Final = Type("execution", "apply")
LEAKS: Final = Type("execution", "leaks", {"n_cells": "INT", "n_checked": "INT"})

#: Sources of no more rows than this stay in memory between two explanations, and so many of them.
AT_HAND_ROWS: Final = 1_000_000
AT_HAND: Final = 4


class Features:
    """Feature views of a workspace.

    Args:
        recorder: Where everything is recorded.
        lake: The tables views read.
        engine: Where features are computed.
        blobs: Kept for later use.
        online: The online store, or what opens it when it is first needed; None: there is none.
        clock: What time it is, for who names no moment; wall time by default.
    """

    def __init__(
        self,
        recorder: Recorder,
        lake: Lake,
        engine: Engine,
        blobs: object | None = None,
        *,
        online: OnlineStore | OpenStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._recorder = recorder
        self._lake = lake
        self._engine = engine
        self._blobs = blobs
        self._projection = Projection(online, lake, recorder, clock or WallClock())
        self._kept: dict[str, pa.Table] = {}
        self._joins: WeakKeyDictionary[Recording, builtins.list[dict[str, Any]]] = WeakKeyDictionary()
        declare_types(recorder.store, [FEATURE_VIEW, POINT_IN_TIME, APPLY, LEAKS])

    # --- definitions -----------------------------------------------------------------------------

    def apply(self, *views: AnyView) -> builtins.list[Artifact]:
        """Make views known by name; the definition applied last under a name is the one in force.

        A source that exists is checked against: its columns and their types.

        Returns:
            The views' artifacts. A view that is in force unchanged is left alone.

        Records:
            One execution ``apply`` with the changed views as outputs; none when nothing changed.
        """
        for view in views:
            if isinstance(view, FeatureView) and self._lake.table(view.source).exists:
                check_view(view, Source.of_version(self._lake.table(view.source).head()))
        current = {view.name: self._find(view.name) for view in views}
        changed = [view for view in views if not _same(current[view.name], view)]
        written: dict[str, Artifact] = {}
        if changed:
            with self._recorder.joined("apply", params={"views": [v.name for v in changed]}) as recording:
                for view in changed:
                    artifact = view_artifact(view, applied_at=datetime.now(UTC))
                    recording.output(artifact, path=("views", view.name))
                    written[view.name] = artifact
                recording.flush()
        return [written.get(view.name) or self._get(view.name) for view in views]

    def get(self, name: str) -> AnyView:
        """The view in force under a name, or a definition by ``name@digest`` or its whole digest.

        Raises:
            NotFoundError: There is none.
        """
        return _definition(self._get(name))

    def list(self) -> builtins.list[FeatureView]:
        """The feature views in force, by name."""
        found = (_definition(self._get(name)) for name in sorted(self._names()))
        return [view for view in found if isinstance(view, FeatureView)]

    def _names(self) -> set[str]:
        return {str(node.get("view")) for node in self._nodes() if node.get("applied_at")}

    def _nodes(self, **where: str) -> builtins.list[Artifact]:
        nodes = self._recorder.store.list_nodes("artifact", type_=FEATURE_VIEW.name, where=where or None)
        return [node for node in nodes if isinstance(node, Artifact)]

    def _find(self, name: str) -> Artifact | None:
        name = name.removeprefix("feature_view:")
        if is_digest(name):
            nodes = self._nodes(digest=name)
        elif "@" in name:
            nodes = [n for n in self._nodes(view=name.partition("@")[0]) if n.name == name]
        else:
            nodes = [n for n in self._nodes(view=name) if n.get("applied_at")]
        return max(nodes, key=lambda n: str(n.get("applied_at") or ""), default=None)

    def _get(self, name: str) -> Artifact:
        found = self._find(name)
        if found is None:
            raise NotFoundError(
                "feature view", name, near=self._names(), hint="whence features list shows all"
            )
        return found

    # --- training sets ---------------------------------------------------------------------------

    def point_in_time(
        self,
        spine: object,
        views: Sequence[AnyView | str],
        *,
        at: str = "event_timestamp",
        known: Known = "then",
        columns: Sequence[str] | None = None,
        sources: Mapping[str, int] | None = None,
        complete: bool = False,
    ) -> pa.Table:
        """Join features onto a spine as they were known at each row's time.

        A windowed feature takes the rows with ``q - w <= event time < q`` and ``known_at < q``; a lookup the
        newest row with ``known_at <= q`` and ``0 <= q - event time <= ttl``, ties to the later ``known_at``,
        then to the greater content (columns by name). Of several rows of one declared key only the newest
        known at q counts. A null key matches nothing. No row is dropped or doubled.

        Args:
            spine: n rows with the join keys of all views and the column `at` (timestamp[us, UTC]): a table
                version, a table (its newest version), or data of any kind a table takes.
            views: m views, or names of applied ones; their columns come out as ``view__feature``, those of
                `given` under their own name.
            at: Name of the time column.
            known: ``then``, or ``now``: the final state, whenever it became known.
            columns: Which of the spine's columns to keep; None is all.
            sources: Versions to read; a source that is not named is read at its newest (or pinned) one.
            complete: Refuse moments that lie beyond the watermark of a source.

        Returns:
            n rows in the spine's order: the spine's columns, then the features. The schema's metadata
            says under ``whence`` what it was made of: definitions, source versions, reconciliation.

        Raises:
            UsageError: A type does not fit, a moment is null, or two columns have one name.
            NotFoundError: A view, a source or a column is absent.
            ConflictError: With `complete`, a source is not complete up to some moment (``watermark-behind``).

        Records:
            One execution ``point_in_time`` (or the surrounding one); inputs are the spine, when it is a
            table version, the sources' versions and the views.

        Source:
            Feast ``get_historical_features``. Differs: ties are decided, knowledge time counts.
        """
        resolved = [self.get(view) if isinstance(view, str) else view for view in views]
        wanted = dict.fromkeys(v.source for v in resolved if isinstance(v, FeatureView))
        versions = {name: self._version(name, (sources or {}).get(name)) for name in wanted}
        params = {"views": [v.name for v in resolved], "at": at, "known": known}
        with self._recorder.joined("point_in_time", params=params, reads=True) as recording:
            rows = self._spine(spine, recording)
            for name, version in versions.items():
                recording.input(version.artifact(), path=("sources", name))
            for view in resolved:
                recording.input(view_artifact(view), path=("views", view.name))
            read = {name: self._source(version) for name, version in versions.items()}
            joined = join_features(rows, resolved, read, self._engine, at=at, known=known, columns=columns)
            if complete:
                _check_complete(joined, read, resolved)
            self._note(recording, joined, resolved, read, at, known)
        return with_provenance(joined, resolved, read, at=at, known=known)

    def _note(
        self,
        recording: Recording,
        joined: Joined,
        views: Sequence[AnyView],
        sources: Mapping[str, Source],
        at: str,
        known: Known,
    ) -> None:
        """What was joined, as a property of the execution; one entry a join."""
        entry = {
            "at": at,
            "known": known,
            "n_rows": joined.table.num_rows,
            "definitions": {view.name: view.digest for view in views},
            "sources": {name: source.version for name, source in sources.items()},
            "reconciliation": {name: r.to_dict() for name, r in joined.reconciliation.items()},
        }
        entries = self._joins.setdefault(recording, [])
        entries.append(entry)
        recording.set(point_in_time=[*entries])

    def _version(self, name: str, number: int | None) -> TableVersion:
        table = self._lake.table(name)
        if not table.exists and name in self._lake.views():
            raise UnsupportedError(
                f"{name!r} is a view: a row of it has no knowledge time",
                code="view-source",
                hint="write its rows into a table that declares known_at",
            )
        if not table.exists:
            raise NotFoundError("table", name, near=self._lake.list(), hint="a feature view reads it")
        return table.head() if number is None else table.at(number)

    def _source(self, version: TableVersion) -> Source:
        return replace(Source.of_version(version), relation=version.files())

    def _at_hand(self, version: TableVersion) -> Source:
        """A source whose rows stay in memory for the next question: a trace asks dozens of them."""
        if version.n_rows > AT_HAND_ROWS:
            return self._source(version)
        rows = self._kept.pop(version.ref, None)
        self._kept[version.ref] = self._engine.scan(version.files()) if rows is None else rows
        while len(self._kept) > AT_HAND:
            self._kept.pop(next(iter(self._kept)))
        return replace(Source.of_version(version), relation=self._kept[version.ref])

    def _spine(self, spine: object, recording: Recording) -> pa.Table:
        if isinstance(spine, Table):
            spine = spine.head()
        if isinstance(spine, View):
            spine = spine.pin()
        if isinstance(spine, TableVersion | ViewVersion):
            recording.input(spine.artifact(), path=("spine",))
            return spine.arrow()
        return to_arrow(spine)

    # --- why -------------------------------------------------------------------------------------

    def explain(
        self,
        view: FeatureView | str,
        feature: str,
        keys: Mapping[str, Any],
        at: datetime,
        sources: Mapping[str, int] | None = None,
        *,
        known: Known = "then",
    ) -> Explanation:
        """The raw rows that made one feature value.

        Args:
            view: The view, its name, ``name@digest`` or digest.
            feature: The feature's name, with or without the view's in front.
            keys: The value of each join key.
            at: The moment.
            sources: The versions that were read; a source that is not named is read at its newest.
            known: As in `point_in_time`.
        """
        found = self.get(view) if isinstance(view, str) else view
        if not isinstance(found, FeatureView):
            raise UsageError(
                f"{found.name!r} is computed from the spine's row alone",
                code="no-rows",
                hint="look at that row",
            )
        version = self._version(found.source, (sources or {}).get(found.source))
        return explain_feature(found, feature, keys, at, self._at_hand(version), self._engine, known=known)

    def recompute(self, explanation: Explanation) -> Any:
        """The value made again from an explanation's raw rows, in plain Python."""
        return recompute_value(explanation)

    def leaks(
        self,
        training_set: object,
        *,
        views: Sequence[AnyView | str] | None = None,
        sources: Mapping[str, int] | None = None,
        at: str | None = None,
        labels: Sequence[str] = (),
        sample: int | None = 1000,
        seed: int = 0,
        rebuild: Rebuild | None = None,
        row_key: Sequence[str] = (),
    ) -> LeakReport:
        """Check by brute force whether anything in a training set was not known at its row's moment.

        Features are computed again in plain Python from rows cut at each row's moment, by code that shares
        nothing with the compiler. Other columns are held against every table that declares a key and a
        knowledge time and has a column of that name; against the features as known now; against the
        label; and, with `rebuild`, against the training set made again from cut sources.

        Args:
            training_set: A table version, a table, or what `point_in_time` returned.
            views: The views; by default those it was made with.
            sources: The versions that were read; by default those recorded.
            at: The column of the moment; by default the recorded one.
            labels: Columns that may know the future.
            sample: How many rows to check; None is all.
            seed: Which rows are sampled.
            rebuild: Makes the training set again from sources by name.
            row_key: With `rebuild`, the columns that name a row.

        Raises:
            UsageError: It is not known how the training set was made (``no-provenance``).

        Records:
            One execution ``leaks`` with the training set, the sources and the views as inputs, and the number of cells
            that change.
        """
        version = training_set.head() if isinstance(training_set, Table) else training_set
        rows = version.arrow() if isinstance(version, TableVersion) else to_arrow(version)
        facts = _facts_of(self._recorder, version, rows) or {}
        made = views if views is not None else [self._made(d) for d in facts.get("definitions", {}).values()]
        resolved = [self.get(v) if isinstance(v, str) else v for v in made]
        moment = at or facts.get("at")
        if moment is None or not resolved:
            raise UsageError(
                "it is not known how this training set was made",
                code="no-provenance",
                hint="give views= and at=",
            )
        numbers = {**facts.get("sources", {}), **(sources or {})}
        wanted = dict.fromkeys(v.source for v in resolved if isinstance(v, FeatureView))
        versions = {name: self._version(name, numbers.get(name)) for name in wanted}
        with self._recorder.joined(
            "leaks", params={"sample": sample, "seed": seed}, reads=True, looks=True
        ) as recording:
            if isinstance(version, TableVersion):
                recording.input(version.artifact(), path=("training_set",))
            for name, source in versions.items():
                recording.input(source.artifact(), path=("sources", name))
            for view in resolved:
                recording.input(view_artifact(view), path=("views", view.name))
            report = find_leaks(
                rows, resolved, {name: self._source(v) for name, v in versions.items()}, self._engine,
                at=moment, labels=labels, registers=self._registers(versions), sample=sample, seed=seed,
                rebuild=rebuild, row_key=row_key,
            )  # fmt: skip
            recording.set(n_cells=report.n_cells, n_checked=report.n_checked)
        return report

    def _made(self, digest: str) -> AnyView:
        return self.get(digest)

    def _registers(self, versions: Mapping[str, TableVersion]) -> builtins.list[Source]:
        """Tables that can say when a value of theirs was known."""
        found = []
        for name in self._lake.list():
            version = versions.get(name) or self._lake.table(name).head()
            declared = version.declaration
            if declared.key and declared.known_at is not None:
                found.append(self._source(version))
        return found

    # --- online ----------------------------------------------------------------------------------

    def materialize(
        self,
        *views: FeatureView | str,
        upto: Mapping[str, int] | None = None,
        rebuild: bool = False,
        since: datetime | None = None,
    ) -> Materialized:
        """Bring the rows behind views into the online store, up to a version of each source.

        Only what came since the last time is read, by table version and not by event time, so that late rows come
        too. Rows and progress are one transaction: after a crash, or beside another process, it goes on where the
        store stands. The store only goes forward; a version that it is past already changes nothing.

        Args:
            views: Views, or names of applied ones; none is all applied ones.
            upto: The version to come to, by source; a source that is not named comes to its newest (or pinned) one.
            rebuild: Take the rows of these views away first and load them anew.
            since: The first moment that will be asked: what only earlier ones see is not loaded when the rows of a
                view come for the first time, as if `forget_online` had been called; not beyond the watermark of
                a source. Where a view looks further back than its rows reach, they are loaded anew. By default
                every moment can be asked.

        Raises:
            NotFoundError: A view or a source is absent.
            ConflictError: Rows of a source were changed or removed since (``online-rewritten``).
            UnsupportedError: There is no online store (``no-online-store``), or a source is a view (``view-source``).

        Records:
            One execution ``materialize`` (or the surrounding one) with the sources' versions and the views as inputs;
            none when there was nothing to do.

        Source:
            Feast ``materialize_incremental``. Differs: by table version, so late rows are not missed.
        """
        found = self._feature_views(views)
        for view in found:
            check_view(view, Source.of_version(self._version(view.source, (upto or {}).get(view.source))))
        return self._projection.materialize(
            found, upto=upto or {}, rebuild=rebuild, since=since, resolve=self._version,
            view_artifact=view_artifact,
        )  # fmt: skip

    def get_online(
        self,
        keys: object,
        views: Sequence[AnyView | str] = (),
        *,
        at: datetime | Sequence[datetime] | str | None = None,
        complete: bool = False,
    ) -> OnlineAnswer:
        """Features of keys at a moment, from the online store.

        The values are those of `point_in_time` at the same moments over the versions in the store: windows are
        computed when they are asked for, and an older value never comes back over a newer one. Each value says
        why it is what it is: ``PRESENT``, ``NULL_VALUE``, ``NOT_FOUND``, ``OUTSIDE_MAX_AGE`` or ``FUTURE``.

        Args:
            keys: One mapping of columns to values, a sequence of them, a mapping of columns, or an Arrow table:
                what the views' keys, `calendar`, `category` and `given` read.
            views: The views, or names of applied ones (looked up at each call); none is all applied feature views.
            at: The moment; one for each key; or the column of `keys` that has it. By default now, by the clock.
            complete: Refuse moments beyond the watermark of a source.

        Raises:
            NotFoundError: Rows of a view have not been materialized (``online-features-not-found``).
            UsageError: A column is missing (``missing-key``) or of another kind (``bad-key-type``); or a moment
                lies before what the store has forgotten (``online-forgotten``).
            ConflictError: With `complete`, a source is not complete up to some moment (``watermark-behind``).
            UnsupportedError: There is no online store (``no-online-store``).

        Source:
            Feast ``get_online_features``. Differs: ttl, nulls and future events are honoured, with their status.
        """
        resolved = [self.get(view) if isinstance(view, str) else view for view in views] or self.list()
        return self._projection.get(keys, resolved, at, complete=complete)

    def forget_online(self, before: datetime, *views: FeatureView | str) -> dict[str, int]:
        """Drop from the online store what no moment from `before` on can see.

        Nothing is dropped unless it is asked for. Afterwards earlier moments are refused (``online-forgotten``), and
        so are views that look further back than those that were named.

        Args:
            before: The first moment that is still answered; not beyond the watermark of any source.
            views: The views that must still be answered; none is all applied ones.

        Returns:
            How many rows went, by group. Groups of a source without watermark, or that none of the views reads,
            keep their rows but for those taken back.

        Raises:
            UsageError: A source is not complete up to there (``forget-beyond-watermark``).
        """
        return self._projection.forget(before, self._feature_views(views))

    def online_reader(self, views: Sequence[AnyView | str]) -> OnlineReader:
        """What answers for a fixed list of views: `get_online` without looking views up, for who asks often."""
        return self._projection.reader([self.get(view) if isinstance(view, str) else view for view in views])

    def _feature_views(self, views: Sequence[AnyView | str]) -> builtins.list[FeatureView]:
        found = [self.get(view) if isinstance(view, str) else view for view in views] or self.list()
        return [view for view in found if isinstance(view, FeatureView)]


def view_artifact(view: AnyView, *, applied_at: datetime | None = None) -> Artifact:
    """A view in the graph: ``name@<first 12 digits of its digest>``."""
    about = view.to_dict()
    properties: dict[str, Any] = {
        "view": view.name,
        "kind": about["kind"],
        "digest": view.digest,
        "source": about.get("source"),
        "definition": about,
        "owner": about.get("owner"),
        "sensitivity": about.get("sensitivity"),
        "description": about.get("description"),
        "applied_at": None if applied_at is None else applied_at.isoformat(timespec="microseconds"),
    }
    kept = {name: value for name, value in properties.items() if value is not None}
    return Artifact(type=FEATURE_VIEW.name, name=view_version(view), properties=kept)


def view_version(view: AnyView) -> str:
    """The name of a view's artifact."""
    return f"{view.name}@{view.digest.removeprefix('sha256:')[:12]}"


def _facts_of(recorder: Recorder, version: object, rows: pa.Table) -> dict[str, Any] | None:
    """How a training set was made: by its own metadata, else by the execution that wrote it."""
    facts = provenance_of(rows)
    if facts is not None or not isinstance(version, TableVersion):
        return facts
    artifact = version.artifact()
    page = recorder.store.find_nodes("artifact", type_=artifact.type, name=artifact.name)
    uids = [node.uid for node in page.nodes]
    events = [e for e in recorder.store.list_events(artifacts=uids) if e.kind in OUTPUT_KINDS] if uids else []
    for execution in recorder.store.get_nodes("execution", uids=[e.execution for e in events]):
        joins = execution.get("point_in_time")
        if isinstance(joins, Sequence) and joins and isinstance(joins[-1], Mapping):
            return dict(joins[-1])
    return None


def _definition(node: Artifact) -> AnyView:
    definition = node.get("definition")
    assert isinstance(definition, Mapping)
    return view_from_dict(definition)


def _same(node: Artifact | None, view: AnyView) -> bool:
    return node is not None and _definition(node).to_dict() == view.to_dict()


def _check_complete(joined: Joined, sources: Mapping[str, Source], views: Sequence[AnyView]) -> None:
    for view in views:
        report = joined.reconciliation.get(view.name)
        if report is not None and isinstance(view, FeatureView) and report.n_beyond_watermark:
            source = sources[view.source]
            raise ConflictError(
                f"{report.n_beyond_watermark} moments lie beyond {source.watermark}, up to which {source.ref} is complete",
                code="watermark-behind",
                hint="append what is missing with its watermark, then ask again",
            )


__all__ = ["FEATURE_VIEW", "Calendar", "Features", "Given", "view_artifact", "view_version"]
