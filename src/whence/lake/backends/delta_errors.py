"""What delta-rs raises, as errors of whence. It has few types, so its texts are read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
    WhenceError,
)


@contextmanager
def as_whence_errors(table: str) -> Iterator[None]:
    """Within the block, what delta-rs and the file system raise about `table` becomes an error of whence."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise _translated(table, error) from error
    except ValueError as error:  # delta-rs reports unreadable JSON and bad arguments this way
        raise BackendError(f"delta-rs refuses table {table!r}: {error}", code="lake-failed") from error


def _translated(table: str, error: DeltaError | OSError) -> WhenceError:
    text = " ".join(str(error).split())
    lowered = text.lower()
    if (
        getattr(error, "errno", None) == errno.ENOSPC
        or "no space left" in lowered
        or "os error 28" in lowered
    ):
        return BackendError(
            f"no space is left for table {table!r}; nothing was committed",
            code="store-full",
            retryable=True,
            hint="free some space, then retry",
        )
    if isinstance(error, CommitFailedError):
        return ConflictError(f"another writer changed table {table!r}: {text}", code="commit-conflict")
    if isinstance(error, TableNotFoundError):
        return NotFoundError("table", table)
    if "no field named" in lowered or ("sql" in lowered and "parser" in lowered):
        return UsageError(f"the condition does not fit table {table!r}: {text}", code="bad-sql")
    if "parquet error" in lowered and any(
        s in lowered for s in ("corrupt", "footer", "magic", "eof", "invalid")
    ):
        return IntegrityError(f"a file of table {table!r} cannot be read: {text}", code="file-corrupted")
    if "json" in lowered and isinstance(error, DeltaError):
        return IntegrityError(f"the log of table {table!r} cannot be read: {text}", code="log-corrupted")
    return BackendError(f"delta-rs failed on table {table!r}: {text}", code="lake-failed")
