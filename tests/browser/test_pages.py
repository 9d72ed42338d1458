"""Every page in a real browser: wide and narrow, light and dark, by keyboard, by ear, without scripts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Served, window
from tests.unit.server.ui.site import ALERT, KEY, addresses

pytestmark = pytest.mark.service

#: What sticks out of the window to the right and is not inside something that scrolls by itself.
SIDEWAYS = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide <= 0) return [];
  const inside = (e) => { for (; e; e = e.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX)) return true; return false; };
  return [...document.body.querySelectorAll("*")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !inside(e.parentElement))
    .map((e) => e.outerHTML.slice(0, 120)).slice(0, 5).concat(`${wide} px too wide`);
}"""

#: Every text that does not stand out from the ground below it: WCAG AA, 4.5, or 3 for large text.
FAINT = """() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest(".sr, .skip, title, desc, style, .from, option")) continue;
    const style = getComputedStyle(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    const [high, low] = [light(ink), light(ground(e))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.add(`${walker.currentNode.data.trim().slice(0, 40)} ${contrast.toFixed(2)}`);
  }
  return [...found];
}"""

#: What a reader must be able to name.
NAMED = (
    "link",
    "button",
    "image",
    "textbox",
    "searchbox",
    "combobox",
    "table",
    "region",
    "navigation",
    "search",
)


def _all(served: Served) -> list[str]:
    return list(addresses(served.ws))


@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_fits_its_window(chromium: Browser, served: Served, width: int) -> None:
    with window(chromium, served.origin, width) as visit:
        for address in _all(served):
            page = visit.open(address)
            assert page.evaluate(SIDEWAYS) == [], (address, width)
            assert page.locator("h1").count() == 1, address


def test_letters_of_double_size_fit_too(chromium: Browser, served: Served) -> None:
    """WCAG 1.4.4: text at 200 % loses nothing."""
    with window(chromium, served.origin, 1280) as visit:
        for address in _all(served):
            page = visit.open(address)
            page.evaluate("document.documentElement.style.fontSize = '32px'")
            assert page.evaluate(SIDEWAYS) == [], address


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out(chromium: Browser, served: Served, dark: bool) -> None:
    with window(chromium, served.origin, 1280, dark=dark) as visit:
        for address in _all(served):
            assert visit.open(address).evaluate(FAINT) == [], address


def test_everything_has_a_name_for_who_hears_the_page(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 1280) as visit:
        for address in _all(served):
            page = visit.open(address)
            nameless = [n for n in _heard(page) if n[0] in NAMED and not n[1].strip()]
            assert nameless == [], address
            roles = {role for role, _ in _heard(page)}
            assert {"banner", "navigation", "main", "contentinfo", "search"} <= roles, address


def _heard(page: Page) -> list[tuple[str, str]]:
    """Role and name of everything a screen reader comes by."""
    tree: Any = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    return [
        (n["role"]["value"], n.get("name", {}).get("value", ""))
        for n in tree["nodes"]
        if not n["ignored"] and "role" in n
    ]


def test_every_page_names_its_twin_which_parses(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 1280) as visit:
        for address in _all(served):
            page = visit.open(address)
            twin = page.locator("footer a").get_attribute("href")
            assert twin is not None
            answer = page.request.get(served.origin + twin)
            assert answer.ok, (address, twin)
            assert isinstance(json.loads(answer.text()), dict)


@pytest.mark.parametrize("width", [1280, 360])
def test_the_keyboard_reaches_menu_and_content(chromium: Browser, served: Served, width: int) -> None:
    with window(chromium, served.origin, width) as visit:
        page = visit.open("/tables")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
        seen = _tab_through(page, 40)
        assert {"/", "/models", "/executions", "/tables/arrivals"} <= {href for href, _, _ in seen}
        assert all(outline != "none" for _, outline, _ in seen), "focus must be seen"
        assert all(inside for _, _, inside in seen), "what has the focus is in the window"
        page = visit.open("/tables")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("!!document.activeElement.closest('main')"), "the skip link leads past the menu"


def _tab_through(page: Page, n: int) -> list[tuple[str, str, bool]]:
    """Where the focus goes: address, outline, whether it is in sight."""
    found = []
    for _ in range(n):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        found.append(
            page.evaluate(
                """() => { const e = document.activeElement, r = e.getBoundingClientRect();
                return [e.getAttribute("href") || "", getComputedStyle(e).outlineStyle, r.bottom > 0 && r.top < innerHeight]; }"""
            )
        )
    return [(str(a), str(b), bool(c)) for a, b, c in found]


def test_a_trace_opens_by_keyboard_and_without_scripts(chromium: Browser, served: Served) -> None:
    address = "/trace?ref=prediction:late_scores/T-0050"
    with window(chromium, served.origin, 360, scripts=False) as visit:
        page = visit.open(address)
        closed = page.locator("details:not([open]):has(table)").first
        assert not closed.locator("table").is_visible()
        closed.locator("summary").first.focus()
        page.keyboard.press("Enter")
        opened = page.locator("details[open]:has(> .wide table)").first
        assert opened.locator("table").first.is_visible()
        assert "raw rows" in opened.locator("caption").first.inner_text()


def test_what_scripts_add_is_there_and_helps(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 1280) as visit:
        page = visit.open("/trace?ref=model:late@champion")
        page.get_by_role("button", name="Open all").click()
        assert page.locator(".tree details:not([open])").count() == 0
        page.get_by_role("button", name="Close all").click()
        assert page.locator(".tree details[open]").count() == 0
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "ask"
        page = visit.open("/")
        page.locator('[data-node="models/late"] a').focus()
        assert page.locator(".arrows path.lit").count() == 3


def test_a_person_asks_whence_and_arrives(chromium: Browser, served: Served) -> None:
    """Home, a model, its champion, a prediction by a part of its key, its page, its trace: without scripts."""
    with window(chromium, served.origin, 360, scripts=False) as visit:
        page = visit.open("/")
        page.get_by_role("link", name="late", exact=True).first.click()
        assert page.locator("h1").inner_text() == "late"
        assert page.locator(".timeline .champion").count() == 2
        page = visit.open("/predictions")
        page.get_by_role("search", name="Search late_scores").get_by_role("searchbox").fill("b6/7")
        page.keyboard.press("Enter")
        page.get_by_role("link", name=KEY, exact=True).click()
        assert page.locator("h1").inner_text() == KEY
        page.get_by_label("Reference", exact=True).fill("table:arrivals@3")
        page.get_by_role("button", name="Whence?").click()
        assert page.locator("h1").inner_text() == "Whence table:arrivals@3"


def test_arrows_of_the_map_end_at_their_cards(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 1280) as visit:
        page = visit.open("/")
        misses = page.evaluate(
            """() => { const box = (id) => document.querySelector(`[data-node="${CSS.escape(id)}"]`).getBoundingClientRect();
            return [...document.querySelectorAll(".arrows path")].flatMap((path) => {
              const m = path.getScreenCTM(), n = path.getTotalLength();
              const at = (d) => { const p = path.getPointAtLength(d); return new DOMPoint(p.x, p.y).matrixTransform(m); };
              const a = box(path.dataset.from), b = box(path.dataset.to), s = at(0), e = at(n);
              const off = Math.max(Math.abs(s.x - a.right), Math.abs(s.y - (a.top + a.bottom) / 2),
                                   Math.abs(e.x - b.left), Math.abs(e.y - (b.top + b.bottom) / 2));
              return off > 3 ? [`${path.dataset.from} to ${path.dataset.to}: ${off.toFixed(1)} px`] : [];
            }); }"""
        )
        assert misses == []
        assert page.locator(".arrows path").count() == 8


def test_a_narrow_map_is_a_list_that_says_where_things_come_from(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 360) as visit:
        page = visit.open("/")
        assert not page.locator(".arrows").is_visible()
        assert page.locator('[data-node="models/late"] .from').inner_text() == "from train.late"
        tops = page.evaluate(
            "[...document.querySelectorAll('.stage')].map((s) => s.getBoundingClientRect().top)"
        )
        assert tops == sorted(tops)


def test_an_alert_is_marked_on_its_chart_beside_its_numbers(chromium: Browser, served: Served) -> None:
    with window(chromium, served.origin, 1280) as visit:
        page = visit.open(f"/monitors/late/alerts/{ALERT}")
        chart = page.get_by_role("img", name="ks of delays__count_7d")
        assert "Mark 1 at 2013-04-06" in (chart.locator("desc").text_content() or "")
        page.get_by_text("Numbers", exact=True).click()
        assert page.locator("details table tbody tr").count() == 10
        page.get_by_role("link", name="Look at table:arrivals@3").click()
        assert page.locator("h1").inner_text().startswith("arrivals@3")


def test_what_is_pressed_is_large_enough(chromium: Browser, served: Served) -> None:
    """WCAG 2.5.8: 24 pixels, for what stands alone."""
    with window(chromium, served.origin, 360) as visit:
        page = visit.open("/tables/arrivals")
        small = page.evaluate(
            """() => [...document.querySelectorAll("nav[aria-label=Rooms] a, button, .button, input, select")]
            .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24).map((e) => e.outerHTML)"""
        )
        assert small == []


def test_two_versions_are_compared_from_the_page_of_their_table(chromium: Browser, served: Served) -> None:
    """Without scripts: from the table to the comparison, to another version, to a column that was closed."""
    with window(chromium, served.origin, 1280, scripts=False) as visit:
        page = visit.open("/tables/arrivals")
        page.get_by_role("link", name="Compare it with the one before").click()
        assert page.url.endswith("/tables/arrivals/versions/5?with=4")
        page.get_by_label("Compare with version").fill("1")
        page.get_by_role("button", name="Compare", exact=True).click()
        assert page.get_by_role("list", name="Versions").get_by_role("listitem").all_inner_texts() == [
            "arrivals@1",
            "arrivals@5",
        ]
        assert page.locator(".wl svg path.s1").count() > 0
        closed = page.locator("details.column:not([open])").first.locator("> div")
        place = closed.get_attribute("id")
        assert not closed.is_visible()
        page.locator(f"table.list a[href='#{place}']").click()
        page.locator(f"#{place}").wait_for(timeout=5_000)  # a link opens what it leads to
