"""``stats``, ``schema``, ``validate``, ``anomalies``: what the rows look like, and what they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence._base.refs import Ref
from whence.cli import options
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve

if TYPE_CHECKING:
    from whence.validation import Schema
    from whence.workspace import Workspace

schema_app = typer.Typer(
    help="Schemas: what the data should look like.", no_args_is_help=True, rich_markup_mode=None
)

VersionName = Annotated[
    str, typer.Argument(metavar="TABLE[@VERSION]", help="A version; the newest when none is named.")
]
SchemaName = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="A schema; the newest version when none is named.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(stats)
    app.add_typer(schema_app, name="schema")
    app.command()(validate)
    app.command()(anomalies)


def _schema(ws: Workspace, text: str) -> Schema:
    ref = Ref.parse(text, kind="schema")
    return ws.validation.get_schema(ref.name, ref.number)


def stats(
    table: VersionName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Describe the columns of a table version."""
    with opened(workspace) as ws:
        statistics = ws.validation.statistics(resolve(ws, table))
    if as_json:
        print_json(statistics.summary())
    else:
        print_text(statistics.text())


def validate(
    table: VersionName,
    workspace: options.Workspace = None,
    schema: Annotated[
        str | None, typer.Option(help="NAME[@VERSION] of the schema. [default: the table's name]")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Such as TRAINING or SERVING.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Hold a table version against a schema.

    The exit code is 1 when it does not fit; warnings alone are 0.
    """
    with opened(workspace) as ws:
        version = resolve(ws, table)
        report = ws.validation.validate(
            version, schema or Ref.parse(table, kind="table").name, environment=environment
        )
    if as_json:
        print_json(report)
    else:
        print_text(report.text())
    if not report.ok:
        raise typer.Exit(1)


def anomalies(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List the anomalies recorded for a table."""
    with opened(workspace) as ws:
        resolve(ws, table)  # a table that is not there has no anomalies, but that is another answer
        rows = [
            {"of": r.name, "environment": r.environment, "feature": a.feature, "type": a.type, "severity": a.severity,
             "rule": a.rule, "observed": a.observed, "allowed": a.allowed, "rows": list(a.rows)}
            for r in ws.validation.reports(table)
            for a in r.anomalies
        ]  # fmt: skip
    print_rows(rows, as_json=as_json, empty=f"no anomalies of {table} are recorded")


@schema_app.command("list")
def schema_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the stored schemas."""
    with opened(workspace) as ws:
        rows = [
            {"schema": name, "versions": len(ws.validation.schema_versions(name))}
            for name in ws.validation.list_schemas()
        ]
    print_rows(rows, as_json=as_json, empty="no schemas yet: whence schema infer TABLE --name NAME")


@schema_app.command("show")
def schema_show(
    name: SchemaName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show a schema; --json prints what `put` reads."""
    with opened(workspace) as ws:
        schema = _schema(ws, name)
    if as_json:
        print_json(schema)
    else:
        print_text(schema.text())


@schema_app.command("infer")
def schema_infer(
    table: VersionName,
    workspace: options.Workspace = None,
    name: Annotated[
        str | None, typer.Option(help="Store it under this name; without it, it is only shown.")
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Infer a schema from a table version, for review."""
    with opened(workspace) as ws:
        schema = ws.validation.infer_schema(ws.validation.statistics(resolve(ws, table)))
        stored = ws.validation.put_schema(name, schema) if name else None
    if as_json:
        print_json(schema)
    else:
        print_text(schema.text())
        if stored is not None:
            print_text(f"stored as schema:{stored.name}")


@schema_app.command("put")
def schema_put(
    name: Annotated[str, typer.Argument(help="Name of the schema.")],
    file: Annotated[Path, typer.Argument(help="JSON as `schema show --json` prints it.", exists=True)],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Store a reviewed schema as a new version."""
    from whence.validation import Schema

    with opened(workspace) as ws:
        stored = ws.validation.put_schema(name, Schema.from_json(file.read_text(encoding="utf-8")))
    print_facts({"schema": stored.name}, as_json=as_json)


@schema_app.command("diff")
def schema_diff(
    first: SchemaName,
    second: SchemaName,
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List what differs between two schemas."""
    with opened(workspace) as ws:
        changes = _schema(ws, first).diff(_schema(ws, second))
    rows = [{"where": c.path, "before": c.before, "after": c.after} for c in changes]
    print_rows(rows, as_json=as_json, empty="no difference")
