"""``table``: tables and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.ingest import Watermark, told
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve

table_app = typer.Typer(
    cls=Group, help="Tables and their versions.", no_args_is_help=True, rich_markup_mode=None
)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")]
VersionName = Annotated[
    str, typer.Argument(metavar="TABLE[@VERSION]", help="A version; the newest when none is named.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(table_app, name="table")


@table_app.command("list")
def table_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the tables with their newest version."""
    with opened(workspace) as ws:
        rows = []
        for name in ws.lake.list():
            head = ws.table(name).head()
            rows.append(
                {"table": name, "version": head.version, "rows": head.n_rows, "watermark": head.watermark}
            )
    print_rows(rows, as_json=as_json, empty="no tables yet: whence ingest TABLE FILE")


@table_app.command("show")
def table_show(
    table: VersionName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show one version of a table: columns, declaration, rows, digest, holds."""
    with opened(workspace) as ws:
        version = resolve(ws, table)
        facts: dict[str, object] = {
            "ref": version.ref,
            "rows": version.n_rows,
            "digest": version.digest(),
            "watermark": version.watermark,
            "declaration": version.declaration,
            "columns": {f.name: str(f.type) for f in version.schema},
            "holds": list(ws.table(version.table).holds()),
        }
    print_facts(facts, as_json=as_json)


@table_app.command("history")
def table_history(
    table: TableName,
    workspace: options.Workspace = None,
    limit: options.Limit = 20,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List the commits of a table, newest first."""
    with opened(workspace) as ws:
        commits = list(ws.table(table).history())
    newest = sorted(commits, key=lambda c: c.version, reverse=True)[:limit]
    if as_json:
        print_json(newest)
        return
    rows = [
        {"version": c.version, "type": c.type, "at": c.at, "added": c.added and c.added.n, "removed": c.removed and c.removed.n,
         "late": c.n_late, "watermark": c.watermark, "by": c.principal, "execution": c.execution}
        for c in newest
    ]  # fmt: skip
    print_rows(rows, as_json=False)


@table_app.command("append")
def table_append(
    table: TableName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file.", exists=True)],
    workspace: options.Workspace = None,
    watermark: Watermark = None,
    *,
    evolve: Annotated[bool, typer.Option("--evolve", help="Let new columns into the table.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Append one file to a table, as one commit."""
    with opened(workspace) as ws:
        commit = ws.table(table).append(file, evolve=evolve, watermark=watermark)
    print_facts(told(commit), as_json=as_json)


@table_app.command("hold")
def table_hold(
    table: VersionName,
    reason: Annotated[str, typer.Option(help="Why it must stay.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Keep a version from cleanup."""
    with opened(workspace) as ws:
        version = resolve(ws, table)
        ws.table(version.table).hold(version.version, reason=reason)
    print_facts({"held": version.ref, "reason": reason}, as_json=as_json)


@table_app.command("compact")
def table_compact(
    table: TableName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Rewrite small files into large ones; rows and digest stay the same."""
    with opened(workspace) as ws:
        commit = ws.table(table).compact()
    print_facts(told(commit), as_json=as_json)


@table_app.command("vacuum")
def table_vacuum(
    table: TableName,
    workspace: options.Workspace = None,
    retention_hours: Annotated[
        float | None, typer.Option(min=0, help="Keep versions younger than this.")
    ] = None,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it the files are only named.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Name, and with --delete remove, the files no kept version needs; a held version is never touched."""
    from whence.cli.output import jsonable

    with opened(workspace) as ws:
        report = ws.table(table).vacuum(retention_hours=retention_hours, dry_run=not delete)
    plain = jsonable(report)
    if as_json or not isinstance(plain, dict):
        print_json(plain)
    else:
        print_facts(plain, as_json=False)
    if not as_json and not delete:
        print_text("nothing was deleted: --delete does it")
