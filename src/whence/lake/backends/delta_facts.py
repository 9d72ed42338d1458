"""What a Delta table and its log say, in the words of the lake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction

from whence._base.arrow import normalise, normalise_schema
from whence._base.rows import row_digests
from whence.errors import IntegrityError
from whence.lake.types import CommitFacts, LogEntry, TableDeclaration

# A commit costs the more the longer the log since the last checkpoint, and a handle remembers that log: with
# delta-rs 1.6.6 a commit of 1000 rows costs 7 ms of CPU at first and 24 ms as the 100th; with a checkpoint and
# a fresh handle every 20 commits it stays at 9 ms.
CHECKPOINT_INTERVAL: Final = 20
KEEP_LOG: Final = {"delta.enableExpiredLogCleanup": "false"}
# Reading the Parquet files directly is wrong with these: the files hold rows or names that are not the table's.
INDIRECT: Final = frozenset({"deletionVectors", "columnMapping"})
_NO_ROWS_CHANGED: Final = frozenset(
    {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "ADD FEATURE"}
)


def read_indirectly(opened: DeltaTable) -> pa.Table:
    """Through delta-rs, which knows deletion vectors and mapped names; rows in the order of their digests."""
    builder = QueryBuilder().register("t", opened)
    table = normalise(pa.table(builder.execute("SELECT * FROM t").read_all()))
    digests = row_digests(table)
    return table.take(pa.array(np.lexsort((digests[:, 1], digests[:, 0]))))


def read_files(paths: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Small files in memory, with exactly the columns and types of `schema`; absent columns are null.

    Raises:
        IntegrityError: A file is unreadable (``file-corrupted``).
    """
    parts = []
    for path in paths:
        try:
            # bytes at once and one thread: half the time for files of a few hundred rows
            source = pa.BufferReader(Path(path).read_bytes())
            read = normalise(pq.ParquetFile(source).read(use_threads=False))
        except pa.ArrowException as error:
            raise IntegrityError(f"file {path!r} cannot be read: {error}", code="file-corrupted") from error
        parts.append(read if read.schema.equals(schema) else _fitted(read, schema))
    return parts[0] if len(parts) == 1 else pa.concat_tables(parts or [schema.empty_table()])


def _fitted(read: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        read.column(f.name).cast(f.type) if f.name in read.schema.names else pa.nulls(read.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def properties(facts: CommitFacts) -> CommitProperties:
    """What a commit carries besides rows."""
    return CommitProperties(
        custom_metadata=dict(facts.metadata),
        app_transactions=[Transaction(name, version) for name, version in facts.transactions],
    )


def configuration(declaration: str) -> dict[str, str]:
    """Properties of a new table.

    Reading goes through the files' own statistics; those in the log cost every commit and show values of the
    data, so only times are kept there.
    """
    said = TableDeclaration.from_json(declaration)
    times = [c for c in (said.event_time, said.known_at) if c is not None and c.isidentifier()]
    skipping = (
        {"delta.dataSkippingStatsColumns": ",".join(dict.fromkeys(times))}
        if times
        else {"delta.dataSkippingNumIndexedCols": "0"}
    )
    return {**KEEP_LOG, "delta.checkpointInterval": str(CHECKPOINT_INTERVAL), **skipping}


def arrow_schema(opened: DeltaTable) -> pa.Schema:
    """The columns of a table."""
    return normalise_schema(pa.schema(opened.schema().to_arrow()))


def log_entry(log: Path, version: int) -> LogEntry | None:
    """One commit of the log; None when it is no longer there."""
    path = log / f"{version:020}.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    # Any: the log's own JSON
    said: dict[str, Any] = {}
    for line in text.splitlines():
        if '"commitInfo"' in line:
            said = json.loads(line).get("commitInfo", said)
    # the protocol does not demand that a commit says what it was
    operation = str(said.get("operation", "UNKNOWN"))
    at_s = said["timestamp"] / 1000 if "timestamp" in said else path.stat().st_mtime
    return LogEntry(
        version=version,
        at=datetime.fromtimestamp(at_s, UTC),
        operation=operation,
        changes_rows=operation not in _NO_ROWS_CHANGED,
        metadata={k: str(v) for k, v in said.items() if k.startswith("whence.")},
    )


def added_files(log: Path, version: int) -> list[str] | None:
    """The files that came with the rows of one commit, as they are called in the table's folder.

    Returns:
        None when the commit is no longer in the log.
    """
    path = log / f"{version:020}.json"
    if not path.exists():
        return None
    actions = [json.loads(line) for line in path.read_text().splitlines() if '"add"' in line]
    # the log writes names of files as in a URL
    return [unquote(a["add"]["path"]) for a in actions if "add" in a and a["add"]["dataChange"]]


def needing(log: Path, newest: int, gone: frozenset[str]) -> list[int]:
    """The versions that need one of these files; what the log no longer tells is left out.

    Args:
        log: The log folder.
        newest: The last version to look at.
        gone: Files, as they are called in the table's folder.
    """
    live: set[str] = set()
    found = []
    for version in range(newest + 1):
        path = log / f"{version:020}.json"
        for line in path.read_text().splitlines() if path.exists() else ():
            action = json.loads(line)
            # the log writes names of files as in a URL
            if "add" in action:
                live.add(unquote(action["add"]["path"]))
            elif "remove" in action:
                live.discard(unquote(action["remove"]["path"]))
        if live & gone:
            found.append(version)
    return found
