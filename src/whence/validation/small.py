"""The small forms a notebook shows by itself: statistics, a report, a schema; each bounded in size, and saying so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from whence.drawing.escape import escape
from whence.validation.charts import breakable, missing_cell, said, spark
from whence.validation.odd import commonest, oddness, percent
from whence.validation.sheet import STYLE
from whence.validation.types import Anomaly
from whence.validation.view import FeatureView

MOST: Final = 100
_WHOLE: Final = "whence.validation.page.statistics_page shows all of it"


def statistics_html(headline: str, features: Sequence[FeatureView]) -> str:
    """Statistics in a cell of a notebook: a line a column with a small picture; at most 100 columns.

    Example:
        >>> statistics_html("empty: 0 rows, 0 columns", ())[-34:]
        '<p class="quiet">nothing</p></div>'
    """
    heads = (
        "column",
        "type",
        "spread",
        "missing",
        "unique",
        "commonest",
        "mean",
        "std",
        "min",
        "median",
        "max",
    )
    lines = [_feature_cells(f) for f in islice(features, MOST)]
    return _shown(headline, heads, lines, len(features), right=(3, 4, *range(6, 11)))


def _feature_cells(f: FeatureView) -> list[str]:
    text = f.is_text or f.type == "BOOL"
    top = commonest(f)
    common = f"{said(top[0][0], 24) or '(empty)'} ({percent(top[0][1] / max(f.n_values, 1))})" if top else ""
    odd = "".join(
        f' <span class="tag">{escape(w)}</span>' for w in oddness([f]).words[:2] if "missing" not in w
    )
    numbers: list[object] = [None] * 5 if text else [f.mean, f.std_dev, f.min, f.median, f.max]
    return [
        f'<th scope="row">{breakable(f.name)}</th>',
        f"<td>{f.type.lower()}{odd}</td>",
        f"<td>{spark([f], column=f.name)}</td>",
        missing_cell(f.num_missing / f.num_rows if f.num_rows else 0.0),
        _n("" if f.num_unique is None else ("" if f.unique_is_exact else "≈ ") + said(f.num_unique)),
        f'<td class="common">{escape(common)}</td>',
        *(_n("" if v is None else said(v)) for v in numbers),
    ]


def report_html(
    headline: str,
    anomalies: Sequence[Anomaly],
    lines: Iterable[Mapping[str, str]],
    notes: Sequence[str],
    *,
    ok: bool,
) -> str:
    """A report in a cell of a notebook: the verdict, a line an anomaly; at most 100, and of notes 20."""
    sign, kind = ("✓", "good") if ok else ("✗", "bad")
    verdict = f'<p class="verdict {kind}">{sign} {escape(headline)}</p>'
    items = "".join(f"<li>{escape(n)}</li>" for n in notes[:20])
    more = f"<li>and {len(notes) - 20:,} more</li>" if len(notes) > 20 else ""
    listed = f"<ul>{items}{more}</ul>" if notes else ""
    if not anomalies:
        return f'<div class="wl"><style>{STYLE}</style>{verdict}{listed}</div>'
    shown = list(islice(lines, MOST))
    heads = (*shown[0], "what")
    cells = [
        [
            f'<td><span class="tag {a.severity.lower()}">{escape(line["severity"].lower())}</span></td>',
            *(f"<td>{escape(v)}</td>" for k, v in line.items() if k != "severity"),
            f"<td>{escape(said(a.message, 160))}</td>",
        ]
        for a, line in zip(anomalies, shown, strict=False)
    ]
    return _shown("", heads, cells, len(anomalies), before=verdict, after=listed)


def schema_html(headline: str, lines: Sequence[Mapping[str, str]], more: Sequence[str] = ()) -> str:
    """A schema in a cell of a notebook: a line a feature; at most 100."""
    shown = lines[:MOST]
    heads = tuple(shown[0]) if shown else ()
    cells = [[f"<td>{escape(said(v, 200) if v else '')}</td>" for v in line.values()] for line in shown]
    items = "".join(f"<li>{escape(said(m, 300))}</li>" for m in more[:MOST])
    return _shown(headline, heads, cells, len(lines), after=f"<ul>{items}</ul>" if items else "")


def _n(text: str) -> str:
    return f'<td class="n">{escape(text)}</td>'


def _shown(
    headline: str,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    n: int,
    *,
    right: Iterable[int] = (),
    before: str = "",
    after: str = "",
) -> str:
    numbers = set(right)
    head = "".join(
        f'<th scope="col"{" class=n" if i in numbers else ""}>{escape(h)}</th>' for i, h in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    table = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        if lines
        else '<p class="quiet">nothing</p>'
    )
    cut = f'<p class="quiet">{len(lines):,} of {n:,} lines; {_WHOLE}.</p>' if n > len(lines) else ""
    title = f"<p><b>{escape(headline)}</b></p>" if headline else ""
    return f'<div class="wl"><style>{STYLE}</style>{before}{title}{table}{cut}{after}</div>'
