"""``import`` and ``export``: what other programs have kept, brought in, and what is here, for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from whence.cli import exchange_graph, options
from whence.cli.help import Group
from whence.cli.output import print_json, print_rows, print_text
from whence.cli.session import opened
from whence.errors import UnsupportedError

import_app = typer.Typer(cls=Group, help="Bring in what other programs have kept.", no_args_is_help=True)
export_app = typer.Typer(cls=Group, help="Write the graph for other programs.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(import_app, name="import")
    app.add_typer(export_app, name="export")


exchange_graph.add_to(export_app, import_app)


@import_app.command("mlmd")
def import_mlmd(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A database of ML Metadata, schema 6 to 10: a SQLite FILE, mysql://… or postgresql://…",
        ),
    ],
    workspace: options.Workspace = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What the source is called; a grown copy under the same name goes on where it stopped."
        ),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="The namespace of the graph it comes into; made when absent.")
    ] = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Write nothing, and say all that would be refused; the exit code is 1 then."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring a database of ML Metadata into the graph, and compare every node afterwards; again, nothing changes."""
    with _extra("import mlmd"):
        from whence.integrations.mlmd.importer import import_mlmd as bring
        from whence.integrations.mlmd.rehearsal import namespace_to_look

    with opened(workspace) as ws:
        store = ws.store
        if namespace is not None:
            store = (
                namespace_to_look(store, namespace) if dry_run else store.in_namespace(namespace, create=True)
            )
        done = bring(store, source, name=name, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "source": done.source,
                "version": done.version,
                "found": dict(done.found),
                "written": dict(done.written),
                "moved": done.moved,
                "told": done.told,
                "refused": done.refused,
            }
        )
    else:
        print_rows(
            [{"table": t, "found": n, "written": done.written.get(t)} for t, n in done.found.items()],
            as_json=False,
        )
        if done.moved:
            print_text(f"every id is {done.moved} greater than it was: those ids were taken")
        for sentence in done.told:
            print_text(sentence)
        for sentence in done.refused:
            print_text(f"refused: {sentence}")
        if dry_run:
            print_text("nothing was written" + ("" if done.refused else "; all of it would come in"))
    if done.refused:
        raise typer.Exit(1)


@export_app.command("mlmd")
def export_mlmd(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The SQLite file to write, schema 10.")],
    workspace: options.Workspace = None,
    namespace: Annotated[
        str | None, typer.Option(help="The namespace that is written, when several hold nodes.")
    ] = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what ML Metadata cannot keep, instead of telling it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the graph as a SQLite file that ML Metadata itself opens, reads and writes."""
    with _extra("export mlmd"):
        from whence.integrations.mlmd.exporter import export_mlmd as write

    with opened(workspace) as ws:
        store = ws.store if namespace is None else ws.store.in_namespace(namespace)
        done = write(store, file, strict=strict, replace=force, only=namespace is not None)
    if as_json:
        print_json({"file": str(file), "written": dict(done.written), "told": done.told})
        return
    print_rows([{"table": t, "written": n} for t, n in done.written.items()], as_json=False)
    for sentence in done.told:
        print_text(sentence)


@contextmanager
def _extra(what: str) -> Iterator[None]:
    """Say which extra is missing when an import fails for the lack of it."""
    try:
        yield
    except ImportError as error:
        raise UnsupportedError(
            f"{what} needs {error.name}", code="extra-missing", hint="pip install 'whence[mlmd]'"
        ) from error
