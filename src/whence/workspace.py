"""`connect`: from settings to rooms. The only place where the whole is put together.

Rooms are built when they are first asked for, so a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

import pyarrow as pa

from whence._base.clock import Clock, WallClock
from whence._base.locks import Life, file_lock
from whence.blobs import BlobStore, open_blobs
from whence.config import Config, is_reproducing, load_config, settings_file
from whence.database import Database, refuse_lost
from whence.errors import UsageError
from whence.metadata import MetadataStore, Recorder, Recording, open_store
from whence.metadata.beats import DatabaseLife
from whence.metadata.delegate import Looking
from whence.metadata.graph import Graph
from whence.metadata.types import NONE, AnyNode, Properties

if TYPE_CHECKING:  # rooms with heavy clients are imported when they are first used
    from whence.compute import Engine
    from whence.features import AnyView, Features
    from whence.lake import Lake, Quarantine, Table, TableVersion
    from whence.monitoring import Monitoring
    from whence.pipelines import Bisection, Pipelines, Verdict
    from whence.pipelines.remake import CodeChoice
    from whence.registry import Models
    from whence.serving import Scoring
    from whence.trace import Impact, Trace, Tracer
    from whence.tracking import Runs
    from whence.validation import SchemaHandle, Validation

log = logging.getLogger(__name__)

_MARKS = ("whence.toml", "whence.db")
_LOCKS = "locks"
_SETTLING = "settle.lock"
_KEPT_TYPES = frozenset({"RegisteredModel", "Hold", "RetentionRule"})


def connect(
    target: str | Path | Config | None = None,
    *,
    clock: Clock | None = None,
    read_only: bool = False,
    upgrade: bool = False,
    **settings: str | int | None,
) -> Workspace:
    """Open a workspace: a folder, a ``whence.toml``, or URLs.

    A folder that is absent or empty is made a workspace. On opening, executions whose process died
    are settled, and commits the graph does not know yet are recorded.

    Args:
        target: A folder or a ``whence.toml``; None looks at ``WHENCE_WORKSPACE``, then from the
            current folder upwards.
        clock: What time it is for ttl, triggers and maturity; wall time by default.
        read_only: To look only: nothing is settled on opening, and whatever would write is refused
            (``read-only``). So a workspace can be read that lies where nothing may be written.
        upgrade: Bring a database that an earlier whence wrote to this version's layout; without it, such a
            one is refused. ``whence migrate`` does the same, after a copy.
        settings: Settings by their argument names, such as ``compute_threads=2``.

    Raises:
        UsageError: The folder holds something else (``not-a-workspace``), or a setting is wrong.
        ConflictError: The workspace was written by a newer whence (``workspace-newer``), or by an earlier one
            (``workspace-older``).
        IntegrityError: Its database has lost all it held, or is gone and its tables are not (``store-corrupt``).
        BackendError: It cannot be reached, or nothing may be written there (``store-unavailable``).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, connect(folder) as ws:
        ...     ws.table("flights").append([{"flight": 1, "late": False}]).version
        0
    """
    config = target if isinstance(target, Config) else load_config(target, environment=None, **settings)
    if not read_only:
        if is_reproducing():
            raise UsageError(
                "a step that is made again may not open a workspace for writing",
                code="inside-reproduction",
                hint="use whence.current() inside a step",
            )
        _make_folder(config)
    return Workspace(config, clock=clock or WallClock(), read_only=read_only, upgrade=upgrade)


def _make_folder(config: Config) -> None:
    root = config.root
    refuse_lost(
        config.text("metadata.url"), _lake_folder(config)
    )  # one without settings looks like no workspace now
    if root.is_dir() and _holds_something_else(root) and not _is_shared(config):
        raise UsageError(
            f"{str(root)!r} is not empty and holds no whence.toml",
            code="not-a-workspace",
            hint="name another folder",
        )
    if not any((root / mark).exists() for mark in _MARKS) and config.text("lake.url").startswith("file:"):
        from whence.lake import open_backend

        open_backend(config.text("lake.url"))  # refuses a place before anything is made there
    root.mkdir(parents=True, exist_ok=True)


def _holds_something_else(root: Path) -> bool:
    """Whether a folder is neither a workspace, nor empty, nor just being made one by another process."""
    # before the database there are only locks: of the opening, of the processes, of the database
    foreign = [p for p in root.iterdir() if not (p.name.startswith(_MARKS) or _is_locks(p))]
    # looked for last: who made a file that was seen has made the database by now
    return bool(foreign) and not any((root / mark).exists() for mark in _MARKS)


def _is_shared(config: Config) -> bool:
    """Whether the folder has been opened as the place of a graph on a server: then no database stands in it."""
    return not _is_local(config) and (config.root / _LOCKS / _SETTLING).exists()


def _is_local(config: Config) -> bool:
    """Whether everybody who can open the graph sees this folder's lock files."""
    return config.text("metadata.url").startswith(("sqlite:", "memory:"))


def _lake_folder(config: Config) -> Path:
    return Path(unquote(config.text("lake.url").removeprefix("file:")))


def _is_locks(path: Path) -> bool:
    return (
        path.name == _LOCKS and path.is_dir() and all(p.suffix in {".lock", ".life"} for p in path.iterdir())
    )


def init(folder: Path, *, project: str | None = None, beside: bool = False) -> Path:
    """Make `folder` a workspace by writing its ``whence.toml``; returns that file.

    Args:
        folder: Absent, empty, or a workspace without settings.
        project: The project its executions belong to.
        beside: Put the workspace beside whatever else the folder holds.

    Raises:
        UsageError: It is one already (``workspace-exists``) or holds something else (``not-a-workspace``).
    """
    file = folder / "whence.toml"
    if file.exists():
        raise UsageError(f"{str(folder)!r} is a workspace already", code="workspace-exists")
    if folder.is_dir() and any(folder.iterdir()) and not (beside or (folder / "whence.db").exists()):
        raise UsageError(f"{str(folder)!r} is not empty", code="not-a-workspace", hint="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(settings_file(project=project), encoding="utf-8")
    return file


class Workspace:
    """The rooms of one workspace, and the words that reach them.

    Args:
        config: Its settings.
        clock: What time it is.
        read_only: Whether opening settles what other processes left.
        upgrade: Whether an older database is brought to this version's layout.
    """

    def __init__(
        self, config: Config, *, clock: Clock, read_only: bool = False, upgrade: bool = False
    ) -> None:
        self.config = config
        self.clock = clock
        self.read_only = read_only
        self._upgrade = upgrade and not read_only
        self._closing = contextlib.ExitStack()
        self._closed = False
        if not read_only:
            self.settle()

    def __repr__(self) -> str:
        return f"<workspace {self.config.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections, locks and this process's life in the workspace; nothing is written any more.

        Who still holds one of its rooms may look, and is refused when they write (``closed``).
        """
        self._closed = True
        self._closing.close()

    # the ground

    @property
    def folder(self) -> Path:
        """Where locks and relative addresses live."""
        return self.config.root

    @cached_property
    def database(self) -> Database | None:
        """The SQL database that graph and metrics share; None for a graph in memory."""
        url = self.config.text("metadata.url")
        if self._closed:
            raise UsageError("the workspace was closed", code="closed", hint="open it again")
        if url.startswith("memory:"):
            return None
        refuse_lost(url, _lake_folder(self.config))
        database = Database.from_url(
            url,
            synchronous=str(self.config.value("metadata.synchronous")).upper(),
            read_only=self.read_only,
        )
        self._closing.callback(database.close, for_good=True)
        return database

    @cached_property
    def store(self) -> MetadataStore:
        """Where the provenance graph is kept: the port that every backend fills."""
        url = self.config.text("metadata.url")
        store = open_store(url, database=self.database, upgrade=self._upgrade)
        self._closing.callback(store.close)
        finder = getattr(store, "finder", None)  # of SQL stores
        if self.read_only and finder is not None:
            finder.indexer.enabled = False  # an index that a question asks for is a write
        name = self.config.text("metadata.namespace")
        if name != store.namespace:
            store = store.in_namespace(name, create=not self.read_only)
        return store

    @cached_property
    def graph(self) -> Graph:
        """The provenance graph: to ask, to write into, to look after."""
        store = Looking(self.store, "the workspace was opened to look") if self.read_only else self.store
        return Graph(store, recorder=lambda: self.recorder, resolver=self._node, holders=(self._held_by,))

    @cached_property
    def recorder(self) -> Recorder:
        """What writes into the graph."""
        project = self.config.text("project")
        if self.read_only:
            return Recorder(self.store, blobs=self.blobs, project=project, read_only=True)
        life = Life(self.folder / _LOCKS) if _is_local(self.config) else DatabaseLife(self.store)
        self._closing.callback(life.close)
        return Recorder(self.store, life=life, blobs=self.blobs, project=project)

    def _node(self, ref: str) -> AnyNode | None:
        """What the rooms call things: ``table:flights@12``, ``model:late@champion``, ``run:…``."""
        from whence.trace.refs import find_by_ref

        return find_by_ref(
            self.store,
            ref,
            model=lambda name: self.models.get(name).ref,
            run=lambda name: self.runs.get(name).uid,
        )

    def _held_by(self, node: AnyNode) -> str | None:
        """Why the rooms above still need a node of the graph."""
        from whence.trace.names import table_version

        named = table_version(node)
        if named is not None:
            table, _ = named
            if self.lake.table(table).exists:
                return f"table {table!r} is in the lake, and a version belongs to its history"
            held = next((h for h in self.lake.holds() if (h.table, h.version) == named), None)
            return None if held is None else f"it is held: {held.reason}"
        if node.type == "Model" and node.name is not None:
            name, _, number = node.name.rpartition("@")
            aliases = self.models.aliases(name) if name in self.models.list() else {}
            pointing = [alias for alias, version in aliases.items() if str(version) == number]
            return f"alias {pointing[0]!r} points at it" if pointing else None
        return f"a {node.type} is how the rooms work" if node.type in _KEPT_TYPES else None

    @cached_property
    def blobs(self) -> BlobStore:
        """Bytes by digest."""
        return open_blobs(self.config.text("blobs.url"))

    @cached_property
    def engine(self) -> Engine:
        """What runs SQL."""
        from whence.compute import open_engine

        memory = self.config.value("compute.memory_limit")
        engine = open_engine(
            self.config.text("compute.url"),
            threads=self.config.number("compute.threads"),
            memory_limit=None if memory is None else str(memory),
        )
        self._closing.callback(engine.close)
        return engine

    # the journey

    @cached_property
    def lake(self) -> Lake:
        """Versioned tables."""
        from whence.lake import open_lake
        from whence.metadata.arrow import GraphTables

        lake = open_lake(
            self.config.text("lake.url"),
            recorder=self.recorder,
            engine=self.engine,
            clock=self.clock,
            locks=self.folder / _LOCKS,
        )
        lake.guard_by(lambda table: self.validation.find_guard(table))  # noqa: PLW0108 - validation reads the lake: later
        lake.describer = _Describer(self)
        lake.add_provider(GraphTables(lambda: self.store))
        return lake

    @cached_property
    def validation(self) -> Validation:
        """Statistics, schemas, anomalies."""
        from whence.validation import Validation

        return Validation(self.recorder, self.blobs, self.lake, self.engine, clock=self.clock)

    @cached_property
    def features(self) -> Features:
        """Feature views and what is computed from them."""
        from whence.features import Features, OnlineStore, open_online

        def online() -> OnlineStore:  # opened when it is first asked: most work has no use for it
            store = open_online(self.config.text("features.online"))
            self._closing.callback(store.close)
            return store

        return Features(self.recorder, self.lake, self.engine, self.blobs, online=online, clock=self.clock)

    @cached_property
    def runs(self) -> Runs:
        """Executions with params and metrics."""
        from whence.tracking import Runs, open_metrics
        from whence.tracking.open import TABLES

        database = self.database
        if self.read_only and database is not None and not database.stored(TABLES):
            database = None  # nobody has written a metric yet, and to look makes no tables
        return Runs(self.recorder, open_metrics(database, upgrade=self._upgrade), self.blobs)

    @cached_property
    def models(self) -> Models:
        """Registered models and their versions."""
        from whence.registry import Models

        return Models(self.recorder, self.blobs, clock=self.clock)

    @cached_property
    def serving(self) -> Scoring:
        """Model versions answering."""
        from whence.serving import Scoring

        return Scoring(
            self.recorder,
            self.lake,
            self.features,
            self.models,
            clock=self.clock,
            schemas=lambda name: self.validation.get_schema(name),  # noqa: PLW0108 - opened when a deployment asks
        )

    @cached_property
    def monitoring(self) -> Monitoring:
        """Drift, performance and feeds watched; alerts and whence they came."""
        from whence.monitoring import Monitoring

        return Monitoring(
            self.recorder,
            self.lake,
            self.models,
            self.blobs,
            self.engine,
            deployments=self.serving,
            clock=self.clock,
        )

    @cached_property
    def pipelines(self) -> Pipelines:
        """Steps and pipelines, their cache, and doing it again."""
        from whence.pipelines import Pipelines

        return Pipelines(
            self,
            address=self.config.address,
            child_command=(sys.executable, "-m", "whence.cli.child"),
            alerts=lambda: self.monitoring,  # looked for when a trigger asks
            taints=lambda: self.graph,
        )

    @cached_property
    def tracer(self) -> Tracer:
        """Down to the rows, up to the served answers."""
        from whence.trace import Tracer

        return Tracer(self.store, self.lake, self.features, self.serving, self.models, self.runs, self.blobs)

    # words that reach the rooms

    def table(self, name: str) -> Table:
        """A table by name; it need not exist yet."""
        return self.lake.table(name)

    def sql(
        self,
        query: str,
        *,
        relations: Mapping[str, object] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> pa.Table:
        """Rows of a query over tables, views and given relations; ``FROM flights VERSION AS OF 11`` travels in time."""
        return self.lake.sql(query, relations=relations, parameters=parameters)

    def schema(self, name: str) -> SchemaHandle:
        """The kept schema of a table, all its versions, and what can be done with it."""
        return self.validation.schema(name)

    def quarantine(self, name: str) -> Quarantine:
        """The rows of a table that were set aside by ``append(…, on_error="quarantine")``."""
        return self.lake.quarantine(name)

    def apply(self, *views: AnyView) -> None:
        """Store feature views; an equal definition is a no-op."""
        self.features.apply(*views)

    def trace(self, ref: str) -> Trace:
        """Whence did this come: down to the rows."""
        return self.tracer.trace(ref)

    def impact(self, ref: str) -> Impact:
        """Where did this go: everything downstream."""
        return self.tracer.impact(ref)

    def reproduce(
        self,
        ref: str,
        *,
        inputs: Mapping[str, TableVersion | pa.Table | str | Path] | None = None,
        code: CodeChoice = "stored",
    ) -> Verdict:
        """Do it again on pinned versions, and compare digests."""
        return self.pipelines.reproduce(ref, inputs=inputs or {}, code=code)

    def bisect(
        self,
        a: str,
        b: str,
        *,
        metric: str = "log_loss",
        on: TableVersion | pa.Table | str | None = None,
        label: str | None = None,
    ) -> Bisection:
        """What made two models differ: data, code, parameters or environment, swapped one at a time."""
        return self.pipelines.bisect(a, b, metric=metric, on=on, label=label)

    @contextlib.contextmanager
    def execution(
        self,
        type_: str,
        *,
        key: str | None = None,
        params: Properties = NONE,
        inputs: Sequence[TableVersion] = (),
    ) -> Iterator[Recording]:
        """Record what happens in the block as one execution; tables read and written inside belong to it."""
        artifacts = [(version.artifact(), ()) for version in inputs]
        with self.recorder.execution(type_, key=key, params=params, inputs=artifacts) as recording:
            yield recording

    def settle(self) -> None:
        """Put right what dead processes left: the graph is re-derived from commits, executions are ended.

        Done on opening. The lake is the truth for tables: a commit the graph does not know is
        recorded; a dead execution rolls forward when all its outputs exist, else it has FAILED.
        """
        if self.database is None:
            return
        with file_lock(self.folder / _LOCKS / _SETTLING, what="opening the workspace", timeout_s=60):
            _ = (self.lake, self.models)  # each tells the recorder how to find its outputs
            recovered = self.recorder.recover()
            self.lake.reconcile()
        if recovered.rolled_forward or recovered.failed:
            log.info(
                "settled dead executions",
                extra={"rolled_forward": len(recovered.rolled_forward), "failed": len(recovered.failed)},
            )


class _Describer:
    """Statistics for the lake, from validation when they are first wanted."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def statistics(self, version: object, /) -> object:
        return self._workspace.validation.statistics(version)


__all__ = ["Workspace", "connect", "init"]
