"""The file of a SQLite database: how it comes to be, and how it is opened to look."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from whence._base.crash import crash_point, register
from whence._base.locks import file_lock
from whence.errors import BackendError, IntegrityError

BEGUN: Final = register("database.file.begun", "the other name of a new database is there, its lock is not")
TAKEN: Final = register("database.file.taken", "the lock of a new database is there, the database is not")
MADE: Final = register(
    "database.file.made", "a new database is whole under another name, not yet under its own"
)

MAGIC: Final = b"SQLite format 3\0"
"""What every database begins with."""
BESIDE: Final = ("-wal", "-shm", "-journal", ".lock", ".new")


def make_file(path: Path, *, rollback: bool, timeout_s: float) -> None:
    """Make the database at `path` when there is none; a file that was one and has lost everything is refused.

    It is made under another name and then given its own, so a file of no bytes is never a beginning of ours. The
    other name is there before the lock: a lock without either says that there was a database.

    Raises:
        IntegrityError: It was cut to nothing (``store-corrupt``).
        BackendError: The folder may not be written (``store-unavailable``).
    """
    if _size(path) > 0 or not path.parent.is_dir():  # of an absent folder SQLite says so itself
        return
    # Looked for before the lock is made: it is what a beginning leaves beside the file.
    begun = lock_of(path).exists()
    new, place = _unfinished(path), Path(os.path.realpath(path))
    with _unwritable(path):
        if not begun:
            with suppress(OSError):  # the lock says better what is wrong
                new.touch(mode=0o644)
            crash_point(BEGUN)
        with file_lock(lock_of(path), what=f"opening {path.name}", timeout_s=timeout_s):
            _make(path, place, new, begun=begun, rollback=rollback)


def _make(path: Path, place: Path, new: Path, *, begun: bool, rollback: bool) -> None:
    """Make it, under its lock."""
    if _size(path) > 0:  # somebody else was faster
        new.unlink(missing_ok=True)
        return
    _refuse_cut(path, begun=begun)
    crash_point(TAKEN)
    for left in (_journal_of(new), _log_of(new), _journal_of(place)):  # by a process that died
        left.unlink(missing_ok=True)
    new.write_bytes(b"")  # emptied, not removed: it says that the database is being made
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        if not rollback:
            _set_log(connection, path)
        for statement in ("BEGIN IMMEDIATE", "PRAGMA user_version=0", "COMMIT"):  # writes the first page
            connection.execute(statement)
    crash_point(MADE)
    new.replace(place)


def use_log(connection: sqlite3.Connection, path: Path, timeout_s: float) -> None:
    """Write-ahead mode is kept in the file, so only the first opener sets it, alone."""
    if _mode(connection, "PRAGMA journal_mode") == "wal":
        return
    with _unwritable(path), file_lock(lock_of(path), what=f"opening {path.name}", timeout_s=timeout_s):
        _set_log(connection, path)


def open_to_look(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that cannot write.

    Beside a writer it reads what that one has committed. Where nothing may be written and nobody has the
    database open, there is no shared memory to be had: then the file alone is read, as one that does not
    change; with a log of commits beside it, it is refused.

    Raises:
        IntegrityError: It was cut to nothing (``store-corrupt``).
        BackendError: There is no such file, or a log that cannot be read here (``store-unavailable``).
    """
    if not path.is_file():
        raise BackendError(
            f"there is no database {str(path)!r} to look at",
            code="store-unavailable",
            hint="open it once for writing, or name another",
        )
    if _size(path) == 0:
        _refuse_cut(path, begun=lock_of(path).exists())
    address = path.absolute().as_uri()
    try:
        return _looking(f"{address}?mode=ro", timeout_s)
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        if _size(_log_of(path)) or _size(_journal_of(path)):
            raise BackendError(
                f"{path.name} has a log beside it that its last writer left, and it cannot be read where nothing may "
                "be written",
                code="store-unavailable",
                hint="open it once where it may be written, or copy the folder to such a place",
            ) from error
    return _looking(f"{address}?mode=ro&immutable=1", timeout_s)


def refuse_lost(path: Path, made_after: Path) -> None:
    """Refuse a database that is empty, or gone, while there is what was made after it.

    One that is gone has left its lock, so a folder that was copied without a database is begun anew; and where
    somebody died who made it, its other name is there.

    Args:
        path: The file of the database.
        made_after: A folder in which nothing is made before the database is there.

    Raises:
        IntegrityError: ``store-corrupt``.
    """
    how = _lost(path)
    if (
        how is None or not _holds_any(made_after) or _lost(path) is None
    ):  # by now: it has just been made, and then the rest
        return
    left = [file.name for file in (path, lock_of(path)) if file.exists()]
    raise IntegrityError(
        f"the database {str(path)!r} has lost all it held: the file is {how}, and there are tables of its workspace",
        code="store-corrupt",
        hint=f"restore a copy; or remove {' and '.join(left)}, to begin anew without what was known",
        details={"file": str(path)},
    )


def belongs(path: Path) -> bool:
    """Whether a file is a SQLite database, or one that SQLite or whence keeps beside a database."""
    base = next(
        (path.with_name(path.name.removesuffix(end)) for end in BESIDE if path.name.endswith(end)), path
    )
    for file in {path, base}:
        try:
            with file.open("rb") as opened:
                if opened.read(len(MAGIC)) == MAGIC:
                    return True
        except OSError:
            continue
    return False


def _lost(path: Path) -> Literal["empty", "gone"] | None:
    if path.exists():
        return "empty" if path.is_file() and _size(path) == 0 else None
    return "gone" if lock_of(path).exists() and not _unfinished(path).exists() else None


def _holds_any(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False


def _unfinished(path: Path) -> Path:
    """The name under which a database is made."""
    place = Path(os.path.realpath(path))
    return place.with_name(place.name + ".new")


def lock_of(path: Path) -> Path:
    """The lock of whoever makes the file; once made it stays."""
    return path.with_name(path.name + ".lock")


def _looking(address: str, timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_cut(path: Path, *, begun: bool) -> None:
    """Refuse a file of no bytes that was a database: it has a log, or the lock of who made it."""
    log = _log_of(path)
    left = [file.name for file in (path, log) if file.exists()]
    if _size(log) or (begun and path.exists()):
        raise IntegrityError(
            f"the database {str(path)!r} has lost all it held: the file is {'empty' if path.exists() else 'gone'}",
            code="store-corrupt",
            hint=f"restore a copy; or remove {' and '.join(left)}, to begin anew without what was known",
            details={"file": str(path)},
        )


def _set_log(connection: sqlite3.Connection, path: Path) -> None:
    if _mode(connection, "PRAGMA journal_mode=WAL") != "wal":
        raise BackendError(
            f"the file system of {path.name} cannot hold a write-ahead log",
            code="store-unavailable",
            hint="put the workspace on a local disk",
        )


@contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"{path.name} cannot be made: {error.strerror}",
            code="store-unavailable",
            hint="check that the folder may be written",
        ) from error


def _mode(connection: sqlite3.Connection, pragma: str) -> str:
    return str(connection.execute(pragma).fetchone()[0]).lower()


def _journal_of(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


__all__ = [
    "BEGUN",
    "MADE",
    "TAKEN",
    "belongs",
    "lock_of",
    "make_file",
    "open_to_look",
    "refuse_lost",
    "use_log",
]
