"""The folder backend: rights, links, corruption, a full disk, power cuts."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence._base.digest import sha256_bytes
from whence.blobs import list_schemes, open_blobs
from whence.blobs.backends import folder
from whence.errors import BackendError, IntegrityError, NotFoundError, UnsupportedError


def file_of(root: Path, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return root / "sha256" / name[:2] / name[2:]


def run_child(code: str, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


PUT = "import sys; from whence.blobs import open_blobs; print(open_blobs(sys.argv[1]).put(b'x' * 100_000))"


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_pieces_and_whole_are_the_same(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    blobs = open_blobs(tmp_path_factory.mktemp("b"))
    digest = blobs.put(iter(parts))
    assert digest == sha256_bytes(b"".join(parts))
    assert blobs.get(digest) == b"".join(parts)


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    digest = open_blobs(tmp_path / "s").put(b"secret")
    path = file_of(tmp_path / "s", digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for parent in (path.parent, path.parent.parent, tmp_path / "s" / "tmp", tmp_path / "s"):
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700


def test_a_flipped_bit_is_found_and_put_again_heals_it(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    digest = blobs.put(b"true bytes")
    file_of(tmp_path, digest).write_bytes(b"True bytes")
    with pytest.raises(IntegrityError) as caught:
        blobs.get(digest)
    assert caught.value.code == "blob-corrupted"
    assert caught.value.details == {"digest": digest, "seen": sha256_bytes(b"True bytes")}
    with pytest.raises(IntegrityError), blobs.open(digest):
        pass
    assert blobs.put(b"true bytes") == digest
    assert blobs.get(digest) == b"true bytes"


def test_a_truncated_blob_is_corrupted(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    digest = blobs.put(b"0123456789")
    os.truncate(file_of(tmp_path, digest), 5)
    with pytest.raises(IntegrityError):
        blobs.get(digest)


def test_links_in_the_store_are_not_followed(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path / "s")
    digest = blobs.put(b"inside")
    (tmp_path / "outside").write_bytes(b"inside")
    path = file_of(tmp_path / "s", digest)
    path.unlink()
    path.symlink_to(tmp_path / "outside")
    assert not blobs.exists(digest)
    with pytest.raises(BackendError) as caught:
        blobs.get(digest)
    assert caught.value.code == "store-failed"
    assert blobs.put(b"inside") == digest  # the link is replaced, its target left alone
    assert not path.is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"inside"


def test_a_linked_fan_folder_is_refused(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path / "s")
    digest = sha256_bytes(b"elsewhere")
    (tmp_path / "outside").mkdir()
    file_of(tmp_path / "s", digest).parent.symlink_to(tmp_path / "outside")
    with pytest.raises(BackendError):
        blobs.put(b"elsewhere")
    assert list((tmp_path / "outside").iterdir()) == []
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def test_strangers_in_the_folder_are_not_listed(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    digest = blobs.put(b"x")
    (tmp_path / "sha256" / "README").write_text("hello")
    (file_of(tmp_path, digest).parent / "notes.txt").write_text("hello")
    assert list(blobs.list()) == [digest]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    blobs = open_blobs(tmp_path)

    real = os.write

    def full(fd: int, data: bytes) -> int:
        if fd <= 2:
            return real(fd, data)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BackendError) as caught:
        blobs.put(b"x" * 10)
    monkeypatch.undo()
    assert (caught.value.code, caught.value.retryable) == ("store-full", True)
    assert isinstance(caught.value.__cause__, OSError)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(blobs.list()) == []


def test_a_really_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from whence.blobs import open_blobs; from whence.errors import BackendError\n"
        "blobs = open_blobs(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: blobs.put(b'x' * 100_000)\n"
        "except BackendError as error: print(error.code)\n"
    )
    child = run_child(code, tmp_path)
    assert (child.stdout, child.stderr) == ("store-full\n", "")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(open_blobs(tmp_path).list()) == []


def test_another_failure_of_the_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = open_blobs(tmp_path)

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(BackendError) as caught:
        blobs.put(b"x")
    monkeypatch.undo()
    assert caught.value.code == "store-failed"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(("point", "stored"), [(folder.WRITTEN, False), (folder.RENAMED, True)])
def test_a_power_cut_leaves_all_or_nothing(tmp_path: Path, point: str, stored: bool) -> None:
    child = run_child(PUT, tmp_path, WHENCE_CRASH_AT=point)
    assert child.returncode == -signal.SIGKILL
    blobs = open_blobs(tmp_path)
    digest = sha256_bytes(b"x" * 100_000)
    assert list((tmp_path / "tmp").iterdir()) == []  # swept when opened
    assert blobs.exists(digest) is stored
    assert blobs.put(b"x" * 100_000) == digest
    assert blobs.get(digest) == b"x" * 100_000


def test_opening_does_not_sweep_what_a_living_writer_holds(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)

    def pieces() -> object:
        yield b"first"
        open_blobs(tmp_path)  # another process opens the store meanwhile
        yield b"second"

    digest = blobs.put(pieces())  # type: ignore[arg-type]  # a generator of object
    assert blobs.get(digest) == b"firstsecond"


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(BackendError) as caught:
        open_blobs(tmp_path / "f")
    assert caught.value.code == "store-failed"


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digest = open_blobs("file:./with%20space").put(b"1")
    assert open_blobs(f"file://{tmp_path}/with space").get(digest) == b"1"
    assert open_blobs("with space").exists(digest)
    assert list_schemes() == ["file", "memory"]
    with pytest.raises(UnsupportedError) as caught:
        open_blobs("gopher://x")
    assert caught.value.code == "unknown-scheme"
    assert "'gopher'" in str(caught.value)


def test_delete_of_a_digest_in_an_absent_fan(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_blobs(tmp_path).delete(sha256_bytes(b"never"))
