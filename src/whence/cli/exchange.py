"""``import``: what other programs have kept, brought in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_rows, print_text
from whence.cli.session import opened

import_app = typer.Typer(help="Bring in what other programs have kept.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(import_app, name="import")


@import_app.command("mlmd")
def import_mlmd(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A SQLite database of ML Metadata, schema 6 to 10.")
    ],
    workspace: options.Workspace = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What the source is called; a grown copy under the same name goes on where it stopped."
        ),
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, and write nothing.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring a database of ML Metadata into the graph, and compare every node afterwards; again, nothing changes."""
    from whence.integrations.mlmd.importer import import_mlmd as bring

    with opened(workspace) as ws:
        done = bring(ws.graph, file, name=name, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "source": done.source,
                "version": done.version,
                "found": dict(done.found),
                "written": dict(done.written),
                "told": done.told,
            }
        )
        return
    written = {table.lower(): n for table, n in done.written.items()}
    print_rows(
        [{"table": t, "found": n, "written": written.get(t.lower())} for t, n in done.found.items()],
        as_json=False,
    )
    for sentence in done.told:
        print_text(sentence)
