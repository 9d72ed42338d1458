"""Runs: start one, find them again, put them side by side."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, TypeAlias

from whence._base.clock import utc
from whence._base.crash import crash_point, register
from whence._base.ids import is_uid
from whence.blobs import BlobStore
from whence.errors import NotFoundError, UsageError, WhenceError
from whence.metadata import Context, Execution, Recorder, Recording, Type, declare_types
from whence.tracking.base import MetricStore
from whence.tracking.compare import Comparison, compare_runs
from whence.tracking.filter import All, Condition, Field, Predicate, parse_filter, parse_order
from whence.tracking.run import BUFFER_N, BUFFER_S, Run, read_facts
from whence.tracking.types import ParamValue, RunInfo, check_key, check_param, check_tag

STARTED: Final = register("tracking.started", "the run is in the graph, the metric store does not know it")

TYPES: Final = (
    Type("execution", "run", {"run_name": "STRING", "experiment": "STRING"}),
    Type("artifact", "Blob", {"file": "STRING", "digest": "STRING", "size_bytes": "INT"}),
    Type("context", "Experiment"),
)
PAGE_N: Final = 500

_everywhere: weakref.WeakSet[Runs] = weakref.WeakSet()


RunList: TypeAlias = list[Run]


class Runs:
    """The runs of a workspace.

    Args:
        recorder: Records each run as an execution.
        metrics: Where metrics, params and tags are kept.
        blobs: Where the files of runs are kept.
        buffer_n: How many values a run may hold before it writes them.
        buffer_s: How many seconds they may wait, seen at the next call.

    Example:
        >>> from whence.blobs import open_blobs
        >>> from whence.metadata import open_store
        >>> from whence.tracking.open import open_metrics
        >>> runs = Runs(Recorder(open_store("memory://")), open_metrics(), open_blobs("memory://"))
        >>> with runs.start("first", params={"depth": 6}) as run:
        ...     run.log_metric("auc", 0.75)
        >>> runs.search("metrics.auc > 0.7 and params.depth = 6")[0].metrics
        {'auc': 0.75}
    """

    def __init__(
        self,
        recorder: Recorder,
        metrics: MetricStore,
        blobs: BlobStore,
        *,
        buffer_n: int = BUFFER_N,
        buffer_s: float = BUFFER_S,
    ) -> None:
        self.recorder = recorder
        self._metrics = metrics
        self._blobs = blobs
        self._buffer_n = buffer_n
        self._buffer_s = buffer_s
        self._open_runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        declare_types(recorder.store, TYPES)
        _everywhere.add(self)

    @contextmanager
    def logging_to(self, recorder: Recorder, metrics: MetricStore) -> Iterator[None]:
        """Within the block, runs are recorded and metrics kept elsewhere than in the workspace."""
        kept = self.recorder, self._metrics
        self.recorder, self._metrics = recorder, metrics
        try:
            yield
        finally:
            self.recorder, self._metrics = kept

    # -- making --------------------------------------------------------------------------------

    @contextmanager
    def start(
        self,
        name: str | None = None,
        *,
        experiment: str = "default",
        params: Mapping[str, ParamValue] | None = None,
        tags: Mapping[str, str] | None = None,
        flush_each: bool = False,
    ) -> Iterator[Run]:
        """A run around the block: complete when the block ends, failed when it raises.

        Args:
            name: What to call it; need not be unique.
            experiment: The context it belongs to; made when absent.
            params: What it is made with.
            tags: Text to find it by.
            flush_each: Write at each call instead of in batches: a killed process loses nothing.

        Raises:
            UsageError: A name, param or tag is not storable; nothing is recorded.

        Records:
            One execution ``run`` with its params, in the context ``Experiment``.
        """
        checked = {key: check_param(key, value) for key, value in (params or {}).items()}
        tagged = {key: check_tag(key, text) for key, text in (tags or {}).items()}
        check_key(experiment)
        properties = {"experiment": experiment, **({} if name is None else {"run_name": check_key(name)})}
        with self.recorder.within(Context(type="Experiment", name=experiment)):
            run: Run | None = None
            try:
                with self.recorder.execution("run", params=checked, properties=properties) as recording:
                    crash_point(STARTED)
                    run = self._open(recording, buffer_n=0 if flush_each else self._buffer_n)
                    run.attach(checked, tagged)
                    with _flushed(run):
                        yield run
            finally:
                if run is not None:
                    run.end()

    def current(self) -> Run | None:
        """The execution around the caller, as a run to log onto; None outside of any.

        Inside a step of a pipeline this is the step. Its own params are the run's params too, as far as
        they can be searched.
        """
        recording = self.recorder.current()
        if recording is None:
            return None
        run = self._open_runs.get(recording.uid)
        if run is None or not run.is_open:
            run = self._open(recording, buffer_n=0)
            known = self._metrics.params([recording.uid]).get(recording.uid, {})
            run.attach(_searchable(recording.execution, known), {}, known, wait=True)
        return run

    def _open(self, recording: Recording, *, buffer_n: int) -> Run:
        info = _info(recording.execution, recording.contexts)
        run = Run(
            recording.execution, info, self.recorder.store, self._metrics, self._blobs,
            recording=recording, buffer_n=buffer_n, buffer_s=self._buffer_s,
        )  # fmt: skip
        with self._lock:
            self._open_runs = {uid: other for uid, other in self._open_runs.items() if other.is_open}
            self._open_runs[run.uid] = run
        return run

    # -- finding -------------------------------------------------------------------------------

    def get(self, ref: str) -> Run:
        """The run of a reference (``run:01J…``, ``execution:…``), a uid, or a name that one run alone has.

        Raises:
            NotFoundError: No such run (``run-not-found``).
            UsageError: Several runs have this name (``ambiguous-run``).
        """
        uid = _uid_of(ref)
        if not is_uid(uid):
            uid = self._uid_by_name(uid)
        found = self._load([uid])
        if not found:
            raise NotFoundError("run", ref, hint="whence runs list shows all")
        return found[0]

    def _uid_by_name(self, name: str) -> str:
        found = self._metrics.find(Predicate(Field("attribute", "name"), "=", (name,)), limit=2)
        if not found:
            some = self._metrics.get_runs(self._metrics.find(limit=PAGE_N))
            raise NotFoundError(
                "run", name, near=[info.name for info in some if info.name], hint="whence runs list shows all"
            )
        if len(found) > 1:
            raise UsageError(f"several runs are called {name!r}", code="ambiguous-run", hint="give the uid")
        return found[0]

    def search(
        self,
        filter: str | None = None,  # noqa: A002  # the field's word
        *,
        order_by: str | Sequence[str] = (),
        experiment: str | None = None,
        state: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> RunList:
        """The runs that meet a condition, newest first unless ordered otherwise.

        Args:
            filter: For example ``metrics.auc > 0.7 and params.depth = '6'``; see `whence.tracking.filter`.
            order_by: For example ``metrics.auc DESC``; what a run has not stands last.
            experiment: Only runs of this experiment.
            state: Only runs in this state.
            limit: At most so many.
            offset: Leave out so many first.

        Raises:
            UsageError: The condition or order is not of the language (``bad-filter``).
        """
        where = _restricted(filter, experiment=experiment, state=state)
        orders = [parse_order(text) for text in ([order_by] if isinstance(order_by, str) else order_by)]
        self._refresh()
        return self._load(self._metrics.find(where, order_by=orders, limit=limit, offset=offset))

    def list(
        self, *, experiment: str | None = None, state: str | None = None, order_by: str | Sequence[str] = ()
    ) -> Iterator[Run]:
        """All runs: executions of type ``run``, and others that logged something; read in pages."""
        offset = 0
        while True:
            page = self.search(
                experiment=experiment, state=state, order_by=order_by, limit=PAGE_N, offset=offset
            )
            yield from page
            if len(page) < PAGE_N:
                return
            offset += PAGE_N

    def compare(self, runs: Sequence[str | Run]) -> Comparison:
        """Runs side by side: what they were made with, what came out, and where they differ.

        Raises:
            NotFoundError: One of them does not exist (``run-not-found``).
        """
        return compare_runs([run if isinstance(run, Run) else self.get(run) for run in runs])

    def _refresh(self) -> None:
        """Bring the states of open runs up to date from the graph, which is the truth."""
        known = {info.uid: info for info in self._metrics.get_runs(self._metrics.list_open())}
        changed = []
        for node in self.recorder.store.get_nodes("execution", uids=list(known)):
            assert isinstance(node, Execution)
            if node.state != known[node.uid].state:
                changed.append(dataclasses.replace(known[node.uid], state=node.state))
        self._metrics.put_runs(changed)

    def _load(self, uids: Sequence[str]) -> RunList:
        infos = {info.uid: info for info in self._metrics.get_runs(uids)}
        facts = read_facts(self._metrics, list(infos))
        nodes = {node.uid: node for node in self.recorder.store.get_nodes("execution", uids=list(infos))}
        found = []
        for uid, info in infos.items():
            node = nodes.get(uid)
            if isinstance(node, Execution):
                live = dataclasses.replace(info, state=node.state)
                found.append(
                    Run(node, live, self.recorder.store, self._metrics, self._blobs, facts=facts[uid])
                )
        return found


@contextmanager
def _flushed(run: Run) -> Iterator[None]:
    """What waits is written before the run is closed, however it ends."""
    try:
        yield
    except BaseException as error:
        try:
            run.write()
        except WhenceError as second:
            error.add_note(f"whence could not write the last metrics of {run.ref}: {second}")
        raise
    run.write()


def _info(execution: Execution, contexts: Sequence[Context]) -> RunInfo:
    names = {context.type: context.name for context in contexts}
    pipeline = next((c.get("pipeline") for c in contexts if c.type == "PipelineRun"), None)
    name = execution.get("run_name") or execution.get("step") or execution.name
    return RunInfo(
        uid=execution.uid,
        type=execution.type,
        name=name if isinstance(name, str) else None,
        experiment=names.get("Experiment")
        or names.get("Pipeline")
        or (None if pipeline is None else str(pipeline)),
        state=execution.state,
        started_at=_started(execution),
    )


def _started(execution: Execution) -> datetime:
    text = execution.get("started_at")
    if isinstance(text, str):
        return utc(datetime.fromisoformat(text))
    return execution.created_at or datetime.now(UTC)


def _searchable(execution: Execution, known: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """The execution's own params that the metric store does not know yet and can hold."""
    given = execution.get("params")
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, ParamValue] = {}
    for key, value in given.items():
        with suppress(UsageError):  # too long to search; the graph has it in full
            if key not in known:
                found[key] = check_param(key, value)
    return found


def _restricted(text: str | None, *, experiment: str | None, state: str | None) -> Condition | None:
    parts = [
        Predicate(Field("attribute", key), "=", (value,))
        for key, value in (("experiment", experiment), ("state", state))
        if value is not None
    ]
    where = parse_filter(text)
    if not parts:
        return where
    return All((*parts, where) if where is not None else tuple(parts))


def _uid_of(ref: str) -> str:
    kind, colon, rest = ref.partition(":")
    return rest if colon and kind in ("run", "execution", "step") else ref


def list_everywhere() -> list[Runs]:
    """The runs of every workspace that is open in this process."""
    return list(_everywhere)
