"""How often the values of some columns and those of one other occur in the same rows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from whence.errors import UsageError
from whence.stats.base import Array, numbers
from whence.validation.extra.leaves import CATEGORIES, as_bytes, chosen_features, labels_of, leaves_of
from whence.validation.paths import Path
from whence.validation.weighted import weights_of

MAX_VALUES: Final = 10_000
"""Values of one column; one with more is no category."""
MAX_LABELS: Final = 1_000
"""Values of y."""
_NUMBERS: Final = frozenset({"INT", "FLOAT", "BOOL"})
_MOST_CELLS: Final = 1 << 22

Label: TypeAlias = "str | int | float | bool | None"
"""A value as JSON says it; the number of its bucket where edges are given; None is missing."""


@dataclass(frozen=True, slots=True)
class Joint:
    """Counts of rows by y, by x, and by both, for one y and several x.

    A row counts once for each different value it holds. With edges e₁ < … < eₖ a number is said by
    its bucket: 0 below e₁, i from eᵢ up to but without eᵢ₊₁, k from eₖ on; NaN is missing. A column
    of more than 10,000 values (y: 1,000) is given up, whatever the order of rows and merges.

    Attributes:
        y: The column y.
        x: The columns x; None is all whose values are categories, and those with edges.
        edges: Edges of buckets by column.
        weight: A column of weights.
        missing: Count None in rows without a value, and give up columns with several values a row.
        n_rows: Rows.
        total: Their weight.
        of_y: Rows by y.
        of_x: Rows by x, by column.
        of_both: Rows by x, then y, by column.
        left_out: Why a column was given up.
    """

    y: str
    x: tuple[str, ...] | None = None
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    weight: str | None = None
    missing: bool = False
    n_rows: int = 0
    total: float = 0
    of_y: Mapping[Label, float] = field(default_factory=dict)
    of_x: Mapping[str, Mapping[Label, float]] = field(default_factory=dict)
    of_both: Mapping[str, Mapping[Label, Mapping[Label, float]]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column, edges in self.edges.items():
            if not edges or any(a >= b for a, b in itertools.pairwise(edges)):
                raise UsageError(
                    f"edges of {column!r} ascend, got {list(edges)}",
                    code="bad-edges",
                    hint="quantile_edges(statistics[column], 10) makes some",
                )

    def add(self, block: pa.Table) -> Joint:
        """The counts with those of a block.

        Raises:
            NotFoundError: A column is absent.
            UsageError: Numbers with a fraction, or instants, have no edges (``needs-edges``).
        """
        weights = None if self.weight is None else weights_of(block, self.weight)
        chosen = self._chosen(block.schema)
        y = self._coded(block, self.y, chosen.pop(self.y)[0])
        of_x, of_both, left_out = {}, {}, {}
        if self.missing and not y.single:
            left_out[self.y] = _SEVERAL
        for name, (path, _) in chosen.items():
            if name in self.left_out:
                continue
            x = self._coded(block, name, path)
            if self.missing and not x.single:
                left_out[name] = _SEVERAL
            else:
                of_x[name] = x.counts(weights)
                of_both[name] = _together(x, y, weights)
        n = block.num_rows
        total = n if weights is None else float(weights.sum())
        made = replace(
            self, n_rows=n, total=total, of_y=y.counts(weights), of_x=of_x, of_both=of_both, left_out=left_out
        )
        return self.merge(made)

    def _chosen(self, schema: pa.Schema) -> dict[str, tuple[Path, str]]:
        """The features that are counted; all of them fit."""
        named = () if self.x is None else self.x
        chosen: dict[str, Any] = {}
        if self.x is None:
            chosen = dict(chosen_features(schema, None, CATEGORIES))
            chosen |= chosen_features(schema, [n for n in self.edges if n != self.weight], frozenset())
            chosen.pop(self.weight or "", None)
        chosen |= chosen_features(schema, [*named, self.y], frozenset())
        for name, (_, type_) in chosen.items():
            if type_ not in (_NUMBERS if name in self.edges else CATEGORIES):
                what = "no number and has no buckets" if name in self.edges else "no category"
                raise UsageError(
                    f"column {name!r} is {type_}: {what}",
                    code="needs-edges",
                    hint="give edges: quantile_edges(statistics[column], 10)",
                )
        return chosen

    def _coded(self, block: pa.Table, name: str, path: Path) -> _Coded:
        found = leaves_of(block, path)
        rows, values = found.rows, found.values
        if name in self.edges:
            plain = numbers(values).astype(np.float64)
            here = ~np.isnan(plain)
            rows = rows[here]
            codes = np.searchsorted(np.array(self.edges[name]), plain[here], side="right")
            labels: list[Label] = list(range(len(self.edges[name]) + 1))
        else:
            encoded = as_bytes(values).dictionary_encode()
            codes, labels = encoded.indices.to_numpy(), labels_of(encoded.dictionary)
        return _Coded.of(rows, codes, labels, block.num_rows, missing=self.missing)

    def merge(self, other: Joint) -> Joint:
        """The counts of both."""
        reasons = sorted([*self.left_out.items(), *other.left_out.items()], reverse=True)
        left_out = dict(reasons)  # of two reasons the first by letters, whichever side it comes from
        of_y = {} if self.y in left_out else _sum(self.of_y, other.of_y)
        if len(of_y) > MAX_LABELS:
            left_out[self.y], of_y = f"more than {MAX_LABELS:,} values", {}
        of_x: dict[str, Mapping[Label, float]] = {}
        of_both: dict[str, Mapping[Label, Mapping[Label, float]]] = {}
        for name in sorted({*self.of_x, *other.of_x}):
            if name in left_out or self.y in left_out:
                continue
            counts = _sum(self.of_x.get(name, {}), other.of_x.get(name, {}))
            if len(counts) > MAX_VALUES:
                left_out[name] = f"more than {MAX_VALUES:,} values"
                continue
            a, b = self.of_both.get(name, {}), other.of_both.get(name, {})
            of_x[name] = counts
            of_both[name] = {k: _sum(a.get(k, {}), b.get(k, {})) for k in {**a, **b}}
        return replace(
            self,
            n_rows=self.n_rows + other.n_rows,
            total=self.total + other.total,
            of_y=of_y,
            of_x=of_x,
            of_both=of_both,
            left_out=dict(sorted(left_out.items())),
        )

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON, in an order that does not depend on that of rows."""
        out: dict[str, Any] = {"y": self.y, "n_rows": self.n_rows, "total": self.total}
        out |= {"of_y": _listed(self.of_y)}
        out["of_x"] = {name: _listed(counts) for name, counts in self.of_x.items()}
        out["of_both"] = {
            name: [[x, _listed(by_x[x])] for x in sorted(by_x, key=order_of)]
            for name, by_x in self.of_both.items()
        }
        if self.x is not None:
            out["x"] = list(self.x)
        if self.edges:
            out["edges"] = {k: list(v) for k, v in self.edges.items()}
        if self.weight is not None:
            out["weight"] = self.weight
        if self.left_out:
            out["left_out"] = dict(self.left_out)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, missing: bool) -> Joint:
        """The counts that `to_dict` wrote."""
        return cls(
            data["y"],
            tuple(data["x"]) if "x" in data else None,
            {k: tuple(v) for k, v in data.get("edges", {}).items()},
            data.get("weight"),
            missing,
            data["n_rows"],
            data["total"],
            dict(data["of_y"]),
            {k: dict(v) for k, v in data["of_x"].items()},
            {name: {x: dict(ys) for x, ys in by_x} for name, by_x in data["of_both"].items()},
            dict(data.get("left_out", {})),
        )


_SEVERAL: Final = "several values in a row"


@dataclass(frozen=True, slots=True)
class _Coded:
    """The different values of each row of a block, as n pairs of row and code.

    Attributes:
        rows: The n rows, ascending.
        codes: The n codes.
        labels: What the codes stand for.
        single: Whether no row has several values, equal or not.
    """

    rows: Array
    codes: Array
    labels: Sequence[Label]
    single: bool
    n_rows: int

    @classmethod
    def of(cls, rows: Array, codes: Array, labels: list[Label], n_rows: int, *, missing: bool) -> _Coded:
        codes = codes.astype(np.int64)
        single = not (len(rows) > 1 and bool((np.diff(rows) == 0).any()))
        if not single:
            keys = np.sort(rows * max(len(labels), 1) + codes)
            keys = keys[np.concatenate([[True], np.diff(keys) > 0])]
            rows, codes = np.divmod(keys, max(len(labels), 1))
        if missing:
            there = np.zeros(n_rows, dtype=bool)
            there[rows] = True
            without = np.flatnonzero(~there)
            rows = np.concatenate([rows, without])
            codes = np.concatenate([codes, np.full(len(without), len(labels), dtype=np.int64)])
            order = np.argsort(rows, kind="stable")
            rows, codes, labels = rows[order], codes[order], [*labels, None]
        return cls(rows, codes, labels, single, n_rows)

    def counts(self, weights: Array | None) -> dict[Label, float]:
        """Rows, or their weight, by value."""
        w = None if weights is None else weights[self.rows]
        n = np.bincount(self.codes, minlength=len(self.labels))
        found = n if w is None else np.bincount(self.codes, w, len(self.labels))
        return {self.labels[i]: found[i].item() for i in np.flatnonzero(n).tolist()}


def _together(x: _Coded, y: _Coded, weights: Array | None) -> dict[Label, dict[Label, float]]:
    """Rows, or their weight, by x, then y."""
    per_row = np.bincount(y.rows, minlength=y.n_rows)
    starts = np.cumsum(per_row) - per_row
    each = per_row[x.rows]
    ends = np.cumsum(each)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts[x.rows] - (ends - each), each)
    n_y = max(len(y.labels), 1)
    keys = np.repeat(x.codes, each) * n_y + y.codes[places]
    w = None if weights is None else weights[np.repeat(x.rows, each)]
    n_cells = len(x.labels) * n_y
    if n_cells > _MOST_CELLS:  # no table of all cells: most are empty
        keys, back = np.unique(keys, return_inverse=True)
        found = np.bincount(back, w, len(keys))
    else:
        found = np.bincount(keys, w, n_cells)
        keys = np.flatnonzero(found if w is None else np.bincount(keys, minlength=n_cells))
        found = found[keys]
    out: dict[Label, dict[Label, float]] = {}
    for key, n in zip(keys.tolist(), found.tolist(), strict=True):
        i, j = divmod(key, n_y)
        out.setdefault(x.labels[i], {})[y.labels[j]] = n if weights is not None else int(n)
    return out


def _sum(a: Mapping[Label, float], b: Mapping[Label, float]) -> Mapping[Label, float]:
    if not a or not b:
        return a or b
    out = dict(a)
    for k, n in b.items():
        out[k] = out.get(k, 0) + n
    return out


def _listed(counts: Mapping[Label, float]) -> list[list[Any]]:
    return [[k, counts[k]] for k in sorted(counts, key=order_of)]


def order_of(label: Label) -> tuple[int, float, str]:
    """A key that sorts labels: missing first, then numbers, then text.

    Example:
        >>> sorted(["b", 2, None, "a", 1], key=order_of)
        [None, 1, 2, 'a', 'b']
    """
    if label is None:
        return (0, 0.0, "")
    return (2, 0.0, label) if isinstance(label, str) else (1, label, "")


def bucket_of(label: Label, edges: Sequence[float]) -> tuple[float | None, float | None]:
    """The ends of a bucket; None is infinity.

    Example:
        >>> bucket_of(0, (1.0, 2.0)), bucket_of(1, (1.0, 2.0)), bucket_of(2, (1.0, 2.0))
        ((None, 1.0), (1.0, 2.0), (2.0, None))
    """
    i = int(label or 0)
    return (edges[i - 1] if i else None), (edges[i] if i < len(edges) else None)


def bucket_text(label: Label, edges: Sequence[float]) -> str:
    """A bucket as text.

    Example:
        >>> bucket_text(1, (1.0, 2.5)), bucket_text(2, (1.0, 2.5)), bucket_text(None, (1.0,))
        ('[1, 2.5)', '[2.5, inf)', 'missing')
    """
    if label is None:
        return "missing"
    low, high = bucket_of(label, edges)
    return f"{'(-inf' if low is None else f'[{low:.12g}'}, {'inf' if high is None else f'{high:.12g}'})"
