"""``migrate``: bring the tables of an older workspace up, when asked and not before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import options
from whence.cli.output import print_json, print_text
from whence.cli.session import target
from whence.config import Config, load_config
from whence.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:  # the rooms load heavy clients; a command pays for them when it runs
    from whence.database import Component, Database

Backup = Annotated[
    Path | None,
    typer.Option(
        "--backup",
        metavar="FILE",
        help="Copy a SQLite database to this file first. [default: beside it, named after its version]",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.command()(migrate)


def migrate(
    workspace: options.Workspace = None,
    backup: Backup = None,
    *,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Make no copy first.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring the tables of an older workspace to what this whence writes, after a copy of them.

    Every other command refuses an older workspace: nothing migrates silently. End every process that uses
    the workspace first.
    """
    from whence.database import Database

    if backup is not None and no_backup:
        raise UsageError("--backup and --no-backup contradict each other", code="bad-command")
    config = load_config(target(workspace))
    url = config.text("metadata.url")
    file = _file(config, url)
    database = Database.from_url(url, synchronous=config.text("metadata.synchronous"))
    try:
        plan = _plan(database)
        copy = None
        if not dry_run and _waits(plan):
            _refuse_while_used(config.root)
            copy = _copy(database, plan, file, backup, wanted=not no_backup)
            for component, _ in plan:
                if database.version(component.name):
                    database.migrate(component.name, component.migrations, upgrade=True)
    finally:
        database.close()
    if as_json:
        done = not dry_run and _waits(plan)
        print_json({"migrated": done, "backup": copy, "components": [_facts(*part) for part in plan]})
    else:
        print_text(_text(plan, copy, dry_run=dry_run))


def _file(config: Config, url: str) -> Path | None:
    """The database's file; None of a server's."""
    if url.startswith("memory:"):
        raise UsageError("a graph in memory has no tables to migrate", code="bad-command")
    from whence.database import sqlite_path

    file = sqlite_path(url)
    if file is not None and not file.exists():
        raise NotFoundError("workspace", str(config.root), hint="whence init FOLDER makes one")
    return file


def _plan(database: Database) -> list[tuple[Component, int]]:
    """The tables of every room, and the version they have; 0 is not made yet."""
    from whence.metadata.open import TABLES as GRAPH
    from whence.tracking.open import TABLES as TRACKING

    return [(component, database.stored(component)) for component in (GRAPH, TRACKING)]


def _waits(plan: list[tuple[Component, int]]) -> bool:
    return any(0 < stored < component.newest for component, stored in plan)


def _refuse_while_used(root: Path) -> None:
    """A process that knows the old tables must not meet the new ones."""
    from whence._base.locks import Life

    locks = root / "locks"
    if not locks.is_dir():
        return
    life = Life(locks)
    try:
        if any(life.is_alive(path.stem) for path in locks.glob("*.life") if path.stem != life.uid):
            raise ConflictError(
                f"another process uses the workspace {str(root)!r}",
                code="workspace-in-use",
                hint="end it, then migrate; nothing was changed",
            )
    finally:
        life.close()


def _copy(
    database: Database,
    plan: list[tuple[Component, int]],
    file: Path | None,
    named: Path | None,
    *,
    wanted: bool,
) -> Path | None:
    if not wanted or (file is None and named is None):
        return None
    if named is None:
        assert file is not None
        oldest = next(stored for component, stored in plan if 0 < stored < component.newest)
        named = file.with_name(f"{file.name}.v{oldest}")
    database.backup(named)
    return named


def _facts(component: Component, stored: int) -> dict[str, object]:
    steps = component.steps_from(stored) if stored else ()
    return {
        "component": component.name,
        "stored": stored,
        "newest": component.newest,
        "steps": [step.name for step in steps],
    }


def _text(plan: list[tuple[Component, int]], copy: Path | None, *, dry_run: bool) -> str:
    if not _waits(plan):
        return "nothing to migrate: " + ", ".join(
            f"{component.name} has version {stored}" for component, stored in plan if stored
        )
    lines = [] if copy is None else [f"copied to {copy}"]
    for component, stored in plan:
        if 0 < stored < component.newest:
            does = "would go" if dry_run else "went"
            lines.append(f"{component.name} {does} from version {stored} to {component.newest}:")
            lines += [f"  {step.number} {step.name}" for step in component.steps_from(stored)]
    return "\n".join(lines)
