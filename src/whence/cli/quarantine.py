"""``quarantine``: the rows set aside from a table; look at them, put them right, let them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.ingest import Transaction, Watermark, read_transaction, told
from whence.cli.output import print_facts, print_rows
from whence.cli.session import opened
from whence.errors import UsageError

if TYPE_CHECKING:
    from whence.lake import Expression, Quarantined
    from whence.workspace import Workspace

quarantine_app = typer.Typer(
    cls=Group,
    help="Rows that may not enter a table: look, correct, let in.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table they may not enter.")]
Ids = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="Only this row; may be repeated.")]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(quarantine_app, name="quarantine")


@quarantine_app.command("list")
def quarantine_list(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Whose rows; without it, how many each table has.")
    ] = None,
    workspace: options.Workspace = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Only rows with such a reason.")] = None,
    limit: options.Limit = 20,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also rows that were let in or dropped.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the rows that wait in quarantine, or the tables that have one."""
    from whence.lake.quarantine_events import PREFIX

    with opened(workspace) as ws:
        if table is None:
            names = [n.removeprefix(PREFIX) for n in ws.lake.list() if n.startswith(PREFIX)]
            counted = [{"table": name, **ws.quarantine(name).counts()} for name in names]
            print_rows(counted, as_json=as_json, empty="no row was ever set aside")
            return
        found = ws.quarantine(table).list(pending=not everything, reason=reason, limit=limit)
    if as_json:
        print_rows([_told(row) for row in found], as_json=True)
        return
    rows = [
        {"id": r.id, "state": r.state, "where": _where(r), "reasons": "; ".join(r.reasons)} for r in found
    ]
    print_rows(rows, as_json=False, empty=f"no row waits to enter {table}")


@quarantine_app.command("show")
def quarantine_show(
    table: TableName,
    row: Annotated[str, typer.Argument(metavar="ID", help="The row, as `quarantine list` names it.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show one row: its values, why it may not enter, what was done to it."""
    with opened(workspace) as ws:
        quarantine = ws.quarantine(table)
        facts = {**_told(quarantine.get(row)), "history": quarantine.history(row)}
    print_facts(facts, as_json=as_json)


@quarantine_app.command("correct")
def quarantine_correct(
    table: TableName,
    workspace: options.Workspace = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="Give a column this value.")
    ] = None,
    expressions: Annotated[
        list[str] | None,
        typer.Option("--sql", metavar="COLUMN=SQL", help="Give a column the value of an expression."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Only rows for which this is true.")
    ] = None,
    ids: Ids = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Change values of rows that wait; `quarantine replay` lets them in."""
    if not values and not expressions:
        raise UsageError("nothing is to be changed", code="bad-command", hint="--set COLUMN=VALUE or --sql")
    with opened(workspace) as ws:
        fix = _fix(ws, table, values or (), expressions or ())
        n = ws.quarantine(table).correct(fix, ids=ids, where=where)
        left = ws.quarantine(table).counts()["pending"]
    print_facts({"table": table, "corrected": n, "pending": left}, as_json=as_json)


@quarantine_app.command("replay")
def quarantine_replay(
    table: TableName,
    workspace: options.Workspace = None,
    ids: Ids = None,
    watermark: Watermark = None,
    transaction: Transaction = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Check the rows that wait again and let in those that fit; they are known from now on."""
    named = None if transaction is None else read_transaction(transaction)
    with opened(workspace) as ws:
        commit = ws.quarantine(table).replay(ids=ids, watermark=watermark, transaction=named)
    print_facts(told(commit), as_json=as_json)


@quarantine_app.command("drop")
def quarantine_drop(
    table: TableName,
    rows: Annotated[
        list[str], typer.Argument(metavar="ID…", help="The rows, as `quarantine list` names them.")
    ],
    reason: Annotated[str, typer.Option(help="Why they shall not enter.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Give rows up: they stay to be looked at, and do not enter."""
    with opened(workspace) as ws:
        n = ws.quarantine(table).drop(rows, reason=reason)
    print_facts({"table": table, "dropped": n, "reason": reason}, as_json=as_json)


def _told(row: Quarantined) -> dict[str, object]:
    names = ("id", "state", "row", "reasons", "arrived_at", "schema", "batch", "source", "position", "note")
    return {name: getattr(row, name) for name in (*names, "execution")}


def _where(row: Quarantined) -> str:
    return f"{row.source or row.batch or 'batch'}:{row.position}"


def _fix(
    ws: Workspace, table: str, values: Sequence[str], expressions: Sequence[str]
) -> dict[str, object | Expression]:
    from whence.lake import Expression

    fix: dict[str, object] = {}
    schema = ws.table(table).schema if ws.table(table).exists else None
    for name, text in map(_assignment, values):
        type_ = None if schema is None or name not in schema.names else schema.field(name).type
        fix[name] = text if type_ is None else _value(name, text, type_)
    for name, text in map(_assignment, expressions):
        fix[name] = Expression(text)
    return fix


def _assignment(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or not name.strip():
        raise UsageError(f"{text!r} is no assignment", code="bad-command", hint="write COLUMN=VALUE")
    return name.strip(), value


def _value(name: str, text: str, type_: Any) -> object:
    # Any: an Arrow type
    import pyarrow as pa

    try:
        return pa.scalar(text).cast(type_).as_py()
    except pa.ArrowException as error:
        raise UsageError(
            f"{text!r} is no {type_}, which column {name!r} holds",
            code="bad-command",
            hint="--sql takes an expression, such as NULL",
        ) from error
