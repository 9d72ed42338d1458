"""A step of a script is made again without doing again what the script does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import whence
from whence.errors import UsageError
from whence.pipelines.script import definitions_only

SCRIPT = '''
import sys
import pyarrow as pa
import whence as w
from typing import Annotated

FACTOR = 3
if sys.version_info >= (3, 11):
    SHIFT = 1

def scaled(x):
    return x * FACTOR + SHIFT

@w.step
def grow() -> Annotated[pa.Table, w.Table("grown")]:
    """Three rows."""
    return pa.table({"x": [scaled(i) for i in range(3)]})

@w.pipeline
def whole():
    grow()

ws = w.connect(sys.argv[1])
ws.table("log").append([{"n": 1}])
run = ws.pipelines.run(whole, key="one")
print(ws.reproduce(run.step("grow").execution).verdict, ws.table("log").head().version)
ws.close()
'''


def test_a_scripts_statements_do_not_run_again(tmp_path: Path) -> None:
    file = tmp_path / "grow.py"
    file.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(file), str(tmp_path / "g.whence")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["identical", "0"]


def test_only_what_the_entry_names_is_kept() -> None:
    tree = definitions_only(ast.parse(SCRIPT), "grow")
    kept = ast.unparse(tree)
    assert "FACTOR = 3" in kept
    assert "SHIFT = 1" in kept
    assert "connect" not in kept
    assert "whole" not in kept
    assert "append" not in kept


def test_a_main_block_is_never_kept() -> None:
    tree = ast.parse("X = 1\nif __name__ == '__main__':\n    X = 2\ndef f(): return X\n")
    assert ast.unparse(definitions_only(tree, "f")) == "X = 1\n\ndef f():\n    return X"


def test_nothing_is_opened_for_writing_while_a_step_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHENCE_REPRODUCING", "1")
    with pytest.raises(UsageError) as caught:
        whence.connect(tmp_path / "a.whence")
    assert caught.value.code == "inside-reproduction"
    assert not (tmp_path / "a.whence").exists()
