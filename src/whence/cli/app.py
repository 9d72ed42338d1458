"""``whence``: the groups of commands under one roof, and what every one of them does alike.

Exit codes: 0 it holds; 1 it does not hold, from commands that ask a question, and for rejected
data; 2 wrong usage, not found, denied; 3 conflict, integrity, a store failed.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from whence._version import __version__
from whence.cli import (
    exchange,
    features,
    graph,
    ingest,
    metadata,
    migrate,
    models,
    monitoring,
    pipelines,
    quarantine,
    query,
    serve,
    serving,
    settings,
    tables,
    validation,
)
from whence.cli.help import Group
from whence.cli.output import print_error, print_text
from whence.cli.session import named_workspace, to_look
from whence.config import calm_learners
from whence.errors import UsageError, WhenceError

INTERRUPTED = 130  # 128 + SIGINT, as shells count

app = typer.Typer(
    name="whence",
    cls=Group,
    help="Whence did this come, down to the rows; where did it go, up to the served answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="To begin: whence stats FILE.csv, or whence demo. More of each: whence COMMAND --help.",
)
for group in (
    settings,
    ingest,
    tables,
    quarantine,
    query,
    validation,
    features,
    models,
    serving,
    monitoring,
    pipelines,
    graph,
    metadata,
    migrate,
    exchange,
    serve,
):
    group.add_to(app)


def _version(*, wanted: bool) -> None:
    if wanted:
        print_text(f"whence {__version__}")
        raise typer.Exit


@app.callback()
def common(
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", metavar="DIR", help="Workspace of the command, unless it names its own."
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="Open the workspace to look: it may lie where nothing can be written."
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _version(wanted=value),
            is_eager=True,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """Whence did this come, down to the rows; where did it go, up to the served answers."""
    del version  # its callback has answered
    named_workspace.set(workspace)
    to_look.set(read_only)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The words after ``whence``; the process's own when None.
    """
    calm_learners()
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    as_json = "--json" in args
    try:
        result = app(args, standalone_mode=False, prog_name="whence")
    except typer.TyperException as error:
        usage = _usage(error)
        print_error(usage, as_json=as_json)
        return usage.exit_code
    except WhenceError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nothing is left to say
        return 0
    except Exception as error:  # noqa: BLE001  a bug of ours must not look like an answer "no" (exit 1)
        traceback.print_exc()
        internal = WhenceError(
            f"{type(error).__name__}: {error}", code="internal", hint="this is a bug of whence"
        )
        print_error(internal, as_json=as_json)
        return internal.exit_code
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> UsageError:
    """What the parser refused, in our words, with the commands that were probably meant."""
    format_message = getattr(error, "format_message", None)
    message = str(format_message() if callable(format_message) else error).rstrip(".")
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "whence")
    if message.startswith("Usage: "):  # a group without a command: its own help is the answer
        names = sorted(getattr(context.command, "commands", {})) if context is not None else []
        return UsageError(
            f"{command} needs a command: {', '.join(names)}",
            code="bad-command",
            hint=f"{command} --help explains them",
        )
    message, guess = [*re.split(r"\. Did you mean | \(Possible options: ", message, maxsplit=1), ""][:2]
    near = re.findall(r"'([^']+)'|(--[\w-]+)", guess)
    return UsageError(message, code="bad-command", near=[a or b for a, b in near], hint=f"{command} --help")
