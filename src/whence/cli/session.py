"""A command's workspace: found, opened, closed, its long work shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from whence._base.progress import reporting
from whence._base.refs import Ref
from whence.cli.progress import make_reporter
from whence.config import load_config
from whence.errors import NotFoundError

if TYPE_CHECKING:  # the rooms load heavy clients; a command pays for them when it runs
    from whence.lake import TableVersion
    from whence.workspace import Workspace

#: What ``whence --workspace DIR command`` named, for commands that name none themselves.
named_workspace: ContextVar[str | None] = ContextVar("whence_cli_workspace", default=None)

#: Whether ``whence --read-only command`` opens the workspace to look.
to_look: ContextVar[bool] = ContextVar("whence_cli_to_look", default=False)


@contextmanager
def opened(workspace: str | None) -> Iterator[Workspace]:
    """The workspace of this command, open for the block, with progress on standard error.

    Raises:
        NotFoundError: The folder is absent or empty: a misspelt ``-w`` makes no workspace, ``whence init`` does.
    """
    from whence.workspace import connect

    config = load_config(target(workspace))
    in_folder = (
        config.source("lake.url") == "default"
    )  # else the rows lie elsewhere, and it may well be empty
    if in_folder and not (config.root.is_dir() and any(config.root.iterdir())):
        raise NotFoundError("workspace", str(config.root), hint="whence init FOLDER makes one")
    with make_reporter() as reporter, reporting(reporter), connect(config, read_only=to_look.get()) as ws:
        yield ws


def target(workspace: str | None) -> str | None:
    """The workspace as named by the command, else by the options before it."""
    return workspace if workspace is not None else named_workspace.get()


def resolve(ws: Workspace, text: str) -> TableVersion:
    """The table version `text` names: ``flights@12``, ``table:flights@12``, or the newest of ``flights``."""
    ref = Ref.parse(text, kind="table")
    table = ws.table(ref.name)
    return table.head() if ref.number is None else table.at(ref.number)
