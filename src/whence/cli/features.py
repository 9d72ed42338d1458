"""``features``, ``leaks``: feature views, and proof that nothing comes from the future."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from whence._base.clock import utc
from whence._base.refs import Ref
from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve
from whence.errors import UsageError

features_app = typer.Typer(cls=Group, help="Feature views.", no_args_is_help=True, rich_markup_mode=None)


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


@features_app.command("apply")
def features_apply(
    views: Annotated[
        list[str], typer.Argument(metavar="VIEW…", help="Views: file.py:name or package.module:name.")
    ],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Store feature views; an equal definition changes nothing."""
    from whence.cli.load import load_object

    found: list[Any] = [load_object(view) for view in views]  # what is no view is refused by the room
    with opened(workspace) as ws:
        ws.apply(*found)
    print_rows([{"view": v.name, "digest": v.digest} for v in found], as_json=as_json)


@features_app.command("materialize")
def features_materialize(
    views: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VIEW…]", help="Names of applied views; none is all of them."),
    ] = None,
    workspace: options.Workspace = None,
    upto: Annotated[
        list[str] | None,
        typer.Option(
            "--upto", metavar="TABLE@VERSION", help="Come to this version of a source, not its newest."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="MOMENT", help="Load at first only what moments from this one on can see."
        ),
    ] = None,
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Load the rows anew, as after a source was rewritten.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring the rows behind feature views into the online store, up to the newest version of their tables."""
    with opened(workspace) as ws:
        done = ws.features.materialize(
            *(views or ()),
            upto=_versions(upto or ()),
            rebuild=rebuild,
            since=None if since is None else _moment(since),
        )
    print_rows(
        [group.to_dict() for group in done.groups],
        as_json=as_json,
        empty="no feature views yet: ws.apply(view) in Python",
    )


@features_app.command("get")
def features_get(
    views: Annotated[list[str], typer.Argument(metavar="VIEW…", help="Names of applied views.")],
    workspace: options.Workspace = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="COLUMN=VALUE", help="A column the views ask for; give one for each."),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="The moment, in ISO 8601; by default now.")] = None,
    *,
    complete: Annotated[
        bool, typer.Option("--complete", help="Refuse a moment up to which the sources are not complete.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the features of one key from the online store, each with its status."""
    given = dict(_pair(text) for text in key or ())
    moment = None if at is None else _moment(at)
    with opened(workspace) as ws:
        found = [ws.features.get(view) for view in views]
        keys = ws.features.online_reader(found).from_text(given)
        answer = ws.features.get_online(keys, found, at=moment, complete=complete)
    said = answer.to_dict()
    only = said["keys"][0]
    if as_json:
        print_json({**only, "versions": said["versions"], "complete_to": said["complete_to"]})
        return
    print_rows([{"feature": name, **cell} for name, cell in only["features"].items()], as_json=False)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"{text!r} is no key", code="bad-command", hint="write --key column=value")
    return name, value


def _moment(text: str) -> datetime:
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no moment",
            code="bad-timestamp",
            hint="write ISO 8601, such as 2013-07-01T00:00:00Z",
        ) from error


def _versions(texts: Sequence[str]) -> dict[str, int]:
    found = {}
    for text in texts:
        ref = Ref.parse(text, kind="table")
        if ref.number is None:
            raise UsageError(f"{text!r} names no version", code="bad-reference", hint="write table@12")
        found[ref.name] = ref.number
    return found


def leaks(
    training_set: Annotated[str, typer.Argument(metavar="TABLE[@VERSION]", help="The training set.")],
    workspace: options.Workspace = None,
    views: Annotated[
        list[str] | None, typer.Option("--view", help="A view; by default those it was made with.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="The column of the moment; by default the recorded one.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="A column that may know the future.")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Check this many rows instead of all.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Name what a training set knew too early.

    Features are computed again by brute force from rows cut at each row's moment. The exit code is 1 when a cell differs.
    """
    with opened(workspace) as ws:
        report = ws.features.leaks(
            resolve(ws, training_set), views=views or None, at=at, labels=labels or (), sample=sample
        )
    if as_json:
        print_json(report)
    else:
        print_text(report.text())
    if not report.ok:
        raise typer.Exit(1)
