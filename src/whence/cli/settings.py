"""``init``, ``doctor``, ``config``, ``demo``: the workspace itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence.cli import options
from whence.cli.help import Group
from whence.cli.output import print_facts, print_json, print_rows, print_text
from whence.cli.progress import make_reporter
from whence.cli.session import target, to_look

config_app = typer.Typer(
    cls=Group, help="Settings and whence each value came.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(init)
    app.command()(demo)
    app.command()(doctor)
    app.add_typer(config_app, name="config")


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder; made when absent.")] = Path(),
    project: Annotated[str | None, typer.Option(help="Name of the project.")] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Make a workspace in a folder.

    Writes whence.toml, with every setting as a comment, and opens the graph, the lake and the blobs.
    """
    from whence.workspace import connect
    from whence.workspace import init as make

    file = make(folder, project=project)
    connect(folder).close()
    if as_json:
        print_json({"workspace": str(folder.absolute()), "file": str(file.absolute())})
    else:
        print_text(
            f"workspace made in {folder}\nsettings: {file}\nnext: whence ingest, or whence demo for a whole journey"
        )


def demo(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The journey to make.")] = "flights",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Its workspace. [default: NAME.whence]")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Score this many days instead of all.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Use a folder that holds something else; what is there stays.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Start, go on where it was killed, or only report where it was finished."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a whole journey on real data, and report what was found."""
    from whence._base.progress import reporting
    from whence.journeys import run_demo

    with make_reporter() as reporter, reporting(reporter):
        report = run_demo(
            name, folder=folder or Path(f"{name}.whence"), n_days=days, force=force, resume=resume
        )
    if as_json:
        print_json(report.to_dict())
    else:
        print_text(report.text())


def doctor(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Look at versions, backends, disk and locks; say what is missing and how to install it."""
    from whence.doctor import examine

    checks = examine(target(workspace), read_only=to_look.get())
    failed = any(c.status == "fail" for c in checks)
    if as_json:
        print_json({"ok": not failed, "checks": checks})
    else:
        print_rows(
            [{"": c.status, "what": c.name, "found": c.found, "do": c.remedy} for c in checks], as_json=False
        )
    if failed:
        raise typer.Exit(3)


@config_app.command("show")
def config_show(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Show every setting, its value and whence the value came."""
    from whence.config import SETTINGS, load_config

    config = load_config(target(workspace))
    if as_json:
        print_json(config.to_dict())
        return
    rows = [
        {
            "setting": s.name,
            "value": config.shown(s.name),
            "from": config.source(s.name),
            "variable": s.variable,
            "": "" if s.read else "not read by this version",
        }
        for s in SETTINGS
    ]
    print_text(f"workspace {config.address}")
    print_rows(rows, as_json=False)


@config_app.command("path")
def config_path(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """Show which folder and which whence.toml are in force."""
    from whence.config import load_config

    config = load_config(target(workspace))
    file = None if config.file is None else str(config.file)
    print_facts({"folder": str(config.root), "file": file}, as_json=as_json)
