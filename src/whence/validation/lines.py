"""Statistics as a table of a terminal: as much as its width holds, tiny bars included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Final

from whence.drawing import text_table
from whence.drawing.text import display_width
from whence.validation.charts import blocks, said
from whence.validation.compare import compare_statistics
from whence.validation.odd import BOUNDED, commonest, filled_words, oddness, percent
from whence.validation.statistics import Statistics
from whence.validation.view import FeatureView

_GAP: Final = 2
_NAME: Final = 32
_LEAST_TOP: Final = 20
_LEAST_NAME: Final = 9
_LEFT: Final = frozenset({"column", "type", "spread", "commonest"})


@dataclass(frozen=True, slots=True)
class _Head:
    """A column of the table and how soon it gives way in a narrow terminal: 0 never does."""

    name: str
    gives_way: int


def terminal_table(
    statistics: Statistics, *, width: int | None = None, top: int = 1, weights: bool = True
) -> str:
    """One line a column: type, missing, unique, mean, quartiles, the commonest values, tiny bars.

    Args:
        statistics: What is shown.
        width: So many characters a line; what matters least is left out. None is as wide as it gets.
        top: How many of the commonest values are named.
        weights: Whether weighted means have a column of their own, where there are any.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> print(terminal_table(describe(pa.table({"a": [1, 2, 2, None]}), name="small"), width=60))
        small: 4 rows, 1 columns
        column  type  missing  unique  spread       mean  min  max
        ------  ----  -------  ------  ----------  -----  ---  ---
        a       int      25 %       2  ▄        █  1.667    1    2
    """
    names = [f.name for f in statistics] if width is None else cut_names([f.name for f in statistics], _NAME)
    lines = [_line(f, n, top, weights=weights) for f, n in zip(statistics, names, strict=True)]
    heads = [h for h in _HEADS if h.gives_way == 0 or any(line.get(h.name) for line in lines)]
    table = _fitted(heads, lines, width) if lines else "(no columns)"
    return f"{statistics.headline}\n{table}"


_HEADS: Final = (
    _Head("column", 0),
    _Head("type", 0),
    _Head("missing", 0),
    _Head("defaults", 3),
    _Head("unique", 2),
    _Head("spread", 1),
    _Head("values a row", 6),
    _Head("mean", 4),
    _Head("weighted", 5),
    _Head("std", 9),
    _Head("zeros", 10),
    _Head("min", 7),
    _Head("median", 8),
    _Head("max", 7),
    _Head("length", 11),
    _Head("commonest", 3),
)


def _line(f: FeatureView, name: str, top: int, *, weights: bool) -> dict[str, str]:
    unique = "" if f.num_unique is None else ("" if f.unique_is_exact else "≈") + f"{f.num_unique:,}"
    out = {
        "column": name,
        "type": f.type.lower() + ("[]" if (f.max_num_values or 1) > 1 or "list" in f.arrow_type else ""),
        "missing": percent(f.num_missing / f.num_rows) if f.num_missing and f.num_rows else "0",
        "unique": unique,
        "spread": blocks(f),
    }
    filled = filled_words(f.custom, f.num_rows)
    if filled:
        out["defaults"] = filled
    low, high = f.min_num_values, f.max_num_values
    if low is not None and high is not None and not low == high == 1:
        out["values a row"] = f"{low:,}..{high:,}"
    if f.is_text and f.avg_length is not None:
        out["length"] = said(f.avg_length)
    if f.mean is not None:
        out |= {"mean": said(f.mean), "std": said(f.std_dev)}
    if f.num_zeros and f.type in ("INT", "FLOAT"):
        out["zeros"] = percent(f.num_zeros / f.n_values)
    if not f.is_text and f.type != "BOOL" and f.min is not None:
        out |= {"min": said(f.min, 19), "median": said(f.median, 19), "max": said(f.max, 19)}
    weighted = f.weighted if weights else None
    if weighted is not None and weighted.mean is not None:
        out["weighted"] = said(weighted.mean)
    values = commonest(f, top)
    if values:
        out["commonest"] = ", ".join(
            f"{said(v, 24) or '(empty)'} {percent(n / max(f.n_values, 1))}" for v, n in values
        )
    return out


def _fitted(heads: Sequence[_Head], lines: Sequence[dict[str, str]], width: int | None) -> str:
    """The table in a width: its last column is cut first, then columns give way."""
    kept = list(heads)
    while width is not None and _needs(kept, lines) > width and any(h.gives_way for h in kept):
        least = max(h.gives_way for h in kept)
        kept = [h for h in kept if h.gives_way != least]
    room = 10_000 if width is None else width - _needs(kept, lines) + _least(kept, lines)
    cells = {h.name: [line.get(h.name, "") for line in lines] for h in kept}
    if "commonest" in cells:
        cells["commonest"] = [_cut_before_share(c, room) for c in cells["commonest"]]
    return _aligned(cells)


def _aligned(cells: Mapping[str, Sequence[str]]) -> str:
    """The table with its numbers to the right: text with thousands apart does not look like one by itself."""
    heads, columns = [], []
    for name, values in cells.items():
        wide = 0 if name in _LEFT else max([len(name), *map(display_width, values)])
        heads.append(name.rjust(wide))
        columns.append([v.rjust(wide) for v in values])
    return text_table(heads, list(zip(*columns, strict=True)))


def _needs(heads: Sequence[_Head], lines: Sequence[dict[str, str]]) -> int:
    wide = sum(_wide(h, lines) for h in heads if h.name != "commonest")
    return wide + _least(heads, lines) + _GAP * (len(heads) - 1)


def _least(heads: Sequence[_Head], lines: Sequence[dict[str, str]]) -> int:
    found = next((h for h in heads if h.name == "commonest"), None)
    return 0 if found is None else min(_wide(found, lines), _LEAST_TOP)


def _wide(head: _Head, lines: Sequence[dict[str, str]]) -> int:
    return max([len(head.name), *(display_width(line.get(head.name, "")) for line in lines)])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def cut_names(names: Sequence[str], width: int) -> list[str]:
    """Names in a width; of those that would look alike, what they begin with in common gives way.

    Example:
        >>> cut_names(["mean_over_7_days", "mean_over_30_days", "fare", "x" * 20], 10)
        ['mea…7_days', 'mea…30_da…', 'fare', 'xxxxxxxxx…']
    """
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        alike.setdefault(_cut(name, width), []).append(name)
    shown = {}
    for cut, group in alike.items():
        begun = commonprefix(group)  # noqa: RUF071 - of texts, not of paths
        head = begun[: width // 3]
        for name in group:
            shown[name] = cut if len(group) == 1 else _cut(f"{head}…{name[len(begun) :]}", width)
    return [shown[n] for n in names]


def _cut_before_share(text: str, width: int) -> str:
    """Values and their shares: of a single one the value is cut and the share stays."""
    value, _, share = text.removesuffix(" %").rpartition(" ")
    if len(text) <= width or ", " in text or width - len(share) < _LEAST_NAME:
        return _cut(text, width)
    return f"{_cut(value, width - len(share) - 3)} {share} %"


def compared_table(versions: Sequence[Statistics], *, width: int | None = None) -> str:
    """Two or more versions side by side: one line a column, the oddest first, with the newest distance.

    Args:
        versions: The oldest first; distances are those of the last to the one before.
        width: So many characters a line; the versions in the middle give way.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> a, b = (describe(pa.table({"x": v}), name=n) for n, v in (("t@1", ["a", "a"]), ("t@2", ["a", "b"])))
        >>> print(compared_table([a, b]).splitlines()[-1].split())
        ['x', '0.5', 'drift', '0.5', '0', '0', 'a', '100', '%', 'a', '50', '%']
    """
    newest = versions[-1]
    distances = compare_statistics(newest, versions[-2])
    names = dict.fromkeys(f.name for s in reversed(versions) for f in s)
    found = []
    for name in names:
        views = [s.features.get(name) for s in versions]
        of = [d for d in distances if d.feature == name and d.value is not None]
        odd = oddness(views, (), of)
        far = max((d.value or 0.0 for d in of if d.metric in BOUNDED), default=None)
        found.append((odd, name, far, views))
    found.sort(key=lambda f: -f[0].score)
    heads = ["column", "distance", "odd"]
    heads += [f"missing @{i}" for i in range(1, len(versions) + 1)]
    heads += [f"middle @{i}" for i in range(1, len(versions) + 1)]
    cut = list(names) if width is None else cut_names(list(names), _NAME)
    shown = dict(zip(names, cut, strict=True))
    rows = [
        [
            shown[name],
            "" if far is None else f"{far:.3g}",
            _cut(", ".join(odd.words[:2]), 36),
            *(_missing(v) for v in views),
            *(_middle(v) for v in views),
        ]
        for odd, name, far, views in found
    ]
    said_ = "\n".join(f"@{i} {s.headline}" for i, s in enumerate(versions, start=1))
    n = len(versions)
    while width is not None and n > 2 and _table_width(heads, rows) > width:
        for at in (3 + n + 1, 3 + 1):  # the second oldest gives way: first its middle, then its missing
            heads.pop(at)
            rows = [row[:at] + row[at + 1 :] for row in rows]
        n -= 1
    if width is not None:
        _squeeze(heads, rows, width, at=(2, 3 + n))
    return f"{said_}\n{text_table(heads, rows)}"


def _squeeze(heads: Sequence[str], rows: Sequence[list[str]], width: int, at: tuple[int, int]) -> None:
    """Cut what is odd, then commonest values, as far as a width asks for it; numbers are never cut."""
    odd, middles = at
    for place in (odd, *range(middles, len(heads))):
        over = _table_width(heads, rows) - _GAP - width
        wide = max([display_width(r[place]) for r in rows], default=0)
        for row in rows if over > 0 else ():
            if place == odd or row[place].endswith("%"):
                row[place] = _cut_before_share(row[place], max(wide - over, len(heads[place]), _LEAST_NAME))


def _table_width(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(max([len(h), *(display_width(r[i]) for r in rows)]) + _GAP for i, h in enumerate(heads))


def _missing(f: FeatureView | None) -> str:
    if f is None:
        return "absent"
    return percent(f.num_missing / f.num_rows) if f.num_missing and f.num_rows else "0"


def _middle(f: FeatureView | None) -> str:
    """The mean of numbers, the median of times, the commonest of anything else."""
    if f is None:
        return ""
    if f.mean is not None and f.type != "BOOL" and not f.is_text:
        return said(f.mean)
    top = commonest(f)
    if top:
        return f"{said(top[0][0], 16) or '(empty)'} {percent(top[0][1] / max(f.n_values, 1))}"
    return "" if f.median is None else said(f.median, 19)
