"""What is drawn and styled: places of arrows, contrasts of the palette, pictures of odd statistics."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.server.ui.map import CARD, arrows, height
from whence.server.ui.render import MENU, moment, state_word, static

STAGES = ("tables", "features", "training", "models", "deployments", "predictions", "monitors")


def palette(dark: bool) -> dict[str, str]:
    css = static("whence.css").decode()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[1 if dark else 0]))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(dark: bool) -> None:
    """WCAG AA: 4.5 for text, 3 for what is only pointed at."""
    p = palette(dark)
    pairs = [(ink, ground) for ink in ("ink", "quiet", "link") for ground in ("ground", "raised", "sunk")]
    pairs += [(k, f"{k}-ground") for k in ("good", "bad", "warn")]
    pairs += [("on-strong", "strong"), ("ink", "bad-ground"), ("ink", "good-ground")]
    assert {
        pair: round(contrast(p[pair[0]], p[pair[1]]), 2)
        for pair in pairs
        if contrast(p[pair[0]], p[pair[1]]) < 4.5
    } == {}
    assert contrast(p["arrow"], p["ground"]) >= 3


def test_both_palettes_name_the_same_colours() -> None:
    assert sorted(palette(False)) == sorted(palette(True))


def test_the_style_asks_nobody_for_anything() -> None:
    css, js = static("whence.css").decode(), static("whence.js").decode()
    assert "url(" not in css
    assert "@import" not in css
    assert not re.search(r"https?:|fetch\(|innerHTML|eval\(|import ", js)


@given(st.lists(st.integers(0, 11), min_size=7, max_size=7), st.data())
def test_arrows_go_from_card_to_card(counts: list[int], data: st.DataObject) -> None:
    stages: list[Any] = [
        {"stage": s, "title": s, "more": 0, "nodes": [{"id": f"{s}/{i}"} for i in range(n)]}
        for s, n in zip(STAGES, counts, strict=True)
    ]
    names = [n["id"] for s in stages for n in s["nodes"]]
    ends = st.sampled_from(names) if names else st.nothing()
    edges = data.draw(st.lists(st.tuples(ends, ends), max_size=6)) if names else []
    drawn = arrows({"stages": stages, "edges": [{"from": a, "to": b} for a, b in edges]})
    root = ET.fromstring(drawn)
    tall = height(max([1, *counts]))
    assert root.get("viewBox") == f"0 0 41.6 {tall:g}"
    paths = list(root)
    assert len(paths) == len(edges)
    for path in paths:
        ys = [float(y) for y in re.findall(r"[MC ][-\d.]+ ([-\d.]+)", path.get("d") or "")]
        assert all(CARD / 2 - 0.01 <= y <= tall - CARD / 2 + 0.01 for y in ys)


def test_a_name_in_an_arrow_is_escaped() -> None:
    stages: list[Any] = [
        {"stage": s, "title": s, "more": 0, "nodes": [{"id": f'{s}/"><script>'}]} for s in STAGES
    ]
    edge: Any = {"from": 'tables/"><script>', "to": 'features/"><script>'}
    drawn = arrows({"stages": stages, "edges": [edge]})
    assert ET.fromstring(drawn)[0].get("data-from") == 'tables/"><script>'


def test_what_is_no_moment_is_shown_escaped() -> None:
    assert moment("<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("state", "word"), [("COMPLETE", "good"), ("FAILED", "bad"), ("RUNNING", "open"), ("?", "quiet")]
)
def test_a_state_has_a_sign_and_a_word(state: str, word: str) -> None:
    assert state_word(state) == word
    assert f".state.{word}" in static("whence.css").decode()


def test_the_menu_names_each_room_once() -> None:
    assert len({key for key, _, _ in MENU}) == len({href for _, _, href in MENU}) == len(MENU)
