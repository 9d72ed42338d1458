"""What came into a table, commit by commit: for readers that go on where they stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from whence.errors import IntegrityError, NotFoundError
from whence.lake.base import Snapshot, changes_gone
from whence.lake.core import Core
from whence.lake.types import CommitInfo

BROKEN: Final = frozenset({"table-epoch", "changes-gone"})
"""The codes that say: what came cannot be followed, read the newest version anew."""


@dataclass(frozen=True, slots=True)
class Change:
    """The rows that one commit added.

    Attributes:
        version: The version it made.
        rows: The rows, with the columns of the version that was read up to; a column that came later is null.
        info: The commit.
    """

    version: int
    rows: pa.Table
    info: CommitInfo


def read_changes(
    core: Core, upto: Snapshot, after: int, columns: Sequence[str] | None = None
) -> Iterator[Change]:
    """The rows added by the commits after `after`, up to a snapshot, oldest first.

    Commits that add no rows (compaction, a watermark alone) are passed over. The whole range is looked at
    before the first row is given.

    Raises:
        IntegrityError: Rows were changed or removed in between, or the table has not come to `after`
            (``table-epoch``): what was read before no longer adds up with what comes. Or log or files
            of a commit are gone (``changes-gone``).
        NotFoundError: A column is absent.
    """
    infos = _infos(core, upto, after)
    for name in columns or ():
        if name not in upto.schema.names:
            raise NotFoundError("column", name, near=upto.schema.names)
    core.record_read(upto)
    return _read(core, upto, infos, columns)


def _infos(core: Core, upto: Snapshot, after: int) -> list[CommitInfo]:
    """The commits that added rows; checked to be additions only."""
    if after > upto.version:
        raise IntegrityError(
            f"table {upto.table!r} is at version {upto.version}, {after} had been read already",
            code="table-epoch",
            hint="it is another table than was read, or an older version is fixed: read it from the beginning",
            details={"table": upto.table, "after": after, "version": upto.version},
        )
    chain = core.chain(upto)
    epoch = chain.state(after).epoch if after >= 0 else 0
    found = []
    for version in range(after + 1, upto.version + 1):
        if chain.state(version).epoch != epoch:
            raise IntegrityError(
                f"rows of table {upto.table!r} were changed or removed in version {version}",
                code="table-epoch",
                hint="changes give additions only: read the newest version anew, then follow from there",
                details={"table": upto.table, "after": after, "version": version},
            )
        info = chain.info(version)
        if info is None:
            raise changes_gone(upto.table, version, "its log is gone")
        if info.changes_rows and (info.added is None or info.added.n):
            found.append(info)
    return found


def _read(
    core: Core, upto: Snapshot, infos: Sequence[CommitInfo], columns: Sequence[str] | None
) -> Iterator[Change]:
    for info in infos:
        try:
            rows = core.engine.scan(core.backend.added(upto, info.version), columns=columns)
        except NotFoundError as error:
            if error.code != "file-not-found":
                raise
            raise changes_gone(upto.table, info.version, "its files were vacuumed") from error
        schema = upto.schema if columns is None else pa.schema([upto.schema.field(c) for c in columns])
        yield Change(info.version, rows if rows.schema.equals(schema) else rows.cast(schema), info)
