"""``models``: what was learned."""

from __future__ import annotations

from typing import Annotated

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_rows
from whence.cli.session import opened

models_app = typer.Typer(
    cls=Group,
    help="Registered models, their versions and aliases.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the registered model.")]
ModelVersionName = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="A version or an alias: late@3, late@champion.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(models_app, name="models")


@models_app.command("list")
def models_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the registered models and their aliases."""
    with opened(workspace) as ws:
        rows = [
            {
                "model": name,
                "versions": len(list(ws.models.versions(name))),
                "aliases": ws.models.aliases(name),
            }
            for name in ws.models.list()
        ]
    print_rows(rows, as_json=as_json, empty="no models yet: ws.models.register(...) in Python")


@models_app.command("show")
def models_show(
    model: ModelVersionName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show one model version."""
    with opened(workspace) as ws:
        v = ws.models.get(model)
        aliases = [alias for alias, number in ws.models.aliases(v.name).items() if number == v.version]
    facts: dict[str, object] = {
        "ref": v.ref, "digest": v.digest, "format": v.format, "size_bytes": v.size_bytes, "aliases": aliases,
        "execution": v.execution, "created_at": v.created_at, "metrics": v.metrics, "params": v.params, "tags": v.tags,
        "signature": v.signature, "packages": v.packages,
    }  # fmt: skip
    print_facts(facts, as_json=as_json)


@models_app.command("alias")
def models_alias(
    name: ModelName,
    alias: Annotated[str, typer.Argument(help="Such as champion.")],
    version: Annotated[
        int | None, typer.Argument(help="The version it shall mean; without it the alias is shown.")
    ] = None,
    workspace: options.Workspace = None,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Take the alias away.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show, move or delete an alias of a model."""
    if delete and version is not None:
        raise typer.BadParameter("--delete takes no version")
    with opened(workspace) as ws:
        if delete:
            ws.models.delete_alias(name, alias, reason=reason)
        elif version is not None:
            ws.models.set_alias(name, alias, version, reason=reason)
        found = None if delete else ws.models.get(f"{name}@{alias}")
    facts = {"alias": f"{name}@{alias}", "version": found and found.version, "digest": found and found.digest}
    print_facts(facts, as_json=as_json)


@models_app.command("rollback")
def models_rollback(
    name: ModelName,
    alias: Annotated[str, typer.Argument(help="Such as champion.")],
    workspace: options.Workspace = None,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Move an alias back to where it stood before."""
    with opened(workspace) as ws:
        move = ws.models.rollback(name, alias, reason=reason)
    facts = {
        "alias": f"{name}@{alias}",
        "version": move.version,
        "from": move.previous,
        "reason": move.reason,
    }
    print_facts(facts, as_json=as_json)


@models_app.command("history")
def models_history(
    name: ModelName,
    workspace: options.Workspace = None,
    alias: Annotated[str | None, typer.Option(help="Only the moves of this alias.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List who moved which alias, when and why; of a replay also the moment by its clock."""
    with opened(workspace) as ws:
        moves = ws.models.alias_history(name, alias)
    rows: list[dict[str, object]] = [
        {
            "alias": m.alias,
            "from": m.previous,
            "to": m.version,
            "at": m.at,
            "moment": m.moment,
            "reason": m.reason,
            "execution": m.execution,
        }
        for m in moves
    ]
    if not as_json and not any(m.moment for m in moves):
        rows = [{k: v for k, v in row.items() if k != "moment"} for row in rows]
    print_rows(rows, as_json=as_json, empty=f"no alias of {name} was ever set")
