"""``export`` and ``import`` of the graph itself: PROV-JSON, GraphML, DOT."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened

if TYPE_CHECKING:
    from whence.metadata import MetadataStore
    from whence.metadata.exchange import Exported, Piece, Received

To = Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")]
From = Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.")]
Starts = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="REF",
        help="Only the lineage of this node; may be given several times. Left out: everything.",
    ),
]
Hops = Annotated[int | None, typer.Option(min=0, help="With --from: at most this many events away.")]
Moment = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="The graph as it was known then, in ISO 8601.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Internal = Annotated[bool, typer.Option("--internal", help="With --from: code and environments too.")]


class Direction(StrEnum):
    """Which way from the starts."""

    up = "up"
    down = "down"
    both = "both"


Way = Annotated[Direction, typer.Option(help="With --from: to what it came from, to where it went, or both.")]


def add_to(exports: typer.Typer, imports: typer.Typer) -> None:
    """Hang these commands into the groups ``export`` and ``import``."""
    for command in (prov, graphml, dot):
        exports.command()(command)
    imports.command("prov")(import_prov)
    imports.command("graphml")(import_graphml)


def prov(
    file: To,
    workspace: options.Workspace = None,
    starts: Starts = None,
    direction: Way = Direction.both,
    max_hops: Hops = None,
    as_of: Moment = None,
    *,
    internal: Internal = False,
    force: Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the graph as PROV-JSON, the W3C's exchange format for provenance."""
    from whence.metadata.exchange import write_prov

    _export(
        write_prov,
        file,
        workspace,
        starts,
        direction,
        max_hops,
        as_of,
        internal=internal,
        force=force,
        as_json=as_json,
    )


def graphml(
    file: To,
    workspace: options.Workspace = None,
    starts: Starts = None,
    direction: Way = Direction.both,
    max_hops: Hops = None,
    as_of: Moment = None,
    *,
    internal: Internal = False,
    force: Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the graph as GraphML, for programs that search and lay out graphs."""
    from whence.metadata.exchange import write_graphml

    _export(
        write_graphml,
        file,
        workspace,
        starts,
        direction,
        max_hops,
        as_of,
        internal=internal,
        force=force,
        as_json=as_json,
    )


def dot(
    file: To,
    workspace: options.Workspace = None,
    starts: Starts = None,
    direction: Way = Direction.both,
    max_hops: Hops = None,
    as_of: Moment = None,
    *,
    internal: Internal = False,
    contexts: Annotated[
        bool, typer.Option("--contexts", help="Draw contexts and their members too.")
    ] = False,
    force: Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the graph as a drawing in DOT: `dot -Tsvg FILE` makes a picture of it."""
    from whence.metadata.exchange import write_dot

    def write(piece: Piece, to: Path, *, replace: bool) -> Exported:
        return write_dot(piece, to, contexts=contexts, replace=replace)

    _export(
        write,
        file,
        workspace,
        starts,
        direction,
        max_hops,
        as_of,
        internal=internal,
        force=force,
        as_json=as_json,
    )


def import_prov(file: From, workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Bring a PROV-JSON document into the graph, ours or another program's; again, nothing changes."""
    from whence.metadata.exchange import read_prov

    _import(read_prov, file, workspace, as_json=as_json)


def import_graphml(
    file: From, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Bring a GraphML document that `whence export graphml` wrote into the graph; again, nothing changes."""
    from whence.metadata.exchange import read_graphml

    _import(read_graphml, file, workspace, as_json=as_json)


class _Write(Protocol):
    """One of the writers of `whence.metadata.exchange`."""

    def __call__(self, piece: Piece, to: Path, /, *, replace: bool) -> Exported: ...


def _export(
    write: _Write,
    file: Path,
    workspace: str | None,
    starts: list[str] | None,
    direction: Direction,
    max_hops: int | None,
    as_of: str | None,
    *,
    internal: bool,
    force: bool,
    as_json: bool,
) -> None:
    from whence.lake.table import read_moment
    from whence.metadata.exchange import Piece

    with opened(workspace) as ws:
        piece = Piece.of(
            ws.store,
            [ws.graph.resolve(ref) for ref in starts] if starts else None,
            direction=direction.value,
            max_hops=max_hops,
            internal=internal,
            as_of=read_moment(as_of) if as_of else None,
        )
        done = write(piece, file, replace=force)
    if as_json:
        print_json({"file": str(file), "nodes": done.nodes, "edges": done.edges})
    else:
        print_text(f"{file}: {done.nodes:,} nodes, {done.edges:,} edges")


def _import(
    read: Callable[[MetadataStore, Path], Received], file: Path, workspace: str | None, *, as_json: bool
) -> None:
    with opened(workspace) as ws:
        done = read(ws.store, file)
    if as_json:
        print_json(
            {"nodes": done.nodes, "edges": done.edges, "new": done.new, "left_out": dict(done.left_out)}
        )
        return
    print_text(f"{done.nodes:,} nodes ({done.new:,} of them new), {done.edges:,} edges")
    for what, n in done.left_out.items():
        print_text(f"left out, the graph has no edge for it: {what}, {n:,} times")
