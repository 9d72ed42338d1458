"""``lineage``, ``path``: the graph node by node, for whatever wrote it; what ``impact`` and ``diff`` do with ``--nodes``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from whence._base.clock import utc
from whence.cli import options
from whence.cli.output import jsonable, print_json, print_text
from whence.cli.session import opened
from whence.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whence.metadata import WalkQuery
    from whence.metadata.graph import Graph
    from whence.workspace import Workspace

References = Annotated[
    list[str],
    typer.Argument(
        metavar="REF...", help="Such as model:late@7, table:flights@12, execution:01J…, TYPE/NAME, a uid."
    ),
]
Reference = Annotated[
    str, typer.Argument(metavar="REF", help="Such as model:late@7, execution:01J…, TYPE/NAME, a uid.")
]
Direction: TypeAlias = Literal["up", "down", "both"]
Stop = Annotated[
    str | None,
    typer.Option(
        "--stop",
        metavar="FILTER",
        help="Do not go on from nodes that fit, such as \"type = 'Model'\"; they are shown.",
    ),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="TYPE", help="Show nodes of this type only; repeatable.")
]
MaxHops = Annotated[
    int | None, typer.Option("--max-hops", min=0, help="At most this many events away. [default: no limit]")
]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="The graph as it was known then, ISO 8601.")
]
Internal = Annotated[bool, typer.Option("--internal", help="Follow code and environment too.")]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="NAME", help="With --nodes: a property that does not count; repeatable."
    ),
]
Nodes = Annotated[
    bool,
    typer.Option(
        "--nodes", help="Ask the graph node by node, whatever wrote it, not by what whence knows of it."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(lineage)
    app.command()(path)


def lineage(
    refs: References,
    workspace: options.Workspace = None,
    direction: Annotated[
        Direction, typer.Option(help="up to what it came from, down to where it went, or both.")
    ] = "up",
    stop: Stop = None,
    only: Only = None,
    max_hops: MaxHops = None,
    as_of: AsOf = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="One page of at most so many nodes; it says how the next is asked for."
        ),
    ] = None,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    *,
    without_stops: Annotated[
        bool, typer.Option("--without-stops", help="Do not show the nodes that fit --stop.")
    ] = False,
    internal: Internal = False,
    as_json: options.AsJson = False,
) -> None:
    """List everything a node came from or went to, nearest first.

    It is printed while it is read: a lineage of millions of nodes needs no memory for them.
    """
    from whence.metadata import WalkQuery

    with opened(workspace) as ws:
        query = WalkQuery(
            _uids(ws, refs),
            direction,
            max_hops=max_hops,
            internal=internal,
            stop=stop,
            include_stops=not without_stops,
            only=only,
            as_of=moment(as_of),
            cursor=cursor,
        )
        if limit is None:
            _stream(ws, query, as_json=as_json)
        else:
            _page(ws, query, limit, as_json=as_json)


def _stream(ws: Workspace, query: WalkQuery, *, as_json: bool) -> None:
    from whence.metadata.walk import level_to_dict

    n = 0
    for n, level in enumerate(ws.store.walk(query), 1):
        if as_json:
            print_text(
                ("[" if n == 1 else ",") + json.dumps(jsonable(level_to_dict(level)), ensure_ascii=False)
            )
        else:
            print_text(level_text(level))
    if as_json:
        print_text("]" if n else "[]")
    elif n == 0:
        print_text("nothing")


def _page(ws: Workspace, query: WalkQuery, limit: int, *, as_json: bool) -> None:
    from whence.metadata.walk import level_to_dict, read_page

    page = read_page(ws.store, replace(query, page_nodes=limit))
    if as_json:
        print_json({"levels": [level_to_dict(level) for level in page.levels], "cursor": page.cursor})
        return
    print_text("\n".join(level_text(level) for level in page.levels) or "nothing")
    if page.cursor is not None:
        print_text(f"more: --cursor {page.cursor}")


def path(
    first: Reference,
    second: Reference,
    workspace: options.Workspace = None,
    direction: Annotated[
        Direction, typer.Option(help="up: the second is what the first came from; down: where it went; both.")
    ] = "both",
    max_hops: MaxHops = None,
    as_of: AsOf = None,
    *,
    internal: Internal = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the shortest way from one node to another."""
    from whence.metadata.lineage import shortest_path

    with opened(workspace) as ws:
        a, b = _uids(ws, [first, second])
        found = shortest_path(
            ws.store, a, b, direction=direction, max_hops=max_hops, internal=internal, as_of=moment(as_of)
        )
        if as_json:
            print_json(found)
        else:
            print_text("no way leads there" if found is None else found.text())


def impact_of_nodes(
    workspace: str | None,
    ref: str,
    *,
    stop: str | None,
    only: Sequence[str] | None,
    max_hops: int | None,
    as_of: str | None,
    as_json: bool,
) -> None:
    """``impact --nodes``."""
    from whence.metadata.impact import impact

    with opened(workspace) as ws:
        found = impact(
            ws.store, _uids(ws, [ref]), stop=stop, only=only, max_hops=max_hops, as_of=moment(as_of)
        )
        if as_json:
            print_json(found)
        else:
            print_text(found.text())


def diff_of_nodes(
    workspace: str | None,
    refs: tuple[str, str],
    *,
    ignore: Sequence[str],
    max_hops: int | None,
    as_of: str | None,
    as_json: bool,
) -> None:
    """``diff --nodes``."""
    from whence.metadata.differ import first_difference

    with opened(workspace) as ws:
        a, b = _uids(ws, refs)
        found = first_difference(ws.store, a, b, ignore=ignore, max_hops=max_hops, as_of=moment(as_of))
        if as_json:
            print_json(found)
        else:
            print_text(found.text())


def level_text(level: object) -> str:
    """A level in lines: how far, then a node each."""
    from whence.metadata import Level
    from whence.metadata.found import line_of

    assert isinstance(level, Level)
    return "\n".join(f"{level.hops:4}  {line_of(node)}" for node in level.nodes)


def moment(text: str | None) -> datetime | None:
    """A moment that was typed."""
    if text is None:
        return None
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no moment",
            code="bad-timestamp",
            hint="write ISO 8601, such as 2026-05-03T12:00:00Z",
        ) from error


def _uids(ws: Workspace, refs: Sequence[str]) -> list[str]:
    graph: Graph = ws.graph
    return [graph.node(ref).uid for ref in refs]
