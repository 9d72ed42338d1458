"""``sql``: questions to the tables of now and then."""

from __future__ import annotations

from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_rows, print_text
from whence.cli.session import opened


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(sql)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; FROM t VERSION AS OF 3 reads an old version.")],
    workspace: options.Workspace = None,
    limit: options.Limit = 1000,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Ask the tables in SQL, at their newest or at any older version."""
    with opened(workspace) as ws:
        result = ws.sql(query)
    print_rows(result.slice(0, limit).to_pylist(), as_json=as_json, empty="no rows")
    if not as_json and result.num_rows > limit:
        print_text(f"… and {result.num_rows - limit} more rows: --limit shows more")
