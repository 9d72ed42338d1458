"""What `whence doctor` looks at: is everything there, does everything answer, and what to do if not.

Nothing is changed: a workspace that does not exist is not made, databases are opened to look, locks are not taken,
nothing is repaired.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from whence._version import __version__
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.config import SETTINGS, Config, load_config
from whence.database import Database, refuse_lost, sqlite_path
from whence.errors import WhenceError
from whence.metadata import MetadataStore, open_store
from whence.metadata.beats import BEAT_S, LATE_BEATS
from whence.serving.requestlog import parse_segment

Status: TypeAlias = Literal["ok", "warn", "fail"]

LOW_DISK_BYTES: Final = 1 << 30
SETTLED_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What it is.
        status: `ok`, `warn` (works, but know this) or `fail` (does not work).
        found: What was found.
        remedy: What to do; empty when nothing is to be done.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(target: str | Path | Config | None = None, *, read_only: bool = False) -> list[Check]:
    """Look at the machine, the packages and, when there is one, the workspace.

    Args:
        target: As `whence.connect` takes it.
        read_only: The workspace is there to be looked at: that it cannot be written is nothing to repair.
    """
    checks = [*_machine(), *_packages(), *_extras()]
    try:
        config = load_config(target)
    except WhenceError as error:
        status: Status = "warn" if error.code == "no-workspace" else "fail"
        return [*checks, Check("workspace", status, error.message, error.hint or "")]
    return [*checks, *_workspace(config, read_only=read_only)]


def _machine() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield Check("whence", "ok", __version__)
    try:
        ZoneInfo("America/New_York")
        yield Check("time zones", "ok", "the zone database answers")
    except ZoneInfoNotFoundError:
        yield Check("time zones", "fail", "no zone database", "pip install tzdata")
    if shutil.which("git"):
        yield Check("git", "ok", "the state of the code is recorded with each execution")
    else:
        yield Check("git", "warn", "not found: executions are recorded without a commit", "install git")


_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?P<bounds>[^;]*)(;.*extra\s*==\s*['\"](?P<extra>[^'\"]+))?"
)


def _requirements() -> Iterator[tuple[str, str, str | None]]:
    """Name, bounds and extra of each declared dependency."""
    for text in importlib.metadata.requires("whence") or []:
        match = _REQUIREMENT.match(text)
        if match:
            yield match["name"], match["bounds"].strip(), match["extra"]


def _packages() -> Iterator[Check]:
    for name, bounds, extra in _requirements():
        if extra is None:
            yield _package(name, bounds)


def _package(name: str, bounds: str) -> Check:
    try:
        have = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "fail", "not installed", f"pip install '{name}{bounds}'")
    least = re.search(r">=\s*([0-9.]+)", bounds)
    if least and _numbers(have) < _numbers(least[1]):
        return Check(name, "fail", f"{have} is older than {least[1]}", f"pip install '{name}{bounds}'")
    return Check(name, "ok", have)


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9.]*", version)
    return tuple(int(n) for n in re.findall(r"\d+", release[0] if release else ""))


def _extras() -> Iterator[Check]:
    for extra in sorted({e for *_, e in _requirements() if e}):
        names = [n for n, _, e in _requirements() if e == extra]
        missing = [n for n in names if not _installed(n)]
        if missing:
            found = f"not installed: {', '.join(missing)}"
            yield Check(f"extra {extra}", "ok", found, f"pip install 'whence[{extra}]' if you want it")
        else:
            yield Check(f"extra {extra}", "ok", "installed")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _workspace(config: Config, *, read_only: bool) -> Iterator[Check]:
    unread = [s.name for s in SETTINGS if not s.read and config.source(s.name) != "default"]
    if unread:
        yield Check(
            "settings", "warn", f"set, but not read by this version: {', '.join(unread)}", "remove them"
        )
    else:
        yield Check("settings", "ok", config.address)
    if not config.root.is_dir():
        yield Check("workspace", "warn", f"{config.root} does not exist", "whence init makes it")
        return
    yield from _disk(config.root, read_only=read_only)
    yield from _locks(config.root)
    yield from _requests(config.root / "requests")
    for name, look in (("metadata", _metadata), ("lake", _lake), ("blobs", _blobs), ("compute", _compute)):
        yield _answered(name, config, look)
    yield from _graph(config)


def _answered(name: str, config: Config, look: Callable[[Config], str]) -> Check:
    try:
        return Check(name, "ok", look(config))
    except WhenceError as error:
        return Check(name, "fail", error.message, error.hint or f"see docs/errors.md, {error.code}")


def _is_absent(url: str) -> bool:
    """Whether a graph in a file has no file yet."""
    file = sqlite_path(url)
    return file is not None and not file.exists()


def _graph(config: Config) -> Iterator[Check]:
    """What is marked bad, and which processes run executions where lives are beats."""
    url = config.text("metadata.url")
    if url.startswith("memory:") or _is_absent(url):
        return
    try:
        database = _to_look(config)
    except WhenceError:
        return  # told above
    try:
        if database.version("metadata"):  # opening an empty one would make its tables
            store = open_store(url, database=database)
            yield _marks(store)
            if not url.startswith("sqlite:"):
                yield _beats(store)
    except WhenceError as error:
        yield Check("graph", "fail", error.message, error.hint or f"see docs/errors.md, {error.code}")
    finally:
        database.close()


def _marks(store: MetadataStore) -> Check:
    policies = Counter(mark.policy for mark in store.list_marks(live=True))
    if not policies:
        return Check("marks", "ok", "nothing is marked bad")
    told = ", ".join(f"{n} {policy}" for policy, n in sorted(policies.items()))
    return Check("marks", "warn", f"in force: {told}", "whence mark tainted shows what they reach")


def _beats(store: MetadataStore) -> Check:
    now, oldest = store.now(), timedelta(seconds=BEAT_S * LATE_BEATS)
    beats = [b.beat_at for b in store.list_beats() if b.beat_at is not None]
    late = sum(now - at > oldest for at in beats)
    found = f"{len(beats) - late} processes run executions"
    if late:
        return Check(
            "beats", "warn", f"{found}, {late} have stopped", "opening the workspace repairs their work"
        )
    return Check("beats", "ok", found)


def _metadata(config: Config) -> str:
    url = config.text("metadata.url")
    refuse_lost(url, Path(config.text("lake.url").removeprefix("file:")))
    if _is_absent(url):
        return f"{config.shown('metadata.url')}: nothing there yet"
    database = _to_look(config)
    try:
        return f"{config.shown('metadata.url')}, tables at version {database.version('metadata')}"
    finally:
        database.close()


def _to_look(config: Config) -> Database:
    synchronous = config.text("metadata.synchronous")
    return Database.from_url(config.text("metadata.url"), synchronous=synchronous, read_only=True)


def _lake(config: Config) -> str:
    folder = Path(config.text("lake.url").removeprefix("file:"))
    if not folder.is_dir():
        return f"{config.shown('lake.url')}: nothing there yet"
    n = sum(1 for _ in folder.rglob("_delta_log"))
    return f"{config.shown('lake.url')}, {n} tables"


def _blobs(config: Config) -> str:
    folder = Path(config.text("blobs.url").removeprefix("file:"))
    if not folder.is_dir():
        return f"{config.shown('blobs.url')}: nothing there yet"
    n = sum(1 for _ in open_blobs(config.text("blobs.url")).list())
    return f"{config.shown('blobs.url')}, {n} blobs"


def _compute(config: Config) -> str:
    engine = open_engine(
        config.text("compute.url"),
        threads=config.number("compute.threads"),
        memory_limit=None
        if config.value("compute.memory_limit") is None
        else config.text("compute.memory_limit"),
    )
    try:
        answer = engine.query("SELECT 1 + 1 AS two", {}).column("two")[0].as_py()
        return f"{engine.name} says 1 + 1 = {answer}"
    finally:
        engine.close()


def _disk(root: Path, *, read_only: bool) -> Iterator[Check]:
    if read_only and not os.access(root, os.W_OK):
        yield Check("disk", "ok", f"{root} cannot be written, and is opened to look")
        return
    if not os.access(root, os.W_OK):
        yield Check("disk", "fail", f"{root} cannot be written", f"chmod u+w {root}")
        return
    free = shutil.disk_usage(root).free
    status: Status = "ok" if free >= LOW_DISK_BYTES else "warn"
    yield Check(
        "disk", status, f"{free / 2**30:.1f} GiB free", "" if status == "ok" else "make room before long work"
    )


def _locks(root: Path) -> Iterator[Check]:
    lives = [p for p in root.rglob("*.life") if _is_settled(p)]
    gone = sum(1 for p in lives if not _is_held(p))
    found = f"{len(lives) - gone} processes use the workspace"
    if gone:
        yield Check(
            "processes", "warn", f"{found}, {gone} ended without closing it", "opening it repairs their work"
        )
    else:
        yield Check("processes", "ok", found)


def _requests(root: Path) -> Iterator[Check]:
    """The answers that are logged and not in a table yet: of each segment the sums are compared."""
    segments = sorted(root.glob("*/*/*.log"))
    if not segments:
        return
    n, damaged = 0, []
    for path in segments:
        try:
            n += len(parse_segment(path.read_bytes(), name=str(path.relative_to(root))).records)
        except FileNotFoundError:  # committed and removed meanwhile
            continue
        except (WhenceError, OSError) as error:
            damaged.append(f"{path.relative_to(root)}: {error}")
    if damaged:
        remedy = "restore the file from a copy; without one, ws.serving.settle_requests(…, salvage=True)"
        yield Check("requests", "fail", "; ".join(damaged), remedy)
    else:
        found = f"{len(segments)} segments with {n} answered requests are not in their tables yet"
        yield Check("requests", "ok", found)


def _is_settled(path: Path) -> bool:
    """Whether the file is old enough that its process has locked it: we must not be in its way."""
    try:
        return time.time() - path.stat().st_mtime > SETTLED_S
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    """Whether a process holds a life file. A shared lock, tried and given back, stands in nobody's way."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
