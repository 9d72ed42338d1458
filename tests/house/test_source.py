"""The house keeps its own rules: light face, sorted faces, sizes, words, no addresses of one machine."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT, SRC, modules, tracked

HEAVY = {"pyarrow", "numpy", "pandas", "duckdb", "deltalake", "sqlalchemy", "sklearn", "fastapi"}
MAX_LINES = 700
TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".in",
    ".json",
    ".yaml",
    ".yml",
    ".cfg",
    ".html",
    ".svg",
    ".csv",
    "",
}


def test_import_whence_is_light() -> None:
    code = "import sys, json, whence; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(json.loads(done.stdout)) == set()


def faces() -> list[str]:
    return [name for name, file, _ in modules() if file.name == "__init__.py" and name != "whence"]


@pytest.mark.parametrize("name", faces())
def test_a_face_is_sorted_and_defines_nothing(name: str) -> None:
    (tree,) = [t for n, f, t in modules() if n == name and f.name == "__init__.py"]
    assert ast.get_docstring(tree), f"{name} says in one line what it is"
    for node in tree.body[1:]:
        ok = isinstance(node, ast.ImportFrom | ast.Import)
        ok = ok or (
            isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["__all__"]
        )
        ok = ok or _is_for_types(node)
        assert ok, f"{name}, line {node.lineno}: a face hands names on and defines nothing"
    module = importlib.import_module(name)
    handed_on = getattr(module, "__all__", [])
    assert handed_on in (sorted(handed_on), sorted(handed_on, key=_constants_first))
    assert all(hasattr(module, n) for n in handed_on)


def _is_for_types(node: ast.stmt) -> bool:
    """Names that are loaded when first used are imported for types only."""
    return (
        isinstance(node, ast.If)
        and ast.unparse(node.test) == "TYPE_CHECKING"
        and all(isinstance(n, ast.ImportFrom) for n in node.body)
    )


def _constants_first(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), not name[0].isupper(), name


def test_the_face_of_whence_is_sorted_and_complete() -> None:
    import whence

    assert whence.__all__ == sorted(whence.__all__)
    for name in whence.__all__:
        getattr(whence, name)  # every name has a home
    assert set(whence.__all__) <= set(dir(whence))
    with pytest.raises(AttributeError):
        _ = whence.no_such_name


def test_no_file_is_too_long() -> None:
    long = {
        str(f.relative_to(ROOT)): n
        for f in tracked()
        if f.suffix == ".py" and (n := len(f.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}, "do two ideas share a file?"


def test_files_are_named_after_an_idea() -> None:
    vague = re.compile(r"^(utils?|helpers?|common|misc)$|manager|handler", re.IGNORECASE)
    assert [n for n, _, _ in modules() if any(vague.search(p) for p in n.split("."))] == []
    classes = [f"{n}.{c.name}" for n, _, t in modules() for c in ast.walk(t) if isinstance(c, ast.ClassDef)]
    assert [c for c in classes if re.search(r"(Manager|Handler|Utils?|Helper)$", c)] == []


def texts() -> list[Path]:
    return [f for f in tracked() if f.suffix in TEXT_SUFFIXES and f.name != "LICENSE" and f != Path(__file__)]


def test_no_registry_address_stands_in_a_file() -> None:
    address = re.compile(
        r"index-url|registry\s*=\s*\{|https?://[^\s\"']*/simple\b|py" r"pi\.org|python" r"hosted"
    )
    found = [
        f"{f.relative_to(ROOT)}: {m[0]}"
        for f in texts()
        if (m := address.search(f.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_no_path_of_one_machine_stands_in_a_file() -> None:
    place = re.compile(re.escape(str(ROOT.parent)) + r"/|(?<![\w.])/(home|root|Users)/[\w.]")
    found = [
        f"{f.relative_to(ROOT)}: {m[0]}"
        for f in texts()
        if (m := place.search(f.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    """In the shipped suites the one thing that is not implemented is what whoever runs them gives."""
    later = re.compile(r"#\s*(TODO|FIXME|XXX)\b|raise NotImplementedError|pytest\.mark\.skip\(")
    found = [
        f"{f.relative_to(ROOT)}: {m[0]}"
        for f in tracked()
        if f.suffix == ".py"
        and f != Path(__file__)
        and "testing" not in f.parts
        and (m := later.search(f.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_only_the_settings_read_the_environment() -> None:
    """Rooms are handed their settings. Crash points are for tests and stand below every room."""
    allowed = {
        "whence.config",
        "whence._base.crash",
        "whence.cli.schemas",  # VISUAL and EDITOR name the user's editor, as for every program of a terminal
        "whence.metadata.environment",  # records what an execution ran in
        "whence.pipelines.environment",  # records numbers of threads
        "whence.pipelines.remake",  # hands it to the process that makes a step again
    }
    readers = set()
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                readers.add(name)
    unexpected = {n for n in readers - allowed if not n.startswith("whence.testing")}
    assert unexpected == set()


def test_every_variable_is_known() -> None:
    from whence.config import OTHER_VARIABLES, SETTINGS, TEST_PREFIX

    known = {s.variable for s in SETTINGS} | set(OTHER_VARIABLES)
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for variable in re.findall(r"^WHENCE_[A-Z_]+$", node.value):
                    assert variable in known or variable in ("WHENCE_", TEST_PREFIX), (
                        f"{name} names {variable}"
                    )


def test_libraries_neither_print_nor_configure_logs() -> None:
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                pytest.fail(f"{name}, line {node.lineno} prints")
            if isinstance(node, ast.Attribute) and node.attr == "basicConfig":
                pytest.fail(f"{name}, line {node.lineno} configures logs")


def test_the_source_is_where_it_seems() -> None:
    assert SRC.is_dir()
    assert len(modules()) > 20
