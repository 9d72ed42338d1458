"""``features``, ``leaks``: feature views, and proof that nothing comes from the future."""

from __future__ import annotations

from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve

features_app = typer.Typer(help="Feature views.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(features_app, name="features")
    app.command()(leaks)


@features_app.command("list")
def features_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the applied feature views."""
    with opened(workspace) as ws:
        rows = [
            {
                "view": v.name,
                "entity": v.entity.name,
                "features": len(v.features),
                "owner": v.owner,
                "about": v.description,
            }
            for v in ws.features.list()
        ]
    print_rows(rows, as_json=as_json, empty="no feature views yet: ws.apply(view) in Python")


@features_app.command("show")
def features_show(
    view: Annotated[str, typer.Argument(help="Name of the feature view.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show one feature view with its definition and digest."""
    from whence.features import definition_digest

    with opened(workspace) as ws:
        found = ws.features.get(view)
    print_facts(
        {"view": found.name, "digest": definition_digest(found), "definition": found.to_dict()},
        as_json=as_json,
    )


def leaks(
    training_set: Annotated[str, typer.Argument(metavar="TABLE[@VERSION]", help="The training set.")],
    workspace: options.Workspace = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Check this many rows instead of all.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Name the columns that change when cut at knowledge time; exit code 1 when there are any."""
    with opened(workspace) as ws:
        report = ws.features.leaks(resolve(ws, training_set), sample=sample)
    if as_json:
        print_json(report)
    else:
        print_text(report.text())
    if not report.ok:
        raise typer.Exit(1)
