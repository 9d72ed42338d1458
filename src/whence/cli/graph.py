"""``trace``, ``impact``: whence it came, and where it went."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened

Reference = Annotated[
    str, typer.Argument(metavar="REF", help="prediction:table/key, model:late@champion, table:flights@12, …")
]
Page = Annotated[Path | None, typer.Option("--html", help="Write one self-contained page to this file.")]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(trace)
    app.command()(impact)


def trace(
    ref: Reference, workspace: options.Workspace = None, html: Page = None, *, as_json: options.AsJson = False
) -> None:
    """Show whence something came, down to the rows."""
    with opened(workspace) as ws:
        found = ws.trace(ref)
        _show(found, html, as_json=as_json)


def impact(
    ref: Reference, workspace: options.Workspace = None, html: Page = None, *, as_json: options.AsJson = False
) -> None:
    """Show where something went, up to the served answers."""
    with opened(workspace) as ws:
        found = ws.impact(ref)
        _show(found, html, as_json=as_json)


def _show(found: object, html: Path | None, *, as_json: bool) -> None:
    if html is not None:
        html.write_text(found.html(), encoding="utf-8")
    if as_json:
        print_json(found)
    else:
        print_text(found.text())
        if html is not None:
            print_text(f"page: {html}")
