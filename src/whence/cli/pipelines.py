"""``runs``, ``run``, ``exec``, ``why``, ``reproduce``: what was done, and doing it."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from whence.cli import options, render
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.session import opened

if TYPE_CHECKING:  # the rooms load heavy clients; a command pays for them when it runs
    from whence.pipelines import PipelineRun

runs_app = typer.Typer(
    cls=Group,
    help="Runs: executions with parameters and metrics.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Params = Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; the value may be JSON.")]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(runs_app, name="runs")
    app.command()(run)
    app.command("exec")(exec_)
    app.command()(why)
    app.command()(reproduce)
    app.command()(bisect)


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
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET…", help="A pipeline or step: file.py:name or package.module:name."),
    ],
    workspace: options.Workspace = None,
    param: Params = None,
    key: Annotated[
        str | None, typer.Option(help="A run of the same key happens once, and goes on after a failure.")
    ] = None,
    poll: Annotated[float, typer.Option(min=0.0, help="With --schedule: seconds between two looks.")] = 60.0,
    *,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Run pipelines whenever their triggers say so, until stopped.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="With --schedule: run what is due now, then end.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step, whatever is known.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Run a pipeline, or one step, with its cache; or several by their triggers.

    With --schedule it runs until SIGINT or SIGTERM; a run that has begun is finished first. With --json it
    then prints one JSON value for each run.
    """
    from whence.cli.load import load_object

    pipelines: list[Any] = [load_object(t) for t in targets]  # what is no pipeline is refused by the room
    if schedule:
        if key is not None or no_cache:
            raise typer.BadParameter(
                "--schedule names its runs itself and takes neither --key nor --no-cache"
            )
        _schedule(pipelines, workspace, read_params(param), poll, once=once, as_json=as_json)
        return
    if len(pipelines) > 1 or once:
        raise typer.BadParameter("several targets and --once need --schedule")
    with opened(workspace) as ws:
        result = ws.pipelines.run(pipelines[0], key=key, cache=not no_cache, **read_params(param))
    _print_run(result, as_json=as_json)


def _print_run(result: PipelineRun, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_text(render.run_text(result))


def _schedule(
    pipelines: list[Any],
    workspace: str | None,
    params: dict[str, Any],
    poll_s: float,
    *,
    once: bool,
    as_json: bool,
) -> None:
    with opened(workspace) as ws:
        if not once:
            with stopping() as stop:
                ws.pipelines.schedule(
                    pipelines,
                    stop=stop,
                    poll_s=poll_s,
                    on_run=lambda done: _print_run(done, as_json=as_json),
                    **params,
                )
            return
        runs = ws.pipelines.tick(pipelines, **params)
    if as_json:
        print_json(runs)
    else:
        print_text("\n".join(map(render.run_text, runs)) or "nothing is due")


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Within the block SIGINT and SIGTERM ask to stop and break nothing off; the second one does."""
    event = threading.Event()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a handler's signature
        event.set()
        for each, handler in kept.items():
            signal.signal(each, handler)

    for number in kept:
        signal.signal(number, ask)
    try:
        yield event.is_set
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def exec_(
    entry: Annotated[
        str,
        typer.Argument(
            metavar="PIPELINE:STEP",
            help="file.py:pipeline:step, module:pipeline:step, or pipeline:step once it has run.",
        ),
    ],
    key: Annotated[str, typer.Option("--run", help="The run's key; the first step to arrive begins it.")],
    workspace: options.Workspace = None,
    param: Params = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Run one step of a run, as an outside scheduler does.

    A step whose upstream is not complete is refused with exit code 3; one that is complete is not run again.
    """
    from whence.cli.load import load_object, look_here

    look_here()
    place = entry.rpartition(":")[0]
    pipeline: Any = load_object(place) if ":" in place else None  # what is no pipeline is refused by the room
    with opened(workspace) as ws:
        result = ws.pipelines.exec_step(entry, key, pipeline=pipeline, **read_params(param))
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


def bisect(
    a: Annotated[str, typer.Argument(metavar="A", help="A model version: late@3.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one: late@7.")],
    workspace: options.Workspace = None,
    metric: Annotated[
        Literal["log_loss", "brier", "auc"], typer.Option(help="What is measured.")
    ] = "log_loss",
    on: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE[@VERSION]", help="The rows both answer. [default: what B was trained on]"
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="SQL", help="The truth. [default: the one boolean column]")
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="A type to trust when the models are loaded; may be repeated.")
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say what made two models differ: data, code, parameters or environment.

    Each is swapped alone, both ways, and the models that come out answer the same rows.
    """
    with opened(workspace) as ws:
        found = ws.pipelines.bisect(a, b, metric=metric, on=on, label=label, trust=trust or ())
    if as_json:
        print_json(found)
    else:
        print_text(found.text())


def _substitute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"{text!r} is not TABLE=VERSION or TABLE=FILE")
    return name, value
