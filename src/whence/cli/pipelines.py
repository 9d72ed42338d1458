"""``runs``, ``run``, ``exec``, ``why``, ``reproduce``: what was done, and doing it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from whence.cli import options, render
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened

runs_app = typer.Typer(
    help="Runs: executions with parameters and metrics.", no_args_is_help=True, rich_markup_mode=None
)

Params = Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; the value may be JSON.")]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(runs_app, name="runs")
    app.command()(run)
    app.command("exec")(exec_)
    app.command()(why)
    app.command()(reproduce)


@runs_app.command("list")
def runs_list(
    workspace: options.Workspace = None,
    limit: options.Limit = 20,
    where: Annotated[
        str | None, typer.Option(help="Such as: metrics.auc > 0.7 and params.depth = '6'")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Only runs of this experiment.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List runs, newest first."""
    with opened(workspace) as ws:
        found = ws.runs.search(where, experiment=experiment, limit=limit)
        rows = [
            {"run": r.ref, "name": r.name, "state": r.state, "params": r.params, "metrics": r.metrics}
            for r in found
        ]
    print_rows(rows, as_json=as_json, empty="no runs yet")


@runs_app.command("show")
def runs_show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A reference, a uid or a name.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show one run: params, metrics, tags, inputs."""
    with opened(workspace) as ws:
        r = ws.runs.get(run)
        facts: dict[str, object] = {
            "run": r.ref, "name": r.name, "type": r.type, "state": r.state, "experiment": r.experiment,
            "started_at": r.started_at, "duration_s": r.duration_s, "params": r.params, "metrics": r.metrics,
            "tags": r.tags, "inputs": list(r.inputs), "artifacts": list(r.artifacts),
        }  # fmt: skip
    print_facts(facts, as_json=as_json)


@runs_app.command("compare")
def runs_compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Two or more references.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Set runs side by side."""
    with opened(workspace) as ws:
        comparison = ws.runs.compare(runs)
    if as_json:
        print_json(comparison)
    else:
        print_text(render.comparison_text(comparison))


def read_params(pairs: list[str] | None) -> dict[str, Any]:
    """``depth=6`` as a parameter: JSON where it is JSON, text where it is not."""
    out: dict[str, Any] = {}
    for pair in pairs or []:
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
    param: Params = None,
    key: Annotated[
        str | None, typer.Option(help="A run of the same key happens once, and goes on after a failure.")
    ] = None,
    *,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step, whatever is known.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Run a pipeline, or one step, with its cache."""
    from whence.cli.load import load_object

    pipeline: Any = load_object(target)  # what is no pipeline is refused by the room
    with opened(workspace) as ws:
        result = ws.pipelines.run(pipeline, key=key, cache=not no_cache, **read_params(param))
    if as_json:
        print_json(result)
    else:
        print_text(render.run_text(result))


def exec_(
    entry: Annotated[str, typer.Argument(metavar="MODULE:PIPELINE:STEP", help="The step.")],
    key: Annotated[str, typer.Option("--run", help="The run's key; the first step to arrive begins it.")],
    workspace: options.Workspace = None,
    param: Params = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Run one step of a run, as an outside scheduler does."""
    with opened(workspace) as ws:
        result = ws.pipelines.exec_step(entry, key, **read_params(param))
    if as_json:
        print_json(result)
    else:
        print_text(f"{result.call}: {result.state}, {', '.join(result.outputs) or 'no outputs'}")


def why(
    step: Annotated[str, typer.Argument(help="Name of the step.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say why a step ran, or why it did not have to."""
    with opened(workspace) as ws:
        decision = ws.pipelines.why(step)
    if as_json:
        print_json(decision)
    else:
        print_text(render.decision_text(decision))


def reproduce(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="A run, an execution, a model or a table version.")
    ],
    workspace: options.Workspace = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="TABLE=VERSION or TABLE=FILE instead of what was read."),
    ] = None,
    code: Annotated[
        Literal["stored", "current"], typer.Option(help="The code of then, or of now.")
    ] = "stored",
    *,
    as_json: options.AsJson = False,
) -> None:
    """Do it again on the recorded inputs, and compare.

    The exit code is 1 when outputs differ or it cannot be done.
    """
    with opened(workspace) as ws:
        verdict = ws.reproduce(ref, inputs=dict(map(_substitute, inputs or [])), code=code)
    if as_json:
        print_json(verdict)
    else:
        print_text(render.verdict_text(verdict))
    if verdict.verdict not in ("identical", "equivalent"):
        raise typer.Exit(1)


def _substitute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"{text!r} is not TABLE=VERSION or TABLE=FILE")
    return name, value
