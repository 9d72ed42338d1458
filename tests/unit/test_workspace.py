"""The words of a workspace that reach no room yet say so; the others reach the right one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import whence


def test_the_quarantine_says_that_it_is_not_there_yet(workspace: whence.Workspace) -> None:
    with pytest.raises(whence.UnsupportedError, match="'flights' has no quarantine yet") as caught:
        workspace.quarantine("flights")
    assert (caught.value.code, caught.value.exit_code) == ("no-quarantine", 2)


def test_a_table_answers_for_its_newest_version(workspace: whence.Workspace) -> None:
    flights = workspace.table("flights")
    flights.append([{"flight": 1}])
    first = flights.digest()
    flights.append([{"flight": 2}])
    assert flights.digest() == flights.head().digest() == flights.at(1).digest()
    assert first == flights.at(0).digest() != flights.digest()


def test_the_digest_of_a_table_that_is_not_there(workspace: whence.Workspace) -> None:
    with pytest.raises(whence.NotFoundError, match="table 'flights' not found"):
        workspace.table("flights").digest()


@pytest.mark.parametrize(
    "names",
    [
        ("locks/settle.lock",),
        ("locks/1.life", "whence.db.lock"),
        ("locks/1.life", "whence.db", "blobs/x"),
    ],
)
def test_a_folder_that_another_process_is_making_a_workspace(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with whence.connect(tmp_path) as ws:
        assert ws.lake.list() == []


@pytest.mark.parametrize("name", ["notes.txt", "locks/notes.txt", "locks"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(whence.UsageError, match="not empty") as caught:
        whence.connect(tmp_path)
    assert caught.value.code == "not-a-workspace"


def test_a_full_disk_on_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(whence.BackendError, match="No space left") as caught:
        whence.connect(tmp_path)
    assert (caught.value.code, caught.value.retryable) == ("store-full", True)
    assert not list(tmp_path.rglob("*.life"))
