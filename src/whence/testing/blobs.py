"""The suite of the blob port: subclass `BlobSuite` in a test module and give it a fixture ``blobs``."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from whence._base.digest import sha256_bytes
from whence.blobs import BlobStore
from whence.errors import NotFoundError, UsageError

ABSENT = "sha256:" + "0" * 64
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class BlobSuite:
    """What every blob store does. The fixture ``blobs`` gives an empty one."""

    def test_put_gives_the_sha256_and_get_the_bytes(self, blobs: BlobStore) -> None:
        digest = blobs.put(b"abc")
        assert digest == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert blobs.get(digest) == b"abc"

    def test_the_empty_blob_is_a_blob(self, blobs: BlobStore) -> None:
        assert blobs.put(b"") == EMPTY
        assert blobs.get(EMPTY) == b""
        assert blobs.size_bytes(EMPTY) == 0
        assert blobs.put(iter(())) == EMPTY

    def test_bytes_file_and_pieces_are_the_same_blob(self, blobs: BlobStore, tmp_path: Path) -> None:
        data = os.urandom(3_000_001)
        path = tmp_path / "file.bin"
        path.write_bytes(data)
        want = sha256_bytes(data)
        assert blobs.put(iter([data[:7], b"", data[7:2_000_000], data[2_000_000:]])) == want
        assert blobs.put(path) == want
        assert blobs.put(data) == want
        assert list(blobs.list()) == [want]
        assert blobs.size_bytes(want) == len(data)

    def test_open_streams_the_bytes(self, blobs: BlobStore) -> None:
        digest = blobs.put(b"0123456789")
        with blobs.open(digest) as stream:
            assert stream.read(4) == b"0123"
            stream.seek(8)
            assert stream.read() == b"89"

    def test_list_is_ascending(self, blobs: BlobStore) -> None:
        digests = [blobs.put(str(n).encode()) for n in range(50)]
        assert list(blobs.list()) == sorted(digests)

    def test_an_absent_digest_is_not_found(self, blobs: BlobStore) -> None:
        assert not blobs.exists(ABSENT)
        for call in (blobs.get, blobs.size_bytes, blobs.delete):
            with pytest.raises(NotFoundError) as caught:
                call(ABSENT)
            assert caught.value.code == "blob-not-found"
            assert ABSENT in str(caught.value)
        with pytest.raises(NotFoundError), blobs.open(ABSENT):
            pass
        blobs.delete(ABSENT, missing_ok=True)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "abc",
            "sha256:abc",
            "md5:" + "0" * 64,
            "sha256:" + "G" * 64,
            "sha256:../../" + "0" * 58,
            "0" * 64,
        ],
    )
    def test_what_is_no_digest_is_refused(self, blobs: BlobStore, text: str) -> None:
        for call in (blobs.get, blobs.exists, blobs.size_bytes, blobs.delete):
            with pytest.raises(UsageError) as caught:
                call(text)
            assert caught.value.code == "bad-digest"

    @pytest.mark.parametrize("data", ["text", 7, None, ["text"], [1, 2]])
    def test_what_is_no_content_is_refused(self, blobs: BlobStore, data: object) -> None:
        with pytest.raises(UsageError) as caught:
            blobs.put(data)  # type: ignore[arg-type]  # the refusal is what is tested
        assert caught.value.code == "bad-content"
        assert list(blobs.list()) == []

    def test_folders_links_and_pipes_are_refused(self, blobs: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"secret")
        (tmp_path / "link").symlink_to(tmp_path / "target")
        os.mkfifo(tmp_path / "pipe")
        for name in (".", "link", "pipe", "absent"):
            with pytest.raises(UsageError) as caught:
                blobs.put(tmp_path / name)
            assert caught.value.code == "not-a-file"
        assert list(blobs.list()) == []

    def test_a_source_that_fails_leaves_nothing(self, blobs: BlobStore) -> None:
        class SourceError(Exception):
            pass

        def pieces() -> object:
            yield b"half"
            raise SourceError

        with pytest.raises(SourceError):
            blobs.put(pieces())  # type: ignore[arg-type]  # a generator of object
        assert list(blobs.list()) == []

    def test_delete_then_put_again(self, blobs: BlobStore) -> None:
        digest = blobs.put(b"x")
        blobs.delete(digest)
        assert not blobs.exists(digest)
        assert list(blobs.list()) == []
        assert blobs.put(b"x") == digest
        assert blobs.get(digest) == b"x"

    def test_many_threads_put_the_same_and_different_bytes(self, blobs: BlobStore) -> None:
        failures: list[BaseException] = []

        def work(n: int) -> None:
            try:
                for i in range(20):
                    assert blobs.get(blobs.put(str(i).encode() * 1000)) == str(i).encode() * 1000
                    blobs.put(f"{n}-{i}".encode())
            except BaseException as error:  # noqa: BLE001  # reported by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(list(blobs.list())) == 20 + 80
