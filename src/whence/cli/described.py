"""What commands about statistics and schemas share: sources that are versions or files, schemas in every format."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, get_args

import typer

from whence._base.progress import progress, reporting
from whence._base.refs import Ref
from whence.cli.progress import make_reporter
from whence.cli.session import opened, resolve
from whence.errors import NotFoundError, UsageError, near_names

if TYPE_CHECKING:  # the rooms load heavy clients; a command pays for them when it runs
    from whence.validation import Schema, Statistics, StatisticsOptions
    from whence.workspace import Workspace

Format: TypeAlias = Literal["json", "yaml", "pbtxt"]
FORMATS: Final = get_args(Format)
ENDINGS: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".pbtxt": "pbtxt"}

SourceName = Annotated[
    str, typer.Argument(metavar="TABLE[@VERSION]|FILE", help="A version, the newest when none is named; or a CSV or Parquet file.")
]  # fmt: skip
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write a page to look at; it needs nothing else.")
]  # fmt: skip
FormatName = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="json, yaml or pbtxt. [default: by the file's ending]")
]  # fmt: skip


def is_file(source: str) -> bool:
    """Whether a word names a file of rows and not a table: by its ending; ``table:`` before it makes it a table.

    Raises:
        UsageError: It is a file with another ending (``bad-format``).
    """
    from whence.validation.sources import ENDINGS, is_path

    if source.startswith("table:") or is_path(source):
        return not source.startswith("table:")
    if Path(source).suffix and Path(source).is_file():
        raise UsageError(
            f"{source} is a file of another kind than {', '.join(ENDINGS)}",
            code="bad-format",
            hint=f"JSON, NDJSON or Arrow: whence ingest TABLE {source}, then name the table",
        )
    return False


def is_schema_file(word: str) -> bool:
    """Whether a word names a file with a schema: by its ending."""
    return Path(word).suffix.lower() in ENDINGS


@contextmanager
def maybe_opened(workspace: str | None, *, needed: bool) -> Iterator[Workspace | None]:
    """The workspace when the command needs one; files alone need none, only progress on standard error."""
    with ExitStack() as stack:
        if needed:
            yield stack.enter_context(opened(workspace))
            return
        reporter = stack.enter_context(make_reporter())
        stack.enter_context(reporting(reporter))
        yield None


def statistics_of(ws: Workspace | None, source: str, options: StatisticsOptions | None = None) -> Statistics:
    """The statistics of a version or a file.

    Raises:
        UsageError: It names a table, and no workspace is open (``bad-command``).
    """
    from whence.validation import StatisticsOptions
    from whence.validation.sources import describe_file

    options = options or StatisticsOptions()
    if is_file(source):
        with progress(f"statistics of {Path(source).name}") as step:
            return describe_file(source, options=options, progress=step)
    assert ws is not None
    return ws.validation.statistics(resolve(ws, source), options=options)


def read_schema(ws: Workspace | None, word: str, *, format_: str | None = None) -> tuple[Schema, str]:
    """The schema a word names, a kept one or a file, and what it is called.

    Raises:
        NotFoundError: There is none.
        UsageError: The file does not read; the line is named.
    """
    if is_schema_file(word) or format_ is not None:
        return schema_of_file(Path(word), format_), Path(word).name
    assert ws is not None
    ref = Ref.parse(word, kind="schema")
    found = ws.validation.get_schema(ref.name, ref.number)
    number = ref.number
    if number is None:
        number = len(ws.validation.schema_versions(ref.name))
    return found, f"schema:{ref.name}@{number}"


def schema_of_file(path: Path, format_: str | None = None) -> Schema:
    """The schema in a file, in the format named or the one of its ending; JSON when it has another.

    Raises:
        NotFoundError: The file is absent (``file-not-found``).
        UsageError: It does not read; the line and near names are given.
    """
    if not path.is_file():
        near = [str(path.parent / n) for n in near_names(path.name, [p.name for p in _beside(path)])]
        raise NotFoundError("file", str(path), near=near)
    return parse_schema(
        path.read_bytes(), format_ or ENDINGS.get(path.suffix.lower(), "json"), name=path.name
    )


def _beside(path: Path) -> list[Path]:
    return [p for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []


def parse_schema(data: bytes, format_: str, *, name: str) -> Schema:
    """The schema of bytes in a format; `name` is what errors call them."""
    from whence.validation import Schema, schema_from_yaml

    known_format(format_)
    if format_ == "yaml":
        return schema_from_yaml(data, name=name)
    if format_ == "pbtxt":
        from whence.integrations.tfdv import schema_from_text

        return schema_from_text(data, name=name)
    return Schema.from_json(data, name=name)


def schema_text(schema: Schema, format_: str) -> str:
    """A schema in a format, as `parse_schema` reads it."""
    from whence.validation import schema_to_yaml

    known_format(format_)
    if format_ == "yaml":
        return schema_to_yaml(schema)
    if format_ == "pbtxt":
        from whence.integrations.tfdv import schema_to_proto, to_text

        return to_text(schema_to_proto(schema))
    return schema.to_json()


def known_format(format_: str) -> None:
    """Refuse a format that is none.

    Raises:
        UsageError: It is none (``bad-format``).
    """
    if format_ not in FORMATS:
        raise UsageError(
            f"no format {format_!r}",
            code="bad-format",
            near=near_names(format_, FORMATS),
            hint=f"one of {', '.join(FORMATS)}",
        )


def terminal_width() -> int | None:
    """The width of the terminal, or of COLUMNS; None when the output goes elsewhere: there is no end of the line."""
    size = shutil.get_terminal_size(fallback=(0, 0)).columns
    if sys.stdout.isatty():
        return size or 80
    return size or None


def check_page(path: Path | None) -> None:
    """See before any work that a page can be written.

    Raises:
        NotFoundError: Its folder is absent (``folder-not-found``).
    """
    if path is not None and not path.parent.is_dir():
        raise NotFoundError("folder", str(path.parent), hint="make it first")


def write_page(path: Path, page: str) -> str:
    """Write a page; what to tell about it."""
    path.write_text(page, encoding="utf-8")
    return f"written: {path} ({path.stat().st_size / 1024:,.0f} KiB)"
