"""One version of a table: what reading gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from whence._base.rows import RowsDigest, rows_digest
from whence.compute.base import Relation
from whence.drawing import html_table
from whence.errors import IntegrityError, UnsupportedError
from whence.lake.arguments import check_arguments
from whence.lake.base import Snapshot
from whence.lake.core import Core
from whence.lake.types import CommitInfo, TableDeclaration
from whence.metadata import Artifact

#: Rows a notebook shows of a version.
_SHOWN: Final = 10


class TableVersion:
    """A version of a table; it never changes. Reading its rows inside a recording records it as an input.

    Attributes:
        table: The table's name.
        version: The number.
        schema: Its columns.
        declaration: What is declared about them.
    """

    def __init__(self, core: Core, snapshot: Snapshot) -> None:
        self._core = core
        self._snapshot = snapshot
        self.table = snapshot.table
        self.version = snapshot.version
        self.schema: pa.Schema = snapshot.schema
        self.declaration = TableDeclaration.from_json(
            snapshot.declaration, partition_by=snapshot.partition_by
        )

    def __repr__(self) -> str:
        return f"<TableVersion {self.name}>"

    def _repr_html_(self) -> str:
        """For notebooks: the first rows, and how many there are."""
        shown = self._core.engine.query(f"SELECT * FROM shown LIMIT {_SHOWN}", {"shown": self.files()})
        rows = [list(row.values()) for row in shown.to_pylist()]
        return html_table(shown.column_names, rows, caption=f"{self.ref}: {self.n_rows:,} rows")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TableVersion):
            return NotImplemented
        return (self._snapshot.table_id, self.version) == (other._snapshot.table_id, other.version)

    def __hash__(self) -> int:
        return hash((self._snapshot.table_id, self.version))

    @property
    def name(self) -> str:
        """``flights@12``."""
        return f"{self.table}@{self.version}"

    @property
    def ref(self) -> str:
        """``table:flights@12``."""
        return f"table:{self.name}"

    @property
    def table_id(self) -> str:
        """What tells the table from another that had its name before."""
        return self._snapshot.table_id

    @property
    def n_rows(self) -> int:
        """How many rows."""
        known = self._core.state(self._snapshot).n_rows
        return known if known is not None else self.rows_digest().n_rows

    @property
    def watermark(self) -> datetime | None:
        """Every row with ``known_at`` up to here is in the version; None when that was never said."""
        return self._core.state(self._snapshot).watermark

    @property
    def epoch(self) -> int:
        """How often rows of the table had been changed or removed by then."""
        return self._core.state(self._snapshot).epoch

    @property
    def at(self) -> datetime | None:
        """When the version was made, by the clock of the workspace."""
        return self._core.state(self._snapshot).at

    def transaction(self, application: str) -> int | None:
        """How far an application had come by this version; None when it never committed.

        Example:
            >>> from whence.lake import open_lake
            >>> from whence.metadata import Recorder, open_store
            >>> lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
            >>> _ = lake.table("flights").append({"delay": [5]}, transaction=("feed", 7))
            >>> lake.table("flights").head().transaction("feed")
            7
        """
        return self._core.backend.transaction_version(self._snapshot, application)

    def digest(self) -> str:
        """The ``rows-v1`` digest: from the commits, or of the rows when a commit was not made by whence."""
        return self.rows_digest().text

    def rows_digest(self) -> RowsDigest:
        """The digest in the form that adds up."""
        return self._core.digest(self._snapshot)

    def verify(self) -> str:
        """Read every row and compare with the digest of the commits; returns the digest.

        Raises:
            IntegrityError: They differ (``digest-mismatch``), or a file is unreadable.
        """
        known, found = self.rows_digest(), rows_digest(self._core.rows(self._snapshot))
        if known != found:
            raise IntegrityError(
                f"the rows of {self.ref} are not those that were committed: "
                f"{found.n_rows} rows with {found.text[:24]}…, committed {known.n_rows} with {known.text[:24]}…",
                code="digest-mismatch",
                hint="restore its files from a copy",
                details={"committed": known.text, "found": found.text},
            )
        return found.text

    def commits(self) -> list[CommitInfo]:
        """The commits that led to it, oldest first; those whose log is gone are left out."""
        return self._core.chain(self._snapshot).infos(self.version)

    def files(self) -> Relation:
        """What an engine reads to see the rows: `Files`, or an Arrow table where there are no plain files."""
        self._core.record_read(self._snapshot)
        return self._core.backend.relation(self._snapshot)

    def added(self) -> Relation:
        """What an engine reads to see the rows that the commit of this version added.

        Raises:
            IntegrityError: They cannot be told apart any more (``changes-gone``).
        """
        self._core.record_read(self._snapshot)
        return self._core.backend.added(self._snapshot, self.version)

    def arrow(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """The rows, always in the same order for the same version (files by path, rows as in the file).

        Args:
            columns: Which columns, in this order; None is all.
            where: A condition in SQL; rows for which it is not true are left out.

        Raises:
            NotFoundError: A column is absent, or the version was vacuumed.
            UsageError: The condition does not fit (``bad-sql``).
            IntegrityError: A file is unreadable (``file-corrupted``).

        Records:
            The version as an input of the recording around the caller.
        """
        check_arguments(columns=columns, where=where)
        self._core.record_read(self._snapshot)
        return self._core.rows(self._snapshot, columns=columns, where=where)

    def to_pandas(self, columns: Sequence[str] | None = None, where: str | None = None) -> Any:
        """The rows as a pandas frame; as `arrow`."""
        # Any: pandas is not a dependency
        return self.arrow(columns, where).to_pandas()

    def artifact(self) -> Artifact:
        """The node of this version in the graph."""
        return self._core.artifact(self._snapshot)

    def statistics(self) -> Any:
        """The statistics of this version, by the describer the workspace handed in.

        Raises:
            UnsupportedError: None was (``no-describer``).
        """
        # Any: statistics belong to an upper room
        if self._core.describer is None:
            raise UnsupportedError(
                "this lake has no describer", code="no-describer", hint="use whence.connect()"
            )
        return self._core.describer.statistics(self)
