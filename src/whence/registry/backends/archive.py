"""The zip around a skops file: read with limits, written the same way every time."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whence.errors import IntegrityError

SCHEMA: Final = "schema.json"
MAX_MEMBERS: Final = 200_000
MAX_SIZE_BYTES: Final = 4 << 30
MAX_SCHEMA_BYTES: Final = 512 << 20
# Deflate reaches 1032:1 at most; a skops file of real trees reaches about 30:1.
MAX_RATIO: Final = 200
_FREE_BYTES: Final = 1 << 20
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say


@dataclass(frozen=True, slots=True)
class Archive:
    """What a skops file holds: the schema, and the other members by name."""

    schema: dict[str, Any]  # JSON of the format's own making
    members: Mapping[str, bytes]


def malformed(why: str) -> IntegrityError:
    """The error for a file that no honest writer has written."""
    return IntegrityError(
        f"the model file is malformed: {why}",
        code="model-malformed",
        hint="get the file again from whoever made it; do not load it by other means",
    )


def oversized(why: str) -> IntegrityError:
    """The error for a file that would take unreasonable space once unpacked."""
    return IntegrityError(f"the model file is oversized: {why}", code="model-oversized")


def read_archive(data: bytes, *, max_size_bytes: int = MAX_SIZE_BYTES) -> Archive:
    """Unpack a skops file, after its table of contents has been checked.

    Raises:
        IntegrityError: Not a zip, broken, or members that are doubled, nested in folders or of an
            unknown kind (``model-malformed``); too many or too large (``model-oversized``).
    """
    members = _unzip(data, max_size_bytes)
    try:
        schema = json.loads(members.pop(SCHEMA))
    except KeyError:
        raise malformed(f"it has no {SCHEMA}") from None
    except (ValueError, RecursionError) as error:
        raise malformed(f"its {SCHEMA} cannot be read") from error
    if not isinstance(schema, dict):
        raise malformed(f"its {SCHEMA} is not an object")
    for name, content in members.items():
        if name.endswith(".npy"):
            check_npy(content, name)
        elif name.endswith(".npz"):
            for inner_name, inner in _unzip(content, max_size_bytes).items():
                check_npy(inner, f"{name}/{inner_name}")
        elif not name.endswith(".bin"):
            raise malformed(f"member {name!r} is of an unknown kind")
    return Archive(schema, members)


def read_npz(data: bytes) -> dict[str, bytes]:
    """The members of a sparse matrix."""
    return _unzip(data, MAX_SIZE_BYTES)


def _unzip(data: bytes, max_size_bytes: int) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_contents(infos, max_size_bytes)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise malformed(f"it cannot be unpacked ({error})") from error


def _check_contents(infos: list[zipfile.ZipInfo], max_size_bytes: int) -> None:
    if len(infos) > MAX_MEMBERS:
        raise oversized(f"{len(infos)} members, at most {MAX_MEMBERS} are read")
    if len({info.filename for info in infos}) != len(infos):
        raise malformed("a member is there twice")
    total = 0
    for info in infos:
        total += info.file_size
        if total > max_size_bytes:
            raise oversized(f"more than {max_size_bytes} bytes unpacked")
        if info.filename == SCHEMA and info.file_size > MAX_SCHEMA_BYTES:
            raise oversized(f"{SCHEMA} has {info.file_size} bytes, at most {MAX_SCHEMA_BYTES} are read")
        if info.file_size > _FREE_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise oversized(f"member {info.filename!r} unpacks to more than {MAX_RATIO} times its size")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise malformed(f"member {info.filename!r} is packed by an unknown method")
        if info.is_dir() or "/" in info.filename or "\\" in info.filename:
            raise malformed(f"member {info.filename!r} lies in a folder")


def check_npy(data: bytes, name: str) -> None:
    """Refuse an array whose header promises other bytes than there are, or Python objects."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = reader(stream)
    except Exception as error:  # numpy's reader lets through whatever the parser of Python raises
        raise malformed(f"array {name!r} has no readable header") from error
    if dtype.hasobject:
        raise malformed(f"array {name!r} holds Python objects")
    n_items = 1
    for length in shape:
        if length < 0:
            raise malformed(f"array {name!r} has a negative length")
        n_items *= length
    if n_items * dtype.itemsize != len(data) - stream.tell():
        raise malformed(f"array {name!r} promises other bytes than it has")


def write_archive(schema: bytes, members: Mapping[str, bytes]) -> bytes:
    """A zip that depends on its contents alone.

    Stored, not deflated: what deflate makes of the same bytes differs between builds of zlib, and
    the digest shall not.
    """
    return zip_stored({SCHEMA: schema, **members})


def zip_stored(members: Mapping[str, bytes]) -> bytes:
    """The members in the given order, uncompressed, with a fixed date, system and mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = 0o600 << 16
            archive.writestr(info, content)
    return buffer.getvalue()
