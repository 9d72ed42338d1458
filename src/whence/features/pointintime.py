"""Join features onto a spine as they were known at each row's time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import normalise
from whence._base.progress import progress
from whence.compute import Engine, Files, Relation
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.features.compile import Bounds, Output, Statement, compile_group
from whence.features.dialect import dialect_of
from whence.features.duration import microseconds
from whence.features.points import Ints, Moments, Points, make_points, moments_of
from whence.features.reading import Reading
from whence.features.rowwise import row_columns
from whence.features.source import Group, Source, check_view, columns_of
from whence.features.survey import survey
from whence.features.types import AnyView, Calendar, Category, FeatureView, Given, Known, feature_columns

METADATA_KEY: Final = b"whence"
"""Under this key the schema of a training set carries what it was made of, as JSON."""


MAX_ROWS_AT_HAND: Final = 5_000_000
"""A source of no more rows is read once for all views; a larger one by each statement for itself."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What became of the rows of a spine in one view. The shares are of all rows and add up to 1.

    Attributes:
        n_in: Rows of the spine.
        n_out: Rows of the result; the same.
        matched: Rows with some value; a count of 0 is none.
        expired: Rows without, whose newest row was older than the ttl.
        unknown_key: Rows without, whose key is null or that the source does not have.
        null: Rows without, whose key the source has.
        n_beyond_watermark: Rows later than the source's watermark: their features may still change.
    """

    n_in: int
    n_out: int
    matched: float
    expired: float
    unknown_key: float
    null: float
    n_beyond_watermark: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Joined:
    """A spine with its features, and what is known of their making."""

    table: pa.Table
    reconciliation: Mapping[str, Reconciliation] = field(default_factory=dict)


def join_features(
    spine: pa.Table,
    views: Sequence[AnyView],
    sources: Mapping[str, Source],
    engine: Engine,
    *,
    at: str = "event_timestamp",
    known: Known = "then",
    columns: Sequence[str] | None = None,
) -> Joined:
    """Join features onto a spine as they were known at each row's time.

    A windowed feature takes the rows with ``q - w <= event time < q`` and ``known_at < q``; a lookup the
    newest row with ``known_at <= q`` and ``0 <= q - event time <= ttl``, ties to the later ``known_at``, then
    to the greater content (columns by name). Of several rows of one declared key only the newest known
    at q counts. A null key matches nothing. No row is dropped or doubled.

    Args:
        spine: n rows with the join keys of all views and the column `at`.
        views: m views; their columns come out as ``view__feature``, those of `given` under their own name.
        sources: By name, what the views read.
        engine: Where it is computed.
        at: The spine's column of the moment.
        known: ``then`` as described; ``now`` takes the final state and forgets when it was known.
        columns: Which of the spine's columns to keep; None is all.

    Returns:
        n rows in the spine's order: its columns, then the features; and a reconciliation a view.

    Raises:
        UsageError: A type does not fit, a moment is null, or two columns have one name.
        NotFoundError: A column or a source is absent.
    """
    spine = normalise(spine)
    kept = kept_columns(spine, views, columns)
    moments = moments_of(spine, at)
    features: dict[str, pa.Array] = {}
    reports: dict[str, Reconciliation] = {}
    groups = group_views(views, sources, known)
    for view in views:
        if isinstance(view, Calendar | Category):
            features.update(zip(view.outputs, row_columns(spine, view), strict=True))
    run = _Run(spine, moments, engine, [v for v in views if isinstance(v, FeatureView)])
    with progress("features", total=len(groups)) as step:
        for group in groups:
            run.group(group, features, reports)
            step()
    table = spine.select(kept)
    for name in feature_columns(views):
        if name not in kept:
            table = table.append_column(name, features[name])
    if table.num_rows != spine.num_rows:
        raise IntegrityError(f"{spine.num_rows} rows in, {table.num_rows} out", code="rows-lost")
    return Joined(table, {v.name: reports[v.name] for v in views if v.name in reports})


def group_views(views: Iterable[AnyView], sources: Mapping[str, Source], known: Known) -> list[Group]:
    """The views by what they read; each is checked against its source.

    Raises:
        NotFoundError: A source is not given.
    """
    if known not in ("then", "now"):
        raise UsageError(f"known must be 'then' or 'now', got {known!r}", code="bad-known")
    by_reading: dict[tuple[object, ...], list[FeatureView]] = {}
    for view in views:
        if isinstance(view, FeatureView):
            if view.source not in sources:
                raise NotFoundError("source", view.source, near=sources)
            check_view(view, sources[view.source])
            by_reading.setdefault((view.source, view.timestamp, view.keys), []).append(view)
    return [
        Group(sources[vs[0].source], vs[0].timestamp, vs[0].keys, known, tuple(vs))
        for vs in by_reading.values()
    ]


def kept_columns(spine: pa.Table, views: Sequence[AnyView], columns: Sequence[str] | None) -> list[str]:
    """The spine's columns that are kept beside the features: those asked for, and those that are features.

    Raises:
        NotFoundError: The spine has no such column.
        UsageError: Two columns would have one name (``duplicate-column``, ``duplicate-view``).
    """
    names = spine.column_names
    wanted = list(names if columns is None else columns)
    wanted += [c for view in views if isinstance(view, Given) for c in view.columns if c not in wanted]
    for name in wanted:
        if name not in names:
            raise NotFoundError("column", name, near=names, hint="the spine has no such column")
    made = {name for view in views if not isinstance(view, Given) for name in view.outputs}
    for name in names:
        if name in made:
            raise UsageError(
                f"the spine already has a column {name!r}", code="duplicate-column", hint="rename the view"
            )
    feature_columns(views)
    return [name for name in names if name in set(wanted)]


@dataclass
class _Run:
    """One join: the spine, and what has been read of the sources so far."""

    spine: pa.Table
    moments: Moments
    engine: Engine
    views: Sequence[FeatureView]
    at_hand: dict[str, Relation] = field(default_factory=dict)
    answers: dict[tuple[str, str], pa.Table] = field(default_factory=dict)

    def group(self, group: Group, features: dict[str, pa.Array], reports: dict[str, Reconciliation]) -> None:
        """Compute the features of one group into `features` and `reports`."""
        points = make_points(self.spine, self.moments, group)
        first, last = self.moments.bounds
        dialect = dialect_of(self.engine.dialect)
        alike = [v for v in self.views if (v.source, v.timestamp) == (group.source.name, group.timestamp)]
        found = survey(Reading(group, dialect, first), lambda sql: self._ask(group.source, sql), alike)
        bounds = Bounds(first, last, max(1, points.join_keys.num_rows))
        statement = compile_group(group, found, bounds, dialect)
        rows = self._rows(group.source, all_columns=found.rows_tie or found.corrections_tie)
        relations = {"src": rows, "join_keys": points.join_keys, "points": points.points}
        result = self.engine.query(statement.sql, relations)
        if result.num_rows != points.points.num_rows:
            raise IntegrityError(
                f"{points.points.num_rows} moments asked, {result.num_rows} answered", code="rows-lost"
            )
        asked = pa.array(points.pid, mask=points.pid < 0)
        for output in statement.outputs:
            features[f"{output.view.name}__{output.feature.name}"] = _gather(result, output, asked)
        for view in group.views:
            reports[view.name] = _reconcile(view, group, statement, result, points, features, self.moments)

    def _ask(self, source: Source, sql: str) -> pa.Table:
        """The answer to a question about a source; each is asked once."""
        if (source.name, sql) not in self.answers:
            self.answers[source.name, sql] = self.engine.query(sql, {"src": self._rows(source)})
        return self.answers[source.name, sql]

    def _rows(self, source: Source, *, all_columns: bool = False) -> Relation:
        """A source's rows: in memory, as far as the views need them, unless they are many."""
        if all_columns or not isinstance(source.relation, Files):
            return source.relation
        if source.name not in self.at_hand:
            n = self.engine.query("SELECT count(*) AS n FROM src", {"src": source.relation})["n"][0].as_py()
            needed = sorted({c for v in self.views if v.source == source.name for c in columns_of(v, source)})
            relation = source.relation
            if n <= MAX_ROWS_AT_HAND:
                relation = self.engine.scan(source.relation, columns=needed)
            self.at_hand[source.name] = relation
        return self.at_hand[source.name]


def _gather(result: pa.Table, output: Output, rows: pa.Array) -> pa.Array:
    """The column of a feature in the spine's order."""
    columns = [result.column(name) for name in output.columns]
    name = f"{output.view.name}__{output.feature.name}"
    column = columns[0] if output.finish is None else output.finish(columns, output.type, name)
    if column.type != output.type:
        column = column.cast(output.type)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    taken = column.take(rows)
    return pc.fill_null(taken, 0) if output.feature.op == "count" else taken


def _reconcile(
    view: FeatureView,
    group: Group,
    statement: Statement,
    result: pa.Table,
    points: Points,
    features: Mapping[str, pa.Array],
    moments: Moments,
) -> Reconciliation:
    n = len(moments.of_rows)
    matched = np.zeros(n, dtype=bool)
    for feature in view.features:
        column = features[f"{view.name}__{feature.name}"]
        hit = pc.not_equal(column, 0) if feature.op == "count" else column.is_valid()
        matched |= np.asarray(hit)
    known = _flag(result, "known_key", points.pid)
    expired = _flag(result, statement.expired.get(view.name), points.pid) & ~matched
    null = known & ~matched & ~expired
    unknown = ~known & ~matched & ~expired
    watermark = group.source.watermark
    beyond = 0
    if watermark is not None:
        limit = pa.scalar(watermark, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
        beyond = int((moments.of_rows > limit).sum())

    def share(rows: npt.NDArray[np.bool_]) -> float:
        return float(rows.sum()) / n if n else 0.0

    return Reconciliation(n, n, share(matched), share(expired), share(unknown), share(null), beyond)


def _flag(result: pa.Table, column: str | None, pid: Ints) -> npt.NDArray[np.bool_]:
    if column is None or not result.num_rows:
        return np.zeros(len(pid), dtype=bool)
    values = np.asarray(pc.fill_null(result.column(column), False).to_numpy(), dtype=bool)
    return np.asarray(values[np.maximum(pid, 0)] & (pid >= 0))


def with_provenance(
    joined: Joined, views: Sequence[AnyView], sources: Mapping[str, Source], *, at: str, known: Known
) -> pa.Table:
    """The table with what it was made of in its schema's metadata."""
    facts = {
        "at": at,
        "known": known,
        "definitions": {view.name: view.digest for view in views},
        "views": [view.to_dict() for view in views],
        "sources": {name: source.version for name, source in sorted(sources.items())},
        "reconciliation": {name: r.to_dict() for name, r in joined.reconciliation.items()},
    }
    metadata = {
        **(joined.table.schema.metadata or {}),
        METADATA_KEY: json.dumps(facts, sort_keys=True).encode(),
    }
    return joined.table.replace_schema_metadata(metadata)


def provenance_of(table: pa.Table) -> dict[str, Any] | None:
    """What `with_provenance` wrote; None when the table does not carry it (a query's result carries other facts)."""
    text = (table.schema.metadata or {}).get(METADATA_KEY)
    found = None if text is None else json.loads(text)
    return found if isinstance(found, dict) and "definitions" in found else None


__all__ = ["METADATA_KEY", "Joined", "Reconciliation", "group_views", "join_features", "microseconds"]
