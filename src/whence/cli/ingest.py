"""``ingest``: files into tables."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from whence.cli import options
from whence.cli.output import print_rows
from whence.cli.session import opened
from whence.errors import UsageError

Watermark = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"],
        help="Up to when the feed is complete, such as 2013-01-02T00:00:00Z.",
    ),
]
Transaction = Annotated[
    str | None,
    typer.Option(
        metavar="APP:N", help="Written once under this name and number; a second time does nothing."
    ),
]
COMMIT = (
    "table", "version", "execution", "n_rows", "n_quarantined", "digest", "watermark", "n_late", "duplicate",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Hang this command into `app`."""
    app.command()(ingest)


def ingest(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="CSV, JSON, NDJSON, Parquet or Arrow files, one commit each.", exists=True
        ),
    ],
    workspace: options.Workspace = None,
    on_error: Annotated[
        Literal["reject", "quarantine"],
        typer.Option(help="Refuse a file with bad rows whole, or set those rows aside."),
    ] = "reject",
    format: Annotated[  # noqa: A002  # the name of the option
        Literal["csv", "json", "ndjson", "parquet", "arrow"] | None,
        typer.Option(help="Format of the files. [default: by the ending of each name]"),
    ] = None,
    watermark: Watermark = None,
    transaction: Transaction = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="With --create: a column that names a row.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --create: when a row was known.")
    ] = None,
    event_time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --create: when a row's event happened.")
    ] = None,
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Make the table with this declaration, unless it is there.")
    ] = False,
    evolve: Annotated[bool, typer.Option("--evolve", help="Let new columns into the table.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Append files to a table: each file is one commit, and enters once.

    A file with rows that do not fit is refused whole, its lines named; with --on-error quarantine the others
    enter. Several files under one --transaction APP:N are APP:N, APP:N+1, … in their order. The watermark
    is set by the last file.
    """
    from whence._base.progress import progress

    named = None if transaction is None else read_transaction(transaction)
    if not create and (key or known_at or event_time):
        raise UsageError(
            "--key, --known-at and --event-time declare a new table",
            code="bad-command",
            hint="add --create",
        )
    commits = []
    with opened(workspace) as ws:
        if create:
            ws.lake.create_from(
                table, files[0], format=format, key=key or (), known_at=known_at, event_time=event_time
            )
        with progress(f"ingest into {table}", total=len(files)) as step:
            for i, file in enumerate(files):
                last = i == len(files) - 1
                commits.append(
                    ws.table(table).ingest(
                        file, format=format, on_error=on_error, evolve=evolve,
                        watermark=watermark if last else None,
                        transaction=None if named is None else (named[0], named[1] + i),
                    )
                )  # fmt: skip
                step(note=file.name)
    rows = [told(c) for c in commits]
    print_rows(rows if as_json else _brief(rows), as_json=as_json)


def _brief(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a person looks for: of the rarer facts only those that hold of some commit, and no digests."""
    always = ("table", "version", "n_rows", "n_quarantined", "execution")
    rare = [name for name in rows[0] if name not in (*always, "digest") and any(row[name] for row in rows)]
    return [{name: row[name] for name in (*always, *rare)} for row in rows]


def read_transaction(text: str) -> tuple[str, int]:
    """``feed:7`` as application and number.

    Raises:
        UsageError: ``bad-transaction``.

    Example:
        >>> read_transaction("feed:arrivals:7")
        ('feed:arrivals', 7)
    """
    application, _, number = text.rpartition(":")
    if not application or not number.isdecimal():
        raise UsageError(
            f"{text!r} is no transaction", code="bad-transaction", hint="write APP:N, such as feed:7"
        )
    return application, int(number)


def told(commit: object) -> dict[str, object]:
    """A commit as a line of a listing."""
    facts: dict[str, object] = {name: getattr(commit, name) for name in COMMIT}
    return {**facts, "filled": dict(getattr(commit, "filled", ())) or None}
