"""The options every command shares, spelt once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Workspace: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help="Workspace folder, whence.toml or URL. [default: WHENCE_WORKSPACE, else the nearest whence.toml]",
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", min=1, help="Show at most this many.")]
