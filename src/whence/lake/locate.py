"""A URL finds a lake."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from whence._base.clock import Clock, WallClock
from whence.compute import Engine, open_engine
from whence.errors import UnsupportedError, UsageError
from whence.lake.backends.delta import DeltaBackend
from whence.lake.backends.memory import MemoryBackend
from whence.lake.base import LakeBackend
from whence.lake.lake import Lake
from whence.metadata import Recorder


def open_lake(
    url: str | Path,
    *,
    recorder: Recorder,
    engine: Engine | None = None,
    clock: Clock | None = None,
    locks: Path | None = None,
) -> Lake:
    """The lake a URL names.

    Args:
        url: ``file:///folder`` or a path: Delta tables in that folder. ``memory://``: in this process.
        recorder: Where what happens is recorded.
        engine: What runs SQL; the default is DuckDB in this process.
        clock: What time commits carry; the default is the machine's.
        locks: A folder for the locks of processes that share the lake.

    Raises:
        UsageError: The URL names no lake (``bad-url``).
        UnsupportedError: The store is known and not part of this installation (``lake-s3``, …).

    Example:
        >>> from whence.metadata import Recorder, open_store
        >>> open_lake("memory://", recorder=Recorder(open_store("memory://"))).list()
        []
    """
    return Lake(
        open_backend(url),
        recorder,
        engine or open_engine(),
        clock=clock or WallClock(),
        locks=locks,
        owns_engine=engine is None,
    )


def open_backend(url: str | Path) -> LakeBackend:
    """The backend a URL names; raises as `open_lake`."""
    if isinstance(url, Path) or "://" not in url:
        text = str(url)
        path = unquote(text.removeprefix("file:")) if text.startswith("file:") else text
        return DeltaBackend(Path(path).absolute())
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryBackend()
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{url!r} names another host", code="bad-url", hint="write file:///folder")
        return DeltaBackend(Path(unquote(parts.path)))
    if parts.scheme in ("s3", "s3a", "gs", "az", "abfs", "abfss", "spark"):
        raise UnsupportedError(
            f"a lake at {parts.scheme}:// is not part of this installation",
            code=f"lake-{parts.scheme}",
            hint="use a folder",
        )
    raise UsageError(
        f"{url!r} names no lake", code="bad-url", hint="write a folder, file:///folder or memory://"
    )
