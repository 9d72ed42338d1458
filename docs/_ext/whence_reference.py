"""Pages that write themselves: settings, commands and crash points come from where they are defined."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import whence
from whence._base import crash
from whence.cli.app import app as cli
from whence.config import OTHER_VARIABLES, SETTINGS


class Written(SphinxDirective, ABC):
    """A directive that writes Markdown."""

    has_content: ClassVar[bool] = False

    @abstractmethod
    def markdown(self) -> str:
        """What stands in the directive's place."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


class SettingsTable(Written):
    """Every setting: name, type, default, variable, meaning."""

    def markdown(self) -> str:
        rows = []
        for s in SETTINGS:
            default = "" if s.default is None else f"`{s.default}`"
            meaning = s.help if s.read else f"{s.help} *Not read by this version.*"
            rows.append([f"`{s.name}`", s.type, default, f"`{s.variable}`", f"`{s.argument}=`", meaning])
        others = [[f"`{name}`", meaning] for name, meaning in OTHER_VARIABLES.items()]
        return (
            _table(["setting", "type", "default", "variable", "argument", "meaning"], rows)
            + "\nVariables that are not settings of a workspace:\n\n"
            + _table(["variable", "meaning"], others)
        )


class CommandPages(Written):
    """Every command with its arguments and options."""

    def markdown(self) -> str:
        return "\n".join(self._command(typer.main.get_command(cli), "whence", 1))

    def _command(self, command: Any, path: str, depth: int) -> Iterator[str]:
        if depth > 1:
            yield f"{'#' * min(depth, 4)} `{path}`\n\n{_prose(command.help)}\n"
        rows = [row for p in command.params if (row := _parameter(p))]
        if rows and depth > 1:
            yield _table(["argument or option", "meaning"], rows)
        for name, below in getattr(command, "commands", {}).items():
            yield from self._command(below, f"{path} {name}", depth + 1)


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


def _parameter(parameter: Any) -> list[str] | None:
    if parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return [f"`{name}`", _prose(parameter.help)]
    return [", ".join(f"`{o}`" for o in [*parameter.opts, *parameter.secondary_opts]), _prose(parameter.help)]


def load_rooms() -> None:
    """Import every module of whence, so that all crash points are declared."""
    for module in pkgutil.walk_packages(whence.__path__, "whence."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


class CrashPoints(Written):
    """Every place where a test may kill the process."""

    def markdown(self) -> str:
        load_rooms()
        return _table(
            ["crash point", "what lies there"], [[f"`{n}`", m] for n, m in crash.list_points().items()]
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known."""
    app.add_directive("whence-settings", SettingsTable)
    app.add_directive("whence-commands", CommandPages)
    app.add_directive("whence-crash-points", CrashPoints)
    return {"parallel_read_safe": True}
