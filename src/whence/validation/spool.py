"""Rows that come once, kept in a temporary file so that they can be read again without being held."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from whence.compute import Streamed
from whence.errors import BackendError


def spooled(rows: pa.RecordBatchReader) -> Streamed:
    """The rows of a reader, to be read as often as wanted and always in the same order.

    They are written to a compressed file in the temporary folder, which goes with the object given back.

    Raises:
        BackendError: The file cannot be written (``spool-failed``).

    Example:
        >>> kept = spooled(pa.table({"a": [1, 2]}).to_reader())
        >>> [kept.reader().read_all().num_rows for _ in range(2)]
        [2, 2]
    """
    return Streamed(rows.schema, _Spool(rows).batches)


class _Spool:
    def __init__(self, rows: pa.RecordBatchReader) -> None:
        handle, name = tempfile.mkstemp(prefix=f"whence-rows-{os.getpid()}-", suffix=".arrow")
        os.close(handle)
        self._path = Path(name)
        weakref.finalize(self, self._path.unlink, missing_ok=True)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
            for batch in rows:
                _write(writer, batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._path)) as source:
            yield from pa.ipc.open_stream(source)


def _write(writer: pa.ipc.RecordBatchStreamWriter, batch: pa.RecordBatch) -> None:
    try:
        writer.write_batch(batch)
    except OSError as error:
        raise BackendError(
            f"rows cannot be kept in {tempfile.gettempdir()}: {error}",
            code="spool-failed",
            hint="make room there, or name another folder in TMPDIR",
        ) from error
