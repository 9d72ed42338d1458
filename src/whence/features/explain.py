"""The raw rows a feature value was made of, and the value made again from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from whence._base.clock import utc
from whence._base.refs import row_key
from whence.compute import Engine, quoted, text_literal
from whence.errors import UsageError
from whence.features.duration import microseconds
from whence.features.plain import Declared, fold, rows_of
from whence.features.pointintime import join_features
from whence.features.source import Source, check_view
from whence.features.types import Aggregation, FeatureView, Known, view_from_dict

ROW: Final = "_row"
"""The column of an explanation's rows that names each of them."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a feature has the value it has.

    Attributes:
        view: The view.
        feature: The feature.
        keys: The value of each join key.
        at: The moment.
        known: Whether rows counted as known then or now.
        source: The reference of the table version that was read.
        value: The value, as the compiler gives it.
        rows: The raw rows, oldest first: all columns of the source, and ``_row``, the reference of each.
        predicate: The rule that chose them, in SQL.
    """

    view: FeatureView
    feature: Aggregation
    keys: Mapping[str, Any]
    at: datetime
    known: Known
    source: str
    value: Any
    rows: pa.Table
    predicate: str

    @property
    def name(self) -> str:
        """The feature's column: ``view__feature``."""
        return f"{self.view.name}__{self.feature.name}"

    @property
    def n_rows(self) -> int:
        """How many rows made it."""
        return int(self.rows.num_rows)


def explain_feature(
    view: FeatureView,
    feature: str,
    keys: Mapping[str, Any],
    at: datetime,
    source: Source,
    engine: Engine,
    *,
    known: Known = "then",
) -> Explanation:
    """The raw rows of one feature value, and the value.

    Args:
        view: The view.
        feature: The feature's name.
        keys: Each join key's value, by the spine's name of it or the source's.
        at: The moment.
        source: The rows, as of the version that was read then.
        engine: Where it is computed.
        known: As in `point_in_time`.

    Raises:
        UsageError: A key is missing (``missing-key``).
    """
    check_view(view, source)
    aggregation = view.feature(feature)
    at = utc(at)
    by_source = _key_values(view, keys)
    rows = _candidates(view, aggregation, by_source, at, source, engine)
    few = replace(source, relation=rows.drop_columns([ROW]))  # what else the source holds cannot count
    value = _value(view, aggregation, by_source, at, few, engine, known)
    declared = Declared(source.key, source.known_at)
    plain = rows.drop_columns([ROW]).to_pylist()
    chosen = rows_of(view, aggregation, plain, declared, by_source, at, known=known)
    return Explanation(
        view, aggregation, by_source, at, known, source.ref, value,
        rows.take(pa.array(chosen, pa.int64())), predicate_text(view, aggregation, by_source, at, source, known),
    )  # fmt: skip


def recompute(explanation: Explanation) -> Any:
    """The value made again from the raw rows, in plain Python.

    Shares nothing with the compiler: equal values prove that the rows are the right ones.
    """
    column = explanation.feature.column
    if column is None:
        return fold(explanation.feature, [True] * explanation.n_rows)
    return fold(explanation.feature, explanation.rows.column(column).to_pylist())


def _key_values(view: FeatureView, keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, spine in view.keys:
        if spine not in keys and key not in keys:
            raise UsageError(
                f"feature view {view.name!r} needs a value for key {spine!r}",
                code="missing-key",
                hint=f"given: {', '.join(keys) or 'none'}",
            )
        found[key] = keys[spine] if spine in keys else keys[key]
    return found


def _value(
    view: FeatureView,
    feature: Aggregation,
    keys: Mapping[str, Any],
    at: datetime,
    source: Source,
    engine: Engine,
    known: Known,
) -> Any:
    """The value by way of the compiler: a spine of one row, the view with this feature alone."""
    declared = {**view.to_dict(), "features": [feature.to_dict()]}
    if feature.over is None:
        declared["hop_us"] = None  # a hop rounds windows; a view without one may not have it
    alone = view_from_dict(declared)
    columns = {spine: pa.array([keys[key]], source.schema.field(key).type) for key, spine in view.keys}
    time = "_at"
    spine = pa.table({**columns, time: pa.array([at], pa.timestamp("us", tz="UTC"))})
    joined = join_features(spine, [alone], {view.source: source}, engine, at=time, known=known)
    return joined.table.column(f"{view.name}__{feature.name}")[0].as_py()


def _candidates(
    view: FeatureView,
    feature: Aggregation,
    keys: Mapping[str, Any],
    at: datetime,
    source: Source,
    engine: Engine,
) -> pa.Table:
    """Rows that may count: those of the keys in the window, and all rows that may correct them."""
    if any(value is None for value in keys.values()):
        return _named(source.schema.empty_table(), source, [])
    conditions = [f"{quoted(key)} = ${f'k{i}'}" for i, key in enumerate(keys)]
    parameters = {f"k{i}": value for i, value in enumerate(keys.values())}
    if view.timestamp is not None:
        conditions.append(f"{quoted(view.timestamp)} <= $q")
        parameters["q"] = at
        if feature.over is not None:
            conditions.append(f"{quoted(view.timestamp)} >= $start")
            parameters["start"] = at - feature.over - (view.hop or timedelta(0))
    condition = " AND ".join(conditions) or "TRUE"
    if source.key:
        names = ", ".join(quoted(k) for k in source.key)
        row = names if len(source.key) == 1 else f"({names})"
        # struct comparison, so that the key is compared as a whole
        condition = f"({condition}) OR {row} IN (SELECT {row} FROM src WHERE {condition})"
    numbered = "SELECT *, row_number() OVER () - 1 AS _position FROM src"
    sql = f"SELECT * FROM ({numbered}) AS src WHERE {condition} ORDER BY _position"
    rows = engine.query(sql, {"src": source.relation}, parameters=parameters or None)
    return _named(rows.drop_columns(["_position"]), source, rows.column("_position").to_pylist())


def _named(rows: pa.Table, source: Source, positions: list[int]) -> pa.Table:
    """The rows with the reference of each: by declared key, else by position in the version."""
    prefix = "row:" + source.ref.removeprefix("table:")
    if source.key:
        columns = [rows.column(k).to_pylist() for k in source.key]
        names = [row_key(values) for values in zip(*columns, strict=True)]
    else:
        names = [f"#{position}" for position in positions]
    return rows.append_column(ROW, pa.array([f"{prefix}/{name}" for name in names], pa.string()))


def predicate_text(
    view: FeatureView,
    feature: Aggregation,
    keys: Mapping[str, Any],
    at: datetime,
    source: Source,
    known: Known,
) -> str:
    """The rule that chooses the rows, in SQL a person can run."""
    parts = [f"{quoted(key)} = {_literal(value)}" for key, value in keys.items()]
    if feature.where is not None:
        parts.append(f"({feature.where})")
    if view.timestamp is not None:
        parts += _time_parts(view, feature, at)
    if known == "then" and source.known_at is not None:
        parts.append(f"{quoted(source.known_at)} {'<' if feature.over else '<='} {_literal(at)}")
    text = " AND ".join(parts) or "TRUE"
    if source.key:
        newest = "newest known row" if known == "then" else "newest row"
        text += f" -- the {newest} of each ({', '.join(source.key)})"
    if feature.over is None:
        text += " -- the newest of them"
    return text


def _time_parts(view: FeatureView, feature: Aggregation, at: datetime) -> list[str]:
    column = quoted(str(view.timestamp))
    if feature.over is None:
        parts = [f"{column} <= {_literal(at)}"]
        return parts if view.ttl is None else [f"{column} >= {_literal(at - view.ttl)}", *parts]
    start = at - feature.over
    if view.hop is not None:
        since = start - datetime(1970, 1, 1, tzinfo=start.tzinfo)
        start -= timedelta(microseconds=microseconds(since) % microseconds(view.hop))
    return [f"{column} >= {_literal(start)}", f"{column} < {_literal(at)}"]


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, bool | int):
        return str(value)
    return text_literal(str(value))
