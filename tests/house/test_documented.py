"""What a person may meet is documented: settings, commands, errors, crash points, public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tests.house.source import ROOT, error_codes, error_kinds, modules
from whence.cli.app import app
from whence.config import SETTINGS
from whence.errors import WhenceError

DOCS = ROOT / "docs"


def test_every_error_code_has_a_section() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### `?([a-z0-9-]+)`?$", page, re.MULTILINE)
    codes = error_codes()
    assert {c: where for c, where in codes.items() if c not in sections} == {}, "codes without a section"
    assert [s for s in sections if s not in codes] == [], "sections no code leads to"
    assert sections == sorted(sections)


def test_every_section_names_the_kind_of_its_error() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^### ([a-z0-9-]+)\n\n\*([\w ]+)\.\*", page, re.MULTILINE))
    kinds = error_kinds()
    wrong = {c: (kind, sorted(kinds[c])) for c, kind in said.items() if c in kinds and kind not in kinds[c]}
    assert wrong == {}


def test_every_section_of_an_error_says_something() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    bodies = re.split(r"^### .*$", page, flags=re.MULTILINE)[1:]
    assert all(len(b.strip()) > 20 for b in bodies)


def test_codes_are_slugs() -> None:
    assert [c for c in error_codes() if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", c)] == []


def commands() -> Iterator[tuple[str, Any]]:
    def below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, f"{path} {name}")

    yield from below(typer.main.get_command(app), "whence")


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=[p for p, _ in commands()])
def test_every_command_says_what_it_does(path: str, command: Any) -> None:
    assert (command.help or "").strip().endswith("."), path
    for parameter in command.params:
        assert parameter.help, f"{path}: {parameter.name} has no help"


@pytest.mark.parametrize(
    "command", [c for _, c in commands() if not hasattr(c, "commands")], ids=lambda c: str(c.name)
)
def test_every_command_answers_in_json(command: Any) -> None:
    assert "--json" in {o for p in command.params for o in p.opts}


def test_settings_have_help_and_their_own_variable() -> None:
    assert all(s.help.endswith(".") for s in SETTINGS)
    assert len({s.variable for s in SETTINGS}) == len(SETTINGS)
    assert "whence-settings" in (DOCS / "reference" / "settings.md").read_text()


def test_json_errors_have_one_shape() -> None:
    """No class of error adds to the shape or takes from it."""

    def kinds(cls: type[WhenceError]) -> Iterator[type[WhenceError]]:
        yield cls
        for sub in cls.__subclasses__():
            yield from kinds(sub)

    for cls in kinds(WhenceError):
        assert "to_dict" not in vars(cls) or cls is WhenceError
        assert cls.exit_code in (1, 2, 3)
    shape = WhenceError("x").to_dict()
    assert list(shape) == ["error"]


def test_every_crash_point_is_registered_and_named_once() -> None:
    """A point that is passed but not registered would be in no list and in no test."""
    code = (
        "import importlib, json, pkgutil, whence\n"
        "from whence._base import crash\n"
        "for m in pkgutil.walk_packages(whence.__path__, 'whence.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print(json.dumps(crash.list_points()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    registered = json.loads(done.stdout)
    assert all(meaning for meaning in registered.values())
    passed = set()
    for _, _, tree in modules():
        for node in ast.walk(tree):
            name = getattr(node, "func", None)
            called = getattr(name, "id", getattr(name, "attr", ""))
            if (
                isinstance(node, ast.Call)
                and called == "crash_point"
                and isinstance(node.args[0], ast.Constant)
            ):
                passed.add(node.args[0].value)
    assert passed <= set(registered), "passed, but not registered"


def ports() -> set[str]:
    """Names of methods some port documents: who implements it without inheriting needs no second docstring."""
    out = set()
    for _, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(b) for b in node.bases):
                out |= {f.name for f in node.body if isinstance(f, ast.FunctionDef) and ast.get_docstring(f)}
    return out


def handed_on() -> Iterator[tuple[str, object]]:
    for name, file, _ in modules():
        if file.name == "__init__.py":
            module = importlib.import_module(name)
            for exported in getattr(module, "__all__", []):
                yield f"{name}.{exported}", getattr(module, exported)


def test_public_names_have_docstrings() -> None:
    """What a face hands on says what it is, and so does each of its methods; an override inherits its port's words."""
    known = ports()
    missing = []
    for name, value in handed_on():
        if not (inspect.isclass(value) or inspect.isroutine(value)) or not value.__module__.startswith(
            "whence"
        ):
            continue
        if not inspect.getdoc(value):
            missing.append(name)
        for method, member in vars(value).items() if inspect.isclass(value) else ():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            if method.startswith("_") or method in known or not inspect.isfunction(member):
                continue
            if member.__module__.startswith("whence") and not inspect.getdoc(getattr(value, method)):
                missing.append(f"{name}.{method}")
    assert sorted(set(missing)) == []


def test_every_page_is_reached_from_the_first() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in index.splitlines()}
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        if "_build" in page.parts or name == "index":
            continue
        assert name in listed or f"{name.rsplit('/', 1)[0]}/*" in listed, (
            f"{name} stands in no table of contents"
        )
