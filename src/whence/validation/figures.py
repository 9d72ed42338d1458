"""The numbers of a column in words, side by side for several versions: what stands beside the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from whence.drawing import Html
from whence.drawing.escape import escape
from whence.validation.charts import NOTHING, Views, said
from whence.validation.compare import Distance
from whence.validation.odd import filled_words, percent
from whence.validation.types import Anomaly
from whence.validation.view import FeatureView

Lines = list[tuple[str, list[str]]]
_EXAMPLES: Final = 5
_WIDE: Final = 26
_STRONGEST: Final = 50


def numbers(views: Views) -> Lines:
    """The statistics of a column, one line a measure, one cell a version; measures nobody has are left out."""
    of = [_measures(v) if v is not None else {} for v in views]
    names = dict.fromkeys(name for one in of for name in one)
    return [(name, [one.get(name, NOTHING) for one in of]) for name in names]


def _measures(f: FeatureView) -> dict[str, str]:
    out = {
        **({"stored as": f.arrow_type} if f.arrow_type else {}),
        "rows": said(f.num_rows),
        "present": said(f.num_non_missing),
        "missing": _of(f.num_missing, f.num_rows),
    }
    filled = filled_words(f.custom, f.num_rows)
    if filled:
        out["of them defaults"] = filled
    out |= _valency(f)
    if f.num_unique is not None:
        out["unique"] = ("" if f.unique_is_exact else "≈ ") + said(f.num_unique)
    if f.is_text:
        out |= _lengths(f)
    else:
        out |= _spread(f)
    return out | _weighted(f)


def _valency(f: FeatureView) -> dict[str, str]:
    low, high = f.min_num_values, f.max_num_values
    if low is None or high is None or (low == high == 1):
        return {}
    return {
        "values a row": f"{low:,} to {high:,}, {said(f.avg_num_values)} on average",
        "values": said(f.tot_num_values),
    }


def _spread(f: FeatureView) -> dict[str, str]:
    out: dict[str, str] = {}
    if f.mean is not None:
        out |= {"mean": said(f.mean), "std": said(f.std_dev)}
    if f.num_zeros is not None and f.type != "BOOL" and not f.is_time:
        out["zeros"] = _of(f.num_zeros, f.n_values)
    for name, n in (("NaN", f.num_nan), ("infinite", f.num_inf)):
        if n:
            out[name] = _of(n, f.n_values)
    if f.min is None or f.type == "BOOL":
        return out
    near = "" if f.rank_error == 0 else "≈ "
    out["min"] = said(f.min)
    out |= {f"{q:.0%}": near + said(f.quantile(q)) for q in (0.05, 0.25)}
    out["median"] = near + said(f.median)
    out |= {f"{q:.0%}": near + said(f.quantile(q)) for q in (0.75, 0.95)}
    out["max"] = said(f.max)
    if near:
        out["quantiles within rank"] = f"{f.rank_error:.2g}"
    return out


def _lengths(f: FeatureView) -> dict[str, str]:
    out: dict[str, str] = {}
    if f.avg_length is not None:
        lengths = f"{said(f.min_length)} to {said(f.max_length)}, " if f.min_length is not None else ""
        out["length in bytes"] = f"{lengths}{said(f.avg_length)} on average"
    if f.num_invalid_utf8 and f.type != "BYTES":
        out["not UTF-8"] = _of(f.num_invalid_utf8, f.n_values)
    if f.count_error:
        out["counts at most too small by"] = said(f.count_error)
    return out


def _weighted(f: FeatureView) -> dict[str, str]:
    w = f.weighted
    if w is None:
        return {}
    out = {"weighted rows": said(float(w.num_non_missing)), "weighted missing": said(float(w.num_missing))}
    for name, value in (
        ("weighted mean", w.mean),
        ("weighted std", w.std_dev),
        ("weighted median", w.median),
    ):
        if value is not None:
            out[name] = said(value)
    top = w.top_values(3) if f.is_text else ()
    if top:
        out["heaviest values"] = ", ".join(f"{said(v, 20)} ({said(float(n))})" for v, n in top)
    return out


def _of(n: float, total: float) -> str:
    return said(n) if not n or not total else f"{said(n)} ({percent(n / total)})"


def numbers_table(lines: Lines, names: Sequence[str], *, column: str) -> str:
    """The measures as a table with a caption."""
    heads = "".join(f'<th scope="col" class="n">{escape(n)}</th>' for n in names)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="{"n" if len(c) < _WIDE else "long"}">{escape(c)}</td>' for c in cells)
        + "</tr>"
        for name, cells in lines
    )
    return (
        f'<div class="wide"><table><caption>{escape(column)} in numbers</caption><thead><tr>'
        f'<th scope="col">measure</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def levels_table(f: FeatureView) -> str:
    """Presence and valency per level of nesting; nothing for a column without nesting."""
    if len(f.levels) < 2:
        return ""
    rows = [
        (str(i), said(lv.n_present), said(lv.n_missing), said(lv.min), said(lv.max), said(lv.total))
        for i, lv in enumerate(f.levels)
    ]
    heads = ("level", "present", "missing", "fewest values", "most", "values")
    return plain_html(heads, rows, caption=f"Levels of nesting of {f.name}")


def custom_lines(f: FeatureView) -> list[tuple[str, str]]:
    """What optional statistics say of a column, a line each."""
    told = {
        name: v for name, v in f.custom.items() if not name.startswith("num_filled")
    }  # a number like others
    return [(name, said(_flat(value), 400)) for name, value in told.items()]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_flat(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return said(value)


def distances_html(distances: Sequence[Distance], *, column: str) -> str:
    """Distances as a table, also those below their threshold; why some do not apply stands below."""
    if not distances:
        return ""
    rows = [
        (
            d.side,
            d.metric.replace("_", " "),
            f"{d.value:.4g}",
            f"{d.threshold:g}{' exceeded' if d.exceeds else ''}" if d.threshold is not None else "",
            "" if d.at is None else said(d.at, 24),
        )
        for d in distances
        if d.value is not None
    ]
    heads = ("side", "measure", "distance", "threshold", "moved most")
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    table = plain_html(
        [heads[i] for i in kept],
        [[row[i] for i in kept] for row in rows],
        caption=f"How far {column} has moved",
    )
    apart = [f"{d.metric.replace('_', ' ')}: {d.reason}" for d in distances if d.value is None and d.reason]
    notes = f'<p class="quiet">Does not apply: {escape("; ".join(apart))}.</p>' if apart else ""
    return (table if rows else "") + notes


def anomaly_box(a: Anomaly) -> str:
    """An anomaly: what, which rule, what was seen, what is allowed, some rows, what could be changed."""
    facts = [
        ("rule", a.rule),
        ("observed", _flat(a.observed)),
        ("allowed", _flat(a.allowed)),
        ("rows", "" if a.n_rows is None else said(a.n_rows)),
        ("for example", ", ".join(a.rows[:_EXAMPLES])),
        ("to accept it", _flat(a.proposed) if a.proposed else ""),
    ]
    listed = "".join(
        f"<dt>{name}</dt><dd><code>{escape(_cut(text))}</code></dd>"
        for name, text in facts
        if text and text != NOTHING
    )
    return (
        f'<div class="anomaly {a.severity.lower()}" role="note"><p><span class="tag {a.severity.lower()}">'
        f"{a.severity.lower()}</span> <strong>{escape(a.reason)}</strong> <code>{escape(a.type)}</code></p>"
        f"<p>{escape(_cut(a.message))}</p><dl>{listed}</dl></div>"
    )


def _cut(text: str, width: int = 500) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def plain_html(heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> Html:
    """A table of texts, all of them escaped."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    said_ = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(
        f'<div class="wide"><table>{said_}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def extra_table(
    key: str, result: Any, most: int = _STRONGEST
) -> tuple[list[str], list[tuple[str, ...]], int]:
    """An optional statistic of several columns as heads and rows, the strongest first, and how many are left out.

    Example:
        >>> extra_table("correlation", {"pairs": [{"x": "a", "y": "b", "correlation": -0.5, "count": 9}]})
        (['x', 'y', 'correlation', 'count'], [('a', 'b', '-0.5', '9')], 0)
    """
    rows = _rows_in(result)
    if not rows and isinstance(result, Mapping) and result:
        return ["of", key], [(said(name, 60), said(_flat(value), 2_000)) for name, value in result.items()], 0
    if not rows:
        return [key], [(said(_flat(result), 2_000) if result else "none",)], 0
    heads = [h for h in rows[0] if not isinstance(rows[0][h], (Mapping, list, tuple))]
    by = next(
        (h for h in ("correlation", "adjusted", "mutual_information", "lift", "value") if h in heads), None
    )
    if by is not None:
        rows = sorted(rows, key=lambda r: -abs(r[by]) if isinstance(r[by], (int, float)) else 1.0)
    heads.sort(key=lambda h: 0 if h in ("x", "y", "feature", "column") else 1 if h == by else 2)
    shown = [tuple(said(r.get(h), 60) for h in heads) for r in rows[:most]]
    return heads, shown, len(rows) - len(shown)


def _rows_in(result: Any) -> list[Mapping[str, Any]]:
    """The first list of objects in a result: pairs of a correlation; lists inside are laid out flat."""
    if isinstance(result, Mapping):
        return next((found for v in result.values() if (found := _rows_in(v))), [])
    if _is_rows(result):
        return [flat for row in result for flat in _laid_out(row)]
    return []


def _is_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(r, Mapping) for r in value)


def _laid_out(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    around = {k: v for k, v in row.items() if not isinstance(v, (Mapping, list, tuple))}
    inner = [flat for v in row.values() if _is_rows(v) for part in v for flat in _laid_out(part)]
    if not inner:
        return [around]
    return [around | {f"{k} value" if k in around else k: v for k, v in flat.items()} for flat in inner]
