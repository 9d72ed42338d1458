"""Statistics of a set of rows in one read, mergeable over shards, days and slices."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import NotFoundError, UsageError
from whence.validation.features import FeatureStatistics, feature_type, jsonable

BLOCK_ROWS: Final = 1 << 18
"""Rows taken together: large enough that per-column work is vectorised, small enough for 5,000 columns."""
MAX_SLICES: Final = 1_000
_PARALLEL_CELLS: Final = 200_000


@dataclass(frozen=True)
class Statistics:
    """What is known about a set of rows, column by column.

    Attributes:
        name: What was described: ``flights@12``, or ``data``.
        n_rows: How many rows.
        features: Statistics by column, in the order of the columns.
        slices: Statistics of the rows with ``column=value``, when asked for.

    Example:
        >>> s = describe(pa.table({"a": [1, 2, 3, None]}))
        >>> s["a"].mean, s["a"].num_missing, s.merge(s)["a"].num_non_missing
        (2.0, 1, 6)
    """

    name: str
    n_rows: int = 0
    features: Mapping[str, FeatureStatistics] = field(default_factory=dict)
    slices: Mapping[str, Statistics] = field(default_factory=dict)

    def __getitem__(self, column: str) -> FeatureStatistics:
        try:
            return self.features[column]
        except KeyError:
            raise NotFoundError("column", column, near=self.features) from None

    def __contains__(self, column: object) -> bool:
        return column in self.features

    def __iter__(self) -> Iterator[FeatureStatistics]:
        return iter(self.features.values())

    def __len__(self) -> int:
        return len(self.features)

    def merge(self, other: Statistics, *, name: str | None = None) -> Statistics:
        """The statistics of both sets of rows.

        A column only one side has is missing in all rows of the other. Counts, extremes, integer
        means and unique counts are what one read would give; float means agree to 1e-12; quantile
        sketches add their rank errors.

        Raises:
            UsageError: A column has two types (``mixed-types``).
        """
        columns = dict.fromkeys([*self.features, *other.features])
        merged = {c: self._side(c, other).merge(other._side(c, self)) for c in columns}
        slices = dict(self.slices)
        for key, part in other.slices.items():
            slices[key] = slices[key].merge(part) if key in slices else part
        return Statistics(name or self.name, self.n_rows + other.n_rows, merged, slices)

    def _side(self, column: str, other: Statistics) -> FeatureStatistics:
        mine = self.features.get(column)
        if mine is not None:
            return mine
        theirs = other.features[column]
        return replace(
            theirs,
            rows=type(theirs.rows)(0, self.n_rows),
            valency=type(theirs.valency)(),
            n_values=0,
            text=type(theirs.text)() if theirs.text else None,
            number=replace(theirs.number, **_nothing(theirs)) if theirs.number else None,
        )

    def select(self, columns: Iterable[str]) -> Statistics:
        """The statistics of some columns.

        Raises:
            NotFoundError: A column is absent.
        """
        chosen = {c: self[c] for c in columns}
        return replace(self, features=chosen, slices={k: s.select(chosen) for k, s in self.slices.items()})

    def sealed(self) -> Statistics:
        """The statistics as stored: sketches cut to their stored size."""
        return replace(
            self,
            features={c: f.sealed() for c, f in self.features.items()},
            slices={k: s.sealed() for k, s in self.slices.items()},
        )

    # --- out and in

    def to_dict(self) -> dict[str, Any]:
        """All states as JSON; `from_dict` reads it."""
        return {
            "format": "whence-statistics-1",
            "name": self.name,
            "n_rows": self.n_rows,
            "features": [f.to_dict() for f in self],
            "slices": {k: s.to_dict() for k, s in self.slices.items()},
        }

    @classmethod
    def from_dict(cls, data: Any) -> Statistics:
        """The statistics that `to_dict` wrote.

        Raises:
            UsageError: It is something else (``bad-statistics``).
        """
        found = data.get("format") if isinstance(data, Mapping) else None
        if found != "whence-statistics-1":
            raise UsageError(f"not statistics: format {found!r}", code="bad-statistics")
        features = {f["name"]: FeatureStatistics.from_dict(f) for f in data["features"]}
        slices = {k: cls.from_dict(s) for k, s in data["slices"].items()}
        return cls(data["name"], data["n_rows"], features, slices)

    def to_bytes(self) -> bytes:
        """The compressed JSON that is kept as a blob: equal statistics give equal bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return zlib.compress(text.encode("ascii"), level=6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Statistics:
        """The statistics that `to_bytes` wrote."""
        try:
            return cls.from_dict(json.loads(zlib.decompress(data)))
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"not statistics: {error}", code="bad-statistics") from error

    def summary(self, *, top: int = 20) -> dict[str, Any]:
        """The statistics as people and tools read them: JSON, no states."""
        return {
            "name": self.name,
            "n_rows": self.n_rows,
            "features": [f.summary(top=top) for f in self],
            "slices": {k: s.summary(top=top) for k, s in self.slices.items()},
        }

    def table(self) -> list[dict[str, str]]:
        """One line a column, as text, for a terminal or a page."""
        return [_line(f) for f in self]

    def text(self) -> str:
        """The table as plain text."""
        return f"{self.name}: {self.n_rows:,} rows, {len(self)} columns\n" + plain_table(self.table())

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        title = escape(f"{self.name}: {self.n_rows:,} rows, {len(self)} columns")
        return f"<p><b>{title}</b></p>" + html_table(self.table())


def _nothing(theirs: FeatureStatistics) -> dict[str, Any]:
    assert theirs.number is not None
    number = theirs.number
    states = {n: type(getattr(number, n))() for n in ("moments", "range", "quantiles")}
    return {**states, "distinct": None, "n_zeros": 0, "n_nan": 0, "n_low": 0, "n_high": 0}


# --- reading rows -------------------------------------------------------------------------------


def describe(
    rows: pa.Table | pa.RecordBatchReader | Iterable[pa.RecordBatch],
    *,
    name: str = "data",
    schema: pa.Schema | None = None,
    slices: Sequence[str] = (),
) -> Statistics:
    """Statistics of rows, in one read and flat memory.

    Counts, means, standard deviations, zeros, minima and maxima are exact; uniques and top values of
    text up to 100,000 different values; quantiles while a column has at most 2,048 different numbers,
    else within the `rank_error` it states (below 0.01).

    Args:
        rows: A table, a reader, or batches.
        name: What is described.
        schema: The columns, when batches may be none.
        slices: Columns; statistics are also made of the rows of each of their values.

    Raises:
        UsageError: A slice column has more than 1,000 values (``too-many-slices``).
        NotFoundError: A slice column is absent.

    Source:
        TFDV ``generate_statistics``. Differs: mergeable over rows, exact sums of integers, infinities
        are left out of mean and standard deviation instead of making them infinite.
    """
    if isinstance(rows, (pa.Table, pa.RecordBatchReader)):
        schema = rows.schema
        batches: Iterable[pa.RecordBatch] = rows.to_batches() if isinstance(rows, pa.Table) else rows
    else:
        batches = rows
    return _describe(batches, name, schema, slices).sealed()


def _describe(
    batches: Iterable[pa.RecordBatch], name: str, schema: pa.Schema | None, slices: Sequence[str]
) -> Statistics:
    total = Statistics(name) if schema is None else _nothing_of(name, schema)
    parts: dict[str, Statistics] = {}
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        for block in _blocks(batches):
            if not total.features:
                total = _nothing_of(name, block.schema)
            total = _add(total, block, pool)
            for column in slices:
                _add_slices(parts, block, column, pool)
    absent = [c for c in slices if c not in total.features]
    if absent:
        raise NotFoundError("column", absent[0], near=total.features)
    return replace(total, slices={k: parts[k] for k in sorted(parts)})


def _nothing_of(name: str, schema: pa.Schema) -> Statistics:
    return Statistics(name, 0, {f.name: FeatureStatistics.empty(f.name, f.type) for f in schema})


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        held.append(batch)
        n += batch.num_rows
        if n >= BLOCK_ROWS:
            yield pa.Table.from_batches(held)
            held, n = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _add(so_far: Statistics, block: pa.Table, pool: ThreadPoolExecutor) -> Statistics:
    def one(feature: FeatureStatistics) -> FeatureStatistics:
        return feature.add(block.column(feature.name))

    # Arrow's and numpy's kernels give up the interpreter lock; each column is still added in order.
    spread = block.num_rows * block.num_columns >= _PARALLEL_CELLS
    features = list(pool.map(one, so_far)) if spread else [one(f) for f in so_far]
    return replace(so_far, n_rows=so_far.n_rows + block.num_rows, features={f.name: f for f in features})


def _add_slices(parts: dict[str, Statistics], block: pa.Table, column: str, pool: ThreadPoolExecutor) -> None:
    if column not in block.column_names:
        raise NotFoundError("column", column, near=block.column_names)
    values = block.column(column)
    for value in pc.unique(values):
        mask = pc.is_null(values) if not value.is_valid else pc.equal(values, value)
        key = f"{column}={jsonable(value.as_py())}"
        if key not in parts and len(parts) >= MAX_SLICES:
            raise UsageError(
                f"column {column!r} makes more than {MAX_SLICES} slices",
                code="too-many-slices",
                hint="slice by a column of fewer values",
            )
        start = parts.get(key) or _nothing_of(key, block.schema)
        parts[key] = _add(start, block.filter(mask), pool)


# --- to look at ---------------------------------------------------------------------------------


def _line(f: FeatureStatistics) -> dict[str, str]:
    approximate = "" if f.unique_is_exact else "≈"
    top = f.top_values(1) if f.text is not None else []
    return {
        "column": f.name,
        "type": f.type,
        "missing": f"{f.num_missing:,}",
        "unique": "" if f.num_unique is None else f"{approximate}{f.num_unique:,}",
        "mean": short(f.mean),
        "std": short(f.std_dev),
        "zeros": "" if f.num_zeros is None else f"{f.num_zeros:,}",
        "min": short(f.min),
        "median": short(f.median),
        "max": short(f.max),
        "top": f"{short(top[0][0])} ({top[0][1]:,})" if top else "",
    }


def short(value: Any) -> str:
    """A cell in a few characters.

    Example:
        >>> short(3.14159265), short(None), short("x" * 40)
        ('3.142', '', 'xxxxxxxxxxxxxxxxxxxxxxx…')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(jsonable(value))
    return text if len(text) <= 24 else text[:23] + "…"


def plain_table(lines: Sequence[Mapping[str, str]]) -> str:
    """Lines of text under their headings, columns aligned."""
    if not lines:
        return "(nothing)"
    heads = list(lines[0])
    widths = [max(len(h), *(len(line[h]) for line in lines)) for h in heads]
    rows = [heads, ["-" * w for w in widths], *([line[h] for h in heads] for line in lines)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)


def html_table(lines: Sequence[Mapping[str, str]]) -> str:
    """The same as an HTML table; text is escaped."""
    if not lines:
        return "<p>(nothing)</p>"
    head = "".join(f"<th>{escape(h)}</th>" for h in lines[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line.values()) + "</tr>" for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def columns_of(schema: pa.Schema) -> dict[str, str]:
    """The feature type of every column."""
    return {f.name: feature_type(f.type) for f in schema}
