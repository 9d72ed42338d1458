"""``score``, ``replay``, ``deployments``: models answering for rows, at once or as they come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from whence._base.refs import Ref
from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.pipelines import stopping
from whence.cli.session import opened, resolve
from whence.errors import UsageError

if TYPE_CHECKING:  # the rooms load heavy clients; a command pays for them when it runs
    from whence.serving import Deployment, Follower, StepResult
    from whence.workspace import Workspace

deployments_app = typer.Typer(
    cls=Group, help="Which model answers for which rows.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(deployments_app, name="deployments")
    app.command()(score)
    app.command()(replay)


@deployments_app.command("list")
def deployments_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the deployments in force."""
    with opened(workspace) as ws:
        rows: list[dict[str, object]] = [
            {"deployment": d.name, "model": d.model, "table": d.table, "into": d.into, "epoch": d.epoch}
            for d in ws.serving.deployments()
        ]
    print_rows(rows, as_json=as_json, empty="no deployments yet: ws.serving.deploy(...) in Python")


@deployments_app.command("show")
def deployments_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the deployment.")],
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show one deployment, and how far it is behind."""
    with opened(workspace) as ws:
        deployment = ws.serving.deployment(name)
        lag = None
        if all(ws.table(t).exists for t in _tables(deployment)):
            with ws.serving.follow(deployment) as follower:
                lag = follower.lag
    facts = {
        **deployment.to_dict(),
        "views": [view.name for view in deployment.views],
        "lag": None if lag is None else lag.to_dict(),
    }
    print_facts(facts, as_json=as_json)


def _tables(deployment: Deployment) -> list[str]:
    sources = {getattr(view, "source", None) for view in deployment.views}
    return [deployment.table, *sorted(s for s in sources if isinstance(s, str))]


def score(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_DEPLOYMENT", help="A version or an alias (late@3, late@champion); a deployment."
        ),
    ],
    spine: Annotated[str, typer.Argument(metavar="TABLE[@VERSION]", help="The rows to score.")],
    views: Annotated[
        list[str] | None, typer.Option("--view", help="A feature view; may be repeated.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="The column with the moment features are taken at.")] = None,
    into: Annotated[str | None, typer.Option(help="The predictions table.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="A key column of the predictions; may be repeated.")
    ] = None,
    workspace: options.Workspace = None,
    where: Annotated[str | None, typer.Option(help="Score only the rows of this SQL condition.")] = None,
    batch: Annotated[str | None, typer.Option(help="Names the batch; a batch is scored once.")] = None,
    max_rows: Annotated[
        int, typer.Option(min=1, help="With --follow: how many rows a commit holds at most.")
    ] = 100_000,
    poll: Annotated[float, typer.Option(min=0.0, help="With --follow: seconds between two looks.")] = 1.0,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with the rows that come.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="With --follow: end when nothing is left to do.")
    ] = False,
    ahead: Annotated[
        bool, typer.Option(help="With --follow: compute a step in a second thread while one is committed.")
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Score rows into a predictions table, each once.

    With --follow the table is followed until Ctrl+C or SIGTERM, which end it between two commits. What a
    deployment says (views, moment, key, predictions table) need not be given then.
    """
    told = _Told(tuple(views or ()), at, into, tuple(key or ()))
    if follow:
        if where is not None or batch is not None:
            raise typer.BadParameter("--where and --batch name a part of a table; --follow takes all of it")
        with opened(workspace) as ws:
            deployment = told.deployment(ws, model, spine)
            with ws.serving.follow(deployment, max_rows=max_rows, ahead=ahead) as follower:
                _follow(follower, poll, once=once, as_json=as_json)
        return
    told.check()
    with opened(workspace) as ws:
        found = [ws.features.get(view) for view in told.views]
        result = ws.serving.score(
            model, resolve(ws, spine), views=found, at=told.at or "", into=told.into or "", key=told.key,
            where=where, batch=batch,
        )  # fmt: skip
    print_facts(result.to_dict(), as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the options say about the predictions."""

    views: tuple[str, ...]
    at: str | None
    into: str | None
    key: tuple[str, ...]

    def check(self) -> None:
        """Refuse what is not enough to score without a deployment."""
        said = {"--view": self.views, "--at": self.at, "--into": self.into, "--key": self.key}
        missing = [option for option, value in said.items() if not value]
        if missing:
            raise typer.BadParameter(f"a model needs {', '.join(missing)}; a deployment has them")

    def deployment(self, ws: Workspace, model: str, spine: str) -> Deployment:
        """The deployment of this name, or one named by the predictions table."""
        table = Ref.parse(spine, kind="table")
        if table.version is not None:
            raise typer.BadParameter(f"{spine} is one version; --follow goes on with the table")
        if "@" not in model:
            found = ws.serving.deployment(model)
            if found.table != table.name:
                raise UsageError(
                    f"deployment {model!r} answers for table {found.table!r}, not {table.name!r}",
                    code="deployment-table",
                    hint=f"whence score {model} {found.table} --follow",
                )
            return found
        self.check()
        assert self.at is not None
        assert self.into is not None
        return ws.serving.deploy(
            self.into,
            model=model,
            table=table.name,
            views=self.views,
            at=self.at,
            key=self.key,
            into=self.into,
        )


def _follow(follower: Follower, poll_s: float, *, once: bool, as_json: bool) -> None:
    """Take steps and say of each how fast it was and what is left."""

    def say(result: StepResult) -> None:
        lag = follower.lag
        rate = result.n_rows / result.seconds if result.seconds else 0.0
        if as_json:
            print_json({**result.to_dict(), "rows_per_s": rate, "lag": lag.to_dict()})
        else:
            late = f", {result.n_late} late" if result.n_late else ""
            print_text(
                f"{result.ref}: {result.n_rows:,} rows{late} to {result.scored_to:%Y-%m-%d %H:%M:%S} UTC by {result.model}, "
                f"{rate:,.0f} rows/s, behind: {lag.n_rows:,} rows, {lag.n_versions} versions"
            )

    with stopping() as stop:
        if not once:
            follower.run(stop, poll_s=poll_s, on_step=say)
            return
        for result in follower.steps():
            say(result)
            if stop():
                break


def replay(
    model: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="A version or an alias: late@3, late@challenger.")
    ],
    start: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="The first moment: 2013-06-01, or with a time.")
    ],
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="The first moment that is left out.")
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(help="Whose rows. [default: the deployment of the model's name, or the only one]"),
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="The predictions table. [default: replay.DEPLOYMENT_MODEL_VERSION]")
    ] = None,
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Play a model over history: what it would have answered from what was known at each moment.

    A date stands for its first instant in UTC. Repeated, it is the same replay.
    """
    first, last = _moment(start), None if end is None else _moment(end)
    if last is not None and last <= first:
        raise typer.BadParameter("--to lies before --from")
    with opened(workspace) as ws:
        name = deployment or _only(ws, model)
        result = ws.serving.replay(name, model, start=first, end=last, into=into)
    print_facts(result.to_dict(), as_json=as_json)


def _moment(text: str) -> datetime:
    """A moment; a date is its first instant in UTC."""
    from whence.lake.table import read_moment

    return read_moment(f"{text.strip()}T00:00:00+00:00" if len(text.strip()) == len("2013-06-01") else text)


def _only(ws: Workspace, model: str) -> str:
    """The deployment that is meant when none is named."""
    names = [d.name for d in ws.serving.deployments()]
    named = Ref.parse(model, kind="model").name
    if named in names:
        return named
    if len(names) != 1:
        raise UsageError(
            f"{len(names)} deployments are there, none is named {named!r}",
            code="which-deployment",
            hint="name one with --deployment; whence deployments list shows all",
        )
    return names[0]
