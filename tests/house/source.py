"""The source of whence as the house tests read it: files, syntax trees, error codes."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SRC: Final = ROOT / "src" / "whence"


@cache
def modules() -> tuple[tuple[str, Path, ast.Module], ...]:
    """Every module: dotted name, file, tree."""
    out = []
    for file in sorted(SRC.rglob("*.py")):
        parts = file.relative_to(SRC.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        out.append((name, file, ast.parse(file.read_text(encoding="utf-8"))))
    return tuple(out)


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project that is, or would be, in the repository."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:  # an unpacked archive: everything but what is made here
        made = {
            ".venv",
            ".git",
            "build",
            "dist",
            "_build",
            "__pycache__",
            ".pytest_cache",
            ".mypy_cache",
            ".ruff_cache",
        }
        return tuple(p for p in sorted(ROOT.rglob("*")) if p.is_file() and not made & set(p.parts))
    return tuple(ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def error_codes() -> dict[str, str]:
    """Every error code the source can raise, with one place that does."""
    codes: dict[str, str] = {}
    for name, file, tree in modules():
        for node in ast.walk(tree):
            for code in _codes(node):
                codes.setdefault(code, f"{name}:{getattr(node, 'lineno', 0)} in {file.name}")
    return codes


def error_kinds() -> dict[str, set[str]]:
    """The classes each code is raised with, where the source names them; of a mere answer its status, ``HTTP 413``."""
    kinds: dict[str, set[str]] = {}
    for _, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func).endswith("Error"):
                for code in _codes(node):
                    kinds.setdefault(code, set()).add(_name(node.func))
            for status, code in _refused(node):
                kinds.setdefault(code, set()).add(f"HTTP {status}")
    return kinds


def _refused(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The status and code of an answer that refuses: ``Refused(413, "body-too-large", …)``."""
    if isinstance(node, ast.Call) and _name(node.func) == "Refused" and len(node.args) > 1:
        given = node.args[0]
        status = given.value if isinstance(given, ast.Constant) and isinstance(given.value, int) else 400
        for code in _texts(node.args[1]):
            yield status, code


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == "code" and _is_error(node):
                yield from _texts(keyword.value)
        yield from (code for _, code in _refused(node))
        if _name(node.func) == "NotFoundError" and node.args:
            for kind in _texts(node.args[0]):
                yield kind.replace(" ", "-") + "-not-found"
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if (
            any(isinstance(t, ast.Name) and t.id == "default_code" for t in targets)
            and node.value is not None
        ):
            yield from _texts(node.value)


def _is_error(call: ast.Call) -> bool:
    name = _name(call.func)
    return name.endswith("Error") or name in ("error", "super", "__init__", "_wrong", "refuse", "_refuse")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
