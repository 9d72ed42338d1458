"""What statistics are, said a second time: plain loops over Python values, exact fractions, no arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import pytest

Kind = Literal["number", "integer", "text", "time", "struct"]


@dataclass(frozen=True)
class Leaf:
    """A feature as rows: None is missing; otherwise lists inside lists, `depth` of them, around the values."""

    path: tuple[str, ...]
    kind: Kind
    depth: int
    rows: list[Any]
    weights: list[float] | None = None


def lists_of(row: Any, depth: int) -> Any:
    """A value of no list is a list of one."""
    return [row] if depth == 0 and row is not None else row


def elements(row: Any, depth: int) -> Iterator[Any]:
    """All values below `depth` lists, None where one is missing."""
    if depth <= 1:
        yield from row
        return
    for inner in row:
        if inner is not None:
            yield from elements(inner, depth - 1)


def levels(rows: Sequence[Any], depth: int) -> list[tuple[int, int, int | None, int | None, int]]:
    """Present, missing, fewest, most and all values, per level of nesting."""
    out = []
    for _ in range(max(depth, 1)):
        here = [r for r in rows if r is not None]
        sizes = [len(r) for r in here]
        out.append(
            (len(here), len(rows) - len(here), min(sizes, default=None), max(sizes, default=None), sum(sizes))
        )
        rows = [v for r in here for v in r]
    return out


def check(f: Any, leaf: Leaf, *, states: bool = True) -> None:
    """The statistics of a feature are those of the loops.

    Args:
        f: What is judged.
        leaf: The rows.
        states: Whether it was computed; else it was read, and knows of quantiles the median, of values the listed ones.
    """
    rows = [lists_of(r, leaf.depth) for r in leaf.rows]
    present = [r for r in rows if r is not None]
    assert f.path == leaf.path
    assert (f.num_rows, f.num_non_missing, f.num_missing) == (
        len(rows),
        len(present),
        len(rows) - len(present),
    )
    assert f.fraction_present == (len(present) / len(rows) if rows else None)
    found = [(level.n_present, level.n_missing, level.min, level.max, level.total) for level in f.levels]
    assert found == levels(rows, leaf.depth)
    sizes = [len(list(elements(r, leaf.depth))) for r in present]
    assert (f.min_num_values, f.max_num_values) == (min(sizes, default=None), max(sizes, default=None))
    assert f.tot_num_values == sum(sizes)
    assert f.avg_num_values == (sum(sizes) / len(present) if present else None)
    if leaf.kind == "struct":
        return
    values = [v for r in present for v in elements(r, leaf.depth) if v is not None]
    assert f.n_values == len(values)
    known = [v for v in values if not is_nan(v)]
    counts = Counter(map(same_bytes, known))
    if states or leaf.kind == "text":
        assert (f.num_unique, f.unique_is_exact) == (len(counts), True)
    if leaf.kind == "text":
        check_text(f, [same_bytes(v) for v in values], states=states)
    else:
        check_numbers(f, leaf.kind, values, known, states=states)
    if leaf.weights is not None:
        check_weights(f, leaf, rows)


def same_bytes(value: Any) -> Any:
    """Text as its bytes; one zero."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return 0.0 if value == 0 and isinstance(value, float) else value


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def check_text(f: Any, values: list[bytes], *, states: bool) -> None:
    ordered = sorted(Counter(values).items(), key=by_count)
    top = [(same_bytes(v), n) for v, n in f.top_values()]
    assert (top if states else sorted(top, key=by_count)) == ordered[:20]
    ranks = [(same_bytes(v), n) for v, n in f.rank_histogram]
    assert (ranks if states else sorted(ranks, key=by_count)) == ordered[:1000]
    assert {same_bytes(v): n for v, n in (f.value_counts() or {}).items()} == dict(ordered)
    lengths = [len(v) for v in values]
    assert f.avg_length == (sum(lengths) / len(lengths) if values else None)
    assert (f.min_length, f.max_length) == (min(lengths, default=None), max(lengths, default=None))
    assert f.num_invalid_utf8 == sum(not is_utf8(v) for v in values)
    assert f.count_error == 0


def by_count(pair: tuple[bytes, int]) -> tuple[int, bytes]:
    return -pair[1], pair[0]


def is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_numbers(f: Any, kind: Kind, values: list[Any], known: list[Any], *, states: bool) -> None:
    assert f.num_nan == len(values) - len(known)
    finite = [v for v in known if not (isinstance(v, float) and math.isinf(v))]
    assert f.num_inf == len(known) - len(finite)
    assert (f.min, f.max) == ((min(known), max(known)) if known else (None, None))
    ordered = sorted(known)
    for q in (0.0, 0.1, 0.5, 0.75, 1.0) if states else (0.5,):
        rank = max(math.ceil(q * len(ordered) - 1e-9), 1)
        assert f.quantile(q) == (ordered[rank - 1] if ordered else None)
    if states:
        assert f.rank_error == 0.0
    for histogram in (f.histogram, f.quantile_histogram):
        assert histogram.n == pytest.approx(len(values))
        assert histogram.n_nan == f.num_nan
    if kind == "time":
        assert (f.mean, f.std_dev, f.num_zeros) == (None, None, None)
        return
    assert f.num_zeros == sum(v == 0 for v in known)
    if not finite:
        assert (f.mean, f.std_dev) == (None, None)
        return
    mean = sum(map(Fraction, finite)) / len(finite)
    spread = sum((Fraction(v) - mean) ** 2 for v in finite) / len(finite)
    near(f.mean, float(mean), max(map(abs, finite)), exact=kind == "integer")
    near(f.std_dev, math.sqrt(spread), max(map(abs, finite)), loose=1e-6)


def near(found: float, wanted: float, largest: float, *, exact: bool = False, loose: float = 1e-12) -> None:
    """Within rounding of the largest value; sums of integers are exact."""
    if exact:
        assert found == wanted
    else:
        assert found == pytest.approx(wanted, rel=1e-9, abs=loose * float(largest) + 1e-150)


def check_weights(f: Any, leaf: Leaf, rows: list[Any]) -> None:
    assert leaf.weights is not None
    pairs = list(zip(rows, leaf.weights, strict=True))
    w = f.weighted
    here = sum(weight for r, weight in pairs if r is not None)
    total = sum(weight * len(list(elements(r, leaf.depth))) for r, weight in pairs if r is not None)
    assert w.num_non_missing == pytest.approx(here)
    assert w.num_missing == pytest.approx(sum(weight for r, weight in pairs if r is None))
    assert w.tot_num_values == pytest.approx(total)
    if here:
        assert w.avg_num_values == pytest.approx(total / here)
    values = [
        (same_bytes(v), weight)
        for r, weight in pairs
        if r is not None
        for v in elements(r, leaf.depth)
        if v is not None and not is_nan(v)
    ]
    if leaf.kind == "text":
        masses: Counter[bytes] = Counter()
        for v, weight in values:
            masses[v] += weight  # type: ignore[assignment]  # a Counter adds floats as well
        ours = {same_bytes(v): n for v, n in w.rank_histogram}
        assert ours == pytest.approx({v: n for v, n in masses.items() if n > 0})
    elif leaf.kind in ("number", "integer"):
        finite = [(v, weight) for v, weight in values if not math.isinf(v)]
        mass = sum(weight for _, weight in finite)
        if mass > 0:
            mean = sum(v * weight for v, weight in finite) / mass
            spread = sum(weight * (v - mean) ** 2 for v, weight in finite) / mass
            largest = max(abs(v) for v, _ in finite)
            near(w.mean, mean, largest)
            near(w.std_dev, math.sqrt(spread), largest, loose=1e-6)


def leaves(column: str, kind: Kind, depth: int, rows: list[Any], weights: list[float] | None = None) -> Leaf:
    """A column of no struct."""
    return Leaf((column,), kind, depth, rows, weights)


def parts(column: str, fields: dict[str, tuple[Kind, int]], rows: list[Any]) -> list[Leaf]:
    """A column of lists of structs: itself, and what is in each struct."""
    inner = [s for r in rows if r is not None for s in r if s is not None]
    out = [Leaf((column,), "struct", 1, rows)]
    for name, (kind, depth) in fields.items():
        out.append(Leaf((column, name), kind, depth, [s[name] for s in inner]))
    return out
