"""``runs``, ``run``, ``exec``, ``why``, ``reproduce``: what was done, and doing it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened, resolve

runs_app = typer.Typer(
    help="Runs: executions with parameters and metrics.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(runs_app, name="runs")
    app.command()(run)
    app.command("exec")(exec_)
    app.command()(why)
    app.command()(reproduce)


@runs_app.command("list")
def runs_list(
    workspace: options.Workspace = None, limit: options.Limit = 20, *, as_json: options.AsJson = False
) -> None:
    """List runs, newest first."""
    with opened(workspace) as ws:
        rows = [
            {"run": r.ref, "name": r.name, "state": r.state, "params": r.params, "metrics": r.metrics}
            for r in list(ws.runs.list())[:limit]
        ]
    print_rows(rows, as_json=as_json, empty="no runs yet")


@runs_app.command("show")
def runs_show(
    run: Annotated[str, typer.Argument(help="A reference: run:01J….")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show one run: parameters, metrics, tags, inputs and outputs."""
    with opened(workspace) as ws:
        facts = ws.runs.get(run).to_dict()
    print_facts(facts, as_json=as_json)


@runs_app.command("compare")
def runs_compare(
    runs: Annotated[list[str], typer.Argument(help="Two or more references.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Set runs side by side: what differs in parameters and metrics."""
    with opened(workspace) as ws:
        comparison = ws.runs.compare(runs)
    if as_json:
        print_json(comparison)
    else:
        print_text(comparison.text())


def _params(pairs: list[str]) -> dict[str, object]:
    out: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            out[name] = json.loads(text)
        except json.JSONDecodeError:
            out[name] = text
    return out


def run(
    target: Annotated[str, typer.Argument(help="A pipeline or step: file.py:name or package.module:name.")],
    workspace: options.Workspace = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; the value may be JSON.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="A run of the same key happens once.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Run a pipeline, or one step of it, with its cache."""
    from whence.cli.load import load_object

    with opened(workspace) as ws:
        result = ws.pipelines.run(load_object(target), **_params(param or []), key=key)
    if as_json:
        print_json(result)
    else:
        print_text(result.text())


def exec_(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    workspace: options.Workspace = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="A table version it reads; may be repeated.")
    ] = None,
    outputs: Annotated[
        list[Path] | None, typer.Option("--output", help="A file it writes; kept as a blob.")
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Run any program as a recorded execution; its exit code is the command's."""
    with opened(workspace) as ws, ws.execution("exec", params={"command": list(command)}) as recording:
        for name in inputs or []:
            recording.input(resolve(ws, name).artifact())
        done = subprocess.run(command, check=False)  # noqa: S603  the user's own command, run for the user
        digests = {str(path): ws.blobs.put(path) for path in outputs or [] if path.is_file()}
        recording.set(exit_code=done.returncode, files=digests)
        facts = {"execution": recording.ref, "exit_code": done.returncode, "files": digests}
        print_facts(facts, as_json=as_json)
        if done.returncode:  # raised inside, so that the execution is recorded as failed
            raise typer.Exit(done.returncode)


def why(
    step: Annotated[str, typer.Argument(help="Name of the step.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say why a step ran, or why its cached outputs were used."""
    with opened(workspace) as ws:
        explanation = ws.pipelines.why(step)
    if as_json:
        print_json(explanation)
    else:
        print_text(explanation.text())


def reproduce(
    ref: Annotated[str, typer.Argument(help="A run, an execution, a model version or a table version.")],
    workspace: options.Workspace = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="T=VERSION or T=FILE instead of what was read.")
    ] = None,
    code: Annotated[str, typer.Option(help="stored: the code of then; current: the code of now.")] = "stored",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Do it again on the recorded inputs and compare; exit code 1 when the outputs differ."""
    with opened(workspace) as ws:
        substitutes = dict(_substitute(text) for text in inputs or [])
        verdict = ws.reproduce(ref, inputs=substitutes, code=code)
    if as_json:
        print_json(verdict)
    else:
        print_text(verdict.text())
    if verdict.verdict in ("different", "impossible"):
        raise typer.Exit(1)


def _substitute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"{text!r} is not TABLE=VERSION or TABLE=FILE")
    return name, value
