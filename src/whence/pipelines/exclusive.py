"""One at a time: a run of a pipeline, or the schedule of one, in this process and between processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from whence._base.digest import sha256_bytes
from whence._base.locks import file_lock
from whence.errors import ConflictError
from whence.pipelines.base import Rooms

_here: Final[set[str]] = set()
_here_lock = threading.Lock()


@contextmanager
def exclusive(rooms: Rooms, pipeline: str, key: str, busy: ConflictError) -> Iterator[None]:
    """Hold what `pipeline` and `key` name for the block; no other thread or process of the folder has it.

    The operating system gives it back when the process ends, however it ends.

    Raises:
        ConflictError: `busy`, when somebody has it.
    """
    folder = rooms.folder
    name = f"{id(rooms.recorder.store) if folder is None else folder}\n{pipeline}\n{key}"
    with _here_lock:
        if name in _here:
            raise busy
        _here.add(name)
    try:
        with ExitStack() as stack:
            if folder is not None:
                try:
                    stack.enter_context(
                        file_lock(lock_file(folder, pipeline, key), what=f"pipeline {pipeline!r}")
                    )
                except ConflictError as error:
                    raise busy from error
            yield
    finally:
        with _here_lock:
            _here.discard(name)


def lock_file(folder: Path, pipeline: str, key: str) -> Path:
    """The file whose lock stands for `pipeline` and `key` in a workspace folder."""
    digest = sha256_bytes(f"{pipeline}/{key}".encode())[7:39]
    return folder / "locks" / f"run-{digest}.lock"
