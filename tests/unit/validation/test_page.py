"""Pages, tables and small forms of statistics: what stands on them, in which order, how large they get."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.validation import (
    Anomaly,
    Report,
    Schema,
    Slice,
    Statistics,
    StatisticsOptions,
    describe,
    infer_schema,
    validate_statistics,
)
from whence.validation.charts import blocks, spread, value_bars
from whence.validation.figures import extra_table
from whence.validation.lines import compared_table, terminal_table
from whence.validation.odd import oddness
from whence.validation.page import statistics_fragment, statistics_page
from whence.validation.sheet import SCRIPT_DIGEST

HOSTILE = "</style><script>alert('x')</script>\"&"
VOID = frozenset({"meta", "input", "br", "hr", "img", "link", "rect", "path", "line", "wbr"})


class _Tags(HTMLParser):
    """Whether every element that opens closes, in order; links and the places they point at."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.assets: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.ids.add(said.get("id") or "")
        if tag == "a":
            self.links.add((said.get("href") or "").removeprefix("#"))
        self.assets += [v or "" for k, v in attrs if k in ("src", "srcset") or (k == "href" and tag != "a")]
        if tag not in VOID or tag in ("rect", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def _sound(page: str) -> _Tags:
    tags = _Tags(page)
    assert tags.faults == []
    assert tags.open == []
    assert tags.links <= tags.ids
    assert tags.assets == []
    assert "http" not in re.sub(r'http-equiv|xmlns="[^"]*"', "", page)
    return tags


def _flights(n: int = 200, *, shift: float = 0.0, name: str = "flights@1", **more: Any) -> Statistics:
    rng = np.random.default_rng(3)
    rows = {
        "carrier": rng.choice(["AA", "B6", "UA"], n).tolist(),
        "delay": rng.normal(10 + shift, 5, n),
        "wind": [None if i % 3 else float(i) for i in range(n)],
        "on": [i % 4 == 0 for i in range(n)],
        "at": pa.array(range(n), pa.timestamp("s", tz="UTC")),
        "day": pa.array(range(n), pa.int32()).cast(pa.date32()),
        "stops": [[1.0] * (i % 3) for i in range(n)],
        "trip": [{"legs": [{"x": i}]} for i in range(n)],
        "id": [f"{i:05d}" for i in range(n)],
        "nothing": pa.nulls(n),
        HOSTILE: [HOSTILE] * n,
    }
    return describe(pa.table(rows), name=name, **more)


def _report(statistics: Statistics, schema: Schema, **more: Any) -> Report:
    found, distances = validate_statistics(statistics, schema, **more)
    return Report(
        statistics.name, "schema:flights@1", None, statistics.n_rows, tuple(found), tuple(distances)
    )


def test_the_page_is_sound_self_contained_and_escaped() -> None:
    page = statistics_page(_flights())
    _sound(page)
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert SCRIPT_DIGEST in page
    assert page.count('class="column"') == len(_flights())


def test_several_versions_stand_over_each_other_with_their_numbers() -> None:
    a, b = _flights(), _flights(300, shift=30, name="flights@2")
    page = statistics_page(a, b)
    _sound(page)
    assert "flights@1 → flights@2" in page
    assert 'class="s0 under"' in page
    assert 'class="s1" stroke-dasharray="6 3"' in page
    assert page.index('href="#column-1">delay') < page.index(">carrier</a>")  # it moved most
    assert "jensen shannon divergence" in page
    assert "infinity norm" in page
    assert "Does not apply" in page


def test_anomalies_stand_at_their_columns_and_first() -> None:
    clean, new = _flights(), _flights(shift=30, name="flights@2")
    schema = infer_schema(clean).edit("delay", max=20.0).edit("carrier", values=["AA"])
    report = _report(new, schema, previous=clean)
    report = replace(
        report,
        anomalies=(
            *(replace(x, n_rows=7, rows=("row:flights@2/17",)) for x in report.anomalies),
            Anomaly("", "DATASET_LOW_NUM_EXAMPLES", "WARNING", "constraints", 200, 1000, "too few rows"),
            Anomaly("lost", "SCHEMA_MISSING_COLUMN", "ERROR", "presence", "absent", "present", "lost: gone"),
        ),
        notes=("a rule could not be read",),
    )
    page = statistics_page(clean, new, schema=schema, report=report)
    _sound(page)
    for words in (
        "row:flights@2/17",
        "observed",
        "allowed",
        "too few rows",
        "lost: gone",
        "a rule could not",
    ):
        assert words in page
    list_ = page[page.index('<table class="list">') : page.index("Column by column")]
    assert list_.index(">delay<") < list_.index(">at<")
    assert "✗ flights@2" in page
    assert "Expected: STRING" in page


def test_a_clean_report_says_so() -> None:
    clean = _flights()
    page = statistics_page(clean, report=_report(clean, infer_schema(clean)))
    assert "✓" in page
    assert "no anomalies found" in page


def test_weights_slices_and_lists_are_told() -> None:
    rows = pa.table({"w": [1.0, 3.0], "x": [2.0, 4.0], "c": ["a", "b"], "l": [[1, 2], []]})
    page = statistics_page(describe(rows, options=StatisticsOptions(weight="w", slices=(Slice(by=("c",)),))))
    _sound(page)
    for words in ("weighted mean", "2 slices", "c=a", "x by slice", "values a row"):
        assert words in page


def test_five_thousand_columns_stay_small_and_it_is_said() -> None:
    one = describe(pa.table({"x": [1.0, 2.0, 3.0]}), name="wide")["x"]
    features = {f"c{i:04d}": replace(one, name=f"c{i:04d}", path=(f"c{i:04d}",)) for i in range(5_000)}  # type: ignore[type-var]
    page = statistics_page(Statistics("wide", 3, features))
    _sound(page)
    assert len(page) < 3_000_000
    assert "5,000 columns" in page
    assert "200 of 5,000 columns are drawn" in page
    assert page.count('<details class="column"') == 200
    assert page.count('<details class="column" open') == 12
    assert len(Statistics("wide", 3, features)._repr_html_()) < 100_000
    assert "100 of 5,000" in Statistics("wide", 3, features)._repr_html_()


def test_nothing_at_all_is_a_page_too() -> None:
    _sound(statistics_page(describe(pa.table({}), name="")))
    _sound(
        statistics_page(describe(pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.string())})))
    )


def test_more_versions_than_colours_are_refused() -> None:
    s = describe(pa.table({"a": [1]}))
    with pytest.raises(UsageError) as caught:
        statistics_page(*[s] * 7)
    assert caught.value.code == "bad-page"
    with pytest.raises(UsageError):
        statistics_page()


def test_a_fragment_has_its_own_style_and_no_script() -> None:
    made = statistics_fragment(_flights())
    _sound(made)
    assert "<script" not in made
    style = made[made.index("<style>") : made.index("</style>")]
    rules = [
        r.split("{")[0].strip()
        for r in re.sub(r"@media[^{]*\{", "}", style.removeprefix("<style>")).split("}")
    ]
    assert all(s.strip().startswith((".wl", "body.wl")) for r in rules if r for s in r.split(","))


def test_the_same_data_make_the_same_page() -> None:
    assert statistics_page(_flights()) == statistics_page(_flights())


CELLS = st.one_of(
    st.lists(st.none() | st.floats(), max_size=30),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=30),
    st.lists(st.none() | st.text(max_size=8), max_size=30),
    st.lists(st.none() | st.booleans(), max_size=30),
    st.lists(st.none() | st.datetimes(), max_size=30),
    st.lists(st.none() | st.lists(st.floats(), max_size=3), max_size=30),
)


@given(CELLS, CELLS)
def test_any_column_can_be_drawn(one: list[Any], other: list[Any]) -> None:
    sides = []
    for values in (one, other):
        column = pa.array(values)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz="UTC"))
        sides.append(describe(pa.table({"a": column})))
    for views in ([sides[0]], sides):
        page = statistics_page(*views)
        assert "nan" not in "".join(re.findall(r'(?: d| x| y| width| height)="([^"]*)"', page))
        _Tags(page)
    blocks(sides[0]["a"])
    assert terminal_table(sides[0], width=60)
    assert compared_table(sides, width=80)


@pytest.mark.parametrize("values", [[1.7e308], [-1.7e308, 1.7e308], [5e-324], [0.0, 5e-324], [1.0, 1.7e308]])
def test_the_largest_and_the_smallest_numbers_can_be_drawn(values: list[float]) -> None:
    s, nothing = describe(pa.table({"a": values})), describe(pa.table({"a": pa.array([], pa.float64())}))
    for views in ([s], [s, nothing], [nothing, s], [s, s]):
        places = re.findall(r'(?: d| x| y| width| height)="([^"]*)"', statistics_page(*views))
        assert not re.search("nan|inf", "".join(places))


def test_pictures_say_in_words_what_they_show() -> None:
    s = _flights()
    drawn = spread([s["delay"]], ["flights@1"], column="delay")
    assert 'role="img"' in drawn
    assert "200 values from" in drawn
    bars = value_bars([s["carrier"]], ["flights@1"], column="carrier")
    assert bars.count("<tr>") == 4
    assert "3 values of carrier" in bars


def test_a_long_tail_gets_a_second_picture_of_its_middle() -> None:
    values = [*np.random.default_rng(1).exponential(1, 1_000), 10_000.0]
    drawn = spread([describe(pa.table({"a": values}))["a"]], ["a"], column="a")
    assert "the middle 98 %" in drawn
    assert drawn.count("<svg") == 2


def test_what_is_odd_is_said_in_order() -> None:
    s = describe(
        pa.table({"nan": [float("nan"), 1.0, 2.0], "one": ["x"] * 3, "gone": [None] * 3, "fine": [1, 2, 3]})
    )
    scores = {f.name: oddness([f]) for f in s}
    assert scores["nan"].words == ("1 NaN",)
    assert scores["one"].words == ("one value only",)
    assert scores["gone"].words == ("never present",)
    assert scores["fine"].score == 0
    assert oddness([s["fine"], None]).words == ("gone",)
    assert oddness([None, s["fine"]]).words == ("new",)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_a_terminal_table_fits(width: int) -> None:
    table = terminal_table(_flights(), width=width).splitlines()[1:]
    needed = max(len("column  type  missing"), 32 + 2 + 9 + 2 + 7)
    assert all(len(line) <= max(width, needed) for line in table)
    assert len(table) == 2 + len(_flights())


def test_names_that_look_alike_are_told_apart() -> None:
    names = [f"customer_transaction_amount_over_the_last_{n}_days" for n in (1, 7, 30)]
    table = terminal_table(describe(pa.table({n: [1.0] for n in names})), width=80).splitlines()[3:]
    assert len({line.split()[0] for line in table}) == 3
    whole = terminal_table(describe(pa.table({n: [1.0] for n in names})))
    assert all(n in whole for n in names)


def test_a_comparison_fits_and_cuts_no_number() -> None:
    kinds = ["a payment of a kind that is long", "another"]
    a, b = (
        describe(pa.table({"k": kinds * 5, "n": [17_031_081_401.0 + i] * 10}), name=f"t@{i}") for i in (1, 2)
    )
    lines = compared_table([a, b], width=100).splitlines()[2:]
    assert max(map(len, lines)) <= 100
    assert "17,031,081,402" in "".join(lines)
    assert "50 %" in "".join(lines)


def test_direction_marks_in_data_are_spelled_out() -> None:
    page = statistics_page(describe(pa.table({"pay\u202ement": ["\u2067a", "b"]})))
    assert not set("\u202e\u2067") & set(page)
    assert "pay\\u202ement" in page


def test_small_forms_are_escaped_and_bounded() -> None:
    s = _flights()
    schema = infer_schema(s).rule("sane", "delay < 100")
    report = _report(_flights(shift=40), schema.edit("delay", max=1.0))
    for made in (s._repr_html_(), schema._repr_html_(), report._repr_html_()):
        assert "<script>" not in made
        assert _Tags(made).faults == []
        assert len(made) < 100_000
    assert "sane" in schema._repr_html_()
    assert "✗" in report._repr_html_()


def test_of_values_that_are_all_different_none_is_commonest() -> None:
    keys = pa.table({"key": [f"C{i}" for i in range(11)], "few": ["a", None] * 5 + ["b"]})
    s = describe(keys, options=StatisticsOptions(slices=(Slice(by=("few",)),)))
    page = statistics_page(s)
    assert page.count("All values are different.") == 1
    assert "few is missing" in page
    assert "few=None" not in page
    assert "C0" not in terminal_table(s)
    assert "C0" not in s._repr_html_()


def test_of_a_long_optional_statistic_the_strongest_lines_are_shown() -> None:
    result = {"pairs": [{"x": f"c{i}", "lift": i} for i in range(9)]}
    assert extra_table("lift", result, 2) == (["x", "lift"], [("c8", "8"), ("c7", "7")], 7)
