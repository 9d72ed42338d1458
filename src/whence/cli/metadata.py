"""``nodes``, ``remove``, ``gc``, ``retention``, ``mark``, ``namespace``: the graph itself, asked and looked after."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened
from whence.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from whence.metadata import Mark
    from whence.metadata.marks import Taint
    from whence.metadata.removal import Collected, Gone, RetentionRule
    from whence.workspace import Workspace

References = Annotated[
    list[str],
    typer.Argument(
        metavar="REF...", help="Such as model:late@7, table:flights@12, execution:01J…, TYPE/NAME, a uid."
    ),
]
Kind: TypeAlias = Literal["artifact", "execution", "context"]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="FILTER", help="A condition, such as \"type = 'Model' AND created_at > …\"."
    ),
]

retention_app = typer.Typer(
    cls=Group,
    help="Rules that say what `whence gc --apply` may remove.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
mark_app = typer.Typer(
    cls=Group,
    help="Mark what is bad; everything made from it is tainted until the mark is lifted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
namespace_app = typer.Typer(
    cls=Group, help="Parts of the graph with names of their own.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(nodes)
    app.command()(remove)
    app.command()(gc)
    app.add_typer(retention_app, name="retention")
    app.add_typer(mark_app, name="mark")
    app.add_typer(namespace_app, name="namespace")


def nodes(
    kind: Annotated[Kind, typer.Argument(help="Which kind of nodes.")] = "artifact",
    workspace: options.Workspace = None,
    where: Where = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only of this type; repeatable.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; repeatable.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="The graph as it was known then, ISO 8601.")
    ] = None,
    by: Annotated[
        Literal["type", "state"] | None,
        typer.Option("--count-by", help="Count them instead of listing them."),
    ] = None,
    limit: options.Limit = 50,
    *,
    removed: Annotated[bool, typer.Option("--removed", help="Tombstones too.")] = False,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first, not the newest.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List artifacts, executions or contexts of the graph."""
    from whence.metadata.found import node_to_dict

    with opened(workspace) as ws:
        graph = ws.graph if at is None else ws.graph.at(at)
        if by is not None:
            counts = graph.count(kind, _condition(where, type_, state, removed=removed), by=by)
            ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
            print_facts(ordered or {"nodes": 0}, as_json=as_json)
            return
        found = graph.find(
            kind, where, type_=type_, state=state, limit=limit, removed=removed, descending=not oldest
        )
        rows = [node_to_dict(node) for node in found]
        if as_json:
            print_json(rows)
        else:
            print_rows([_short(row) for row in rows], as_json=False, empty=f"no {kind} fits")


def _condition(
    where: str | None, types: Sequence[str] | None, states: Sequence[str] | None, *, removed: bool
) -> str | None:
    """What is counted, as one condition; the state's words are checked with it."""
    if removed:
        raise UsageError("tombstones are listed, not counted", code="bad-command", hint="leave out --removed")
    parts = [] if where is None else [where]
    if types:
        quoted = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "''") + "'" for name in types)
        parts.append(f"type IN ({quoted})")
    if states:
        parts.append(f"state IN ({', '.join(states)})")
    return parts[0] if len(parts) == 1 else " AND ".join(f"({part})" for part in parts) or None


def _short(row: Mapping[str, object]) -> dict[str, object]:
    names = ["uid", "type", "name", *(["state"] if "state" in row else []), "created_at"]
    names += ["removed_at"] if row["removed_at"] is not None else []
    return {name: row[name] for name in names}


def remove(
    refs: References,
    workspace: options.Workspace = None,
    reason: Annotated[str, typer.Option(help="Why; kept on the tombstone.")] = "",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Remove nodes; a tombstone of each stays, so that lineage holds together."""
    from whence.metadata.found import line_of, node_to_dict

    with opened(workspace) as ws:
        gone = ws.graph.remove(*refs, reason=reason)
        if as_json:
            print_json([node_to_dict(node) for node in gone])
        else:
            print_text("\n".join(line_of(node) for node in gone))


def gc(
    workspace: options.Workspace = None,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else only say what would go.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Follow the retention rules, and take out what nothing living is tied to.

    Nothing is changed without --apply.
    """
    with opened(workspace) as ws:
        done = ws.graph.collect(dry_run=not apply)
    if as_json:
        print_json(done)
    else:
        print_text(_collected(done))


def _collected(done: Collected) -> str:
    would = "would be " if done.dry_run else ""
    lines = [f"{len(done.removed)} nodes {would}removed", *(f"  {_gone(g)}" for g in done.removed)]
    if done.kept:
        lines += [f"{len(done.kept)} nodes are kept", *(f"  {_gone(g)}" for g in done.kept)]
    lines.append(f"{done.n_nodes} tombstones {would}taken out, with {done.n_events} events")
    lines.append(f"{done.n_tombstones} tombstones stay")
    if done.dry_run:
        lines.append("nothing was changed; --apply does it")
    return "\n".join(lines)


def _gone(gone: Gone) -> str:
    return f"{gone.kind} {gone.type} {gone.name or gone.uid}: {gone.why}"


@retention_app.command("list")
def retention_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Show the rules in force."""
    with opened(workspace) as ws:
        rules = ws.graph.rules()
    rows = [rule.to_dict() if as_json else _rule(rule) for rule in rules]
    print_rows(rows, as_json=as_json, empty="no rule: everything is kept")


def _rule(rule: RetentionRule) -> dict[str, object]:
    return {"rule": rule.name, "lets go": str(rule)}


@retention_app.command("add")
def retention_add(
    name: Annotated[str, typer.Argument(help="What the rule is called; one of the same name is replaced.")],
    workspace: options.Workspace = None,
    kind: Annotated[Kind, typer.Option(help="Which kind of nodes.")] = "artifact",
    where: Where = None,
    keep_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="They stay until they are this old: 90d, 12h.")
    ] = None,
    keep_newest: Annotated[
        int | None, typer.Option(min=0, help="So many of each group stay, however old.")
    ] = None,
    per: Annotated[
        str, typer.Option(help="What makes a group: type, name (before its @), or a property's name.")
    ] = "type",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say what may go; nothing goes before `whence gc --apply`."""
    with opened(workspace) as ws:
        rule = ws.graph.retain(name, kind, where, keep_for=keep_for, keep_newest=keep_newest, per=per)
    print_facts(rule.to_dict() if as_json else _rule(rule), as_json=as_json)


@retention_app.command("drop")
def retention_drop(
    name: Annotated[str, typer.Argument(help="The rule.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Take a rule back."""
    with opened(workspace) as ws:
        ws.graph.drop_rule(name)
    print_facts({"dropped": name}, as_json=as_json)


@mark_app.command("add")
def mark_add(
    refs: References,
    reason: Annotated[str, typer.Option(help="Why, for whoever is stopped by it.")],
    workspace: options.Workspace = None,
    policy: Annotated[
        Literal["block", "retrain", "alert"],
        typer.Option(
            help="block refuses to read what is tainted, retrain starts pipelines that wait, alert tells monitors."
        ),
    ] = "block",
    *,
    onward: Annotated[
        bool, typer.Option("--onward", help="Their later versions too, also those still to come.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Mark artifacts or executions as bad, all of them or none."""
    with opened(workspace) as ws:
        marks = ws.graph.mark_all(refs, reason, policy=policy, onward=onward)
        _show_marks(marks, as_json=as_json)
        if not as_json and not onward:
            for line in _later_versions(ws, marks):
                print_text(line)


def _later_versions(ws: Workspace, marks: Sequence[Mark]) -> Iterator[str]:
    """What to look at besides: an append carries on the rows of the version before it, without reading it."""
    marked: dict[str, set[int]] = {}
    for node in ws.graph.get_nodes("artifact", uids=[mark.uid for mark in marks]):
        table, version = node.get("table"), node.get("version")
        if node.type == "TableVersion" and isinstance(table, str) and isinstance(version, int):
            marked.setdefault(table, set()).add(version)
    for table, versions in marked.items():
        handle = ws.table(table)
        later = [
            n
            for n in range(min(versions) + 1, handle.head().version + 1 if handle.exists else 0)
            if n not in versions
        ]
        if later:
            yield (
                f"versions {later[0]} to {later[-1]} of {table} came after it and are not marked: with --onward they"
                f" are too; whence impact table:{table}@{min(versions)} tells which hold its rows"
            )


@mark_app.command("repaired")
def mark_repaired(
    ref: Annotated[str, typer.Argument(metavar="REF", help="The first version that is good again.")],
    workspace: options.Workspace = None,
    reason: Annotated[str, typer.Option(help="How, for whoever asks.")] = "",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say that a version is good again: the marks that go on with earlier ones end before it."""
    with opened(workspace) as ws:
        _show_marks(ws.graph.repaired(ref, reason), as_json=as_json)


@mark_app.command("lift")
def mark_lift(
    mark: Annotated[int, typer.Argument(help="The mark's number.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Lift a mark: what it tainted is clean at once."""
    with opened(workspace) as ws:
        _show_marks([ws.graph.lift(mark)], as_json=as_json)


@mark_app.command("list")
def mark_list(
    workspace: options.Workspace = None,
    since: Annotated[int, typer.Option(min=0, help="Only marks after this number.")] = 0,
    *,
    live: Annotated[bool, typer.Option("--live", help="Only those in force.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the marks, those that were lifted too."""
    with opened(workspace) as ws:
        _show_marks(ws.graph.marks(since=since, live=live), as_json=as_json)


def _show_marks(marks: Sequence[Mark], *, as_json: bool) -> None:
    from whence.metadata.marks import mark_to_dict

    rows: list[Mapping[str, object]] = [mark_to_dict(mark) for mark in marks]
    if not as_json:
        names = ("mark", "verdict", "policy", "uid", "reason", "principal", "at", "lifted_at")
        rows = [{name: row[name] for name in names} for row in rows]
    print_rows(rows, as_json=as_json, empty="no marks")


@mark_app.command("tainted")
def mark_tainted(
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[REF...]", help="Nodes to ask about; all by default.")
    ] = None,
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show what is tainted, and by which marks."""
    with opened(workspace) as ws:
        found = [ws.graph.tainted(ref) for ref in refs] if refs else ws.graph.tainted()
    rows = [taint.to_dict() if as_json else _tainted(taint) for taint in found]
    print_rows(rows, as_json=as_json, empty="nothing is tainted")


def _tainted(taint: Taint) -> dict[str, object]:
    return {
        "uid": taint.node.uid,
        "type": taint.node.type,
        "name": taint.node.name,
        "tainted by": "; ".join(f"mark {m.id} ({m.policy}): {m.reason}" for m in taint.marks) or "clean",
    }


@namespace_app.command("list")
def namespace_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Show all namespaces."""
    with opened(workspace) as ws:
        rows = [_namespace(n.name, n.created_at, closed=n.closed) for n in ws.graph.list_namespaces()]
    print_rows(rows, as_json=as_json)


def _namespace(name: str, created_at: datetime | None, *, closed: bool) -> dict[str, object]:
    return {"namespace": name, "state": "closed" if closed else "open", "created_at": created_at}


NamespaceName = Annotated[str, typer.Argument(help="The namespace, 1 to 64 characters.")]


@namespace_app.command("make")
def namespace_make(
    name: NamespaceName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Make a namespace; `metadata.namespace` in whence.toml puts a workspace into it."""
    _put_namespace(workspace, name, closed=None, as_json=as_json)


@namespace_app.command("close")
def namespace_close(
    name: NamespaceName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Close a namespace: it can be read, nothing is written into it any more."""
    _put_namespace(workspace, name, closed=True, as_json=as_json)


@namespace_app.command("open")
def namespace_open(
    name: NamespaceName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Open a namespace that was closed."""
    _put_namespace(workspace, name, closed=False, as_json=as_json)


def _put_namespace(workspace: str | None, name: str, *, closed: bool | None, as_json: bool) -> None:
    with opened(workspace) as ws:
        if closed is not None:
            ws.graph.in_namespace(name)  # a name that is misspelt makes none
        stored = ws.graph.put_namespace(name, closed=closed)
    print_facts(_namespace(stored.name, stored.created_at, closed=stored.closed), as_json=as_json)
