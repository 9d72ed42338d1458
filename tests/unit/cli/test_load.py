from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.cli.load import load_object
from whence.errors import NotFoundError, UsageError


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_object_is_found_in_a_file_and_by_module(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("NUMBER = 7\n")
    (tmp_path / "my_steps.py").write_text("from beside_it import NUMBER\n\ndef train():\n    return NUMBER\n")
    train = load_object(f"{tmp_path}/my_steps.py:train")
    assert callable(train)
    assert (train(), train.__module__) == (7, "my_steps")
    assert load_object("json:dumps").__module__ == "json"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'steps' names no object \(bad-object\)"):
        load_object("steps")
    with pytest.raises(UsageError, match="there is no file"):
        load_object(f"{tmp_path}/none.py:x")
    with pytest.raises(UsageError, match="there is no module 'no_such_module'"):
        load_object("no_such_module:x")
    with pytest.raises(NotFoundError, match=r"object 'json:dump_s' not found .*'json:dumps'"):
        load_object("json:dump_s")


def test_an_import_that_fails_inside_keeps_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "broken_inside.py").write_text("import surely_not_there\n")
    sys.path.insert(0, str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        load_object("broken_inside:x")
