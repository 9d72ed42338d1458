"""``trace``, ``impact``, ``diff``: whence it came, where it went, what differs; and node by node, see `lineage`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import lineage as of_nodes
from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened
from whence.errors import NotFoundError, UsageError, WhenceError

if TYPE_CHECKING:
    from whence.trace import Diff, Impact, Trace
    from whence.workspace import Workspace

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="Such as prediction:TABLE/KEY, model:late@champion, table:flights@12."
    ),
]
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page too.")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(trace)
    app.command()(impact)
    app.command()(diff)
    of_nodes.add_to(app)


def trace(
    ref: Reference,
    workspace: options.Workspace = None,
    html: Page = None,
    rows: Annotated[int, typer.Option(min=0, help="Show this many raw rows of each feature.")] = 3,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show whence something came, down to the rows."""
    with opened(workspace) as ws:
        with _or_a_node(ws, [ref], "whence lineage {}"):
            found = ws.trace(ref)
        _show(found, html, found.text(max_rows=rows), as_json=as_json)


def impact(
    ref: Reference,
    workspace: options.Workspace = None,
    html: Page = None,
    stop: of_nodes.Stop = None,
    only: of_nodes.Only = None,
    max_hops: of_nodes.MaxHops = None,
    as_of: of_nodes.AsOf = None,
    *,
    nodes: of_nodes.Nodes = False,
    as_json: options.AsJson = False,
) -> None:
    """Show where something went, up to the answers.

    With --nodes, or an option that only nodes have (--stop, --only, --max-hops, --as-of), it lists what the graph
    has downstream, by type.
    """
    if nodes or stop is not None or only or max_hops is not None or as_of is not None:
        _no_page(html)
        of_nodes.impact_of_nodes(
            workspace, ref, stop=stop, only=only, max_hops=max_hops, as_of=as_of, as_json=as_json
        )
        return
    with opened(workspace) as ws:
        with _or_a_node(ws, [ref], "whence impact {} --nodes"):
            found = ws.impact(ref)
        _show(found, html, found.text(), as_json=as_json)


def diff(
    first: Reference,
    second: Reference,
    workspace: options.Workspace = None,
    html: Page = None,
    ignore: of_nodes.Ignore = None,
    max_hops: of_nodes.MaxHops = None,
    as_of: of_nodes.AsOf = None,
    *,
    nodes: of_nodes.Nodes = False,
    as_json: options.AsJson = False,
) -> None:
    """Show in what two things differ, and since which ancestor.

    With --nodes, or an option that only nodes have (--ignore, --max-hops, --as-of), the nodes of the graph are
    compared as they are stored, whatever wrote them.
    """
    if nodes or ignore or max_hops is not None or as_of is not None:
        _no_page(html)
        of_nodes.diff_of_nodes(
            workspace,
            (first, second),
            ignore=ignore or (),
            max_hops=max_hops,
            as_of=as_of,
            as_json=as_json,
        )
        return
    with opened(workspace) as ws:
        with _or_a_node(ws, [first, second], "whence diff {} --nodes"):
            found = ws.tracer.diff(first, second)
        _show(found, html, found.text(), as_json=as_json)


@contextmanager
def _or_a_node(ws: Workspace, refs: Sequence[str], command: str) -> Iterator[None]:
    """Where a name is none of the journey's words but a node's, the error says which command asks node by node."""
    try:
        yield
    except WhenceError as error:
        if error.code == "bad-reference" or isinstance(error, NotFoundError):
            named = [_names_a_node(ws, ref) for ref in refs]
            if all(named):
                error.hint = f"{command.format(shlex.join(refs))} asks the graph node by node"
        raise


def _names_a_node(ws: Workspace, ref: str) -> bool:
    try:
        ws.graph.node(ref)
    except WhenceError as error:
        return error.code == "ambiguous-reference"
    return True


def _no_page(html: Path | None) -> None:
    if html is not None:
        raise UsageError(
            "--html is for the answer about the journey, not for the one about nodes",
            code="bad-command",
            hint="leave out --nodes and the options that only nodes have, or use --json",
        )


def _show(found: Trace | Impact | Diff, html: Path | None, text: str, *, as_json: bool) -> None:
    if html is not None:
        html.write_text(found.html(), encoding="utf-8")
    if as_json:
        print_json(found)
        return
    print_text(text)
    if html is not None:
        print_text(f"page: {html}")
