"""The spine's row behind a prediction, and the features that are made of it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from whence._base.refs import row_key
from whence.errors import IntegrityError, WhenceError
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, Artifact, Execution
from whence.serving.answers import REQUEST_KEY
from whence.serving.predictions import ABOUT
from whence.serving.spine import row_rank
from whence.trace.base import Graph, Prediction, Tables
from whence.trace.names import ref_of, table_version
from whence.trace.rows import values_condition

FEATURES_AT = "features_at"


@dataclass(frozen=True, slots=True)
class SpineRow:
    """The row a prediction was asked for.

    Attributes:
        values: Its columns; the key and moment of the prediction alone, where the spine is out of reach.
        table: The spine's version, ``table:schedule@91``; of a request the version of the predictions table, which
            keeps what was asked; None when the rows were given by hand.
        rows: The row with its reference in ``_row``; empty where out of reach.
        error: Why it is out of reach.
    """

    values: Mapping[str, object]
    table: str | None
    rows: pa.Table
    error: str | None = None


def spine_row(graph: Graph, lake: Tables | None, prediction: Prediction) -> SpineRow:
    """Find the spine's row by the prediction's key; what is out of reach is said, not raised."""
    own: dict[str, object] = {**prediction.key, FEATURES_AT: prediction.features_at}
    empty = pa.table({})
    spine = spine_of(graph, prediction.execution)
    if spine is None and tuple(prediction.key) == REQUEST_KEY:
        return _asked_row(prediction)
    if spine is None or lake is None:
        return SpineRow(own, None, empty, "the rows that were scored were given by hand, not from a table")
    own.setdefault(spine.at, prediction.features_at)
    ref = ref_of(spine.artifact)
    try:
        version = lake.table(spine.table).at(spine.version)
        rows = version.arrow(where=spine.condition(values_condition(prediction.key)))
        rows = _answered_for(rows, spine.at, prediction.features_at, version.declaration.known_at)
        if rows.num_rows != 1:
            raise IntegrityError(f"{ref} has {rows.num_rows} rows of this key", code="spine-row")
    except WhenceError as error:
        return SpineRow(own, ref, empty, str(error))
    return SpineRow(
        {**own, **rows.to_pylist()[0]}, ref, _named(rows, f"row:{spine.artifact.name}", prediction)
    )


def _asked_row(prediction: Prediction) -> SpineRow:
    """What a request brought: its row has the columns that no view made, beside the features."""
    made = tuple(f"{view}__" for view in prediction.definitions)
    others = {c for c, v in prediction.row.items() if v is None} - set(
        prediction.features
    )  # of other requests
    brought = {
        name: value
        for name, value in prediction.row.items()
        if name not in ABOUT.names and name not in others and not name.startswith(made)
    }
    asked = {**prediction.key, FEATURES_AT: prediction.features_at, **brought}
    ref = prediction.table_ref
    row = _named(pa.Table.from_pylist([asked]), f"row:{ref.removeprefix('table:')}", prediction)
    return SpineRow(asked, ref, row)


def _named(rows: pa.Table, version: str, prediction: Prediction) -> pa.Table:
    name = row_key(list(prediction.key.values()))
    return rows.append_column("_row", pa.array([f"{version}/{name}"], pa.string()))


def _answered_for(rows: pa.Table, at: str, moment: datetime, known_at: str | None) -> pa.Table:
    """Of several rows of the key the one that a stream answers for: rows may be repeated, or moved, later."""
    if rows.num_rows < 2 or at not in rows.column_names:
        return rows
    ranks = {i: row_rank(row, at, known_at) for i, row in enumerate(rows.to_pylist()) if row[at] == moment}
    return rows.slice(min(ranks, key=lambda i: ranks[i]), 1) if ranks else rows


@dataclass(frozen=True, slots=True)
class SpineOf:
    """What a scoring was asked about: the version, its column of the moment, and which rows of it."""

    artifact: Artifact
    table: str
    version: int
    at: str
    where: str | None

    def condition(self, more: str) -> str:
        """The rows that were scored and for which `more` holds."""
        return f"({self.where}\n) AND ({more})" if self.where else more  # the condition may end in a comment


def spine_of(graph: Graph, execution: str) -> SpineOf | None:
    """The spine of a scoring; None when its rows were given by hand."""
    events = [
        e
        for e in graph.list_events(executions=[execution])
        if e.kind in INPUT_KINDS and e.path[:1] == ("spine",)
    ]
    nodes = graph.get_nodes("artifact", uids=[e.artifact for e in events])
    found = graph.get_nodes("execution", uids=[execution])
    params = found[0].get("params") if found and isinstance(found[0], Execution) else None
    params = params if isinstance(params, Mapping) else {}
    at, where = params.get("at"), params.get("where")
    for node in nodes:
        named = table_version(node)
        if named is not None and isinstance(node, Artifact):
            moment = at if isinstance(at, str) else FEATURES_AT
            return SpineOf(node, *named, moment, where if isinstance(where, str) else None)
    return None


def asked_of(graph: Graph, scoring: Execution) -> SpineOf | None:
    """What a scoring was asked about: its spine; of requests the rows it wrote, which keep what was asked."""
    if scoring.type != "answer":
        return spine_of(graph, scoring.uid)
    events = graph.list_events(executions=[scoring.uid])
    nodes = graph.get_nodes("artifact", uids=[e.artifact for e in events if e.kind in OUTPUT_KINDS])
    versions = {v: n for n in nodes if isinstance(n, Artifact) and (v := table_version(n)) is not None}
    if not versions:
        return None
    table, version = max(versions, key=lambda named: named[1])  # the first may have made the table
    node = versions[table, version]
    return SpineOf(node, table, version, FEATURES_AT, f"execution = '{scoring.uid}'")


def from_spine(definition: Mapping[str, object], output: str, values: Mapping[str, object]) -> object:
    """A calendar part, a category's code or a given column, from the spine's row in plain Python.

    Raises:
        KeyError: The row has no such column.
    """
    if definition["kind"] == "given":
        return values[output]
    if definition["kind"] == "category":
        value, known = values[str(definition["column"])], definition["values"]
        assert isinstance(known, Sequence)
        return None if value is None else known.index(value) if value in known else -1
    moment = values[str(definition["column"])]
    if moment is None:
        return None
    assert isinstance(moment, datetime)
    return calendar_part(moment, str(definition["tz"]), output.rpartition("__")[2])


def calendar_part(moment: datetime, tz: str, part: str) -> int:
    """A part of a moment on the clocks of a place.

    Example:
        >>> calendar_part(datetime(2013, 7, 1, 2, tzinfo=UTC), "America/New_York", "weekday")
        6
    """
    clock = moment.astimezone(UTC).astimezone(ZoneInfo(tz))
    parts = {
        "hour": clock.hour,
        "minute": clock.minute,
        "weekday": clock.weekday(),
        "day": clock.day,
        "day_of_year": clock.timetuple().tm_yday,
        "month": clock.month,
        "quarter": (clock.month + 2) // 3,
        "year": clock.year,
    }
    return parts[part]
