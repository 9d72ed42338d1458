"""Reading what is new: each version of each table once, whoever wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from whence.compute import Engine, quoted
from whence.lake import Change, Lake, TableVersion
from whence.monitoring import calendar
from whence.monitoring.feeds import columns_of, describe, key_hashes
from whence.monitoring.performance import UNKNOWN
from whence.monitoring.profile import Layout, Profile
from whence.monitoring.reference import split
from whence.monitoring.session import Read, Session, feed_read, labels_read, predictions_read
from whence.monitoring.types import SCORE, Monitor
from whence.serving.predictions import FEATURES_AT
from whence.stats.base import Array

MODEL: Final = "model"


@dataclass
class News:
    """What came since the last run.

    Attributes:
        reads: The versions, as they are kept.
        rows: Days whose predictions changed.
        truth: Days whose predictions or labels changed.
        inputs: The table versions they were read up to.
    """

    reads: list[Read] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)
    truth: set[int] = field(default_factory=set)
    inputs: list[TableVersion] = field(default_factory=list)


def read_new(
    lake: Lake, engine: Engine, session: Session, layout: Layout | None, heads: Mapping[str, TableVersion]
) -> News:
    """The versions that came since the last run, taken into the session.

    Without a layout the predictions are left for later: they are not read before there is something to
    compare them with.
    """
    monitor, news = session.monitor, News()
    tables = [monitor.table] if layout is not None else []
    tables += [t for t in _others(monitor) if t not in tables]
    for name in tables:
        head, after = heads.get(name), session.read.get(name, -1)
        if head is None or head.version <= after:
            continue
        for change in lake.table(name).changes(after, head.version, columns=_wanted(monitor, head, layout)):
            for read in _read(engine, session, change, head, layout):
                touched = session.take(read)
                news.truth |= touched if read.role == "labels" or "hash" in read.arrays else set()
                news.rows |= touched if read.role == "predictions" else set()
                news.reads.append(read)
        session.read[name] = head.version
        news.inputs.append(head)
    return news


def _others(monitor: Monitor) -> list[str]:
    labels = [] if monitor.labels is None else [monitor.labels.table]
    return list(dict.fromkeys([*labels, *monitor.feeds]))


def _wanted(monitor: Monitor, head: TableVersion, layout: Layout | None) -> list[str] | None:
    """The columns to read; None is all."""
    if head.table != monitor.table or head.table in _others(monitor) or layout is None:
        return None
    return list(dict.fromkeys([*monitor.key, FEATURES_AT, MODEL, *layout.names]))


def _read(
    engine: Engine, session: Session, change: Change, head: TableVersion, layout: Layout | None
) -> list[Read]:
    monitor, found = session.monitor, []
    if head.table == monitor.table and layout is not None:
        found.append(
            read_predictions(
                monitor,
                layout,
                head.table,
                change.version,
                change.rows,
                edges=session.edges,
                wait=change.version > session.scored,
            )
        )
    if monitor.labels is not None and head.table == monitor.labels.table:
        found.append(_labels(engine, monitor, change, head))
    if head.table in monitor.feeds:
        names = columns_of(head.schema, head.declaration)
        parts, hashes = describe(
            change, head.declaration, monitor.tz, earlier=session.earlier_keys(head.table), names=names
        )
        found.append(feed_read(head.table, change.version, parts, hashes))
    return found


def read_predictions(
    monitor: Monitor, layout: Layout, table: str, version: int, rows: pa.Table, *, edges: int, wait: bool
) -> Read:
    """One version of the predictions, profiled by day and model; `wait` if its rows are to wait for labels."""
    days = calendar.local_days(rows.column(FEATURES_AT), monitor.tz)
    models = rows.column(MODEL).dictionary_encode().combine_chunks()
    names: list[str] = models.dictionary.to_pylist() if len(rows) else []
    codes = np.asarray(models.indices, dtype=np.int64)
    groups: list[tuple[int, str, Profile]] = []
    for i, name in enumerate(names):
        mine = codes == i
        some = rows if mine.all() else rows.filter(pa.array(mine))
        groups += [(day, name, profile) for day, profile in split(layout, some, days[mine])]
    groups.sort(key=lambda g: (g[0], g[1]))
    labelled: dict[str, Array] = {}
    if monitor.labels is not None and wait:
        labelled = {
            "hash": key_hashes(rows, monitor.labels.key),
            "score": np.asarray(rows.column(SCORE).to_numpy(), dtype=float),
            "day": days.astype(np.int32),
        }
    return predictions_read(layout, edges, table, version, groups, labelled)


def _labels(engine: Engine, monitor: Monitor, change: Change, head: TableVersion) -> Read:
    assert monitor.labels is not None
    known = head.declaration.known_at
    order = "" if known is None else f" ORDER BY {quoted(known)}, _place"
    keys = ", ".join(quoted(k) for k in monitor.labels.key)
    sql = (
        f"SELECT {keys}, CAST(({monitor.labels.truth}) AS TINYINT) AS _truth "
        f"FROM (SELECT *, row_number() OVER () AS _place FROM labels){order}"
    )
    got = engine.query(sql, {"labels": change.rows})
    hashes = key_hashes(got, monitor.labels.key)
    truth = got.column("_truth").fill_null(UNKNOWN).to_numpy().astype(np.int8)
    return labels_read(head.table, change.version, hashes, truth)


def origins_of(views: Sequence[object], table: str) -> dict[str, tuple[str, str, int]]:
    """Feature → (table, column, days its window reaches back), by the definitions.

    A feature of the spine's own row comes from the spine's table.
    """
    found: dict[str, tuple[str, str, int]] = {}
    for view in views:
        features = getattr(view, "features", None)
        if features is not None:
            source = str(getattr(view, "source", ""))
            for output, feature in zip(_outputs(view), features, strict=True):
                over = feature.over
                back = 0 if over is None else min(-(-int(over.total_seconds()) // 86_400), 30)
                found[output] = (source, feature.column or "", back)
            continue
        columns = getattr(view, "columns", None) or (getattr(view, "column", ""),)
        outputs = _outputs(view)
        names = columns if len(columns) == len(outputs) else tuple(columns) * len(outputs)
        for output, column in zip(outputs, names, strict=True):
            found[output] = (table, str(column), 0)
    return found


def _outputs(view: object) -> tuple[str, ...]:
    outputs: tuple[str, ...] = getattr(view, "outputs", ())
    return outputs
