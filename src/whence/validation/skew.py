"""Feature skew: the same rows in training and in serving, joined on keys and compared value by value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from whence._base.digest import canonical_json
from whence._base.refs import row_key
from whence.compute import Engine, quoted
from whence.errors import NotFoundError, UnsupportedError, UsageError
from whence.metadata import Artifact, Recorder, Type
from whence.validation.base import Blobs, Version, is_version
from whence.validation.cells import feature_type, jsonable
from whence.validation.find import Rows, rows_of
from whence.validation.odd import percent
from whence.validation.sql_checks import relation_schema
from whence.validation.statistics import plain_table, short

TYPES: Final = (
    Type(
        "artifact",
        "FeatureSkew",
        {"training": "STRING", "serving": "STRING", "digest": "STRING", "n_pairs": "INT", "ok": "BOOLEAN"},
        description="how rows of training and of serving differ; the bytes are a blob",
    ),
    Type("execution", "skew"),
)
_EXAMPLES: Final = 5
_COUNTS: Final = ("match", "mismatch", "training_only", "serving_only")
_LISTS: Final = ("keys", "training_columns", "serving_columns")


@dataclass(frozen=True, slots=True)
class SkewExample:
    """A pair of rows that differ in a feature.

    Attributes:
        training: The row in training, ``row:train@3/17``.
        serving: The row in serving.
        training_value: What it has there, as JSON.
        serving_value: And here.
    """

    training: str
    serving: str
    training_value: Any
    serving_value: Any


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """How often a feature differs between the rows of a pair.

    Attributes:
        feature: The column.
        match: Pairs in which both have a value, the same one.
        mismatch: Pairs in which both have a value, and not the same.
        training_only: Pairs in which only training has one.
        serving_only: Pairs in which only serving has one.
        examples: Some pairs that differ, those of the smallest keys.
    """

    feature: str
    match: int
    mismatch: int
    training_only: int
    serving_only: int
    examples: tuple[SkewExample, ...] = ()

    @property
    def n_different(self) -> int:
        """Pairs that differ in any way."""
        return self.mismatch + self.training_only + self.serving_only

    @property
    def share(self) -> float:
        """The share of pairs that differ, of those in which there is a value at all."""
        n = self.match + self.n_different
        return self.n_different / n if n else 0.0


@dataclass(frozen=True, slots=True)
class SkewReport:
    """Training and serving rows compared.

    Attributes:
        training: What it was, ``train@3``.
        serving: What it was compared with.
        keys: The columns that name a row on both sides.
        n_pairs: Rows that are on both sides.
        n_training_only: Rows of training whose key serving does not have.
        n_serving_only: Rows of serving whose key training does not have.
        n_left_out: Rows of both sides that name no row: a null in the key, or a key that occurs twice.
        features: Each column that was compared, in the order of training.
        ref: The artifact it is stored as; None when it is not.
        training_columns: Columns that only training has; they are not compared.
        serving_columns: Columns that only serving has.
    """

    training: str
    serving: str
    keys: tuple[str, ...]
    n_pairs: int
    n_training_only: int
    n_serving_only: int
    n_left_out: int
    features: tuple[FeatureSkew, ...] = ()
    ref: str | None = None
    training_columns: tuple[str, ...] = ()
    serving_columns: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether something was compared and no pair differs in anything."""
        return self.within(0.0)

    def within(self, share: float) -> bool:
        """Whether something was compared, and in no feature more than this share of the pairs differs."""
        compared = self.n_pairs > 0 and bool(self.features)
        return compared and all(f.share <= share for f in self.features)

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, feature: str) -> FeatureSkew:
        for f in self.features:
            if f.feature == feature:
                return f
        raise NotFoundError("feature", feature, near=[f.feature for f in self.features])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        named = {k: getattr(self, k) for k in self.__slots__ if k not in (*_LISTS, "features", "ref")}
        features = [
            {
                "feature": f.feature,
                **{c: getattr(f, c) for c in _COUNTS},
                "examples": [{k: getattr(e, k) for k in SkewExample.__slots__} for e in f.examples],
            }
            for f in self.features
        ]
        return {**named, **{k: list(getattr(self, k)) for k in _LISTS}, "features": features}

    @classmethod
    def from_bytes(cls, data: bytes, ref: str | None = None) -> SkewReport:
        """The report whose `to_dict` was stored as JSON."""
        said = json.loads(data)
        features = tuple(
            FeatureSkew(**{**f, "examples": tuple(SkewExample(**e) for e in f["examples"])})
            for f in said["features"]
        )
        lists = {k: tuple(said.get(k, ())) for k in _LISTS}
        return cls(**{**said, **lists, "features": features, "ref": ref})

    def text(self) -> str:
        """The report as plain text, the features that differ first."""
        first = (
            f"{self.n_pairs:,} rows of {self.training} and {self.serving} have the same "
            f"({', '.join(self.keys)}); {self.n_training_only:,} are in training only, "
            f"{self.n_serving_only:,} in serving only, {self.n_left_out:,} have no key of their own"
        )
        sides = (("training", self.training_columns), ("serving", self.serving_columns))
        alone = [f"only {side} has {', '.join(columns)}" for side, columns in sides if columns]
        if not self.n_pairs or not self.features:
            return "\n".join([first, *alone, "nothing was compared"])
        ordered = sorted(self.features, key=lambda f: -f.n_different)
        counted = {c.replace("_", " "): [f"{getattr(f, c):,}" for f in ordered] for c in _COUNTS}
        counted["differ"] = [percent(f.share) if f.n_different else "0" for f in ordered]
        columns = {"feature": [f.feature for f in ordered], **dict(_right(*c) for c in counted.items())}
        columns["for example"] = [_told(f.examples[0]) if f.examples else "" for f in ordered]
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        n = sum(f.n_different > 0 for f in ordered)
        verdict = f"{n} of {len(ordered)} features differ" if n else "no feature differs"
        return "\n".join([first, *alone, verdict, plain_table(rows)])

    def __str__(self) -> str:
        return self.text()


def _right(head: str, cells: Sequence[str]) -> tuple[str, list[str]]:
    """A column of numbers, to the right."""
    wide = max(map(len, (head, *cells)))
    return head.rjust(wide), [c.rjust(wide) for c in cells]


def _told(e: SkewExample) -> str:
    """Where, and the two values: ``12: 17.5, 3.0``."""
    values = (e.training_value, e.serving_value)
    shown = ["missing" if v is None else short(v) for v in values]
    if shown[0] == shown[1]:  # "1" and 1, or numbers that differ far behind the point
        shown = [short(repr(v)) for v in values]
    return f"{e.training.partition('/')[2]}: {', '.join(shown)}"


def detect_skew(
    training: Rows,
    serving: Rows,
    keys: Sequence[str],
    engine: Engine,
    *,
    columns: Sequence[str] | None = None,
    tolerance: float | Mapping[str, float] = 0.0,
) -> SkewReport:
    """Compare the rows of two sides that have the same keys, feature by feature, on the engine.

    Two values are the same when they are equal (NaN is NaN, -0.0 is 0.0) or, for numbers, not further
    apart than the tolerance. An integer and a floating number can be the same; values of other types that
    differ never are. Lists and structures are compared whole, without tolerance. A pair that misses the
    value on both sides is not counted.

    Args:
        training: n rows.
        serving: m rows.
        keys: The columns that name a row. A row with a null in them, or whose key occurs more than once on
            its side, is left out and counted.
        engine: Joins and counts, on disk what does not fit into its memory; rows do not leave it, but a few
            examples.
        columns: What is compared; by default all columns that both sides have. The report names the others.
        tolerance: The largest difference of numbers that does not count, for all columns or by column.

    Raises:
        NotFoundError: A key or column is absent on a side, or a column with a tolerance is not compared
            (``column-not-found``).
        UsageError: There is no key, or the tolerance is negative or no number (``bad-tolerance``).
        UnsupportedError: The engine has no such SQL (``skew-engine``).

    Source:
        TFDV ``DetectFeatureSkew``: match, base only (here training), test only (serving) and diff counts.
        Differs: tolerances instead of rounded digits; keys that occur twice are left out, not multiplied.

    Example:
        >>> from whence.compute import open_engine
        >>> a = Rows("a", pa.table({"k": [1, 2, 3], "x": [1.0, 2.0, None]}), ["k", "x"])
        >>> b = Rows("b", pa.table({"k": [3, 2, 1], "x": [5.0, 2.5, 1.0]}), ["k", "x"])
        >>> found = detect_skew(a, b, ["k"], open_engine())["x"]
        >>> found.match, found.mismatch, found.training_only, found.serving_only
        (1, 1, 0, 1)
    """
    if engine.dialect != "duckdb":
        raise UnsupportedError(f"{engine.name} does not compare rows", code="skew-engine", hint="use DuckDB")
    if not keys:
        raise UsageError("rows are compared by keys and none is given", code="no-keys")
    compared = _columns(training, serving, keys, columns)
    near = {c: _tolerance(tolerance, c) for c in compared}
    for column in tolerance if isinstance(tolerance, Mapping) else ():
        if column not in near:
            raise NotFoundError("column", column, near=compared, hint="a tolerance is for a compared column")
    schemas = [relation_schema(side.relation) for side in (training, serving)]
    kinds = [(schemas[0].field(c).type, schemas[1].field(c).type) for c in compared]
    relations = {"training": training.relation, "serving": serving.relation}
    verdicts = [_verdict(i, kinds[i], near[c]) for i, c in enumerate(compared)]
    row = engine.query(_query(keys, compared, kinds, verdicts), relations).to_pylist()[0]
    features = [
        FeatureSkew(
            column,
            **{name: row[f"{name}{i}"] for name in _COUNTS},
            examples=tuple(_example(e, len(keys), training, serving) for e in row[f"e{i}"] or ()),
        )
        for i, column in enumerate(compared)
    ]
    alone = [
        tuple(c for c in a.columns if c not in b.columns) if columns is None else ()
        for a, b in ((training, serving), (serving, training))
    ]
    return SkewReport(
        training.name,
        serving.name,
        tuple(keys),
        row["n_pairs"],
        row["n_training"] - row["n_pairs"],
        row["n_serving"] - row["n_pairs"],
        row["n_all"] - row["n_training"] - row["n_serving"],
        tuple(features),
        training_columns=alone[0],
        serving_columns=alone[1],
    )


def _columns(training: Rows, serving: Rows, keys: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        columns = [c for c in training.columns if c in serving.columns and c not in keys]
    for side in (training, serving):
        for name in (*keys, *columns):
            if name not in side.columns:
                hint = (
                    f"{side.name} has {', '.join(side.columns[:10])}{', …' if len(side.columns) > 10 else ''}"
                )
                raise NotFoundError("column", name, near=side.columns, hint=hint)
    return list(dict.fromkeys(columns))


def _tolerance(given: float | Mapping[str, float], column: str) -> float:
    value: Any = given.get(column, 0.0) if isinstance(given, Mapping) else given
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < float("inf"):
        raise UsageError(f"the tolerance of {column} is {value!r}", code="bad-tolerance", hint="0 or more")
    return float(value)


# --- the query -----------------------------------------------------------------------------------


def _query(
    keys: Sequence[str],
    compared: Sequence[str],
    kinds: Sequence[tuple[pa.DataType, pa.DataType]],
    verdicts: Sequence[str],
) -> str:
    """One query that reads each side three times: how many rows, which keys occur twice, the pairs.

    Of the pairs that differ in a feature those of the smallest keys come along.
    """
    listed = ", ".join(f"{quoted(k)} AS k{i}" for i, k in enumerate(keys))
    values = "".join(f", {quoted(c)} AS v{i}" for i, c in enumerate(compared))
    there = " AND ".join(f"{quoted(k)} IS NOT NULL" for k in keys)
    names = ", ".join(f"k{i}" for i in range(len(keys)))
    tables = {}
    for side, name in (("a", "training"), ("b", "serving")):
        counted = f"SELECT {names}, count(*) AS n FROM (SELECT {listed} FROM {name} WHERE {there})"
        tables[f"n_{side}"] = (
            f"MATERIALIZED (SELECT count(*) AS n, count(*) FILTER (WHERE {there}) AS n_there FROM {name})"
        )
        tables[f"twice_{side}"] = f"MATERIALIZED ({counted} GROUP BY {names} HAVING count(*) > 1)"
        inner = f"SELECT {listed}{values} FROM {name} WHERE {there}"
        tables[side] = f"(SELECT * FROM ({inner}) ANTI JOIN twice_{side} USING ({names}))"

    def total(side: str) -> str:
        twice = f"(SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM twice_{side})"
        return f"(SELECT n_there FROM n_{side}) - {twice}"

    wanted = [
        "count(*) AS n_pairs",
        f"{total('a')} AS n_training",
        f"{total('b')} AS n_serving",
        "(SELECT n FROM n_a) + (SELECT n FROM n_b) AS n_all",
    ]
    key = ", ".join(f"k{i} := k{i}" for i in range(len(keys)))
    for i, (x, y) in enumerate(kinds):
        wanted += [f"count(CASE WHEN d{i} = {n} THEN 1 END) AS {name}{i}" for n, name in enumerate(_COUNTS)]
        example = f"struct_pack({key}, x := {_told_as(f'x{i}', x)}, y := {_told_as(f'y{i}', y)})"
        wanted.append(f"arg_min({example}, struct_pack({key}), {_EXAMPLES}) FILTER (WHERE d{i} > 0) AS e{i}")
    both = [f"a.k{i} AS k{i}" for i in range(len(keys))]
    both += [f"{sql} AS d{i}, a.v{i} AS x{i}, b.v{i} AS y{i}" for i, sql in enumerate(verdicts)]
    on = " AND ".join(f"a.k{i} = b.k{i}" for i in range(len(keys)))
    named = ", ".join(f"{name} AS {sql}" for name, sql in tables.items())
    pairs = f"SELECT {', '.join(both)} FROM a JOIN b ON {on}"
    return f"WITH {named} SELECT {', '.join(wanted)} FROM ({pairs}) AS judged"


def _told_as(name: str, kind: pa.DataType) -> str:
    """A value of an example; Python has no time finer than a microsecond."""
    return f"CAST({name} AS VARCHAR)" if getattr(kind, "unit", None) == "ns" else name


def _verdict(i: int, kinds: Sequence[pa.DataType], tolerance: float) -> str:
    """The place in `_COUNTS` of what a pair is in one feature; null where neither side has a value."""
    x, y = f"a.v{i}", f"b.v{i}"
    return (
        f"(CASE WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN CASE WHEN {_same(x, y, kinds, tolerance)} "
        f"THEN 0 ELSE 1 END WHEN {x} IS NOT NULL THEN 2 WHEN {y} IS NOT NULL THEN 3 END)"
    )


def _same(x: str, y: str, kinds: Sequence[pa.DataType], tolerance: float) -> str:
    types = {feature_type(k) for k in kinds}
    t = pa.types
    numbers = all(t.is_integer(k) or t.is_floating(k) or t.is_decimal(k) for k in kinds)
    if numbers:
        if not tolerance:
            return f"{x} = {y}"
        if all(t.is_integer(k) for k in kinds):
            return f"abs(CAST({x} AS HUGEINT) - CAST({y} AS HUGEINT)) <= {tolerance!r}"
        a, b = f"CAST({x} AS DOUBLE)", f"CAST({y} AS DOUBLE)"
        return f"({a} = {b} OR abs({a} - {b}) <= {tolerance!r})"
    alike = len(types) == 1 and t.is_nested(kinds[0]) == t.is_nested(kinds[1])
    if not alike or (t.is_nested(kinds[0]) and not kinds[0].equals(kinds[1])):
        return "FALSE"
    return f"{x} = {y}"


def _example(row: Mapping[str, Any], n_keys: int, training: Rows, serving: Rows) -> SkewExample:
    key = row_key(tuple(row[f"k{j}"] for j in range(n_keys)))
    return SkewExample(
        f"row:{training.name}/{key}", f"row:{serving.name}/{key}", _plain(row["x"]), _plain(row["y"])
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else jsonable(value)


# --- kept ----------------------------------------------------------------------------------------


def recorded_skew(
    training: Version | Any,
    serving: Version | Any,
    keys: Sequence[str],
    *,
    engine: Engine,
    recorder: Recorder,
    blobs: Blobs,
    columns: Sequence[str] | None = None,
    tolerance: float | Mapping[str, float] = 0.0,
) -> SkewReport:
    """`detect_skew`, kept in the graph when both sides are versions; see `Validation.skew`."""
    a, b = rows_of(training, "training"), rows_of(serving, "serving")
    if not (is_version(training) and is_version(serving)):
        return detect_skew(a, b, keys, engine, columns=columns, tolerance=tolerance)
    told = dict(tolerance) if isinstance(tolerance, Mapping) else tolerance
    params = {"keys": list(keys), "columns": None if columns is None else list(columns), "tolerance": told}
    inputs = [(training.artifact(), ("training",)), (serving.artifact(), ("serving",))]
    with recorder.execution("skew", params=params, inputs=inputs, looks=True) as recording:
        report = detect_skew(a, b, keys, engine, columns=columns, tolerance=tolerance)
        digest = blobs.put(canonical_json(report.to_dict()).encode())
        facts: dict[str, Any] = {
            "training": training.ref,
            "serving": serving.ref,
            "digest": digest,
            "n_pairs": report.n_pairs,
            "ok": report.ok,
        }
        name = f"{report.training}~{report.serving}"
        made = Artifact(type="FeatureSkew", name=name, uri=f"blob:{digest}", properties=facts)
        recording.output(made, path=("skew",))
    stored: SkewReport = SkewReport.from_bytes(blobs.get(digest), f"artifact:{recording.outputs[0].uid}")
    return stored
