"""A file into a table: one commit, once, whatever its format; errors name the file and the line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from whence._base.arrow import TS
from whence.errors import DataRejectedError, NotFoundError
from whence.lake.aside import OnError, append_sifted, sets_aside
from whence.lake.commit import find_duplicate, run
from whence.lake.core import Core
from whence.lake.operations import REJECTED_SHOWN, Append, declaration_of
from whence.lake.sift import Sifted, new_schema, sift
from whence.lake.sources import Batch, read_batch
from whence.lake.types import Commit

_PIECE_BYTES: Final = 1 << 20


def ingest_file(
    core: Core,
    table: str,
    path: Path,
    *,
    format: str | None = None,  # noqa: A002  # the word of the command line
    on_error: OnError = "reject",
    evolve: bool = False,
    watermark: datetime | None = None,
    transaction: tuple[str, int] | None = None,
) -> Commit:
    """Append the rows of a file; see `Table.ingest`."""
    aside = sets_aside(on_error)
    if not path.is_file():
        raise NotFoundError("file", path)
    transaction = transaction if transaction is not None else file_transaction(path)
    base = core.find(table)
    if base is not None and core.recorder.current() is None:
        done = find_duplicate(core, base, transaction)
        if done is not None:
            return done
    data = read_batch(path, None if base is None else base.schema, format)
    if aside:
        return append_sifted(core, table, data, evolve=evolve, watermark=watermark, transaction=transaction)
    check = None
    filled: Mapping[str, int] = {}
    if isinstance(data, Batch):
        check = core.row_check(table)
        want = None if base is None else base.schema
        sifted = sift(data, want, declaration=declaration_of(base), check=check, evolve=evolve)
        _refuse(table, path, data, sifted)
        data, filled = sifted.good, sifted.filled
    operation = Append(core, table, data, evolve=evolve, watermark=watermark, sifted_by=check, filled=filled)
    return run(core, operation, transaction=transaction)


def file_transaction(path: Path) -> tuple[str, int]:
    """The app transaction of a file: made from its bytes, so that the same bytes enter once."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            sha.update(piece)
    return f"file:{sha.hexdigest()[:32]}", 1


def file_schema(path: Path, *, format: str | None = None, times: Sequence[str] = ()) -> pa.Schema:  # noqa: A002
    """The columns a table made from a file has.

    Args:
        path: The file.
        format: Its format; None tells it by the name.
        times: Columns of moments, whatever the file spells them as.
    """
    schema = new_schema(read_batch(path, None, format), times)
    for name in times:
        at = schema.get_field_index(name)
        if at >= 0:
            schema = schema.set(at, pa.field(name, TS))
    return schema


def _refuse(table: str, path: Path, batch: Batch, sifted: Sifted) -> None:
    """Raise if a row of a file may not enter; the first few are named with their lines."""
    if not sifted.bad:
        return
    n_rows = batch.n_rows + len(batch.broken)
    shown = [
        {"file": path.name, "line": r.position, "reason": "; ".join(r.reasons)}
        for r in sifted.bad[:REJECTED_SHOWN]
    ]
    first = shown[0]
    raise DataRejectedError(
        f"{len(sifted.bad)} of {n_rows} rows may not enter table {table!r}; "
        f"{first['file']}:{first['line']}: {first['reason']}",
        code="rows-rejected",
        hint="correct these lines, or set such rows aside with on_error='quarantine'; nothing was written",
        details={"table": table, "n_rejected": len(sifted.bad), "anomalies": shown},
    )
