"""Where an export goes and what an import did: whole files only, sections gathered in one pass."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Self, TextIO, TypeAlias, TypeVar

from whence._base.ids import new_uid
from whence.database import is_sqlite
from whence.errors import ConflictError, UsageError

Destination: TypeAlias = "Path | str | TextIO"

_T = TypeVar("_T")
_TOLD: Final = 1_000
# A section this long goes to disk: an export of any size takes this much memory and no more.
SPOOL_CHARACTERS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Exported:
    """How much was written out."""

    nodes: int
    edges: int


@dataclass(frozen=True, slots=True)
class Received:
    """How much was found in a document, and how much of it was new.

    Attributes:
        nodes: The nodes found.
        edges: The edges found.
        new: The nodes that were not in the graph before.
        left_out: What the graph has no place for, and how often it occurs.
    """

    nodes: int
    edges: int
    new: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def written(to: Destination, *, replace: bool = False) -> Iterator[TextIO]:
    """A text file to write: there whole after the block, or not there at all after an exception.

    Args:
        to: A path, or an open file.
        replace: A file that is there is replaced, unless it is a database.

    Raises:
        UsageError: There is no place for a document (``bad-file``).
        ConflictError: A file is there (``file-exists``).
    """
    if not isinstance(to, str | Path):
        yield to
        return
    path = Path(to)
    if str(path) == "-":
        raise UsageError(
            "a document is written whole, not as it is made: '-' is no place for it",
            code="bad-file",
            hint="name a file",
        )
    if is_sqlite(path):
        raise UsageError(
            f"{str(path)!r} is a database, or belongs to one: no document takes its place",
            code="bad-file",
            hint="name another file",
        )
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be made: there is no folder {str(path.parent)!r}"
        raise UsageError(
            f"{str(path)!r} {what}", code="bad-file", hint="name a file in a folder that is there"
        )
    if path.exists() and not replace:
        raise ConflictError(
            f"{path} is there already", code="file-exists", hint="name another file, or --force"
        )
    place = Path(os.path.realpath(path))  # a link stays one
    beside = place.with_name(f".{place.name}.{new_uid()}")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        beside.replace(place)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror}", code="bad-file") from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def counted(items: Iterable[_T], step: Callable[..., None]) -> Iterator[_T]:
    """The same items; `step` is told of them by the thousand."""
    n = 0
    for item in items:
        yield item
        n += 1
        if n == _TOLD:
            step(n)
            n = 0
    step(n)


class Sections:
    """Parts of a document that are filled in any order and come out one after another.

    Example:
        >>> import io
        >>> out = io.StringIO()
        >>> with Sections(["head", "body"]) as parts:
        ...     parts.add("body", "b"); parts.add("head", "a"); parts.add("body", "c")
        ...     parts.write("head", out); parts.write("body", out)
        >>> out.getvalue()
        'abc'
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._closing = ExitStack()
        self.n = dict.fromkeys(names, 0)

    def __enter__(self) -> Self:
        self._files: dict[str, IO[str]] = {  # closed by __exit__
            name: self._closing.enter_context(
                tempfile.SpooledTemporaryFile(  # noqa: SIM115 - the stack is the context manager
                    SPOOL_CHARACTERS, mode="w+", encoding="utf-8", newline="\n"
                )
            )
            for name in self._names
        }
        self._write: dict[str, Callable[[str], int]] = {n: f.write for n, f in self._files.items()}
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def add(self, name: str, text: str) -> None:
        """Add one piece to a section."""
        self.n[name] += 1
        self._write[name](text)

    def write(self, name: str, out: TextIO) -> None:
        """Write a whole section out."""
        file = self._files[name]
        file.seek(0)
        shutil.copyfileobj(file, out)
