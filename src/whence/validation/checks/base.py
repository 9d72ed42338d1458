"""What every check says: an anomaly with the rule, what was seen, what is allowed, and what would accept it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from whence.stats import Distinct
from whence.validation.cells import jsonable
from whence.validation.types import Anomaly, AnomalyType, Severity
from whence.validation.view import FeatureView

Found: TypeAlias = Iterator[Anomaly]


def anomaly(
    feature: str,
    type_: AnomalyType,
    rule: str,
    observed: Any,
    allowed: Any,
    message: str,
    *,
    proposed: Mapping[str, Any] | None = None,
    severity: Severity = "ERROR",
) -> Anomaly:
    """An anomaly; its severity is ERROR, which the schema may lower."""
    return Anomaly(feature, type_, severity, rule, observed, allowed, message, proposed=proposed or {})


def change(feature: str, **keys: Any) -> dict[str, Any]:
    """A proposed change of one feature; None takes a key away, a mapping changes parts of it."""
    return {"feature": feature, **keys}


def unique_margin(seen: FeatureView) -> float:
    """How far an estimated number of different values may be off, three standard errors; 0 for a count."""
    return 0.0 if seen.unique_is_exact else 3 * Distinct().relative_error * (seen.num_unique or 0)


def listed(values: Iterable[Any], *, most: int = 5) -> str:
    """Some values in words.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    values = list(values)
    shown = ", ".join(repr(v) for v in values[:most])
    return shown + (f" and {len(values) - most:,} more" if len(values) > most else "")


_ONE: Final = {
    "are": "is", "break": "breaks", "have": "has", "rows": "row", "texts": "text", "values": "value"
}  # fmt: skip


def counted(n: float, words: str) -> str:
    """A number and what it counts; the words are those for many, and become those for one.

    Example:
        >>> counted(2_000, "values are NaN"), counted(1, "values are NaN")
        ('2,000 values are NaN', '1 value is NaN')
    """
    return f"{n:,} " + (" ".join(_ONE.get(w, w) for w in words.split(" ")) if n == 1 else words)


def exact(value: Any) -> str:
    """A value in words, nothing rounded."""
    return str(jsonable(value))


def texts_of(seen: FeatureView) -> list[tuple[str, float]]:
    """The values of a text column with counts, by weight where there are weights; all that are known."""
    if seen.weighted is not None:
        return [(str(jsonable(v)), n) for v, n in seen.weighted.rank_histogram]
    counts = seen.value_counts()
    if counts is not None:
        return [(str(jsonable(v)), n) for v, n in counts.items()]
    ranks: Sequence[tuple[Any, float]] = seen.rank_histogram
    most: Sequence[tuple[Any, float]] = seen.top_values(1_000_000)
    return [(str(jsonable(v)), n) for v, n in (most if len(most) > len(ranks) else ranks)]


def total_of(seen: FeatureView) -> float:
    """How many values there are, by weight where there are weights."""
    return seen.n_values if seen.weighted is None else seen.weighted.tot_num_values


def pairs_of(value: Any) -> list[tuple[str, float]]:
    """A custom statistic of labels with numbers: a mapping, pairs, or a rank histogram's buckets.

    Example:
        >>> pairs_of({"i": 2}), pairs_of([["i", 2]]), pairs_of(None)
        ([('i', 2.0)], [('i', 2.0)], [])
    """
    if isinstance(value, Mapping) and isinstance(value.get("buckets"), list):
        value = [(b.get("label", ""), b.get("sample_count", 0)) for b in value["buckets"]]
    if isinstance(value, Mapping):
        value = value.items()
    if not isinstance(value, Iterable) or isinstance(value, str):
        return []
    return [(str(label), float(count)) for label, count in value]


def number_of(value: Any) -> float | None:
    """A custom statistic that is one number; None when it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
