"""``trace``, ``impact``, ``diff``: whence it came, where it went, what differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened

if TYPE_CHECKING:
    from whence.trace import Diff, Impact, Trace

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="Such as prediction:TABLE/KEY, model:late@champion, table:flights@12."
    ),
]
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page too.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(trace)
    app.command()(impact)
    app.command()(diff)


def trace(
    ref: Reference,
    workspace: options.Workspace = None,
    html: Page = None,
    rows: Annotated[int, typer.Option(min=0, help="Show this many raw rows of each feature.")] = 3,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show whence something came, down to the rows."""
    with opened(workspace) as ws:
        found = ws.trace(ref)
        _show(found, html, found.text(max_rows=rows), as_json=as_json)


def impact(
    ref: Reference, workspace: options.Workspace = None, html: Page = None, *, as_json: options.AsJson = False
) -> None:
    """Show where something went, up to the answers."""
    with opened(workspace) as ws:
        found = ws.impact(ref)
        _show(found, html, found.text(), as_json=as_json)


def diff(
    first: Reference,
    second: Reference,
    workspace: options.Workspace = None,
    html: Page = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show in what two things differ, and since which ancestor."""
    with opened(workspace) as ws:
        found = ws.tracer.diff(first, second)
        _show(found, html, found.text(), as_json=as_json)


def _show(found: Trace | Impact | Diff, html: Path | None, text: str, *, as_json: bool) -> None:
    if html is not None:
        html.write_text(found.html(), encoding="utf-8")
    if as_json:
        print_json(found)
        return
    print_text(text)
    if html is not None:
        print_text(f"page: {html}")
