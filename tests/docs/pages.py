"""Run the code of a page: Python blocks in one module, `$ whence …` lines as commands, in their order."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

FENCE: Final = re.compile(
    r"^(?P<fence>`{3,})(?P<info>\S*)[^\n]*\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL
)
SHOWN: Final = re.compile(r"#\s*→\s*(?P<value>.*\S)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page it begins at."""

    language: str
    text: str
    line: int


def read_blocks(page: str) -> list[Block]:
    """The Python and console blocks of a page."""
    return [
        Block(m["info"], m["body"], page[: m.start("body")].count("\n") + 1)
        for m in FENCE.finditer(page)
        if m["info"] in ("python", "console")
    ]


def run_page(page: Path, folder: Path, command: Callable[[list[str]], int]) -> int:
    """Run a page's blocks in `folder`; returns how many there were.

    The module's file has the code on the lines it has in the page, so that definitions can be read back and
    tracebacks point into the page.
    """
    blocks = read_blocks(page.read_text(encoding="utf-8"))
    module = _make_module(page, blocks, folder)
    try:
        for block in blocks:
            if block.language == "python":
                _run_python(block, module)
            else:
                for words in _commands(block):
                    code = command(words)
                    assert code == 0, f"{page.name}: whence {shlex.join(words)} ended with {code}"
    finally:
        del sys.modules[module.__name__]
    return len(blocks)


def _make_module(page: Path, blocks: list[Block], folder: Path) -> ModuleType:
    lines = [""] * (max((b.line + b.text.count("\n") for b in blocks), default=0) + 1)
    for block in blocks:
        if block.language == "python":
            for i, line in enumerate(block.text.splitlines(), start=block.line - 1):
                lines[i] = line
    name = "page_" + re.sub(r"\W", "_", page.stem)
    file = folder / f"{name}.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    return module


def _run_python(block: Block, module: ModuleType) -> None:
    padded = "\n" * (block.line - 1) + block.text
    lines = padded.split("\n")
    for node in ast.parse(padded).body:
        shown = SHOWN.search(lines[(node.end_lineno or 1) - 1])
        if shown and isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), str(module.__file__), "eval"), module.__dict__)
            assert repr(value) == shown["value"] or str(value) == shown["value"], (
                f"line {node.lineno}: the page says {shown['value']}, it is {value!r}"
            )
        else:
            exec(compile(ast.Module([node], []), str(module.__file__), "exec"), module.__dict__)


def _commands(block: Block) -> Iterator[list[str]]:
    for line in block.text.splitlines():
        if line.startswith("$ whence "):
            yield shlex.split(line.removeprefix("$ whence "), comments=True)
