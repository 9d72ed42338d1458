"""``models``, ``score``: what was learned, and what it answers."""

from __future__ import annotations

from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_facts, print_rows
from whence.cli.session import opened, resolve

models_app = typer.Typer(
    help="Registered models, their versions and aliases.", no_args_is_help=True, rich_markup_mode=None
)

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the registered model.")]
ModelVersionName = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="A version or an alias: late@3, late@champion.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(models_app, name="models")
    app.command()(score)


@models_app.command("list")
def models_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the registered models with their newest version and aliases."""
    with opened(workspace) as ws:
        rows = []
        for name in ws.models.list():
            versions = ws.models.versions(name)
            rows.append({"model": name, "versions": len(versions), "aliases": ws.models.aliases(name)})
    print_rows(rows, as_json=as_json, empty="no models yet: ws.models.register(...) in Python")


@models_app.command("show")
def models_show(
    model: ModelVersionName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show one model version: digest, format, signature, properties."""
    with opened(workspace) as ws:
        v = ws.models.get(model)
    facts = {
        name: getattr(v, name)
        for name in ("ref", "name", "version", "digest", "format", "signature", "properties")
    }
    print_facts(facts, as_json=as_json)


@models_app.command("alias")
def models_alias(
    name: ModelName,
    alias: Annotated[str, typer.Argument(help="Such as champion.")],
    version: Annotated[
        int | None, typer.Argument(help="The version it shall mean; without it the alias is shown.")
    ] = None,
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show an alias of a model, or move it to a version."""
    with opened(workspace) as ws:
        if version is not None:
            ws.models.set_alias(name, alias, version)
        found = ws.models.get(f"{name}@{alias}")
    print_facts(
        {"alias": f"{name}@{alias}", "version": found.version, "digest": found.digest}, as_json=as_json
    )


def score(
    model: ModelVersionName,
    spine: Annotated[str, typer.Argument(metavar="TABLE[@VERSION]", help="The rows to score.")],
    views: Annotated[
        list[str], typer.Option("--view", help="A feature view; may be repeated, in the model's order.")
    ],
    at: Annotated[str, typer.Option(help="The column with the moment features are taken at.")],
    into: Annotated[str, typer.Option(help="The predictions table.")],
    key: Annotated[list[str], typer.Option(help="A key column of the predictions; may be repeated.")],
    workspace: options.Workspace = None,
    where: Annotated[str | None, typer.Option(help="Score only the rows of this SQL condition.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Score rows with a model version into a predictions table, each row exactly once."""
    with opened(workspace) as ws:
        result = ws.serving.score(
            model,
            resolve(ws, spine),
            views=[ws.features.get(v) for v in views],
            at=at,
            into=into,
            key=key,
            where=where,
        )
    facts = {
        "table": result.commit.table,
        "version": result.commit.version,
        "rows": result.n_rows,
        "execution": result.execution,
    }
    print_facts(facts, as_json=as_json)
