"""``serve``: the workspace in a browser, and its models for requests."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import opened
from whence.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from whence.metadata import MetadataStore


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
    mlmd: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Answer ML Metadata's clients (gRPC) here too; port 0 takes a free one."
        ),
    ] = None,
    mlmd_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Mutual TLS for them: the server's certificate,")
    ] = None,
    mlmd_key: Annotated[Path | None, typer.Option(metavar="FILE", help="its key,")] = None,
    mlmd_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="and the authority that signed the clients'.")
    ] = None,
    mlmd_namespace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The namespace they write to and list; made when absent."),
    ] = None,
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

    files = (mlmd_cert, mlmd_key, mlmd_client_ca)
    if mlmd_namespace is not None and mlmd is None:
        raise UsageError("--mlmd-namespace needs --mlmd", code="bad-command")
    if any(files) and not (mlmd and all(files)):
        raise UsageError(
            "mutual TLS needs --mlmd, --mlmd-cert, --mlmd-key and --mlmd-client-ca", code="bad-command"
        )
    beside: dict[str, str] = {}

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, **beside})
        else:
            print_text(f"whence serves at {address}")
            for what, where in beside.items():
                print_text(f"{what} at {where}")
        if browser:
            typer.launch(address)

    with opened(workspace) as ws, ExitStack() as stack:
        if mlmd is not None:
            store = ws.store
            if mlmd_namespace is not None:
                store = store.in_namespace(mlmd_namespace, create=True)
            beside["mlmd"] = stack.enter_context(_mlmd(store, mlmd, files))
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


def _mlmd(graph: MetadataStore, address: str, files: tuple[Path | None, ...]) -> AbstractContextManager[str]:
    """The service for ML Metadata's clients."""
    try:
        from whence.integrations.mlmd.server import Certificates, serve_mlmd
    except ImportError as error:
        raise UnsupportedError(
            f"--mlmd needs {error.name}", code="extra-missing", hint="pip install 'whence[mlmd]'"
        ) from error
    certificate, key, client_ca = files
    if certificate is None or key is None or client_ca is None:
        return serve_mlmd(graph, address)
    return serve_mlmd(graph, address, certificates=Certificates(certificate, key, client_ca))
