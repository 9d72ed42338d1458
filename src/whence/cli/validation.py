"""``stats``, ``schema``, ``validate``, ``anomalies``: what the rows look like, and what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve

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
    app.command()(validate)
    app.command()(anomalies)
    app.add_typer(schema_app, name="schema")


def stats(
    table: VersionName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Describe the columns of a table version: counts, missing values, ranges, most frequent values."""
    with opened(workspace) as ws:
        statistics = ws.validation.statistics(resolve(ws, table))
    if as_json:
        print_json(statistics)
    else:
        print_text(statistics.text())


def validate(
    table: VersionName,
    workspace: options.Workspace = None,
    schema: Annotated[
        str | None, typer.Option(help="Name[@version] of the schema. [default: the table's name]")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Such as TRAINING or SERVING.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Hold a table version against a schema; exit code 1 when it does not fit."""
    with opened(workspace) as ws:
        version = resolve(ws, table)
        report = ws.schema(schema or version.table).validate(version, environment=environment)
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
    """List the anomalies that validations of a table have found."""
    with opened(workspace) as ws:
        rows = [
            {"version": report.version, "feature": a.feature, "type": a.type, "severity": a.severity, "rule": a.rule,
             "observed": a.observed, "allowed": a.allowed}
            for report in ws.validation.reports(table)
            for a in report.anomalies
        ]  # fmt: skip
    print_rows(rows, as_json=as_json, empty=f"no anomalies of {table} are recorded")


@schema_app.command("list")
def schema_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the stored schemas with their newest version."""
    with opened(workspace) as ws:
        rows = [{"schema": s.name, "version": s.version} for s in ws.validation.list_schemas()]
    print_rows(rows, as_json=as_json, empty="no schemas yet: whence schema infer TABLE")


@schema_app.command("show")
def schema_show(
    name: SchemaName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show a schema as the JSON that `schema put` reads."""
    del as_json  # a schema is shown as JSON either way
    with opened(workspace) as ws:
        print_json(ws.schema(name))


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
    """Infer a schema from the statistics of a table version, to be reviewed."""
    with opened(workspace) as ws:
        schema = ws.validation.infer_schema(ws.validation.statistics(resolve(ws, table)))
        stored = ws.validation.put_schema(name, schema) if name else None
    if stored is not None and not as_json:
        print_text(f"stored as schema:{stored.name}")
    else:
        print_json(schema)


@schema_app.command("put")
def schema_put(
    name: Annotated[str, typer.Argument(help="Name of the schema.")],
    file: Annotated[Path, typer.Argument(help="A JSON file as `schema show` prints it.", exists=True)],
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
        rows = [d.to_dict() for d in ws.schema(first).diff(ws.schema(second))]
    print_rows(rows, as_json=as_json, empty="no difference")
