"""Statistics to look at: one page that needs nothing else, and the small forms a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from whence.drawing import Html
from whence.drawing.escape import escape
from whence.errors import UsageError
from whence.validation.charts import DASHES, NOTHING, breakable, missing_cell, said, spark, spread, value_bars
from whence.validation.compare import Distance, compare_statistics
from whence.validation.figures import (
    anomaly_box,
    custom_lines,
    distances_html,
    extra_table,
    levels_table,
    numbers,
    numbers_table,
    plain_html,
)
from whence.validation.odd import Odd, commonest, oddness, percent
from whence.validation.outline import describe_comparator, describe_expectation, feature_line
from whence.validation.report import Report
from whence.validation.schema import Schema
from whence.validation.sheet import POLICY, SCRIPT, STYLE
from whence.validation.slicings import slice_words
from whence.validation.statistics import Statistics
from whence.validation.types import Anomaly
from whence.validation.view import FeatureView

DRAWN: Final = 200
"""So many columns are drawn unless asked otherwise, the oddest first."""
LISTED: Final = 10_000
"""So many columns are listed; beyond, only counted."""
_OPEN: Final = 12
_SLICES: Final = 30
_NOTES: Final = 100
_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class _Column:
    """A column through all versions, with what was found of it."""

    name: str
    views: tuple[FeatureView | None, ...]
    anomalies: tuple[Anomaly, ...]
    distances: tuple[Distance, ...]
    odd: Odd
    number: int = 0

    @property
    def newest(self) -> FeatureView:
        return next(v for v in reversed(self.views) if v is not None)


def statistics_page(
    *statistics: Statistics,
    schema: Schema | None = None,
    report: Report | None = None,
    title: str | None = None,
    drawn: int = DRAWN,
) -> Html:
    """Statistics as one HTML page that asks nobody for anything: pictures, and the numbers beside them.

    Columns come by what is odd: errors, warnings, distances, then what the statistics themselves say.
    All columns (at most 10,000) stand in the list with their numbers; the first `drawn` are drawn, and the page says so.
    It is whole without scripts; its own script sorts and filters the list.

    Args:
        statistics: One to six versions, the oldest first; several are drawn over each other, and
            the last is what `report` is about.
        schema: What is expected stands at each column; its thresholds judge distances.
        report: Its anomalies are marked at the columns.
        title: The heading; None is the names of what was described.
        drawn: How many columns are drawn.

    Raises:
        UsageError: No statistics or more than six were given (``bad-page``).

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> page = statistics_page(describe(pa.table({"a": [1, 2, 2]}), name="small"))
        >>> page[:15], "<title>small</title>" in page
        ('<!doctype html>', True)
    """
    body = _body(statistics, schema, report, title, drawn, opened=None, whole=True)
    heading = escape(_heading(statistics, title))
    return Html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{heading}</title><style>{STYLE}</style></head>\n"
        f'<body class="wl">{body}<script>{SCRIPT}</script></body></html>\n'
    )


def statistics_fragment(
    *statistics: Statistics,
    schema: Schema | None = None,
    report: Report | None = None,
    title: str | None = None,
    drawn: int = 50,
    opened: int | None = None,
) -> Html:
    """The same as a part of another page, such as a cell of a notebook: no script, its style bound to itself.

    The page around it has the heading; of it only a `title` that is given stands in the part. Of the columns
    that are drawn, the first `opened` stand open; None is as in `statistics_page`.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> statistics_fragment(describe(pa.table({"a": [1, 2, 2]})))[:17]
        '<div class="wl"><'
    """
    body = _body(statistics, schema, report, title, drawn, opened=opened, whole=False)
    return Html(f'<div class="wl"><style>{STYLE}</style>{body}</div>')


def _heading(statistics: Sequence[Statistics], title: str | None) -> str:
    return title if title is not None else " → ".join(s.name for s in statistics)


def _body(
    statistics: Sequence[Statistics],
    schema: Schema | None,
    report: Report | None,
    title: str | None,
    drawn: int,
    *,
    opened: int | None,
    whole: bool,
) -> str:
    if not 1 <= len(statistics) <= _MOST:
        raise UsageError(
            f"a page shows 1 to {_MOST} versions, not {len(statistics)}", code="bad-page", hint="choose some"
        )
    names = _names(statistics)
    columns = _columns(statistics, schema, report)
    shown = columns[:drawn]
    if opened is None:
        opened = len(shown) if len(shown) <= 2 * _OPEN else _OPEN
    heading = f"<h1>{escape(_heading(statistics, title))}</h1>" if whole else ""
    if not whole and title:
        heading = f"<p><strong>{escape(title)}</strong></p>"
    top = [heading, *(f"<p>{escape(s.headline)}</p>" for s in statistics), _legend(names), _verdict(report)]
    rest = [
        _whole(statistics, report),
        _list(columns, len(shown), compared=len(statistics) > 1, tools=whole),
        _drawn(columns, shown, names, statistics, schema, opened=opened, tools=whole),
        _slices(statistics),
        _notes(report),
        _extras(statistics[-1]),
    ]
    parts = ["<header>", *top, "</header><main>", *rest, "</main>"] if whole else [*top, *rest]
    return "\n".join(p for p in parts if p)


def _names(statistics: Sequence[Statistics]) -> list[str]:
    """What the versions are called; two of one name are told apart."""
    names: list[str] = []
    for s in statistics:
        name, n = s.name or "data", 2
        while name in names:
            name, n = f"{s.name} ({n})", n + 1
        names.append(name)
    return names


def _columns(statistics: Sequence[Statistics], schema: Schema | None, report: Report | None) -> list[_Column]:
    newest = statistics[-1]
    distances = list(report.distances) if report is not None else []
    if len(statistics) > 1 and not any(d.side == "drift" for d in distances):
        distances += compare_statistics(newest, statistics[-2], schema=schema)
    by_column: dict[str, list[Distance]] = {}
    for d in distances:
        by_column.setdefault(d.feature, []).append(d)
    found: dict[str, list[Anomaly]] = {}
    for a in report.anomalies if report is not None else ():
        found.setdefault(a.feature, []).append(a)
    columns = []
    for name in dict.fromkeys(f.name for s in reversed(statistics) for f in s):
        views = tuple(s.features.get(name) for s in statistics)
        anomalies, measured = tuple(found.get(name, ())), tuple(by_column.get(name, ()))
        odd = oddness(views, anomalies, measured)
        columns.append(_Column(name, views, anomalies, measured, odd))
    columns.sort(key=lambda c: -c.odd.score)
    return [replace(c, number=i) for i, c in enumerate(columns, start=1)]


# --- the top of the page ---------------------------------------------------------------------------


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(
        f'<li><svg viewBox="0 0 28 10" aria-hidden="true"><path class="s{i % 6}" d="M0 5H28"'
        f"{_dash(i)}/></svg>{escape(n)}</li>"
        for i, n in enumerate(names)
    )
    return f'<ul class="legend" aria-label="Versions">{items}</ul>'


def _dash(i: int) -> str:
    dash = DASHES[i % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _verdict(report: Report | None) -> str:
    if report is None:
        return ""
    sign, kind = ("✓", "good") if report.ok else ("✗", "bad")
    return f'<p class="verdict {kind}">{sign} {escape(report.headline)}</p>'


def _whole(statistics: Sequence[Statistics], report: Report | None) -> str:
    """Anomalies of all rows together, and of columns that no version has."""
    anomalies = report.anomalies if report is not None else ()  # a report is false when it is not ok
    known = {f.name for s in statistics for f in s}
    of_all = [anomaly_box(a) for a in anomalies if not a.feature]
    absent = [a for a in anomalies if a.feature and a.feature not in known]
    of_absent = [f"<h3>{escape(a.feature)}</h3>{anomaly_box(a)}" for a in absent[:_NOTES]]
    if not of_all and not of_absent:
        return ""
    more = f"<p>and {len(absent) - _NOTES:,} more</p>" if len(absent) > _NOTES else ""
    return (
        '<section aria-labelledby="of-whole"><h2 id="of-whole">Of all rows, and of columns that are not there</h2>'
        f"{''.join(of_all)}{''.join(of_absent)}{more}</section>"
    )


def _list(columns: Sequence[_Column], n_drawn: int, *, compared: bool, tools: bool) -> str:
    heads: list[tuple[str, str]] = [("column", ""), ("odd", ""), ("type", ""), ("spread", "fixed")]
    heads += [("missing", "n"), ("unique", "n"), ("commonest", "")]
    heads += [("mean", "n"), ("min", "n"), ("median", "n"), ("max", "n")]
    cells = "".join(
        f'<th scope="col"{" class=n" if k == "n" else ""}{" data-fixed=1" if k == "fixed" else ""}>{h}</th>'
        for h, k in heads
    )
    listed = columns[:LISTED]
    rows = "".join(_row(c, drawn=c.number <= n_drawn) for c in listed)
    more = f" {len(columns) - len(listed):,} more are not listed." if len(columns) > len(listed) else ""
    of = " The numbers are those of the newest version that has the column." if compared else ""
    find = (
        '<div class="tools" hidden><label for="find">Find columns</label>'
        '<input type="search" id="find" autocomplete="off"><span id="found" role="status"></span></div>'
        if tools
        else ""
    )
    scroll = "wide lines" if len(listed) > 40 else "wide"
    return (
        f'<section aria-labelledby="of-list"><h2 id="of-list">{len(columns):,} columns, what is odd first</h2>'
        f'<p class="quiet">{of.strip()}{more}</p>{find}'
        f'<div class="{scroll}" tabindex="0" role="region" aria-label="List of columns"><table class="list"><caption class="sr">All columns</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _row(c: _Column, *, drawn: bool) -> str:
    f = c.newest
    name = breakable(c.name) or "(no name)"
    link = f'<a href="#column-{c.number}">{name}</a>' if drawn else name
    missing = f.num_missing / f.num_rows if f.num_rows else 0.0
    unique = "" if f.num_unique is None else ("" if f.unique_is_exact else "≈ ") + said(f.num_unique)
    top = commonest(f)
    common = f"{said(top[0][0], 24) or '(empty)'} ({percent(top[0][1] / max(f.n_values, 1))})" if top else ""
    numbers_ = ["", "", ""] if f.is_text or f.type == "BOOL" else [said(v) for v in (f.min, f.median, f.max)]
    return (
        f'<tr><th scope="row">{link}</th><td class="odd" data-v="{c.odd.score:.1f}">{_tags(c)}</td>'
        f"<td>{f.type.lower()}</td><td>{spark(c.views, column=c.name) if drawn else ''}</td>"
        f'{missing_cell(missing)}{_cell(f.num_unique, unique)}<td class="common">{escape(common)}</td>'
        f"{_cell(f.mean, '' if f.mean is None else said(f.mean))}"
        + "".join(_cell(v, words) for v, words in zip((f.min, f.median, f.max), numbers_, strict=True))
        + "</tr>"
    )


def _cell(value: Any, words: str) -> str:
    """A number that sorts as one; texts and times sort as text."""
    key = "" if isinstance(value, (int, float)) else None
    if key is not None:
        key = f' data-v="{float(value):.9g}"'
    elif value is None or not words:
        key = ' data-v=""'
    return f'<td class="n"{key or ""}>{escape(words if words != NOTHING else "")}</td>'


def _tags(c: _Column) -> str:
    kinds = {"error": "error", "errors": "error", "warning": "warning", "warnings": "warning"}
    tags = []
    for words in c.odd.words[:4]:
        kind = kinds.get(words.rpartition(" ")[2], "")
        exceeded = any(d.exceeds and words.startswith(f"{d.side} ") for d in c.distances)
        tags.append(f'<span class="tag {kind or ("warning" if exceeded else "")}">{escape(words)}</span>')
    return "".join(tags)


# --- column by column ------------------------------------------------------------------------------


def _drawn(
    columns: Sequence[_Column],
    shown: Sequence[_Column],
    names: Sequence[str],
    statistics: Sequence[Statistics],
    schema: Schema | None,
    *,
    opened: int,
    tools: bool,
) -> str:
    if not shown:
        return ""
    rest = ""
    if len(shown) < len(columns):
        rest = (
            f'<p class="quiet">{len(shown):,} of {len(columns):,} columns are drawn, the oddest ones; '
            "describe fewer columns to draw others.</p>"
        )
    buttons = (
        '<div class="tools" hidden><button type="button" data-open="1">Open all</button>'
        '<button type="button" data-open="0">Close all</button></div>'
        if tools and len(shown) > _OPEN
        else ""
    )
    parts = [_section(c, names, statistics, schema, is_open=c.number <= opened) for c in shown]
    return (
        f'<section aria-labelledby="of-columns"><h2 id="of-columns">Column by column</h2>{rest}{buttons}'
        + "\n".join(parts)
        + "</section>"
    )


def _section(
    c: _Column,
    names: Sequence[str],
    statistics: Sequence[Statistics],
    schema: Schema | None,
    *,
    is_open: bool,
) -> str:
    f = c.newest
    picture = spread(c.views, names, column=c.name) if f.type != "BOOL" else ""
    values = value_bars(c.views, names, column=c.name) if f.is_text or f.type == "BOOL" or not picture else ""
    right = [numbers_table(numbers(c.views), names, column=c.name), levels_table(f)]
    custom = custom_lines(f)
    if custom:
        right.append(plain_html(("statistic", "value"), custom, caption="Optional statistics"))
    left = f"{picture}{values}" or '<p class="quiet">Nothing to draw.</p>'
    left += distances_html(c.distances, column=c.name) + _by_slice(c.name, statistics[-1])
    return (
        f'<details class="column"{" open" if is_open else ""}><summary><h3>{breakable(c.name) or "(no name)"}</h3> '
        f'<span class="tag">{f.type.lower()}</span>{_tags(c)}</summary><div id="column-{c.number}">'
        f"{''.join(map(anomaly_box, c.anomalies))}{_expected(c.name, schema)}"
        f'<div class="sides"><div>{left}</div><div>{"".join(right)}</div></div>'
        "</div></details>"
    )


def _expected(name: str, schema: Schema | None) -> str:
    """What the schema says of a column, in one line."""
    if schema is None:
        return ""
    if name not in schema:
        return '<p class="quiet">The schema does not know this column.</p>'
    feature = schema[name]
    line = feature_line(feature, schema.domain_of(feature))
    words = [line["type"], line["presence"], line["values"], line["domain"], line["environments"]]
    words += [describe_expectation(e) for e in feature.expect]
    for side, comparator in (("drift", feature.drift), ("skew", feature.skew)):
        if comparator is not None:
            words.append(f"{side} {describe_comparator(comparator)}")
    return f'<p class="quiet">Expected: {escape("; ".join(w for w in words if w))}</p>'


def _by_slice(name: str, newest: Statistics) -> str:
    slices = [(key, s[name]) for key, s in newest.slices.items() if name in s][:_SLICES]
    if not slices:
        return ""
    rows = []
    for key, f in slices:
        top = commonest(f)
        middle = (
            f"{said(top[0][0], 24)} ({said(top[0][1])})"
            if top
            else said(f.mean if f.mean is not None else f.median)
        )
        missing = percent(f.num_missing / f.num_rows) if f.num_missing and f.num_rows else "0"
        rows.append((slice_words(key), said(f.num_rows), missing, said(f.num_unique), middle))
    heads = ("slice", "rows", "missing", "unique", "commonest" if slices[0][1].is_text else "mean")
    more = f", {_SLICES} of {len(newest.slices):,}" if len(newest.slices) > _SLICES else ""
    table = plain_html(heads, rows, caption=f"{name} by slice")
    return f"<details><summary>By slice{more}</summary>{table}</details>"


# --- the end of the page ---------------------------------------------------------------------------


def _slices(statistics: Sequence[Statistics]) -> str:
    newest = statistics[-1]
    if not newest.slices:
        return ""
    found = sorted(newest.slices.items(), key=lambda s: -s[1].n_rows)[: _SLICES * 10]
    rows = [
        (slice_words(k), said(s.n_rows), percent(s.n_rows / newest.n_rows) if newest.n_rows else "")
        for k, s in found
    ]
    return (
        f'<section aria-labelledby="of-slices"><h2 id="of-slices">{len(newest.slices):,} slices</h2>'
        + plain_html(("slice", "rows", "share"), rows, caption=newest.name)
        + "</section>"
    )


def _notes(report: Report | None) -> str:
    notes = report.notes if report is not None else ()
    if not notes:
        return ""
    items = "".join(f"<li>{escape(n)}</li>" for n in notes[:_NOTES])
    more = f"<li>and {len(notes) - _NOTES:,} more</li>" if len(notes) > _NOTES else ""
    return (
        '<section aria-labelledby="of-notes"><h2 id="of-notes">What could not be judged</h2>'
        f"<ul>{items}{more}</ul></section>"
    )


def _extras(newest: Statistics) -> str:
    """Optional statistics of several columns together, such as correlations."""
    if not newest.extras:
        return ""
    tables = [
        plain_html(heads, rows, caption=f"{key}, and {left:,} more" if left else key)
        for key, extra in newest.extras.items()
        if not extra.by_feature()
        for heads, rows, left in [extra_table(key, extra.finish())]
    ]
    if not tables:
        return ""
    return f'<section aria-labelledby="of-extras"><h2 id="of-extras">Columns together</h2>{"".join(tables)}</section>'
