"""``serve``: the workspace in a browser, and its models for requests."""

from __future__ import annotations

from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(serve)


def serve(
    workspace: options.Workspace = None,
    host: Annotated[str, typer.Option(help="An address of this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8765,
    deployment: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer for this deployment only; may be repeated. [default: all of them, and every model]"
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name clients may call it by, NAME or NAME:PORT; may be repeated."),
    ] = None,
    max_rows: Annotated[
        int, typer.Option(min=1, help="A request of more rows is refused; `whence score` takes any number.")
    ] = 16_384,
    *,
    pages: Annotated[
        bool, typer.Option("--pages/--no-pages", help="Show the workspace in a browser too.")
    ] = True,
    browser: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the workspace in a browser, and answer requests at /v2/models/NAME/infer.

    Runs until it is stopped by Ctrl+C or SIGTERM. Every answer that was given is then in its table.
    """
    from whence.server.run import serve as run

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address})
        else:
            print_text(f"whence serves at {address}")
        if browser:
            typer.launch(address)

    with opened(workspace) as ws:
        run(
            ws,
            host=host,
            port=port,
            deployments=deployment or None,
            allowed_hosts=allowed_host or (),
            max_rows=max_rows,
            pages=pages,
            on_ready=ready,
        )
