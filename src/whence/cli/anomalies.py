"""``anomalies``: what validations found, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve
from whence.errors import UsageError

if TYPE_CHECKING:
    from whence.validation.incident import Identity, Incident, State
    from whence.workspace import Workspace


class _ListFirst(Group):
    """``whence anomalies TABLE`` is ``whence anomalies list TABLE``, as it was before there were commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before a first word that is no command."""
        # Any: the parser brings its own context, which typer does not name
        named = args[:1] if args and not args[0].startswith("-") else args
        if args and not any(a in self.commands or a in ("-h", "--help") for a in named):
            args = ["list", *args]
        return super().parse_args(ctx, args)


anomalies_app = typer.Typer(
    cls=_ListFirst,
    help="Anomalies: open, accepted or fixed, with an owner and whence they came.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[
    str,
    typer.Argument(metavar="INCIDENT", help="Its id, or the beginning of it, as `anomalies list` shows it."),
]
Note = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
Link = Annotated[
    str | None,
    typer.Option(help="Where it was done: table:T@V, execution:…, schema:S@V or a URL."),
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(anomalies_app, name="anomalies")


@anomalies_app.command("list")
def anomalies_list(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Only those of this table.")] = None,
    workspace: options.Workspace = None,
    state: Annotated[str | None, typer.Option(help="Only those that are open, accepted or fixed.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those that this person looks after.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List the anomalies that validations found, and what became of them."""
    with opened(workspace) as ws:
        if table is not None and not table.startswith("view:"):
            resolve(ws, table)  # a table that is not there has no anomalies, but that is another answer
        incidents = ws.validation.incidents
        found = incidents.list(table, state=cast("State | None", state), owner=owner)
        rows = [_row(ws, i, as_json=as_json) for i in found]
    what = f"anomalies of {table}" if table else "anomalies"
    print_rows(rows, as_json=as_json, empty=f"no {what} are recorded")


def _row(ws: Workspace, incident: Incident, *, as_json: bool) -> dict[str, object]:
    identity = incident.identity
    brief: dict[str, object] = {
        "incident": incident.id,
        "state": f"{incident.state} (fixed?)" if incident.proposed and not as_json else incident.state,
        "owner": incident.owner,
        "feature": identity.feature,
        "type": identity.type,
        "severity": incident.severity,
        "environment": identity.environment,
        "first": incident.first,
        "last": incident.last,
    }
    if not as_json:
        return brief
    last = ws.validation.incidents.anomaly(identity)
    return {
        **incident.to_dict(),
        **brief,
        "of": f"{identity.table}@{incident.last}",
        "observed": last.observed,
        "allowed": last.allowed,
        "rows": list(last.rows),
    }


@anomalies_app.command("show")
def anomalies_show(
    incident: Id, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Show an anomaly: what was seen, in which versions, and what was decided about it."""
    with opened(workspace) as ws:
        one = ws.validation.incidents.get(incident)
        last = ws.validation.incidents.anomaly(one.identity)
    if as_json:
        print_json({**one.to_dict(), "anomaly": last.to_dict()})
        return
    identity = one.identity
    print_facts(
        {
            "incident": one.id,
            "state": one.state,
            "owner": one.owner or "(nobody)",
            "what": last.message,
            "rule": f"{identity.type}, {identity.rule} of {identity.feature or 'all'} in schema {identity.schema}",
            "found": _found(one),
            **({"rows": ", ".join(last.rows)} if last.rows else {}),
            **({"note": one.note} if one.note else {}),
            **({"link": one.link} if one.link else {}),
            **(
                {"came back": "once" if one.reopened == 1 else f"{one.reopened} times"}
                if one.reopened
                else {}
            ),
            **({"seems fixed": f"by {one.repaired_by}"} if one.proposed else {}),
        },
        as_json=False,
    )
    decisions = [
        {"at": d.at, "who": d.principal, "action": d.action, "owner": d.owner, "link": d.link, "note": d.note}
        for d in one.decisions
    ]
    if decisions:
        print_rows(decisions, as_json=False)


def _found(one: Incident) -> str:
    if one.first == one.last:
        return f"{one.identity.table}@{one.last}"
    return f"{one.identity.table}@{one.first} to @{one.last}, {one.n_versions} versions"


@anomalies_app.command("accept")
def anomalies_accept(
    incident: Id,
    workspace: options.Workspace = None,
    note: Note = "",
    link: Link = None,
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Also keep the next version of the schema, which allows it.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Say that the data are right as they are."""
    with opened(workspace) as ws:
        one = ws.validation.incidents.accept(incident, note=note, link=link, update=update)
    _told(one, as_json=as_json)


@anomalies_app.command("fix")
def anomalies_fix(
    incident: Id,
    workspace: options.Workspace = None,
    link: Link = None,
    note: Note = "",
    holds_from: Annotated[
        int | None,
        typer.Option("--from", metavar="VERSION", help="The first version that is to be without it."),
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say that the data were repaired; found again later, it is open again."""
    with opened(workspace) as ws:
        one = ws.validation.incidents.fix(incident, link=link, note=note, holds_from=holds_from)
    _told(one, as_json=as_json)


@anomalies_app.command("assign")
def anomalies_assign(
    incident: Id,
    owner: Annotated[str, typer.Argument(metavar="OWNER", help='Who looks after it; "" is nobody.')],
    workspace: options.Workspace = None,
    note: Note = "",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say who looks after an anomaly."""
    with opened(workspace) as ws:
        one = ws.validation.incidents.assign(incident, owner or None, note=note)
    _told(one, as_json=as_json)


@anomalies_app.command("reopen")
def anomalies_reopen(
    incident: Id, workspace: options.Workspace = None, note: Note = "", *, as_json: options.AsJson = False
) -> None:
    """Take back that an anomaly was accepted or fixed."""
    with opened(workspace) as ws:
        one = ws.validation.incidents.reopen(incident, note=note)
    _told(one, as_json=as_json)


@anomalies_app.command("blame")
def anomalies_blame(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE[@VERSION]|INCIDENT",
            help="The version that has it; or an incident, as `anomalies list` shows it, and nothing more.",
        ),
    ],
    feature: Annotated[
        str | None, typer.Argument(metavar="[FEATURE]", help='The column; "" for a rule about rows.')
    ] = None,
    type_: Annotated[
        str | None,
        typer.Argument(metavar="[TYPE]", help="The type of the anomaly; may be left out with --over."),
    ] = None,
    workspace: options.Workspace = None,
    rule: Annotated[str | None, typer.Option(help="Which rule, where several have this type.")] = None,
    schema: Annotated[
        str | None, typer.Option(help="NAME[@VERSION] of the schema. [default: the table's name]")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Such as TRAINING or SERVING.")] = None,
    previous: Annotated[
        str | None, typer.Option(metavar="TABLE@VERSION", help="What drift is measured against.")
    ] = None,
    serving: Annotated[
        str | None, typer.Option(metavar="TABLE@VERSION", help="What skew is measured against.")
    ] = None,
    over: Annotated[float | None, typer.Option(help="Blame drift over this distance.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Judge at most this many versions.")] = 1_000,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Find the first version that has an anomaly without interruption, and what wrote it."""
    named = None if feature is None and over is None else _named(feature, type_, rule, over)
    with opened(workspace) as ws:
        if named is None:
            identity, table = _incident(ws, table)
            named = (identity.feature, identity.type, identity.rule)
            schema, environment = schema or identity.schema, environment or identity.environment
        blame = ws.validation.blame(
            named,
            resolve(ws, table),
            schema=schema,
            environment=environment,
            previous=None if previous is None else resolve(ws, previous),
            serving=None if serving is None else resolve(ws, serving),
            threshold=over,
            limit=limit,
        )
    if as_json:
        print_json(blame)
    else:
        print_text(blame.text())


def _incident(ws: Workspace, word: str) -> tuple[Identity, str]:
    """What an incident is about, and the last version it was found in.

    Raises:
        NotFoundError: There is none of that id (``incident-not-found``).
    """
    one = ws.validation.incidents.get(word)
    return one.identity, f"{one.identity.table}@{one.last}"


def _named(feature: str | None, type_: str | None, rule: str | None, over: float | None) -> Sequence[str]:
    if over is not None and feature is not None:
        return (feature,)
    if type_ is None or feature is None:
        raise UsageError(
            "which anomaly is to be blamed is not said", code="bad-anomaly",
            hint="whence anomalies blame TABLE@VERSION FEATURE TYPE, or INCIDENT, or --over DISTANCE",
        )  # fmt: skip
    return (feature, type_) if rule is None else (feature, type_, rule)


def _told(incident: Incident, *, as_json: bool) -> None:
    if as_json:
        print_json(incident)
        return
    link = f" by {incident.link}" if incident.link and incident.state != "open" else ""
    owner = f", owner {incident.owner}" if incident.owner else ""
    print_text(f"{incident.id} is {incident.state}{link}{owner}")


__all__ = ["add_to", "anomalies_app"]
