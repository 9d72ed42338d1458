"""Programs that tests run in processes of their own: to be killed, or to write at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from whence._base.locks import Life
from whence.database import sqlite_url
from whence.errors import ConflictError
from whence.metadata import Artifact, Execution, Recorder, Type, open_store

TABLE = Type("artifact", "Table", {"n_rows": "INT"})


def start(folder: Path, *arguments: str, crash_at: str | None = None) -> subprocess.Popen[str]:
    """Run this file in another process; it waits for a line on its standard input."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    environment.pop("WHENCE_CRASH_AT", None)
    if crash_at is not None:
        environment["WHENCE_CRASH_AT"] = crash_at
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(child: subprocess.Popen[str], *, code: int = 0) -> list[str]:
    """Let it go, wait for its end, and give what it printed."""
    out, err = child.communicate("go\n", timeout=120)
    assert child.returncode == code, err
    return out.split()


def open_recorder(folder: Path) -> Recorder:
    """A recorder on the folder's graph, with a life of its own and a probe that looks for files."""
    recorder = Recorder(
        open_store(sqlite_url(folder / "whence.db")),
        life=Life(folder / "lives"),
        environment=lambda: {"python": "3"},
    )
    recorder.store.put_type(TABLE, extend=True)

    def probe(_: Execution, pending: Artifact) -> Artifact | None:
        file = folder / str(pending.custom["file"])
        return (
            Artifact(type="Table", name=f"{file.name}@1", properties={"n_rows": 1}) if file.exists() else None
        )

    recorder.add_probe("Table", probe)
    return recorder


def write_file(recorder: Recorder, folder: Path, key: str, *, n_files: int = 1) -> str:
    """One execution that writes files: the lake's part is played by a folder."""
    files = [f"{key}-{i}" for i in range(n_files)]
    expects = [Artifact(type="Table", custom={"file": file}) for file in files]
    with recorder.execution("append", key=key, expects=expects) as recording:
        for file, expected in zip(files, expects, strict=True):
            (folder / file).write_text(recording.uid)
            recording.output(
                Artifact(type="Table", name=f"{file}@1", properties={"n_rows": 1}), replaces=expected
            )
    return recording.uid


def main(folder: Path, task: str, *rest: str) -> None:
    if task == "open":
        sys.stdin.readline()
        recorder = open_recorder(folder)
        print(len(recorder.store.list_types()))
        return
    recorder = open_recorder(folder)
    sys.stdin.readline()
    if task == "one":
        print(write_file(recorder, folder, rest[0], n_files=int(rest[1])))
    elif task == "recover":
        print(recorder.recover().n)
    elif task == "many":
        for i in range(int(rest[1])):
            print(write_file(recorder, folder, f"{rest[0]}-{i}"), flush=True)
    elif task == "contest":
        try:
            with recorder.execution("score", key="k"):
                (folder / f"ran-{os.getpid()}").touch()
                print("ran", flush=True)
                sys.stdin.readline()
        except ConflictError as error:
            print(error.code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
