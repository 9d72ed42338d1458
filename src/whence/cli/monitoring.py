"""``monitor``: what is watched, what was found, and whence it came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened
from whence.errors import UsageError

if TYPE_CHECKING:
    from whence.monitoring import Alert, Labels, Window

monitor_app = typer.Typer(
    cls=Group,
    help="Monitors: drift, performance and feeds, with a budget of false alarms.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the monitor.")]
Moment = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="ISO 8601 with a zone, such as 2013-07-01T00:00:00Z.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(monitor_app, name="monitor")


@monitor_app.command("watch")
def watch(
    name: Name,
    deployment: Annotated[str, typer.Option(help="Whose predictions are watched.")],
    workspace: options.Workspace = None,
    labels: Annotated[str | None, typer.Option(metavar="TABLE", help="Where the truth arrives.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Column that names a row of the labels; may be repeated.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition over the labels, such as 'arr_delay >= 30'.")
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE", help="Source table to watch, which exists; may be repeated."),
    ] = None,
    tz: Annotated[str, typer.Option(help="The clock by which days and weeks are cut.")] = "UTC",
    budget: Annotated[float, typer.Option(help="False alarms a year, all streams together.")] = 6.0,
    reference: Annotated[
        str | None,
        typer.Option(metavar="TABLE@VERSION", help="Rows to compare with, where the graph tells of none."),
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Declare a monitor; the same again changes nothing."""
    with opened(workspace) as ws:
        monitor = ws.monitoring.watch(
            name,
            deployment=deployment,
            labels=_labels(labels, key or [], truth),
            feeds=feed or (),
            tz=tz,
            budget_per_year=budget,
            reference=reference,
        )
    facts = monitor.to_dict()
    print_facts(facts if as_json else {k: v for k, v in facts.items() if k != "origins"}, as_json=as_json)


def _labels(table: str | None, key: Sequence[str], truth: str | None) -> Labels | None:
    from whence.monitoring import Labels

    if table is None and not key and truth is None:
        return None
    if table is None:
        raise UsageError(
            "a key or a truth is of labels, and no table of labels is named",
            code="bad-labels-option",
            hint="--labels TABLE",
        )
    if not key or truth is None:
        raise UsageError(
            f"labels in {table!r} need their key and what makes them true",
            code="bad-labels-option",
            hint="--key COLUMN --truth 'SQL'",
        )
    return Labels(table, tuple(key), truth)


@monitor_app.command("run")
def run(
    name: Name, workspace: options.Workspace = None, upto: Moment = None, *, as_json: options.AsJson = False
) -> None:
    """Judge the windows that became complete, and state anew what late labels changed."""
    with opened(workspace) as ws:
        result = ws.monitoring.run(name, upto=_moment(upto))
    if as_json:
        print_json(result)
        return
    print_text(
        f"{result.n_windows} windows judged, {result.n_restated} stated anew, "
        f"{len(result.opened)} alerts opened, {len(result.closed)} closed"
    )
    if result.opened:
        print_rows([_row(a) for a in result.opened], as_json=False)


@monitor_app.command("list")
def list_monitors(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the monitors."""
    with opened(workspace) as ws:
        rows = [
            {
                "monitor": m.name,
                "deployment": m.deployment,
                "predictions": m.table,
                "labels": None if m.labels is None else m.labels.table,
                "feeds": list(m.feeds),
                "budget_per_year": m.budget_per_year,
                "open_alerts": len(ws.monitoring.alerts(m.name, open_only=True)),
            }
            for m in ws.monitoring.monitors()
        ]
    print_rows(
        rows, as_json=as_json, empty="no monitors yet: whence monitor watch NAME --deployment DEPLOYMENT"
    )


@monitor_app.command("alerts")
def alerts(
    name: Name,
    workspace: options.Workspace = None,
    since: Moment = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not fallen back.")] = False,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List the alerts of a monitor, oldest first."""
    with opened(workspace) as ws:
        found = ws.monitoring.alerts(name, since=_moment(since), open_only=open_only)
    print_rows(
        [a.to_dict() if as_json else _row(a) for a in found], as_json=as_json, empty=f"{name} has no alerts"
    )


@monitor_app.command("blame")
def blame(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Uid of the alert.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say whence the change of an alert came: the first table version and execution, or the season."""
    with opened(workspace) as ws:
        found = ws.monitoring.blame(alert)
    print_facts(found.to_dict(), as_json=as_json)


@monitor_app.command("measures")
def measures(
    name: Name,
    workspace: options.Workspace = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    feature: Annotated[str | None, typer.Option(help="Only of this column.")] = None,
    window: Annotated[str | None, typer.Option(help="Only day or week.")] = None,
    known_at: Moment = None,
    limit: options.Limit = 50,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show what was measured, newest windows last."""
    if window not in (None, "day", "week"):
        raise UsageError(f"a window is day or week, got {window!r}", code="bad-monitor")
    kind: Window | None = window  # type: ignore[assignment]  # checked above
    with opened(workspace) as ws:
        found = ws.monitoring.measures(name, metric, feature, kind, _moment(known_at))
    shown = found.slice(max(found.num_rows - limit, 0)).to_pylist()
    if not as_json:
        wanted = ("metric", "feature", "table", "window", "start", "value", "threshold", "n")
        shown = [{k: row[k] for k in wanted} for row in shown]
    print_rows(shown, as_json=as_json, empty=f"{name} has measured nothing of that")


def _moment(text: str | None) -> datetime | None:
    from whence.lake.table import read_moment

    return None if text is None else read_moment(text)


def _row(alert: Alert) -> dict[str, object]:
    return {
        "alert": alert.uid,
        "metric": alert.metric,
        "of": alert.feature or alert.table,
        "window": f"{alert.window} {alert.start.date().isoformat()}",
        "value": alert.value,
        "threshold": alert.threshold,
        "": ("decides" if alert.decides else "informs") + (", open" if alert.open else ""),
        "blame": None if alert.blame is None else alert.blame.text,
    }
