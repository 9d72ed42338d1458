"""The face of the room: light to import, complete, and never hidden by a file of the same name."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import whence.validation
from whence.validation import later

SLOW = {"numpy", "pyarrow", "duckdb", "sqlalchemy", "yaml"}


def after(code: str) -> set[str]:
    """The modules a fresh process has after some code."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_room_loads_nothing_slow() -> None:
    loaded = after("import whence.validation")
    assert not loaded & SLOW
    assert {m for m in loaded if m.startswith("whence.validation")} == {
        "whence.validation",
        "whence.validation.later",
    }


def test_a_schema_is_read_without_the_graph_and_an_engine() -> None:
    assert not after("from whence.validation import Schema, describe") & {"duckdb", "sqlalchemy"}


def test_every_name_has_the_home_its_types_say() -> None:
    tree = ast.parse(Path(str(whence.validation.__file__)).read_text(encoding="utf-8"))
    (typed,) = [n for n in tree.body if isinstance(n, ast.If)]
    homes = {a.name: n.module for n in typed.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert homes == later._HOME
    assert sorted(homes) == sorted(whence.validation.__all__)
    for name in whence.validation.__all__:
        assert not isinstance(getattr(whence.validation, name), ModuleType)
    assert set(whence.validation.__all__) <= set(dir(whence.validation))


@pytest.mark.parametrize(
    "code",
    [
        "from whence.validation import describe",
        "import whence.validation.describe\nfrom whence.validation import describe",
        "from whence.validation.describe import Describing\nfrom whence.validation import describe",
        "from whence.validation import Statistics, describe_file\nfrom whence.validation import describe",
        "from whence.validation import describe\nimport whence.validation.describe",
    ],
)
def test_describe_is_the_function_whatever_was_imported_first(code: str) -> None:
    after(
        f"{code}\nimport whence.validation\nassert describe is whence.validation.describe\ndescribe.__code__"
    )


def test_a_name_it_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'whence\.validation' has no attribute 'nonsense'"):
        whence.validation.nonsense  # noqa: B018


def test_stored_extras_are_found_by_their_kind() -> None:
    after(
        "from whence.validation.extras import extra_from_dict\n"
        "state = {'kind': 'correlation', 'state': None}\n"
        "try:\n    extra_from_dict('correlation', state)\n"
        "except TypeError:\n    pass\n"
        "import sys\nassert 'whence.validation.extra.correlation' in sys.modules"
    )


def test_a_kind_of_whence_is_taken_even_when_its_class_is_not_loaded_yet() -> None:
    after(
        "from whence.errors import ConflictError\n"
        "from whence.validation.extras import Extra, register_extra\n"
        "class Mine(Extra):\n    kind = 'correlation'\n"
        "try:\n    register_extra(Mine)\n"
        "except ConflictError as e:\n    assert e.code == 'extra-exists'\n"
        "else:\n    raise AssertionError"
    )
