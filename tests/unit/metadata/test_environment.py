"""What a process says of itself."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from whence.metadata import ProcessLife, read_environment, read_git
from whence.metadata.lifecycle import _started


@pytest.fixture(autouse=True)
def _forget() -> None:
    read_git.cache_clear()


def test_the_environment_names_what_sums_depend_on() -> None:
    facts = read_environment()
    assert (facts["python"], facts["machine"]) == (platform.python_version(), platform.machine())
    packages = facts["packages"]
    assert isinstance(packages, dict)
    assert packages["sqlalchemy"] == version("sqlalchemy")
    assert list(packages) == sorted(packages)
    assert read_environment() is facts, "read once"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_git() is None
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    read_git.cache_clear()
    assert read_git() == {"commit": commit, "branch": "main", "dirty": False}
    (tmp_path / "a.py").write_text("2")
    assert read_git() == {"commit": commit, "branch": "main", "dirty": False}, "read once"
    read_git.cache_clear()
    assert read_git() == {"commit": commit, "branch": "main", "dirty": True}


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert read_git() is None


def test_a_git_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(shutil, "which", lambda _: "git")
    monkeypatch.setattr(subprocess, "run", hang)
    assert read_git() is None


def test_a_life_without_a_file() -> None:
    life, other = ProcessLife(), ProcessLife()
    assert life.is_alive(life.uid)
    assert life.is_alive(other.uid)
    other.close()
    assert not life.is_alive(other.uid)
    host, pid, start, uid = life.uid.split("/")
    assert not life.is_alive(f"{host}/{pid}/0/{uid}"), "the same number, another process"
    assert not life.is_alive(f"{host}/{2**22 + 1}/{start}/{uid}"), "no such process"
    assert life.is_alive(f"elsewhere/{pid}/{start}/{uid}"), "another host cannot be asked"
    assert life.is_alive("01J000000000000000000000000"), "nothing is known of a life with a file"
    life.close()


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="this system does not tell when a process began"
)
def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "exit 0"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read() == b""
        while _started(child.pid) != "ended":
            pass  # its end of the pipe closes a moment before it ends
    assert _started(child.pid) == "ended"
