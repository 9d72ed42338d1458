"""A table: its name, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from whence._base.clock import utc
from whence.drawing import paragraph
from whence.errors import NotFoundError, UsageError
from whence.lake.arguments import check_arguments
from whence.lake.aside import OnError, append_sifted, sets_aside
from whence.lake.changes import Change, read_changes
from whence.lake.commit import run
from whence.lake.core import Core
from whence.lake.holds import Attach, Compact, hold, list_holds, release, vacuum
from whence.lake.ingest import ingest_file
from whence.lake.operations import Append, Delete, Digested, Merge, Overwrite, declaration_of
from whence.lake.pin import fix_version, pinned_version
from whence.lake.types import Commit, CommitInfo, Hold, TableDeclaration, VacuumReport, check_name
from whence.lake.version import TableVersion
from whence.metadata import Properties


class Table:
    """A handle on a table; the table need not exist yet.

    Every write is one commit and one execution (inside another recording: an output of that one). Data may
    be Arrow, pandas, Polars, a DuckDB relation, a ``.csv`` or ``.parquet`` path, or mappings. Columns and
    types are compared with the table's before anything is written; nothing is cast but narrower integers
    to wider ones and float32 to float64.
    """

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self.name = check_name(name)

    def _repr_html_(self) -> str:
        """For notebooks: the newest version, or that there is none."""
        return self.head()._repr_html_() if self.exists else paragraph(f"table {self.name}: no versions yet")

    def __repr__(self) -> str:
        return f"<Table {self.name}>"

    # --- what it is

    @property
    def exists(self) -> bool:
        """Whether there is a version of it."""
        return self._core.find(self.name) is not None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the version that reading gives."""
        return self.head().schema

    @property
    def declaration(self) -> TableDeclaration:
        """What is declared about its columns."""
        return declaration_of(self._core.get(self.name))

    # --- writing

    def append(
        self,
        data: object,
        *,
        evolve: bool = False,
        watermark: datetime | None = None,
        transaction: tuple[str, int] | None = None,
        key: str | None = None,
        properties: Properties | None = None,
        progress: Mapping[str, int] | None = None,
        on_error: OnError = "reject",
        filled: Mapping[str, int] | None = None,
    ) -> Commit:
        """Add rows; a table that does not exist is made from them.

        In a table that declares ``known_at``, each row's is raised to at least 1 µs above the watermark
        that the table had before; rows that were raised are counted as late.

        Args:
            data: The rows; as `Digested`, their digest is not computed again.
            evolve: New columns in the data become nullable columns of the table.
            watermark: From now on every row known up to here is in the table. Committed even without rows.
            transaction: (application, version). If the table has that version or a later one of the
                application, nothing is written and the earlier commit is returned as a duplicate.
            key: Repetition under the same key is the same append.
            properties: More facts for the execution.
            progress: More app transactions of the same commit, version by application, to say how far the writer
                has come; `TableVersion.transaction` reads them. They are stored as given, never compared.
            on_error: What becomes of a batch with rows that do not fit, or that the row check refuses:
                ``reject`` refuses it whole; ``quarantine`` sets those rows aside (`Lake.quarantine`) and lets
                the others in.
            filled: Columns, and how many of their missing values the caller has given a default; the statistics
                of the version tell it. A batch that may be parted has none (``bad-argument``).

        Raises:
            UsageError: The data do not fit (``schema-mismatch`` names each column; ``bad-data``,
                ``naive-time``, ``null-known-at``, ``null-key`` for rows with nothing but null in the key, …).
            DataRejectedError: A row check refuses rows (``rows-rejected``).
            ConflictError: The watermark would go back (``watermark-back``), the key is being run.
            BackendError: The disk is full (``store-full``), the store failed.

        Records:
            One execution ``append`` with the new table version as its output; before it, if rows are set
            aside, one execution ``quarantine``.

        Example:
            >>> from whence.lake import open_lake
            >>> from whence.metadata import Recorder, open_store
            >>> lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
            >>> flights = lake.table("flights")
            >>> flights.append([{"flight": "B6-35", "delay": 12}]).ref
            'table:flights@0'
            >>> flights.append([{"flight": "B6-36", "delay": 3}]).version
            1
            >>> flights.at(0).arrow().to_pylist()
            [{'flight': 'B6-35', 'delay': 12}]
        """
        check_arguments(watermark=watermark, transaction=transaction, key=key, properties=properties)
        check_arguments(progress=progress)
        if sets_aside(on_error):
            if filled:
                raise UsageError(
                    "which filled values enter is not known of a batch that is parted", code="bad-argument",
                    hint="on_error='reject'",
                )  # fmt: skip
            rows = data.rows if isinstance(data, Digested) else data
            return append_sifted(
                self._core, self.name, rows, evolve=evolve, watermark=watermark, transaction=transaction, key=key,
                properties=properties, progress=progress,
            )  # fmt: skip
        operation = Append(self._core, self.name, data, evolve=evolve, watermark=watermark, filled=filled)
        return run(
            self._core, operation, transaction=transaction, key=key, properties=properties, progress=progress
        )

    def ingest(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002  # the word of the command line
        on_error: OnError = "reject",
        evolve: bool = False,
        watermark: datetime | None = None,
        transaction: tuple[str, int] | None = None,
    ) -> Commit:
        """Append the rows of a file, as one commit, once: the same bytes a second time change nothing.

        Text (CSV, JSON, NDJSON) is read as the types of the table; what does not read so is named with its
        line, or set aside with ``on_error="quarantine"``, and so are lines that are no rows at all.

        Args:
            path: The file.
            format: ``csv``, ``json`` (an array of objects), ``ndjson``, ``parquet`` or ``arrow``; None tells it by
                the ending of the name.
            on_error: As in `append`.
            evolve: As in `append`.
            watermark: As in `append`.
            transaction: As in `append`; the default is made from the bytes of the file.

        Raises:
            NotFoundError: There is no such file (``file-not-found``).
            UsageError: The file is unreadable as its format (``bad-file``, ``bad-format``), or as `append`.
            DataRejectedError: Lines may not enter (``rows-rejected``; file and line of each are named).

        Records:
            As `append`.
        """
        check_arguments(path=path, watermark=watermark, transaction=transaction)
        return ingest_file(
            self._core, self.name, Path(path), format=format, on_error=on_error, evolve=evolve,
            watermark=watermark, transaction=transaction,
        )  # fmt: skip

    def overwrite(
        self,
        data: object,
        *,
        where: str | None = None,
        evolve: bool = False,
        watermark: datetime | None = None,
        transaction: tuple[str, int] | None = None,
        key: str | None = None,
        properties: Properties | None = None,
    ) -> Commit:
        """Replace all rows, or those of a condition. Starts a new epoch of the table.

        Args:
            data: The new rows; with `where`, all of them fulfil it.
            where: A condition in SQL; rows for which it is true go. None is all rows.
            evolve: As in `append`.
            watermark: As in `append`.
            transaction: As in `append`.
            key: As in `append`.
            properties: As in `append`.

        Raises:
            UsageError: As `append`; ``outside-predicate``: new rows do not fulfil the condition.

        Records:
            One execution ``overwrite``.
        """
        check_arguments(
            where=where, watermark=watermark, transaction=transaction, key=key, properties=properties
        )
        operation = Overwrite(self._core, self.name, data, where=where, evolve=evolve, watermark=watermark)
        return run(self._core, operation, transaction=transaction, key=key, properties=properties)

    def merge(
        self,
        data: object,
        *,
        on: Sequence[str] | None = None,
        watermark: datetime | None = None,
        transaction: tuple[str, int] | None = None,
        key: str | None = None,
        properties: Properties | None = None,
    ) -> Commit:
        """Put rows in the place of those with the same key, add the others. Starts a new epoch.

        Args:
            data: Whole rows, one per key.
            on: The key; the default is the declared one.
            watermark: As in `append`.
            transaction: As in `append`.
            key: As in `append`.
            properties: As in `append`.

        Raises:
            UsageError: As `append`; ``no-key``, ``null-key``, ``duplicate-key`` (in the data or the table).
            NotFoundError: The table does not exist.

        Records:
            One execution ``merge``.
        """
        check_arguments(on=on, watermark=watermark, transaction=transaction, key=key, properties=properties)
        operation = Merge(self._core, self.name, data, on=on, watermark=watermark)
        return run(self._core, operation, transaction=transaction, key=key, properties=properties)

    def delete(
        self, where: str, *, transaction: tuple[str, int] | None = None, key: str | None = None,
        properties: Properties | None = None,
    ) -> Commit:  # fmt: skip
        """Remove the rows for which a condition is true. Starts a new epoch; without such rows nothing happens.

        Raises:
            UsageError: The condition does not fit (``bad-sql``).
            UnsupportedError: Engine and table format differ about it (``predicate-dialect``).

        Records:
            One execution ``delete``.
        """
        check_arguments(where=where, transaction=transaction, key=key, properties=properties)
        operation = Delete(self._core, self.name, where)
        return run(self._core, operation, transaction=transaction, key=key, properties=properties)

    # --- reading

    def head(self) -> TableVersion:
        """The newest version; inside `pinned` or `pinning`, the version fixed there."""
        version = pinned_version(self.name)
        snapshot = self._core.get(self.name, version)
        fix_version(self.name, snapshot.version)
        return TableVersion(self._core, snapshot)

    def digest(self) -> str:
        """The ``rows-v1`` digest of the newest version.

        Raises:
            NotFoundError: The table does not exist.
        """
        return self.head().digest()

    def at(self, when: int | datetime | str) -> TableVersion:
        """A version by number, or the newest at a moment.

        Args:
            when: A number (also as text); or an aware moment (also as ISO 8601 text): the newest version made
                at or before it, by the clock of the workspace.

        Raises:
            NotFoundError: There is none (``table-version-not-found``).
            UsageError: The moment has no zone (``naive-time``) or is not one (``bad-version``).
        """
        if isinstance(when, bool) or not isinstance(when, int | str | datetime):
            raise UsageError(
                f"{when!r:.80} is neither a version nor a moment",
                code="bad-version",
                hint="give a number or a moment",
            )
        version = when if isinstance(when, int) else self._version_at(when)
        return TableVersion(self._core, self._core.get(self.name, version))

    def _version_at(self, when: datetime | str) -> int:
        if isinstance(when, str) and when.strip().isdecimal():
            return int(when)
        moment = read_moment(when)
        snapshot = self._core.get(self.name)
        at = None
        for info in self._core.chain(snapshot).infos(snapshot.version):
            at = info.at if at is None else max(at, info.at)
            if at > moment:
                first = info.version
                break
        else:
            return snapshot.version
        if first == 0:
            raise NotFoundError(
                "table version",
                f"{self.name}@{moment.isoformat()}",
                hint=f"the first was made at {at.isoformat()}",
            )
        return first - 1

    def arrow(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """The rows of `head`; see `TableVersion.arrow`."""
        return self.head().arrow(columns, where)

    def to_pandas(self, columns: Sequence[str] | None = None, where: str | None = None) -> Any:
        """The rows of `head` as a pandas frame."""
        # Any: pandas is not a dependency
        return self.head().to_pandas(columns, where)

    def history(self) -> list[CommitInfo]:
        """All commits, newest first."""
        snapshot = self._core.get(self.name)
        return self._core.chain(snapshot).infos(snapshot.version)[::-1]

    def changes(
        self, after: int, upto: int | None = None, *, columns: Sequence[str] | None = None
    ) -> Iterator[Change]:
        """The rows that came after a version, commit by commit, oldest first.

        For readers that go on where they stopped. Only commits that added rows are given: compaction and
        commits of a watermark alone are passed over. The rows of a commit are read when they are asked for.

        Args:
            after: The version that was read already; -1 for none.
            upto: The last version to read; the newest by default (or the one fixed by `pinned`).
            columns: Which columns, in this order; None is all those of the version `upto`.

        Raises:
            IntegrityError: Rows were changed or removed in between (``table-epoch``): what was read before
                no longer adds up with what comes. Or log or files of a commit are gone (``changes-gone``).
            NotFoundError: There is no such table, version or column.

        Records:
            The version `upto` as an input of the recording around the caller.

        Example:
            >>> from whence.lake import open_lake
            >>> from whence.metadata import Recorder, open_store
            >>> lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
            >>> for delay in (5, 7, 9):
            ...     _ = lake.table("flights").append({"delay": [delay]})
            >>> [(c.version, c.rows.to_pylist()) for c in lake.table("flights").changes(0)]
            [(1, [{'delay': 7}]), (2, [{'delay': 9}])]
        """
        check_arguments(upto=upto, columns=columns)
        if isinstance(after, bool) or not isinstance(after, int):
            raise UsageError(f"after is {after!r:.80}, want a version, or -1 for none", code="bad-argument")
        snapshot = self._core.get(self.name, self.head().version if upto is None else upto)
        return read_changes(self._core, snapshot, after, columns)

    def versions(self) -> list[int]:
        """The numbers of all versions, oldest first."""
        return list(range(self._core.get(self.name).version + 1))

    # --- keeping house

    def hold(self, version: int, *, reason: str) -> Hold:
        """Keep a version from cleanup.

        Raises:
            NotFoundError: There is no such version, or it was vacuumed.
        """
        check_arguments(version=version, reason=reason)
        return hold(self._core, self.name, version, reason)

    def release(self, version: int, *, reason: str | None = None) -> list[Hold]:
        """Give back the hold of one reason, or all holds of a version."""
        check_arguments(version=version, reason=reason)
        return release(self._core, self.name, version, reason)

    def holds(self) -> list[Hold]:
        """The holds in force."""
        return list_holds(self._core, self.name)

    def compact(self) -> Commit:
        """Rewrite many small files as few. No row changes, nor the digest; old versions stay readable.

        Records:
            One execution ``compact``.
        """
        return run(self._core, Compact(self._core, self.name))

    def vacuum(
        self, *, retention_hours: float | None = None, dry_run: bool = True, full: bool = False
    ) -> VacuumReport:
        """Remove files that neither the newest version nor a held one needs, and say which versions that ends.

        Args:
            retention_hours: Files that went out of use later than this stay; the default is a week.
            dry_run: Only report. The default: cleanup happens when it is asked for.
            full: Also files that no commit ever named, left by writers that died.

        Records:
            One execution ``vacuum``, unless it is a dry run.
        """
        check_arguments(retention_hours=retention_hours)
        return vacuum(self._core, self.name, retention_hours=retention_hours, full=full, dry_run=dry_run)

    def attach(self) -> Commit:
        """Make a table that whence did not create safe to write: its log is kept from now on.

        Records:
            One execution ``attach``.
        """
        return run(self._core, Attach(self._core, self.name))


def read_moment(when: datetime | str) -> datetime:
    """A moment from an aware datetime or its ISO 8601 text.

    Raises:
        UsageError: ``naive-time``, ``bad-version``.

    Example:
        >>> read_moment("2013-07-01T00:00:00Z").isoformat()
        '2013-07-01T00:00:00+00:00'
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when.strip())
        except ValueError as error:
            raise UsageError(
                f"{when!r} is neither a version nor a moment",
                code="bad-version",
                hint="write a number or ISO 8601, such as 2013-07-01T00:00:00Z",
            ) from error
    return utc(when)
