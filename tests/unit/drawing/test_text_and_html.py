from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.drawing import (
    Branch,
    Html,
    Section,
    fact_list,
    html_table,
    join_html,
    page,
    paragraph,
    text_table,
    text_tree,
)
from whence.drawing.text import display_width
from whence.errors import UsageError

GOLDEN = Path(__file__).parent / "golden"


class Reader(HTMLParser):
    """The text a reader sees, the tags in order, and every address the page asks for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def test_a_table_is_aligned_and_numbers_stand_right() -> None:
    assert text_table(["name", "n"], [["a", 5], ["日本", None], ["ccc", 12.5]]) == (
        "name     n\n----  ----\na        5\n日本\nccc   12.5"
    )


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"row \['a', 'b'\] does not fit the columns \['x'\]"):
        text_table(["x"], [["a", "b"]])


def test_data_cannot_move_the_cursor() -> None:
    table = text_table(["a"], [["x\x1b[2Jy\nz"]])
    assert table.splitlines() == ["a", "-" * len(r"x\x1b[2Jy\nz"), r"x\x1b[2Jy\nz"]


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), max_size=5))
def test_every_row_of_a_table_is_one_line(rows: list[list[str]]) -> None:
    lines = text_table(["first", "second"], rows).split("\n")
    assert len(lines) == 2 + len(rows)
    assert all(display_width(line) <= display_width(lines[1]) for line in lines)


def test_a_tree_shows_who_is_below_whom() -> None:
    tree = Branch("a", (Branch("b", (Branch("c"), Branch("d"))), Branch("e", note="last")))
    assert text_tree(tree) == "a\n├── b\n│   ├── c\n│   └── d\n└── e  last"


def test_a_page_is_as_it_was() -> None:
    made = page(
        "Flights & delays",
        [
            Section(
                "Rows",
                [
                    "All of them.",
                    html_table(["feed", "rows"], [["arrivals", 327346]], caption="Rows per feed"),
                ],
            ),
            Section("Rows", [fact_list({"verdict": "identical", "differences": None})]),
        ],
        lead="What was found.",
    )
    file = GOLDEN / "page.html"
    assert made == file.read_text(encoding="utf-8"), f"look at it, then write it to {file.name}"


def test_a_page_asks_nobody_for_anything() -> None:
    made = page("t", [Section("a", ["x"]), Section("b", ["y"])])
    reader = read(made)
    assert [a for a in reader.addresses if not a.startswith("#")] == []
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert re.findall(r"url\(|@import|//", made) == []


@given(st.text(alphabet=st.characters(categories=("L", "M", "N", "P", "S", "Zs"))))
def test_text_is_shown_as_it_is_and_never_becomes_markup(text: str) -> None:
    parts = join_html([html_table([text], [[text]], caption=text), fact_list({text: text}), paragraph(text)])
    reader = read(parts)
    plain = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "p"}
    assert set(reader.tags) <= plain
    assert text in "".join(reader.words)
    assert "".join(reader.words).count(text) >= 5 or text.strip() == ""
    whole = read(page(text, [Section(text, [text])], lead=text))
    assert "script" not in whole.tags


def test_html_stands_as_it_is() -> None:
    assert join_html([Html("<b>1</b>"), "<b>2</b>"]) == "<b>1</b>\n&lt;b&gt;2&lt;/b&gt;"
