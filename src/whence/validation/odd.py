"""What is odd about a column, in words and in order: what a reader of five thousand columns sees first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from whence.validation.cells import Cell
from whence.validation.types import Anomaly
from whence.validation.view import FeatureView

ERROR: Final = 1_000.0
WARNING: Final = 500.0
EXCEEDS: Final = 400.0
_DISTANCE: Final = 100.0
#: Measures between 0 and 1, which alone can be compared between columns.
BOUNDED: Final = ("infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference")
_WORTH_SAYING: Final = 0.05
_MOST_ZEROS: Final = 0.9
_MOST_ONE_VALUE: Final = 0.99
_FEW_ROWS: Final = 10
_FEW_VALUES: Final = 10


class Moved(Protocol):
    """The part of a `Distance` that is read here."""

    @property
    def side(self) -> str:
        """``drift`` or ``skew``."""
        ...

    @property
    def metric(self) -> str:
        """The measure."""
        ...

    @property
    def value(self) -> float | None:
        """The distance; None when the measure does not apply."""
        ...

    @property
    def exceeds(self) -> bool:
        """Whether the schema forbids it."""
        ...


@dataclass(frozen=True, slots=True)
class Odd:
    """How odd a column is, and why.

    Attributes:
        score: Higher comes first: errors, warnings, distances over their threshold, then what the
            statistics themselves say.
        words: The reasons, the weightiest first.
    """

    score: float = 0.0
    words: tuple[str, ...] = ()


def oddness(
    views: Sequence[FeatureView | None],
    anomalies: Sequence[Anomaly] = (),
    distances: Sequence[Moved] = (),
) -> Odd:
    """How odd a column is: its anomalies, its distances, and what stands out in the newest statistics.

    Args:
        views: The column in each version, the oldest first; None where it is absent.
        anomalies: What a validation found of it.
        distances: How far it has moved.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> oddness([describe(pa.table({"a": [1.0, None, None, None]}))["a"]]).words
        ('75 % missing', 'one value only')
    """
    found: list[tuple[float, str]] = []
    for severity, score in (("ERROR", ERROR), ("WARNING", WARNING)):
        of = [a for a in anomalies if a.severity == severity]
        if of:
            word = severity.lower()
            found.append((score + len(of), f"{len(of)} {word}{'s' if len(of) > 1 else ''}"))
    measured = [d for d in distances if d.value is not None and (d.exceeds or d.metric in BOUNDED)]
    if measured:
        far = max(measured, key=lambda d: (d.exceeds, d.value or 0.0))
        value = far.value or 0.0
        score = (EXCEEDS if far.exceeds else 0.0) + _DISTANCE * min(value, 1.0)
        # a small distance orders columns and is no word: between any two samples there is one
        found.append((score, f"{far.side} {value:.2g}" if far.exceeds or value >= _WORTH_SAYING else ""))
    found += _among(views)
    newest = views[-1] if views else None
    if newest is not None:
        found += _alone(newest)
    found.sort(key=lambda f: -f[0])
    return Odd(sum(score for score, _ in found), tuple(words for _, words in found if words))


def _among(views: Sequence[FeatureView | None]) -> list[tuple[float, str]]:
    """What changed between the versions besides the values."""
    if len(views) < 2:
        return []
    there = [v for v in views if v is not None]
    found = []
    if views[-1] is None:
        found.append((350.0, "gone"))
    elif len(there) < len(views):
        found.append((300.0, "new"))
    if len({v.type for v in there}) > 1:
        found.append((320.0, " → ".join(dict.fromkeys(v.type for v in there))))
    return found


def _alone(f: FeatureView) -> list[tuple[float, str]]:
    """What stands out in one set of statistics; each score lies below that of a whole distance."""
    if f.num_rows and not f.num_non_missing:
        return [(90.0, "never present")]
    found: list[tuple[float, str]] = []
    if f.num_missing:
        share = f.num_missing / max(f.num_rows, 1)
        found.append((10.0 + 60.0 * share, f"{percent(share)} missing"))
    if f.num_nan:
        found.append((40.0, f"{f.num_nan:,} NaN"))
    if f.num_inf:
        found.append((45.0, f"{f.num_inf:,} infinite"))
    if f.type == "STRING" and f.num_invalid_utf8:
        found.append((45.0, f"{f.num_invalid_utf8:,} not UTF-8"))
    found += _values(f)
    return found


def _values(f: FeatureView) -> list[tuple[float, str]]:
    n = f.n_values
    if f.num_unique == 1 and f.num_rows > 1:
        return [(30.0, "one value only")]
    found = []
    zeros = f.num_zeros or 0
    if n >= _FEW_ROWS and zeros > _MOST_ZEROS * n and f.type in ("INT", "FLOAT"):
        found.append((20.0, f"{percent(zeros / n)} zeros"))
    if f.is_text and n >= _FEW_ROWS:
        top = f.top_values(1)
        if top and top[0][1] > _MOST_ONE_VALUE * n:
            found.append((20.0, f"one value holds {percent(top[0][1] / n)}"))
        elif f.num_unique == n and f.unique_is_exact:
            found.append((1.0, "all different"))
    return found


def all_different(f: FeatureView) -> bool:
    """Whether a text has another value in every row, as a key has; ten and fewer are looked at one by one."""
    return f.is_text and f.unique_is_exact and f.num_unique == f.n_values and f.n_values > _FEW_VALUES


def commonest(f: FeatureView, k: int = 1) -> Sequence[tuple[Cell, float]]:
    """The commonest values of texts and booleans with their counts; none where all are different."""
    return f.top_values(k) if (f.is_text or f.type == "BOOL") and not all_different(f) else ()


def percent(share: float) -> str:
    """A share in per cent; what is not all is not called 100, what is there is not called 0.

    Example:
        >>> percent(0.25), percent(0.00004), percent(0.99999), percent(1.0), percent(0.0)
        ('25 %', '<0.1 %', '>99.9 %', '100 %', '0 %')
    """
    value = 100.0 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.3g} %"


def filled_words(custom: Mapping[str, Any], n_rows: int) -> str:
    """How many values of a column are defaults, in words; empty when nobody told of any.

    Example:
        >>> filled_words({"num_filled": 5}, 20), filled_words({"num_filled_at_most": 5}, 20), filled_words({}, 20)
        ('5 (25 %)', '≤ 5 (25 %)', '')
    """
    for name, sign in (("num_filled", ""), ("num_filled_at_most", "≤ ")):
        n = custom.get(name)
        if isinstance(n, (int, float)):
            return f"{sign}{n:,.0f}" + (f" ({percent(n / n_rows)})" if n_rows else "")
    return ""
