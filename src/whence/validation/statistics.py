"""The statistics of a set of rows: features, slices and extras, mergeable over shards, days and slices."""

from __future__ import annotations

import json
import zlib
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import Any, Final, cast

import pyarrow as pa

from whence.drawing.text import one_line
from whence.errors import NotFoundError, UsageError
from whence.validation.extras import Extra, extra_from_dict, extra_to_dict, merged_extras
from whence.validation.features import FeatureStatistics, feature_type, jsonable
from whence.validation.given import GivenStatistics
from whence.validation.options import Display, Slice
from whence.validation.slicings import (
    check_same,
    one_of,
    slicing_from_dict,
    slicing_of,
    slicing_to_dict,
    slicings_of,
)
from whence.validation.small import statistics_html
from whence.validation.view import FeatureView

FORMAT: Final = "whence-statistics-2"
_BEFORE: Final = "whence-statistics-1"
_SHOWN: Final = Display()


@dataclass(frozen=True, slots=True)
class Sample:
    """Which rows were described when not all were.

    Attributes:
        rate: The share asked for.
        seed: The seed of the choice; None when samples of several seeds were merged.
        n_rows: How many rows there were to choose from.
    """

    rate: float
    seed: int | None
    n_rows: int

    def merge(self, other: Sample) -> Sample:
        """The sample of both sets of rows: its rate is the rates' mean by rows."""
        n = self.n_rows + other.n_rows
        rate = (self.rate * self.n_rows + other.rate * other.n_rows) / n if n else self.rate
        same = self.rate == other.rate
        return Sample(self.rate if same else rate, self.seed if self.seed == other.seed else None, n)

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"a sample of {self.rate:.3g} of {self.n_rows:,} rows{seed}"


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known about a set of rows, feature by feature; equal when all states are.

    Attributes:
        name: What was described: ``flights@12``, or ``data``.
        n_rows: How many rows.
        features: Statistics by name, in the order of the columns; the fields of a struct follow it.
        slices: Statistics of some of the rows, by the slice's name (``country=US``), when asked for.
        extras: Optional statistics by key, when asked for.
        sample: Which rows were described; None when all were.
        display: How much is shown.
        slicings: How the slices were made, also those that no row is in; None when that is not known.
        slicing: Of a slice: how it was made; None when that is not known.

    Example:
        >>> from whence.validation import describe
        >>> s = describe(pa.table({"a": [1, 2, 3, None]}))
        >>> s["a"].mean, s["a"].num_missing, s.merge(s)["a"].num_non_missing
        (2.0, 1, 6)
    """

    name: str
    n_rows: int = 0
    features: Mapping[str, FeatureView] = field(default_factory=dict)
    slices: Mapping[str, Statistics] = field(default_factory=dict)
    extras: Mapping[str, Extra] = field(default_factory=dict)
    sample: Sample | None = None
    display: Display = _SHOWN
    slicings: tuple[Slice, ...] | None = ()
    slicing: Slice | None = None

    def __getitem__(self, column: str) -> FeatureView:
        try:
            return self.features[column]
        except KeyError:
            raise NotFoundError("column", column, near=self.features) from None

    def __contains__(self, column: object) -> bool:
        return column in self.features

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.n_rows))

    def __iter__(self) -> Iterator[FeatureView]:
        return iter(self.features.values())

    def __len__(self) -> int:
        return len(self.features)

    def merge(self, other: Statistics, *, name: str | None = None) -> Statistics:
        """The statistics of both sets of rows.

        A column only one side has is missing in all rows of the other. Counts, extremes, integer
        means and unique counts are what one read would give; float means agree to 1e-12; quantile
        sketches add their rank errors. Extras only one side has are left out: they would stand for
        other rows than the rest. So are the slices of a slicing only one side has; a slice only one
        side has rows of is kept when the other was sliced in the same way.

        Raises:
            UsageError: A column has two types other than INT and FLOAT (``mixed-types``), one side holds results without
                states, or slices of one name were made in two ways (``not-mergeable``).
        """
        columns = dict.fromkeys([*self.features, *other.features])
        merged = {c: self._side(c, other).merge(other._side(c, self)) for c in columns}
        slices, slicings = self._both_slices(other)
        extras = merged_extras(self.extras, other.extras)
        return replace(
            self,
            name=name or self.name,
            n_rows=self.n_rows + other.n_rows,
            features=with_custom(merged, extras),
            slices=slices,
            extras=extras,
            sample=self._both_samples(other),
            slicings=slicings,
        )

    def known_slicings(self) -> tuple[Slice, ...]:
        """How the slices were made, as far as that is known."""
        if self.slicings is not None:
            return self.slicings
        return slicings_of({k: s.slicing for k, s in self.slices.items()}, self.features)

    def _both_slices(self, other: Statistics) -> tuple[dict[str, Statistics], tuple[Slice, ...]]:
        """The slices of the rows of both, and how they were made."""
        for none, some in ((self, other), (other, self)):
            if not none.n_rows and not none.slices and not none.slicings:
                return dict(some.slices), some.known_slicings()
        mine, theirs = self.known_slicings(), other.known_slicings()
        slices = {}
        for key in dict.fromkeys([*self.slices, *other.slices]):
            a, b = self.slices.get(key), other.slices.get(key)
            if a is not None and b is not None:
                check_same(
                    key,
                    slicing_of(key, a.slicing, self.features),
                    slicing_of(key, b.slicing, other.features),
                )
                slices[key] = a.merge(b)
            elif a is not None and one_of(slicing_of(key, a.slicing, self.features), theirs):
                slices[key] = a
            elif b is not None and one_of(slicing_of(key, b.slicing, other.features), mine):
                slices[key] = b
        slices = {k: replace(s, slicing=s.slicing or _of(other.slices.get(k))) for k, s in slices.items()}
        return slices, tuple(s for s in mine if one_of(s, theirs))

    def _side(self, column: str, other: Statistics) -> FeatureView:
        mine = self.features.get(column)
        if mine is not None:
            return mine
        theirs = other.features[column]
        n_rows = self.n_rows
        if len(theirs.path) > 1:  # the rows of a field are the values of the struct around it
            around = [f.n_values for f in self if f.path == theirs.path[:-1]]
            n_rows = sum(around)
        return theirs.absent(n_rows)

    def _both_samples(self, other: Statistics) -> Sample | None:
        if self.sample is None and other.sample is None:
            return None
        mine = self.sample or Sample(1.0, None, self.n_rows)
        return mine.merge(other.sample or Sample(1.0, None, other.n_rows))

    def select(self, columns: Iterable[str]) -> Statistics:
        """The statistics of some columns, with the fields of structs among them.

        Raises:
            NotFoundError: A column is absent.
        """
        paths = [self[c].path for c in columns]
        chosen = {f.name: f for path in paths for f in self if f.path[: len(path)] == path}
        slices = {k: s.select([c for c in chosen if c in s]) for k, s in self.slices.items()}
        return replace(self, features=chosen, slices=slices)

    def sealed(self) -> Statistics:
        """The statistics as stored: sketches cut to their stored size."""
        return replace(
            self,
            features={c: f.sealed() for c, f in self.features.items()},
            slices={k: s.sealed() for k, s in self.slices.items()},
            extras={k: e.sealed() for k, e in self.extras.items()},
        )

    # --- out and in

    def to_dict(self) -> dict[str, Any]:
        """All states as JSON; `from_dict` reads it."""
        out: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "n_rows": self.n_rows,
            "features": [f.to_dict() for f in self],
            "slices": {k: s.to_dict() for k, s in self.slices.items()},
        }
        if self.extras:
            out["extras"] = {k: extra_to_dict(e) for k, e in self.extras.items()}
        if self.sample is not None:
            out["sample"] = [self.sample.rate, self.sample.seed, self.sample.n_rows]
        if self.slicings:
            out["slicings"] = [slicing_to_dict(s) for s in self.slicings]
        if self.slicing is not None:
            out["slicing"] = slicing_to_dict(self.slicing)
        if self.display != _SHOWN:
            out["display"] = self.display.to_dict()
        return out

    @classmethod
    def from_dict(cls, data: Any) -> Statistics:
        """The statistics that `to_dict` wrote, in this format or the one before.

        Raises:
            UsageError: It is something else (``bad-statistics``).
        """
        found = data.get("format") if isinstance(data, Mapping) else None
        if found not in (FORMAT, _BEFORE):
            raise UsageError(f"not statistics: format {found!r}", code="bad-statistics")
        display = Display(**data.get("display", {}))
        features = {f["name"]: _feature(f, display) for f in data["features"]}
        extras = {k: extra_from_dict(k, e) for k, e in data.get("extras", {}).items()}
        said = data.get("slicings")
        return cls(
            data["name"],
            data["n_rows"],
            with_custom(features, extras),
            {k: cls.from_dict(s) for k, s in data["slices"].items()},
            extras,
            Sample(*data["sample"]) if "sample" in data else None,
            display,
            tuple(map(slicing_from_dict, said)) if said else None if data["slices"] else (),
            slicing_from_dict(data["slicing"]) if "slicing" in data else None,
        )

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
        out: dict[str, Any] = {
            "name": self.name,
            "n_rows": self.n_rows,
            "features": [f.summary(top=top) for f in self],
            "slices": {k: s.summary(top=top) for k, s in self.slices.items()},
        }
        if self.extras:
            out["extras"] = {k: e.finish() for k, e in self.extras.items()}
        if self.sample is not None:
            out["sample"] = {f.name: getattr(self.sample, f.name) for f in fields(self.sample)}
        return out

    @property
    def headline(self) -> str:
        """What this is, in one line; a sample says so."""
        sampled = f", {self.sample}" if self.sample else ""
        return f"{self.name}: {self.n_rows:,} rows, {len(self)} columns{sampled}"

    def table(self) -> list[dict[str, str]]:
        """One line a column, as text, for a terminal or a page."""
        return [_line(f) for f in self]

    def text(self) -> str:
        """The table as plain text."""
        return f"{one_line(self.headline)}\n" + plain_table(self.table())

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return statistics_html(self.headline, list(self))


def _of(part: Statistics | None) -> Slice | None:
    return None if part is None else part.slicing


def _feature(data: Mapping[str, Any], display: Display) -> FeatureView:
    if data.get("given"):
        return GivenStatistics.from_dict(data)
    return FeatureStatistics.from_dict(data, display)


def with_custom(features: Mapping[str, FeatureView], extras: Mapping[str, Extra]) -> dict[str, FeatureView]:
    """The features, each with what the extras say of it."""
    out = dict(features)
    for key, extra in extras.items():
        for name, said in extra.by_feature().items():
            feature = out.get(name)
            if isinstance(feature, FeatureStatistics):
                more = said if isinstance(said, Mapping) else {key: said}
                both = (cast("dict[str, Any]", m) for m in (more, feature.custom))
                out[name] = replace(feature, custom=ChainMap(*both))  # what is said is found when looked at
    return out


# --- to look at ---------------------------------------------------------------------------------


def _line(f: FeatureView) -> dict[str, str]:
    approximate = "" if f.unique_is_exact else "≈"
    top = f.top_values(1) if f.is_text else []
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
    """Lines of text under their headings, columns aligned; control characters are escapes."""
    if not lines:
        return "(nothing)"
    lines = [{h: one_line(c) for h, c in line.items()} for line in lines]
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
