"""The code of a step: what changes its digest, what does not, and what makes it uncacheable."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.pipelines import packages
from whence.pipelines.closure import StepCode, code_of
from whence.pipelines.constants import decode_param, encode_constant, encode_param
from whence.pipelines.sources import unpack
from whence.pipelines.syntax import normalised

STEPS = """
    import numpy as np
    from SHOP.consts import DEPTH
    from SHOP import rates

    def train(rows, depth=DEPTH):
        "Fit."
        return rates.rate(np.asarray(rows)) + depth
"""
CONSTS = "DEPTH = 6\nOTHER = 1\n"
RATES = """
    from dataclasses import dataclass

    PRIOR = {"weight": [20.0, 1]}
    UNUSED = object()

    @dataclass(frozen=True)
    class Rate:
        value: float
        def twice(self):
            return helper(self.value)

    def helper(x):
        return 2 * x

    def unused():
        return 3

    def rate(x):
        return Rate(x).twice() + PRIOR["weight"][0]
"""


def code(project: Any, steps: str = STEPS, consts: str = CONSTS, rates: str = RATES) -> StepCode:
    project.write(steps=steps, consts=consts, rates=rates)
    return code_of(project.load("steps").train)


def test_parts_name_everything_reached(project: Any) -> None:
    found = code(project)
    p = project.prefix
    assert set(found.parts) == {
        f"function {p}.steps.train",
        f"constant {p}.steps.DEPTH",
        f"function {p}.rates.rate",
        f"class {p}.rates.Rate",
        f"function {p}.rates.helper",
        f"constant {p}.rates.PRIOR",
    }
    assert found.parts[f"constant {p}.steps.DEPTH"] == "6"
    assert found.parts[f"constant {p}.rates.PRIOR"] == "{'weight':[20.0,1]}"
    assert set(found.packages) == {"python", "numpy"}
    assert found.uncacheable == ()


@pytest.mark.parametrize(
    "change",
    [
        ("steps", '"Fit."', '"Fit otherwise."'),
        ("steps", "return rates", "# a comment\n        return rates"),
        ("steps", "import numpy as np", "import numpy as np\n\n"),
        (
            "steps",
            "rates.rate(np.asarray(rows)) + depth",
            "(rates.rate(\n            np.asarray(rows)) + depth)",
        ),
        ("rates", "return 3", "return 4"),
        ("consts", "OTHER = 1", "OTHER = 2"),
    ],
)
def test_what_does_not_run_does_not_count(project: Any, change: tuple[str, str, str]) -> None:
    texts = {"steps": STEPS, "consts": CONSTS, "rates": RATES}
    before = code(project)
    module, old, new = change
    assert old in texts[module]
    texts[module] = texts[module].replace(old, new)
    assert code(project, **texts).digest == before.digest


@pytest.mark.parametrize(
    ("module", "old", "new", "part"),
    [
        ("steps", "+ depth", "- depth", "function {p}.steps.train"),
        ("consts", "DEPTH = 6", "DEPTH = 7", "constant {p}.steps.DEPTH"),
        ("rates", "2 * x", "3 * x", "function {p}.rates.helper"),
        ("rates", "[20.0, 1]", "[20.0, 2]", "constant {p}.rates.PRIOR"),
        ("rates", "value: float", "value: float = 1.0", "class {p}.rates.Rate"),
    ],
)
def test_a_change_elsewhere_is_seen_and_named(
    project: Any, module: str, old: str, new: str, part: str
) -> None:
    texts = {"steps": STEPS, "consts": CONSTS, "rates": RATES}
    before = code(project)
    assert old in texts[module]
    texts[module] = texts[module].replace(old, new)
    after = code(project, **texts)
    assert after.digest != before.digest
    changed = {k for k in {*before.parts, *after.parts} if before.parts.get(k) != after.parts.get(k)}
    assert part.format(p=project.prefix) in changed


def test_a_package_version_counts(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code(project)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda n: "9.9.9" if n == "numpy" else real(n))
    packages.versions.cache_clear()
    after = code_of(project.load("steps").train)
    packages.versions.cache_clear()
    assert after.packages["numpy"] == "9.9.9"
    assert (after.digest != before.digest, after.parts == before.parts) == (True, True)


def test_a_constant_is_taken_at_the_moment_of_the_call(project: Any) -> None:
    before = code(project)
    import sys

    sys.modules[project.name("rates")].PRIOR["weight"].append(5)
    assert code_of(sys.modules[project.name("steps")].train).digest != before.digest


def test_decorators_of_a_step_do_not_count_but_others_do(project: Any) -> None:
    text = """
        from whence.pipelines.step import step
        def loud(f): return f
        @step{options}
        {other}
        def train(rows): return rows
    """

    def digest(options: str, other: str) -> str:
        project.write(steps=text.format(options=options, other=other))
        return code_of(project.load("steps").train.function).digest

    assert digest("", "") == digest("(retries=2)", "")


UNCACHEABLE: list[tuple[str, str]] = [
    ("def train(x): return eval(x)", "eval"),
    ("def train(x, n): return getattr(x, n)", "getattr() with a name made at run time"),
    ("import importlib\ndef train(x): return importlib.import_module(x)", "imports a module by a name"),
    ("THING = object()\ndef train(x): return THING", "THING"),
    ("f = lambda x: x\ndef train(x): return f(x)", "lambda"),
    ("N = 0\ndef train(x):\n    global N\n    N = 1", "writes the global 'N'"),
    (
        "def make():\n    seen = []\n    def train(x): seen.append(x)\n    return train\ntrain = make()",
        "closes over 'seen'",
    ),
    ("from SHOP import consts\ndef train(x): return dict(m=consts)", "hands on the module"),
]


@pytest.mark.parametrize(("text", "reason"), UNCACHEABLE)
def test_what_cannot_be_resolved_is_uncacheable_with_a_reason(project: Any, text: str, reason: str) -> None:
    project.write(consts=CONSTS, steps=text)
    found = code_of(project.load("steps").train)
    assert len(found.uncacheable) == 1
    assert reason in found.uncacheable[0]


CACHEABLE: list[str] = [
    "def train(x): return getattr(x, 'shape')",
    "import logging\nlog = logging.getLogger('x')\ndef train(x): log.info('x')",
    "from functools import lru_cache\n@lru_cache\ndef f(x): return x\ndef train(x): return f(x)",
    "from enum import Enum\nclass C(Enum):\n    A = 1\nKIND = C.A\ndef train(x): return KIND",
    "import re\nP = re.compile('a+')\ndef train(x): return P.match(x)",
    "def train(x):\n    from collections import Counter\n    import numpy as np\n    return Counter(np.asarray(x))",
    "def make(k):\n    def train(x): return x + k\n    return train\ntrain = make(3)",
    "def train(n): return 1 if n < 2 else n * train(n - 1)",
    "import functools\ndef f(a, b): return a\ng = functools.partial(f, b=2)\ndef train(x): return g(x)",
    "def train(x): return [y for y in x if (z := y)]",
]


@pytest.mark.parametrize("text", CACHEABLE)
def test_what_can_be_resolved_is_cacheable(project: Any, text: str) -> None:
    project.write(steps=text)
    assert code_of(project.load("steps").train).uncacheable == ()


def test_a_closed_over_number_counts(project: Any) -> None:
    text = "def make(k):\n    def train(x): return x + k\n    return train\ntrain = make({})"
    project.write(steps=text.format(3))
    before = code_of(project.load("steps").train)
    project.write(steps=text.format(4))
    after = code_of(project.load("steps").train)
    assert (before.parts[f"constant {project.prefix}.steps.k"], after.digest != before.digest) == ("3", True)


def test_a_file_edited_after_import_is_noticed(project: Any) -> None:
    project.write(steps="def train(x): return x + 1\n")
    module = project.load("steps")
    assert code_of(module.train).uncacheable == ()
    project.write(steps="def train(x): return x + 2000\n")
    assert code_of(module.train).uncacheable == (
        f"the file of '{project.prefix}.steps' was changed after it was imported",
    )


def test_stored_sources_hold_every_module_of_the_user(project: Any) -> None:
    stored = code(project).stored()
    assert stored is not None
    entry, modules = unpack(stored)
    p = project.prefix
    assert entry == (f"{p}.steps", "train")
    assert sorted(modules) == [p, f"{p}.consts", f"{p}.rates", f"{p}.steps"]
    assert modules[f"{p}.consts"]["source"] == CONSTS


def test_a_constant_in_the_journeys_counts_as_first_party() -> None:
    assert packages.origin("whence.journeys.flights.feeds") == "first-party"
    assert packages.origin("whence.lake.table") == "whence"


simple = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
params = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(alphabet="abc"), inner),
    max_leaves=12,
)


@given(simple, simple)
def test_constants_are_equal_as_text_exactly_when_equal_as_repr(a: object, b: object) -> None:
    def canonical(v: object) -> str:
        if isinstance(v, dict):
            return "{" + ",".join(sorted(f"{canonical(k)}:{canonical(x)}" for k, x in v.items())) + "}"
        if isinstance(v, list | tuple):
            return type(v).__name__ + "(" + ",".join(canonical(x) for x in v) + ")"
        return repr(v)

    no: Callable[[object], str | None] = lambda v: None  # noqa: E731
    assert (encode_constant(a, no) == encode_constant(b, no)) == (canonical(a) == canonical(b))


@given(params)
def test_params_come_back_as_they_went(value: object) -> None:
    encoded = encode_param(value, step="s", name="p")
    back = decode_param(encoded)
    assert back == value
    assert type(back) is type(value)


@given(st.text(alphabet="# abc\t", max_size=20))
def test_comments_never_count(comment: str) -> None:
    plain = ast.parse("def f(x):\n    return x\n")
    noted = ast.parse(f"def f(x):\n    # {comment}\n    return x  # {comment}\n")
    assert normalised(plain) == normalised(noted)


def test_a_decorator_of_the_user_is_code_of_the_step(project: Any) -> None:
    text = """
        import functools
        from whence.pipelines.step import step
        def loud(f):
            @functools.wraps(f)
            def inner(x):
                return f(x) + {n}
            return inner

        @step
        @loud
        def train(rows): return rows
    """
    project.write(steps=text.format(n=1))
    before = code_of(project.load("steps").train.function)
    project.write(steps=text.format(n=2))
    after = code_of(project.load("steps").train.function)
    label = f"function {project.prefix}.steps.loud"
    assert before.parts[label] != after.parts[label]
