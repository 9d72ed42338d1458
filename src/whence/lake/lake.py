"""A lake: tables and views by name, SQL over both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from whence._base.arrow import compare_schemas, normalise_schema
from whence._base.clock import Clock
from whence.compute.base import Engine
from whence.errors import ConflictError, UsageError
from whence.lake.arguments import check_arguments
from whence.lake.base import Describer, LakeBackend, TableProvider
from whence.lake.commit import run
from whence.lake.core import Core
from whence.lake.holds import list_holds
from whence.lake.ingest import file_schema
from whence.lake.operations import Create, declaration_of
from whence.lake.quarantine import Quarantine
from whence.lake.query import run_query, stream_query
from whence.lake.reconcile import Reconciled, probe, reconcile
from whence.lake.table import Table
from whence.lake.types import Hold, RowCheck, TableDeclaration, check_name
from whence.lake.views import View, ViewStore
from whence.metadata import Recorder


class Lake:
    """Versioned tables whose every commit is in the graph.

    Args:
        backend: Where tables are.
        recorder: Where what happens is recorded.
        engine: What runs SQL.
        clock: What time commits carry.
        locks: A folder for the locks of processes that share the lake; without it, threads are kept apart.
        owns_engine: Whether closing the lake closes the engine.
    """

    def __init__(
        self,
        backend: LakeBackend,
        recorder: Recorder,
        engine: Engine,
        *,
        clock: Clock,
        locks: Path | None,
        owns_engine: bool = False,
    ) -> None:
        self._owns_engine = owns_engine
        self._core = Core(backend, recorder, engine, clock=clock, locks=locks)
        self._views = ViewStore(self._core)
        recorder.add_probe("TableVersion", partial(probe, self._core))

    # --- what upper rooms hand in

    @property
    def row_checks(self) -> MutableMapping[str, RowCheck]:
        """By table: what decides row by row whether it may enter."""
        return self._core.row_checks

    def guard_by(self, find: Callable[[str], RowCheck | None]) -> None:
        """Ask `find` for the row check of a table that has none set by hand."""
        self._core.find_guard = find

    @property
    def describer(self) -> Describer | None:
        """What computes the statistics of a version."""
        return self._core.describer

    @describer.setter
    def describer(self, describer: Describer | None) -> None:
        self._core.describer = describer

    def add_provider(self, provider: TableProvider) -> None:
        """Show the tables of another room to SQL."""
        self._core.providers.append(provider)

    @property
    def engine(self) -> Engine:
        """What runs SQL over its tables."""
        return self._core.engine

    # --- tables

    def table(self, name: str) -> Table:
        """A handle on a table, which need not exist."""
        return Table(self._core, name)

    def quarantine(self, name: str) -> Quarantine:
        """The rows set aside from a table; there need not be any.

        Raises:
            UsageError: `name` is a quarantine itself (``quarantine-of-quarantine``).
        """
        return Quarantine(self._core, check_name(name))

    def list(self) -> list[str]:
        """The names of all tables, sorted."""
        return self._core.backend.list()

    def create(
        self,
        name: str,
        schema: pa.Schema,
        *,
        key: Sequence[str] = (),
        event_time: str | None = None,
        known_at: str | None = None,
        subject_key: str | None = None,
        pii: Sequence[str] = (),
        partition_by: Sequence[str] = (),
        description: str = "",
    ) -> Table:
        """Make an empty table with a declaration; the same again changes nothing.

        Args:
            name: Lower-case words joined by dots.
            schema: Its columns.
            key: Columns that name a row; a later row of the same key is a correction.
            event_time: When the row's event happened (timestamp).
            known_at: When whence could first use the row (timestamp); see `Table.append`.
            subject_key: The person the row is about.
            pii: Columns with personal data.
            partition_by: Columns (string, integer, date, bool) whose values make the folders.
            description: For people.

        Raises:
            ConflictError: The table exists with other columns or another declaration (``table-exists``).
            UsageError: ``bad-name``, ``nested-name``, ``declared-column``, ``declared-type``,
                ``unsupported-type``, ``no-columns``, ``duplicate-column``, ``naive-time``.

        Records:
            One execution ``create``; its output is version 0.
        """
        check_arguments(
            event_time=event_time, known_at=known_at, subject_key=subject_key, description=description
        )
        if not isinstance(schema, pa.Schema):
            raise UsageError(
                f"schema is {schema!r:.80}, want a pyarrow schema",
                code="bad-argument",
                hint="pa.schema({'id': pa.int64()})",
            )
        schema = normalise_schema(schema)
        wanted = TableDeclaration(
            key=_names(key, "key"),
            event_time=event_time,
            known_at=known_at,
            subject_key=subject_key,
            pii=_names(pii, "pii"),
            partition_by=_names(partition_by, "partition_by"),
            description=description,
        )
        if self._core.find(name) is None:
            run(self._core, Create(self._core, name, schema, wanted))
        self._check_same(name, schema, wanted)
        return Table(self._core, name)

    def _check_same(self, name: str, schema: pa.Schema, wanted: TableDeclaration) -> None:
        snapshot = self._core.get(name)
        differences = [str(d) for d in compare_schemas(schema, snapshot.schema)]
        have = declaration_of(snapshot)
        differences += [
            f"{field}: have {getattr(have, field)!r}, want {getattr(wanted, field)!r}"
            for field in TableDeclaration.__dataclass_fields__
            if getattr(have, field) != getattr(wanted, field)
        ]
        if differences:
            raise ConflictError(
                f"table {name!r} exists and differs: {'; '.join(differences)}",
                code="table-exists",
                hint="new columns come with append(…, evolve=True)",
            )

    def create_from(
        self,
        name: str,
        file: str | Path,
        *,
        format: str | None = None,  # noqa: A002  # the word of the command line
        key: Sequence[str] = (),
        event_time: str | None = None,
        known_at: str | None = None,
        partition_by: Sequence[str] = (),
        description: str = "",
    ) -> Table:
        """Make an empty table with the columns of a file; a table that is there keeps its own.

        Args:
            name: Lower-case words joined by dots.
            file: A file as `Table.ingest` reads them.
            format: As in `Table.ingest`.
            key: As in `create`.
            event_time: As in `create`; text in this column of the file is read as moments.
            known_at: As in `create`; text in this column of the file is read as moments.
            partition_by: As in `create`.
            description: As in `create`.

        Raises:
            ConflictError: The table exists with another declaration (``table-exists``).
            UsageError: As `create`.

        Records:
            One execution ``create``; its output is version 0.
        """
        found = self._core.find(name)
        times = [c for c in (event_time, known_at) if c is not None]
        schema = file_schema(Path(file), format=format, times=times) if found is None else found.schema
        return self.create(
            name, schema, key=key, event_time=event_time, known_at=known_at, partition_by=partition_by,
            description=description,
        )  # fmt: skip

    def holds(self) -> Sequence[Hold]:
        """The holds in force, of all tables."""
        return list_holds(self._core)

    @contextmanager
    def reading_through(self, wrap: Callable[[LakeBackend], LakeBackend]) -> Iterator[None]:
        """Within the block, every table of this lake is read and written through what `wrap` makes of the backend.

        For reading what was never committed: other rows in place of a table's own, and nothing written.
        """
        below = self._core.backend
        self._core.backend = wrap(below)
        try:
            yield
        finally:
            self._core.backend = below

    # --- views and SQL

    def create_view(self, name: str, sql: str, *, replace: bool = False) -> View:
        """Name a query; see `whence.lake.views`."""
        check_arguments(query=sql)
        return self._views.create(name, sql, replace=replace)

    def view(self, name: str) -> View:
        """A view; `NotFoundError` (``view-not-found``) when there is none."""
        return self._views.get(name)

    def views(self) -> Sequence[str]:
        """The names of all views, sorted."""
        return self._views.names()

    def sql(
        self,
        query: str,
        *,
        relations: Mapping[str, object] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> pa.Table:
        """The rows of a query over tables and views, at the versions it names.

        Args:
            query: One SELECT. ``FROM flights VERSION AS OF 11``, ``FROM flights AT (VERSION => 11)``,
                ``FROM flights TIMESTAMP AS OF '2013-07-01T00:00:00Z'``; without, the newest version (or the
                one fixed by `pinned`).
            relations: More relations by name: table versions, Arrow, frames, paths.
            parameters: Values for ``$name``.

        Returns:
            The rows; ``schema.metadata[b"whence"]`` is JSON with the versions read (``sources``), the views and
            whether the text was understood (``lineage``: ``query``) or only searched for names (``tables``).

        Raises:
            UsageError: ``not-a-query``, ``bad-sql``, ``unparsable-query``, ``sql-function``, ``bad-version``.
            NotFoundError: A table or version is absent; near names are given.

        Records:
            Nothing alone; inside a recording, the versions as its inputs.

        Example:
            >>> from whence.lake import open_lake
            >>> from whence.metadata import Recorder, open_store
            >>> lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
            >>> for delay in (5, 7):
            ...     _ = lake.table("flights").append({"delay": [delay]})
            >>> lake.sql("SELECT sum(delay) AS s FROM flights VERSION AS OF 0").to_pylist()[0]["s"] == 5
            True
        """
        check_arguments(relations=relations, parameters=parameters)
        if not isinstance(query, str):
            raise UsageError(f"query is {query!r:.80}, want a text", code="bad-argument")
        return run_query(self._core, self._views, query, relations=relations, parameters=parameters)

    def stream(self, query: str, *, relations: Mapping[str, object] | None = None) -> pa.RecordBatchReader:
        """The rows of a query as `sql` gives them, in batches and without holding all of them.

        Raises:
            UsageError: As `sql`; what the rows themselves make fail is raised while they are read.
            NotFoundError: As `sql`.

        Records:
            As `sql`.

        Example:
            >>> from whence.lake import open_lake
            >>> from whence.metadata import Recorder, open_store
            >>> lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
            >>> sum(batch.num_rows for batch in lake.stream("SELECT * FROM range(100_000)"))
            100000
        """
        check_arguments(relations=relations)
        if not isinstance(query, str):
            raise UsageError(f"query is {query!r:.80}, want a text", code="bad-argument")
        return stream_query(self._core, self._views, query, relations=relations)

    # --- life

    def reconcile(self) -> Reconciled:
        """Add to the graph the commits it does not know; call it after `Recorder.recover`."""
        return reconcile(self._core)

    def close(self) -> None:
        """Give back what the lake holds; a recorder or engine that was handed in stays with its maker."""
        self._core.backend.close()
        if self._owns_engine:
            self._core.engine.close()


def _names(given: object, what: str) -> tuple[str, ...]:
    if (
        isinstance(given, str)
        or not isinstance(given, Sequence)
        or not all(isinstance(c, str) for c in given)
    ):
        raise UsageError(
            f"{what} is a list of columns, got {given!r:.80}",
            code="bad-columns",
            hint=f"write {what}=[{given!r}]" if isinstance(given, str) else None,
        )
    return tuple(given)
