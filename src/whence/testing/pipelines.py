"""The rooms of a workspace put together by hand, for tests of pipelines and serving without the workspace.

``python -m whence.testing.pipelines JOB`` is the other process of `reproduce` for such rooms.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from whence._base.clock import Clock, WallClock
from whence._base.locks import Life
from whence.blobs import BlobStore, open_blobs
from whence.compute import Engine, open_engine
from whence.database import Database, sqlite_url
from whence.features import Features, open_online
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store
from whence.pipelines import Pipelines, child
from whence.registry import Models
from whence.serving import Scoring
from whence.tracking import Runs, open_metrics


class HandBuiltRooms:
    """All rooms up to pipelines, in a folder or in memory.

    Args:
        folder: Where everything is kept; None is memory.
        clock: What time it is.
        threads: How many the engine uses.
    """

    def __init__(self, folder: Path | None = None, *, clock: Clock | None = None, threads: int = 1) -> None:
        self.folder = folder
        self.notes: list[str] = []
        """What the steps of a test leave behind."""
        self.clock = clock or WallClock()
        self.engine: Engine = open_engine(threads=threads)
        self.blobs: BlobStore = open_blobs("memory://" if folder is None else folder / "blobs")
        self._database: Database | None = None
        if folder is None:
            self.recorder = Recorder(open_store("memory://"), blobs=self.blobs)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            url = sqlite_url(folder / "whence.db")
            self._database = Database.from_url(url)
            self._life = Life(folder / "locks")
            store = open_store(url, database=self._database)
            self.recorder = Recorder(store, life=self._life, blobs=self.blobs)
        self.lake: Lake = open_lake(
            "memory://" if folder is None else folder / "lake",
            recorder=self.recorder,
            engine=self.engine,
            clock=self.clock,
            locks=None if folder is None else folder / "locks",
        )
        online = "memory://" if folder is None else sqlite_url(folder / "online.db")
        self.features = Features(
            self.recorder,
            self.lake,
            self.engine,
            self.blobs,
            online=lambda: open_online(online),
            clock=self.clock,
        )
        self.runs = Runs(self.recorder, open_metrics(self._database), self.blobs)
        self.models = Models(self.recorder, self.blobs, clock=self.clock)

    @cached_property
    def serving(self) -> Scoring:
        """Models answering."""
        return Scoring(self.recorder, self.lake, self.features, self.models, clock=self.clock)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Pipelines, with a child process that opens the same folder."""
        address = None if self.folder is None else str(self.folder)
        return Pipelines(
            self, address=address, child_command=(sys.executable, "-m", "whence.testing.pipelines")
        )

    def close(self) -> None:
        """Give back connections and this life."""
        self.engine.close()
        if self._database is not None:
            self._database.close()
            self._life.close()


def run_elsewhere(
    function: str, *arguments: str, paths: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> int:
    """Run ``module:function`` with text arguments in another process and give its exit code; -9 when it was killed.

    The process is forked from the fork server of ``multiprocessing``: where that was told to import the rooms
    (``multiprocessing.set_forkserver_preload``), it starts in milliseconds.
    """
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_call, args=(function, arguments, list(paths), dict(environment or {})))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _call(
    function: str, arguments: Sequence[str], paths: Sequence[str], environment: Mapping[str, str]
) -> None:
    sys.path[:0] = paths
    os.environ.update(environment)
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(*arguments)


def do_job(job: str) -> None:
    """Do the job of a file, for rooms built by hand in a folder."""
    child.main(Path(job), lambda address: HandBuiltRooms(Path(address)))


def main() -> int:
    """Do the job whose path is the only argument."""
    return child.main(Path(sys.argv[1]), lambda address: HandBuiltRooms(Path(address)))


if __name__ == "__main__":
    sys.exit(main())
