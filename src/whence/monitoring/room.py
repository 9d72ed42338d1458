"""Monitoring as an attribute of a workspace: declare what is watched, look, and ask whence a change came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, cast

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.clock import Clock, utc
from whence._base.crash import crash_point, register
from whence._base.digest import sha256_bytes
from whence._base.ids import derived_uid
from whence.blobs import BlobStore
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.features import AnyView
from whence.lake import Commit, Lake, Table, TableVersion
from whence.metadata import Artifact, Change, Event, Mark, Put, Recorder, declare_types
from whence.metadata.marks import marks_on_artifacts
from whence.monitoring import store
from whence.monitoring.alertlog import AlertLog
from whence.monitoring.declaring import check_monitor_name, check_settings, check_tables
from whence.monitoring.judge import Judge
from whence.monitoring.keeping import References, number_of
from whence.monitoring.nodes import TYPES, alert_node, monitor_node, profile_node
from whence.monitoring.reading import News, origins_of, read_new
from whence.monitoring.reference import Reference
from whence.monitoring.session import Session, load
from whence.monitoring.types import WINDOWS, Alert, Blame, Labels, Monitor, MonitorResult, Window
from whence.registry import Models

BEFORE_BLOB: Final = register("monitoring.run.judged", "the windows are judged, nothing of it is written")
BEFORE_COMMIT: Final = register(
    "monitoring.run.stored", "profiles and state are a blob, the monitor's table does not have them"
)
AFTER_COMMIT: Final = register(
    "monitoring.run.committed", "the monitor's table has measures and alerts, the graph does not know them"
)
_TRIES: Final = 20

MonitorList: TypeAlias = list[Monitor]
AlertList: TypeAlias = list[Alert]


class DeploymentLike(Protocol):
    """What is asked of a deployment."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def model(self) -> str:
        """The model it answers with."""
        ...

    @property
    def table(self) -> str:
        """The spine."""
        ...

    @property
    def views(self) -> tuple[AnyView, ...]:
        """What its features are."""
        ...

    @property
    def at(self) -> str:
        """The spine's column of the moment."""
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """The spine's columns that name a row."""
        ...

    @property
    def into(self) -> str:
        """The predictions table."""
        ...

    @property
    def trust(self) -> tuple[str, ...]:
        """Model types to trust."""
        ...


class Deployments(Protocol):
    """Where deployments are found by name: serving."""

    def deployment(self, name: str, /) -> Any:
        """The deployment of a name."""
        # Any: a `Deployment` of serving, asked only for what `DeploymentLike` names
        ...


class Monitoring:
    """The monitors of a workspace.

    Args:
        recorder: Where executions are recorded.
        lake: Predictions, feeds, and the monitors' own tables.
        models: The registry, for the rows a model learned from and its answers on them.
        blobs: Where profiles are kept.
        engine: Runs the condition of the labels.
        deployments: Finds deployments by name.
        clock: What time it is.
    """

    def __init__(
        self,
        recorder: Recorder,
        lake: Lake,
        models: Models,
        blobs: BlobStore,
        engine: Engine,
        *,
        deployments: Deployments | None,
        clock: Clock,
    ) -> None:
        self._recorder = recorder
        self._graph = recorder.store
        self._lake = lake
        self._models = models
        self._blobs = blobs
        self._engine = engine
        self._deployments = deployments
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._references = References(recorder, lake, models, blobs)
        self._alertlog = AlertLog()
        declare_types(recorder.store, TYPES)

    # --- declaring

    def watch(
        self,
        name: str,
        *,
        deployment: str | DeploymentLike,
        labels: Labels | None = None,
        feeds: Sequence[str] = (),
        tz: str = "UTC",
        budget_per_year: float = 6.0,
        windows: Sequence[Window] = WINDOWS,
        threshold: float = 0.5,
        maturity_days: int = 1,
        reference: str | None = None,
    ) -> Monitor:
        """Declare a monitor; the same again changes nothing, another one under the name takes its place.

        Args:
            name: What it is called; its measures are in the table ``monitor.<name>``.
            deployment: Whose predictions are watched.
            labels: Where the truth comes from; the table exists, if only empty (`Lake.create`).
            feeds: Source tables whose commits are watched: rows, keys, lateness, missing values, level and spread.
                They exist, if only empty. Of a source that is not among them no change is ever blamed.
            tz: The clock by which days and weeks are cut.
            budget_per_year: How many false alarms a year are accepted, all streams together.
            windows: ``day``, ``week`` or both.
            threshold: From which score a row is called positive.
            maturity_days: How many days after its end a day's labels are judged.
            reference: The table version to compare with, where the graph does not tell what a model was trained on.

        Raises:
            UsageError: A zone, window, number or key makes no sense (``bad-monitor``); the name cannot name a
                table (``bad-name``, ``nested-name``); the truth is no condition over the labels (``bad-sql``,
                ``condition-reads``).
            NotFoundError: There is no such deployment, table, or column of the labels; near names are given.

        Records:
            One execution ``watch`` with a `Monitor` as its output, unless the same is in force.
        """
        check_monitor_name(name, self._names() - {name})
        check_settings(tz, budget_per_year, windows, maturity_days)
        if isinstance(feeds, str):
            raise UsageError(f"feeds is {feeds!r}, want a list of tables", code="bad-monitor")
        found = self._deployment(deployment)
        monitor = Monitor(
            name=name,
            deployment=found.name,
            table=found.into,
            model=found.model,
            key=tuple(found.key),
            at=found.at,
            labels=labels,
            feeds=tuple(feeds),
            tz=tz,
            budget_per_year=float(budget_per_year),
            windows=tuple(windows),
            threshold=threshold,
            maturity_days=maturity_days,
            reference=reference,
            origins=MappingProxyType(origins_of(found.views, found.table)),
            trust=tuple(found.trust),
        )
        check_tables(self._lake, self._engine, monitor)
        for _ in range(_TRIES):
            held = self._held(name)
            if held is not None and Monitor.from_dict(_struct(held, "spec")) == monitor:
                return monitor
            number = 1 if held is None else int(str(held.get("number"))) + 1
            try:
                self._put_monitor(monitor, number)
            except ConflictError as error:
                if error.code not in ("execution-complete", "execution-running", "name-taken"):
                    raise
            else:
                self._sessions.pop(name, None)
        raise ConflictError(
            f"monitor {name!r} is being declared by others", code="monitor-contested", hint="declare it again"
        )

    def _put_monitor(self, monitor: Monitor, number: int) -> None:
        artifact = monitor_node(monitor, number)
        with self._recorder.joined(
            "watch", key=artifact.name, properties={"monitor": monitor.name}
        ) as recording:
            recording.output(artifact, path=("monitor", monitor.name))

    def _deployment(self, deployment: str | DeploymentLike) -> DeploymentLike:
        if not isinstance(deployment, str):
            return deployment
        if self._deployments is None:
            raise NotFoundError("deployment", deployment)
        return cast("DeploymentLike", self._deployments.deployment(deployment))

    def monitors(self) -> MonitorList:
        """The monitors in force, by name."""
        return [self.get(name) for name in sorted(self._names())]

    def _names(self) -> set[str]:
        nodes = self._graph.find_nodes("artifact", type_="Monitor", state="LIVE").nodes
        return {str(n.get("monitor")) for n in nodes}

    def get(self, name: str) -> Monitor:
        """The monitor of a name.

        Raises:
            NotFoundError: There is none (``monitor-not-found``).
        """
        held = self._held(name)
        if held is None:
            raise NotFoundError("monitor", name, near=self._names(), hint="whence monitor list shows all")
        return Monitor.from_dict(_struct(held, "spec"))

    def _held(self, name: str) -> Artifact | None:
        nodes = self._graph.find_nodes(
            "artifact", type_="Monitor", name_prefix=f"{name}#", state="LIVE"
        ).nodes
        found = [n for n in nodes if isinstance(n, Artifact)]
        return max(found, key=lambda n: int(str(n.get("number"))), default=None)

    # --- references

    def reference(self, name: str, model: str | None = None) -> Reference:
        """The reference of a model: the rows it learned from with its answers on them, counted on the edges.

        Made when it is first needed, and kept. The first reference of a monitor fixes the edges.

        Args:
            name: The monitor.
            model: ``late@3``; the model in force by default.

        Raises:
            UsageError: Nothing tells which rows the model learned from (``no-reference``).

        Records:
            One execution ``reference``; inputs are the model and the table version, outputs the `Reference`
            and, the first time, the `Edges`.
        """
        monitor = self.get(name)
        version = self._models.get(model or monitor.model)
        return self._references.get(monitor, f"{version.name}@{version.version}")

    def rebin(self, name: str) -> Reference:
        """Cut the columns anew, by the rows the model in force learned from.

        The next run reads the predictions once more from the beginning and states every window on the new
        edges; drift begins to be judged anew. What was measured before stays readable with `known_at`.

        Args:
            name: The monitor.

        Records:
            One execution ``rebin``; outputs are the new `Edges` and the first `Reference` on them.
        """
        monitor = self.get(name)
        version = self._models.get(monitor.model)
        return self._references.rebin(monitor, f"{version.name}@{version.version}")

    # --- looking

    def run(self, name: str, *, upto: datetime | None = None) -> MonitorResult:
        """Judge every window that has become complete, and state anew what labels changed since.

        Each version of each table is read once. Everything found is one commit into ``monitor.<name>``, with
        an app transaction: run again after a crash, or by two processes at once, nothing is judged twice.

        Args:
            name: The monitor.
            upto: From which moment it looks; now, by the clock of the workspace, by default.

        Returns:
            What was judged; nothing is written when nothing is new.

        Raises:
            NotFoundError: There is no such monitor, or the model of a prediction is gone.
            UsageError: Nothing tells which rows the model learned from (``no-reference``).
            IntegrityError: Rows of a watched table were changed or removed (``table-epoch``).

        Records:
            One execution ``monitor``; inputs are the table versions read, outputs the version of
            ``monitor.<name>``, a `Profile` of the versions read, and the alerts that opened.
        """
        monitor = self.get(name)
        moment = self._clock.now() if upto is None else utc(upto)
        for _ in range(_TRIES):
            session = self._session(monitor)
            try:
                result = self._run(session, moment)
            except BaseException:
                self._sessions.pop(name, None)
                raise
            if result is not None:
                return result
            self._sessions.pop(name, None)  # another process was faster: read again what it found
        raise ConflictError(
            f"monitor {name!r} was run by others {_TRIES} times in a row", code="monitor-contested",
            hint="let fewer processes run it",
        )  # fmt: skip

    def _session(self, monitor: Monitor) -> Session:
        session = self._sessions.get(monitor.name)
        table = self._lake.table(monitor.into)
        reached = table.head().transaction(_application(monitor.name)) if table.exists else None
        if session is None or session.n != (reached or 0) or session.monitor != monitor:
            session = load(monitor, table, self._blobs)
            self._heal(session)
            self._sessions[monitor.name] = session
        return session

    def _heal(self, session: Session) -> None:
        """Give the graph what the newest run found, if its process died between its commit and the closing."""
        name = f"{session.monitor.name}#{session.n}"
        if not session.n or self._references.node("Profile", name) is not None:
            return
        uid = _run_uid(session.monitor.name, session.n)
        moment = self._lake.table(session.monitor.into).arrow(
            ["start"], where=f"kind = 'run' AND value = {session.n}"
        )
        alerts = [
            a for a in self.alerts(session.monitor.name) if a.known_at == moment.column("start")[0].as_py()
        ]
        found = [profile_node(session.monitor.name, session.n, session.versions, session.blob or "")]
        found += [alert_node(a) for a in alerts]
        if self._graph.get_nodes("execution", uids=[uid]):
            puts = [Put(artifact, if_exists="reuse") for artifact in found]
            self._graph.write(Change(puts, [Event(uid, artifact.uid, "OUTPUT") for artifact in found]))

    def _run(self, session: Session, moment: datetime) -> MonitorResult | None:
        monitor = session.monitor
        edges = self._references.edges(monitor.name) or self._first_edges(monitor)
        layout = None if edges is None else self._references.layout(edges)
        if edges is not None:
            session.cut_by(number_of(edges))
        heads = self._heads(monitor)
        news = read_new(self._lake, self._engine, session, layout, heads)
        judge = Judge(
            session,
            layout,
            lambda model: self._references.get(monitor, model, edges),
            moment,
            {t: v.watermark + timedelta(microseconds=1) for t, v in heads.items() if v.watermark is not None},
        )
        judge.run(news)
        judge.taint(self._tainting(monitor, heads))
        if not news.reads and not len(judge.rows):
            return MonitorResult(monitor.name, moment)
        crash_point(BEFORE_BLOB)
        return self._write(session, judge, news, moment)

    def _tainting(self, monitor: Monitor, heads: Mapping[str, TableVersion]) -> list[tuple[Mark, str]]:
        """The ``alert`` marks in force on the model that answers and the versions looked at, and what each reaches."""
        if not self._graph.has_marks():
            return []
        watched = {version.ref: version.artifact() for version in heads.values()}
        try:
            model = self._models.get(monitor.model)
        except NotFoundError:  # an alias that is gone: nothing answers now
            pass
        else:
            watched[model.ref] = self._models.artifact(model)
        found: dict[int, tuple[Mark, str]] = {}
        for ref, artifact in watched.items():
            for mark in marks_on_artifacts(self._graph, [artifact], policies=("alert",)):
                found[mark.id or 0] = (mark, ref)
        return [found[number] for number in sorted(found)]

    def _first_edges(self, monitor: Monitor) -> Artifact | None:
        """The edges, fixed by the reference of the model that answered first; None before any answer."""
        table = self._lake.table(monitor.table)
        if not table.exists or not table.head().n_rows:
            return None
        first = next(iter(table.changes(-1, columns=["model"])), None)
        if first is None:
            return None
        self._references.get(monitor, first.rows.column("model")[0].as_py())
        return self._references.edges(monitor.name)

    def _heads(self, monitor: Monitor) -> dict[str, TableVersion]:
        """The newest version of each table that is looked at, resolved once."""
        labels = () if monitor.labels is None else (monitor.labels.table,)
        handles = {name: self._lake.table(name) for name in (monitor.table, *labels, *monitor.feeds)}
        return {name: handle.head() for name, handle in handles.items() if handle.exists}

    def _write(self, session: Session, judge: Judge, news: News, moment: datetime) -> MonitorResult | None:
        monitor = session.monitor
        session.n += 1
        data = session.to_bytes(news.reads)
        blob = sha256_bytes(data)
        judge.rows.add(
            "run", "run", start=moment, end=moment, value=float(session.n), n=judge.n_windows, detail=blob
        )
        table = store.open_table(self._lake, monitor.into)
        session.blob = blob
        session.versions = [(r.table, r.version) for r in news.reads]
        outputs = [profile_node(monitor.name, session.n, session.versions, blob)]
        outputs += [alert_node(alert) for alert in judge.opened]
        pending = Artifact(type="TableVersion", properties={"table": monitor.into})
        key = f"{monitor.name}:{session.n}"
        try:
            with self._recorder.execution(
                "monitor",
                key=key,
                uid=_run_uid(monitor.name, session.n),
                properties={"monitor": monitor.name, "n": session.n},
                inputs=[(v.artifact(), (v.table,)) for v in news.inputs],
                expects=[pending],
                looks=True,
            ) as recording:
                self._blobs.put(data)
                crash_point(BEFORE_COMMIT)
                commit = self._commit(table.name, judge.rows, session, moment)
                crash_point(AFTER_COMMIT)
                if commit.duplicate:
                    raise _Lost  # noqa: TRY301  # out of the recording, which fails
                for artifact in outputs:
                    recording.output(artifact)
                found = self._lake.table(monitor.into).at(commit.version).artifact()
                recording.output(found, path=(monitor.into,), replaces=pending)
                recording.set(
                    n_windows=judge.n_windows, opened=len(judge.opened), closed=len(judge.closed),
                    version=commit.version,
                )  # fmt: skip
        except _Lost:
            return None
        except ConflictError as error:
            if error.code not in ("execution-complete", "execution-running"):
                raise
            return None
        return MonitorResult(
            monitor.name, moment, judge.n_windows, judge.n_restated, tuple(judge.opened), tuple(judge.closed),
            commit.version, recording.uid,
        )  # fmt: skip

    def _commit(self, table: str, rows: store.Rows, session: Session, moment: datetime) -> Commit:
        return self._lake.table(table).append(
            rows.to_arrow(moment), transaction=(_application(session.monitor.name), session.n)
        )

    # --- asking

    def _find_table(self, monitor: Monitor) -> Table | None:
        """The table of a monitor; None before its first run."""
        try:
            table = self._lake.table(monitor.into)
        except UsageError as error:
            if error.code != "bad-name":
                raise
            # names were not looked at once; who bears such a one can never have run, and hides no other
            return None
        return table if table.exists else None

    def alerts(self, name: str, *, since: datetime | None = None, open_only: bool = False) -> AlertList:
        """The alerts of a monitor, as they are known now, in the order they became known.

        Args:
            name: The monitor.
            since: Only those that became known at this moment or later.
            open_only: Only those that have not fallen back.
        """
        table = self._find_table(self.get(name))
        if table is None:
            return []
        found = self._alertlog.alerts(table)
        if since is not None:
            found = [a for a in found if a.known_at >= utc(since)]
        return [a for a in found if a.open] if open_only else found

    def alert(self, uid: str) -> Alert:
        """The alert of a uid.

        Raises:
            NotFoundError: There is none (``alert-not-found``).
        """
        uid = uid.removeprefix("alert:")
        for monitor in self.monitors():
            for alert in self.alerts(monitor.name):
                if alert.uid == uid:
                    return alert
        raise NotFoundError("alert", uid, hint="whence monitor alerts NAME shows them")

    def blame(self, alert: Alert | str) -> Blame:
        """Whence a change came: the first table version in whose own rows it shows and the execution that wrote it.

        Args:
            alert: An alert, or its uid.

        Returns:
            As it was found when the alert opened. `gradual` names no execution; neither does a blame whose
            sources are not all watched, which says so.
        """
        found = self.alert(alert) if isinstance(alert, str) else alert
        if found.blame is not None:
            return found.blame
        text = f"{found.metric}: nothing is known of its cause"
        return Blame(None, None, None, gradual=False, since=found.start, text=text)

    def measures(
        self,
        name: str,
        metric: str | None = None,
        feature: str | None = None,
        window: Window | None = None,
        known_at: datetime | None = None,
    ) -> pa.Table:
        """What was measured: of the rows of each window the newest known, by time.

        Args:
            name: The monitor.
            metric: Only this one.
            feature: Only of this column.
            window: Only ``day`` or ``week``.
            known_at: As it was known at this moment; what was stated anew since does not count.
        """
        table = self._find_table(self.get(name))
        if table is None:
            return store.SCHEMA.empty_table().select(list(store.MEASURE_COLUMNS))
        rows = table.arrow(where="kind = 'measure'")
        for column, wanted in (("metric", metric), ("feature", feature), ("window", window)):
            if wanted is not None:
                rows = rows.filter(pc.equal(rows.column(column), wanted))
        return store.newest(rows, known_at).select(list(store.MEASURE_COLUMNS))


class _Lost(Exception):  # noqa: N818  # a signal, not an error: another process made this run
    """Another process had committed this run already."""


def _run_uid(name: str, n: int) -> str:
    return derived_uid("monitor-run", name, str(n))


def _application(name: str) -> str:
    return f"monitor/{name}"


def _struct(node: Artifact, name: str) -> dict[str, Any]:
    value = node.get(name)
    return dict(cast("dict[str, Any]", value))
