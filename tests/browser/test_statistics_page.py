"""The page of statistics in a real browser: it fits, it stands out, it is heard, it works without scripts and on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import window
from tests.browser.test_pages import FAINT, SIDEWAYS, _heard
from whence.validation import Report, Slice, StatisticsOptions, describe, infer_schema, validate_statistics
from whence.validation.page import statistics_page

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with all there is: two versions, anomalies, slices, lists, a long tail, hostile names."""
    rng = np.random.default_rng(5)

    def rows(n: int, shift: float) -> pa.Table:
        columns = {
            "carrier": rng.choice(["AA", "B6", "<b>UA</b>"], n).tolist(),
            "delay": [*rng.exponential(9, n - 1) + shift, 9_000.0],
            "wind": [None if i % 3 else float(i) for i in range(n)],
            "on": [i % 4 == 0 for i in range(n)],
            "at": pa.array(range(0, n * 3600, 3600), pa.timestamp("s", tz="UTC")),
            "stops": [[1.0] * (i % 3) for i in range(n)],
            "a_column_with_a_name_that_is_longer_than_any_screen_is_wide_" * 2: ["v" * 200] * n,
            **{f"c{i}": rng.normal(i, 1, n) for i in range(40)},
        }
        return pa.table(columns)

    before = describe(rows(300, 0.0), name="flights@1")
    after = describe(
        rows(300, 30.0), name="flights@2", options=StatisticsOptions(slices=(Slice(by=("carrier",)),))
    )
    schema = (
        infer_schema(before).edit("delay", max=20.0).edit("carrier", values=["AA"], drift_threshold=0.001)
    )
    found, distances = validate_statistics(after, schema, previous=before)
    report = Report(after.name, "schema:flights@1", None, after.n_rows, tuple(found), tuple(distances))
    file = tmp_path_factory.mktemp("page") / "statistics.html"
    file.write_text(statistics_page(before, after, schema=schema, report=report), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_it_fits_its_window(chromium: Browser, address: str, width: int) -> None:
    with window(chromium, "file://", width) as visit:
        visit.page.goto(address)
        visit.page.locator("[data-open='1']").click()
        assert visit.page.evaluate(SIDEWAYS) == []
        assert visit.page.locator("h1").count() == 1


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out(chromium: Browser, address: str, dark: bool) -> None:
    with window(chromium, "file://", 1280, dark=dark) as visit:
        visit.page.goto(address)
        assert visit.page.evaluate(FAINT) == []


def test_everything_has_a_name_for_who_hears_it(chromium: Browser, address: str) -> None:
    with window(chromium, "file://", 1280) as visit:
        visit.page.goto(address)
        named = ("link", "button", "image", "searchbox", "table", "region")
        assert [h for h in _heard(visit.page) if h[0] in named and not h[1].strip()] == []


def test_it_sorts_finds_and_opens(chromium: Browser, address: str) -> None:
    with window(chromium, "file://", 1280) as visit:
        page = visit.page
        page.goto(address)
        first = page.locator("table.list tbody tr").first
        page.get_by_role("button", name="mean").click()
        assert "wind" in first.inner_text()
        page.get_by_role("button", name="mean").click()
        assert page.locator("table.list th[aria-sort='ascending']").count() == 1
        page.locator("#find").fill("c39")
        assert page.locator("table.list tbody tr:visible").count() == 1
        assert page.locator("details.column:visible").count() == 1
        page.get_by_role("link", name="c39").click()
        assert page.locator("details.column:visible").evaluate("e => e.open")


def test_it_is_whole_without_scripts(chromium: Browser, address: str) -> None:
    with window(chromium, "file://", 1280, scripts=False) as visit:
        visit.page.goto(address)
        assert visit.page.locator(".tools:visible").count() == 0
        last = visit.page.locator("details.column").last
        numbers = last.locator("caption", has_text="in numbers")
        assert not numbers.is_visible()
        last.locator("> summary").click()
        assert numbers.is_visible()


def test_paper_shows_what_is_folded_on_the_screen(chromium: Browser, address: str, tmp_path: Path) -> None:
    with window(chromium, "file://", 1280) as visit:
        visit.page.goto(address)
        visit.page.emulate_media(media="print")
        assert visit.page.locator("details.column").last.locator("table").first.is_visible()
        printed = tmp_path / "page.pdf"
        visit.page.pdf(path=printed)
        assert printed.stat().st_size > 10_000
