"""One run: what it was made with, what came out, and how to say so while it runs.

A run is an execution. What is logged is buffered and written in one transaction: when the buffer is
full or a second old at the next call, on `Run.flush`, and when the run ends. A process that is killed
loses at most what was logged since; a run started with ``flush_each=True`` loses nothing, and what is
logged onto an execution that is no run of ours (a step of a pipeline) is written at each call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from whence._base.crash import crash_point, register
from whence.blobs import BlobStore
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Execution, MetadataStore, Recording
from whence.tracking.base import MetricStore, param_changed
from whence.tracking.datasets import Dataset, list_inputs, role_of
from whence.tracking.types import (
    Batch,
    Metric,
    ParamValue,
    RunInfo,
    check_param,
    check_tag,
    metric_of,
    param_text,
)

FLUSHING: Final = register("tracking.flush", "metrics are buffered, nothing of the batch is written")
FLUSHED: Final = register("tracking.flushed", "the batch is written, the run goes on")
ARTIFACT_STORED: Final = register(
    "tracking.artifact", "an artifact's bytes are stored, the graph does not name them"
)

BUFFER_N: Final = 1_000
BUFFER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class RunArtifact:
    """A file of a run, by its name in the run."""

    name: str
    digest: str
    size_bytes: int

    @property
    def ref(self) -> str:
        """``blob:sha256:…``."""
        return f"blob:{self.digest}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was logged for a run, as read."""

    params: Mapping[str, ParamValue]
    tags: Mapping[str, str]
    latest: Mapping[str, Metric]


class Run:
    """A run, open or over. While it is open, only the process that runs it logs onto it.

    Args:
        execution: The node of the graph.
        info: What the metric store knows of it.
        graph, metrics, blobs: Where its parts are.
        recording: While it is open.
        facts: What was logged, when it was read together with others.
        buffer_n: How many values may wait; 0 writes at each call.
        buffer_s: How long they may wait.
    """

    def __init__(
        self,
        execution: Execution,
        info: RunInfo,
        graph: MetadataStore,
        metrics: MetricStore,
        blobs: BlobStore,
        *,
        recording: Recording | None = None,
        facts: Facts | None = None,
        buffer_n: int = BUFFER_N,
        buffer_s: float = BUFFER_S,
    ) -> None:
        self._execution = execution
        self.info = info
        self._graph = graph
        self._metrics = metrics
        self._blobs = blobs
        self._recording = recording
        self._facts = facts
        self._buffer_n = buffer_n
        self._buffer_s = buffer_s
        self._lock = threading.RLock()
        self._waiting: list[Metric] = []
        self._waiting_params: dict[str, ParamValue] = {}
        self._waiting_tags: dict[str, str | None] = {}
        self._info_waits = False
        self._known_params: dict[str, ParamValue] = {}
        self._known_artifacts: dict[str, str] = {}
        self._since_s = 0.0

    def __repr__(self) -> str:
        return f"<Run {self.ref} {self.name or ''} {self.state}>"

    # -- what it is ----------------------------------------------------------------------------

    @property
    def uid(self) -> str:
        """The execution's public name."""
        return self.info.uid

    @property
    def ref(self) -> str:
        """``run:01J…``."""
        return f"run:{self.uid}"

    @property
    def name(self) -> str | None:
        """What its maker called it; need not be unique."""
        return self.info.name

    @property
    def type(self) -> str:
        """The type of the execution: ``run``, ``step``."""
        return self.info.type

    @property
    def experiment(self) -> str | None:
        """The experiment it is part of."""
        return self.info.experiment

    @property
    def state(self) -> str:
        """The execution's state: ``RUNNING``, ``COMPLETE``, ``FAILED``, ``CANCELED``, ``CACHED``."""
        return self.execution.state

    @property
    def started_at(self) -> datetime:
        """When it started."""
        return self.info.started_at

    @property
    def duration_s(self) -> float | None:
        """How long it took; None while it is open."""
        found = self.execution.get("duration_s")
        return found if isinstance(found, float) else None

    @property
    def execution(self) -> Execution:
        """The node of the graph, with principal, environment, code, error."""
        return self._execution if self._recording is None else self._recording.execution

    @property
    def is_open(self) -> bool:
        """Whether this process may log onto it."""
        return self._recording is not None and self._recording.execution.state == "RUNNING"

    # -- what was logged -----------------------------------------------------------------------

    @property
    def params(self) -> dict[str, ParamValue]:
        """What it was made with, by key."""
        with self._lock:
            return dict(sorted({**self._read().params, **self._waiting_params}.items()))

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, by key."""
        with self._lock:
            merged = {**self._read().tags, **self._waiting_tags}
        return {key: text for key, text in sorted(merged.items()) if text is not None}

    @property
    def metrics(self) -> dict[str, float]:
        """The latest value of each metric: that of the largest (step, time)."""
        return {key: metric.value for key, metric in self.latest.items()}

    @property
    def latest(self) -> dict[str, Metric]:
        """The latest metric of each key, with its step and time."""
        with self._lock:
            found = dict(self._read().latest)
            for metric in self._waiting:
                other = found.get(metric.key)
                if other is None or (metric.step, metric.at) >= (other.step, other.at):
                    found[metric.key] = metric
        return dict(sorted(found.items()))

    def history(self, key: str) -> list[Metric]:
        """Every value of a metric, by step, then time, then the order of logging.

        Raises:
            NotFoundError: The run has no such metric (``metric-not-found``).
        """
        with self._lock:
            stored = self._metrics.history(self.uid, key)
            waiting = [metric for metric in self._waiting if metric.key == key]
        found = sorted([*stored, *waiting], key=lambda m: (m.step, m.at))
        if not found:
            raise NotFoundError("metric", key, near=self.latest)
        return found

    @property
    def artifacts(self) -> list[RunArtifact]:
        """Its files, by name."""
        with self._lock:
            if self._recording is not None:
                nodes = [a for a in self._recording.outputs if a.type == "Blob"]
            else:
                nodes = _outputs_of(self._graph, self.uid, "Blob")
        found = [_artifact_of(node) for node in nodes if str(node.name).startswith(self.uid + "/")]
        return sorted(found, key=lambda a: a.name)

    def open_artifact(self, name: str) -> AbstractContextManager[BufferedIOBase]:
        """A stream over the bytes of a file of the run, checked against its digest.

        Raises:
            NotFoundError: The run has no such file (``run-artifact-not-found``).
            IntegrityError: The stored bytes are not those that were logged (``blob-corrupted``).
        """
        return self._blobs.open(self._artifact(name).digest)

    def read_artifact(self, name: str) -> bytes:
        """The bytes of a file of the run, checked against its digest."""
        return self._blobs.get(self._artifact(name).digest)

    def _artifact(self, name: str) -> RunArtifact:
        by_name = {artifact.name: artifact for artifact in self.artifacts}
        if name not in by_name:
            raise NotFoundError("run artifact", name, near=by_name)
        return by_name[name]

    @property
    def inputs(self) -> list[Dataset]:
        """The table versions and datasets it read, in the order of reading."""
        with self._lock:
            if self._recording is not None:
                self._recording.flush()
        return list_inputs(self._graph, self.uid)

    # -- logging -------------------------------------------------------------------------------

    def log_metric(
        self, key: str, value: float, step: int | None = None, *, at: datetime | None = None
    ) -> None:
        """Log a value of a metric.

        Args:
            key: Up to 250 printable characters.
            value: A number; NaN and the infinities are kept, an integer must be exact as a double.
            step: Where in the run; 0 when None.
            at: When; now when None.

        Raises:
            UsageError: ``bad-key``, ``bad-metric``, ``bad-step``, or the run is over (``run-closed``).
        """
        self._log([metric_of(key, value, step, at or datetime.now(UTC))])

    def log_metrics(
        self, values: Mapping[str, float], step: int | None = None, *, at: datetime | None = None
    ) -> None:
        """Log one value each of several metrics, all of them or none."""
        moment = at or datetime.now(UTC)
        self._log([metric_of(key, value, step, moment) for key, value in values.items()])

    def log_param(self, key: str, value: ParamValue) -> None:
        """Log what the run was made with.

        Raises:
            ConflictError: It was logged with another value (``param-changed``).
            UsageError: ``bad-key``, ``bad-param``, ``param-too-long``, or the run is over (``run-closed``).
        """
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, ParamValue]) -> None:
        """Log several params, all of them or none."""
        checked = {key: check_param(key, value) for key, value in params.items()}
        with self._lock:
            self._require_open()
            for key, value in checked.items():
                have = self._known_params.get(key, value)
                if param_text(have) != param_text(value):
                    raise param_changed(self.uid, key, have, value)
            fresh = {key: value for key, value in checked.items() if key not in self._known_params}
            if not fresh:
                return
            self._waiting_params |= fresh
            self._known_params |= fresh
            try:
                self._settle()
            except ConflictError:
                # Another process had logged them: what it logged stays.
                for key in fresh:
                    del self._known_params[key]
                self._waiting_params = {}
                raise

    def set_tag(self, key: str, text: str | None) -> None:
        """Set a tag; None removes it.

        Raises:
            UsageError: ``bad-key``, ``bad-tag``, or the run is over (``run-closed``).
        """
        self.set_tags({key: text})

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set several tags, all of them or none."""
        checked = {key: check_tag(key, text) for key, text in tags.items()}
        with self._lock:
            self._require_open()
            self._waiting_tags |= checked
            self._settle()

    def log_artifact(
        self, data: bytes | Path | str | Iterator[bytes], name: str | None = None
    ) -> RunArtifact:
        """Keep a file of the run.

        Args:
            data: Bytes, pieces of bytes, or the path of a file (text is a path).
            name: Its name in the run, parts separated by ``/``; a path's own name when None.

        Raises:
            ConflictError: The run has another file of this name (``artifact-exists``).
            UsageError: ``bad-artifact-name``, ``not-a-file``, ``bad-content``, or the run is over.

        Records:
            An artifact of type ``Blob`` with name, digest and size, as an output of the run.
        """
        content = Path(data) if isinstance(data, str) else data
        if name is None and isinstance(content, Path):
            name = content.name
        checked = _artifact_name(name)
        with self._lock:
            recording = self._require_open()
            digest = self._blobs.put(content)
            known = self._known_artifacts.get(checked, digest)
            if known != digest:
                raise ConflictError(
                    f"{self.ref} has another artifact {checked!r}",
                    code="artifact-exists",
                    hint="log it under another name: what a run has made does not change",
                )
            crash_point(ARTIFACT_STORED)
            artifact = RunArtifact(checked, digest, self._blobs.size_bytes(digest))
            if checked not in self._known_artifacts:
                self._known_artifacts[checked] = digest
                recording.output(_blob(self.uid, artifact), path=("artifact", checked))
                if self._buffer_n == 0:
                    recording.flush()
            return artifact

    def log_input(self, data: object, *, role: str | None = None) -> None:
        """Say that the run reads a table version, or another artifact of the graph.

        Args:
            data: A table version (anything with ``artifact()``) or an `Artifact`.
            role: What it is to the run: ``training``, ``validation``.

        Raises:
            UsageError: It is no artifact (``not-an-artifact``), or the run is over.
        """
        make = getattr(data, "artifact", None)
        artifact = make() if callable(make) else data
        if not isinstance(artifact, Artifact):
            raise UsageError(
                f"a {type(data).__name__} is no table version and no artifact",
                code="not-an-artifact",
                hint="append it to a table, then log the version",
            )
        with self._lock:
            self._require_open().input(artifact, path=role_of(role))

    def flush(self) -> None:
        """Write what is buffered, now."""
        with self._lock:
            self._write()
            if self._recording is not None:
                self._recording.flush()

    # -- for its maker -------------------------------------------------------------------------

    def attach(
        self,
        params: Mapping[str, ParamValue],
        tags: Mapping[str, str | None],
        known: Mapping[str, ParamValue] = MappingProxyType({}),
        *,
        wait: bool = False,
    ) -> None:
        """`Runs` begins it: what it was started with counts as logged; `known` was logged before.

        With `wait` it is written together with the first thing that is logged.
        """
        with self._lock:
            self._known_params = {**known, **params}
            self._waiting_params, self._waiting_tags = dict(params), dict(tags)
            self._info_waits = True
            if not wait:
                self._write()

    def write(self) -> None:
        """`Runs` writes what waits; the closing transaction of the graph follows."""
        with self._lock:
            self._write()

    def end(self) -> None:
        """`Runs` ends it: nothing more is logged."""
        with self._lock:
            self._execution = self.execution
            self._recording = None

    # -- inside --------------------------------------------------------------------------------

    def _log(self, metrics: Sequence[Metric]) -> None:
        with self._lock:
            self._require_open()
            self._waiting += metrics
            self._settle()

    def _settle(self) -> None:
        """Write when enough waits, or long enough."""
        now = time.monotonic()
        n = len(self._waiting) + len(self._waiting_params) + len(self._waiting_tags)
        if self._since_s == 0.0:
            self._since_s = now
        if n > self._buffer_n or self._buffer_n == 0 or now - self._since_s >= self._buffer_s:
            self._write()

    def _write(self) -> None:
        batch = Batch(tuple(self._waiting), dict(self._waiting_params), dict(self._waiting_tags))
        self._since_s = 0.0
        if not (batch.metrics or batch.params or batch.tags or self._info_waits):
            return
        crash_point(FLUSHING)
        self._metrics.write(self.uid, batch, info=self.info if self._info_waits else None)
        self._info_waits = False
        self._waiting, self._waiting_params, self._waiting_tags = [], {}, {}
        crash_point(FLUSHED)

    def _require_open(self) -> Recording:
        if not self.is_open or self._recording is None:
            raise UsageError(
                f"{self.ref} is not open here", code="run-closed", hint="log inside the block of its start"
            )
        return self._recording

    def _read(self) -> Facts:
        return self._facts or read_facts(self._metrics, [self.uid])[self.uid]


def read_facts(metrics: MetricStore, uids: Sequence[str]) -> dict[str, Facts]:
    """What was logged for several runs, in three reads."""
    params, tags, latest = metrics.params(uids), metrics.tags(uids), metrics.latest(uids)
    return {uid: Facts(params.get(uid, {}), tags.get(uid, {}), latest.get(uid, {})) for uid in uids}


def _blob(uid: str, artifact: RunArtifact) -> Artifact:
    return Artifact(
        type="Blob",
        name=f"{uid}/{artifact.name}",
        uri=artifact.ref,
        properties={"file": artifact.name, "digest": artifact.digest, "size_bytes": artifact.size_bytes},
    )


def _artifact_of(node: Artifact) -> RunArtifact:
    size: Any = node.get("size_bytes")
    return RunArtifact(str(node.get("file")), str(node.get("digest")), int(size))


def _outputs_of(graph: MetadataStore, uid: str, type_: str) -> list[Artifact]:
    events = graph.list_events(executions=[uid])
    uids = list(dict.fromkeys(event.artifact for event in events if event.kind == "OUTPUT"))
    return [
        node
        for node in graph.get_nodes("artifact", uids=uids)
        if isinstance(node, Artifact) and node.type == type_
    ]


def _artifact_name(name: str | None) -> str:
    parts = (name or "").split("/")
    bad = not name or len(name) > 250 or not name.isprintable() or "\\" in name
    if bad or any(part in ("", ".", "..") for part in parts):
        raise UsageError(
            f"{name!r} is not a name for an artifact",
            code="bad-artifact-name",
            hint="name it like plots/roc.svg: parts separated by /, none empty, . or ..",
        )
    assert name is not None
    return name
