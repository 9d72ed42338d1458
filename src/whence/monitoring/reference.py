"""The reference of a model: the rows it learned from, its answers on them, and how far their own days and weeks lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence._base.refs import Ref
from whence.errors import NotFoundError, UsageError
from whence.lake import Lake, TableVersion
from whence.metadata import Artifact, MetadataStore
from whence.monitoring import calendar
from whence.monitoring.drift import judged_apart
from whence.monitoring.profile import Layout, Profile, from_sparse, pack, to_sparse, unpack
from whence.monitoring.types import SCORE, WINDOWS, Monitor
from whence.registry import Models, ModelVersion
from whence.serving.scorer import open_scorer
from whence.stats.base import Array

MIN_WINDOWS: Final = 8
"""Fewer windows of its own say nothing about how far windows lie apart: until so many were seen, none is judged."""

_HOPS: Final = 6


@dataclass(frozen=True, slots=True)
class Reference:
    """What a window is compared with.

    Attributes:
        model: ``late@3``.
        source: The rows, ``table:train.late@4``.
        layout: The digest of the edges it is counted on.
        profile: All rows, with the score they get.
        n_rows: How many there are.
        mean_score: The mean of the scores.
        expected_loss: The log loss the model expects of itself: the mean entropy of its scores.
        own: Window → distance of each of the reference's own windows from the rest of it, by column.
        far: Window → the distance that nine in ten of those stay below, by column.
        blob: Where it is kept.
    """

    model: str
    source: str
    layout: str
    profile: Profile
    n_rows: int
    mean_score: float
    expected_loss: float
    own: dict[str, Array]
    far: dict[str, Array]
    blob: str | None = None

    def to_bytes(self) -> bytes:
        """The reference as bytes."""
        places, counts = to_sparse(self.profile.cells)
        facts = {
            "model": self.model,
            "source": self.source,
            "layout": self.layout,
            "n_rows": self.n_rows,
            "n_cells": len(self.profile.cells),
            "mean_score": self.mean_score,
            "expected_loss": self.expected_loss,
        }
        arrays = {"places": places, "counts": counts, "nulls": self.profile.nulls}
        return pack(facts, {**arrays, **{f"own.{w}": a for w, a in self.own.items()}})

    @classmethod
    def from_bytes(cls, data: bytes, blob: str) -> Reference:
        """The reference that `to_bytes` wrote."""
        facts, arrays = unpack(data)
        cells = from_sparse(arrays["places"], arrays["counts"], facts["n_cells"])
        own: dict[str, Array] = {w: arrays[f"own.{w}"] for w in WINDOWS}
        return cls(
            model=facts["model"],
            source=facts["source"],
            layout=facts["layout"],
            profile=Profile(cells, arrays["nulls"].copy()),
            n_rows=facts["n_rows"],
            mean_score=facts["mean_score"],
            expected_loss=facts["expected_loss"],
            own=own,
            far={w: _far(a) for w, a in own.items()},
            blob=blob,
        )


def scored_rows(
    lake: Lake, models: Models, graph: MetadataStore, monitor: Monitor, version: ModelVersion
) -> tuple[TableVersion, pa.Table]:
    """The rows a model learned from, with its answers on them as the column ``score``.

    Raises:
        UsageError: The graph knows no such rows and the monitor names none (``no-reference``).
    """
    scorer = open_scorer(models, version, trust=monitor.trust)
    wanted = scorer.columns
    found = training_rows(lake, graph, version, [*(wanted or ()), monitor.at], monitor.reference)
    names = [n for n in (wanted or found.schema.names) if n != monitor.at]
    rows = found.arrow([*names, monitor.at])
    inputs = scorer.inputs(rows, names)
    return found, rows.append_column(SCORE, pa.array(scorer.score(inputs)))


def training_rows(
    lake: Lake, graph: MetadataStore, version: ModelVersion, columns: Sequence[str], named: str | None
) -> TableVersion:
    """The table version a model was trained on: the nearest above it in the graph that has all its columns.

    Raises:
        UsageError: There is none (``no-reference``).
    """
    seen: set[str] = set()
    level = [version.uid]
    for _ in range(_HOPS):
        read = _read_for(graph, level)
        for node in read:
            found = _table_version(lake, node)
            if found is not None and set(columns) <= set(found.schema.names):
                return found
        seen |= set(level)
        level = [node.uid for node in read if node.uid not in seen]
        if not level:
            break
    if named is not None:
        ref = Ref.parse(named, kind="table")
        handle = lake.table(ref.name)
        return handle.head() if ref.number is None else handle.at(ref.number)
    raise UsageError(
        f"the graph knows no rows with all columns of {version.ref} from which it was made",
        code="no-reference",
        hint="watch(…, reference='table@version') names the rows to compare with",
    )


def _read_for(graph: MetadataStore, artifacts: Sequence[str]) -> list[Artifact]:
    """What the executions that wrote these artifacts had read, table versions first."""
    made = [
        e.execution for e in graph.list_events(artifacts=artifacts) if e.kind in ("OUTPUT", "DECLARED_OUTPUT")
    ]
    if not made:
        return []
    events = graph.list_events(executions=list(dict.fromkeys(made)))
    read = [e.artifact for e in events if e.kind in ("INPUT", "DECLARED_INPUT")]
    nodes = graph.get_nodes("artifact", uids=list(dict.fromkeys(read)))
    found = [n for n in nodes if isinstance(n, Artifact) and n.type in ("TableVersion", "View")]
    return sorted(found, key=lambda n: n.type != "TableVersion")


def _table_version(lake: Lake, node: Artifact) -> TableVersion | None:
    table, version = node.get("table"), node.get("version")
    if node.type != "TableVersion" or not isinstance(table, str) or not isinstance(version, int):
        return None
    try:
        return lake.table(table).at(version)
    except NotFoundError:  # it was vacuumed
        return None


def measure(
    monitor: Monitor, layout: Layout, digest: str, model: str, source: TableVersion, rows: pa.Table
) -> Reference:
    """Count the reference, and measure each of its own days and weeks against the rest of it.

    What another version of the model takes and this one does not is null here, as it is in its predictions.
    """
    for column in layout.columns:
        if column.name not in rows.column_names:
            kind = pa.float64() if column.values is None else pa.string()
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, kind))
    days = calendar.local_days(rows.column(monitor.at), monitor.tz)
    by_day = dict(split(layout, rows, days))
    total = layout.empty()
    for profile in by_day.values():
        total += profile
    score = np.asarray(rows.column(SCORE).to_numpy(), dtype=float)
    inside = np.clip(score, 1e-12, 1 - 1e-12)
    entropy = -(inside * np.log(inside) + (1 - inside) * np.log1p(-inside))
    probabilities = bool(len(score)) and float(score.min()) >= 0 and float(score.max()) <= 1
    own: dict[str, Array] = {w: _own(layout, total, _windows(by_day, w)) for w in WINDOWS}
    return Reference(
        model=model,
        source=source.ref,
        layout=digest,
        profile=total,
        n_rows=rows.num_rows,
        mean_score=float(score.mean()) if len(score) else 0.0,
        expected_loss=float(entropy.mean()) if probabilities else 0.0,
        own=own,
        far={w: _far(a) for w, a in own.items()},
    )


def _far(own: Array) -> Array:
    columns = (own[:, c][~np.isnan(own[:, c])] for c in range(own.shape[1]))
    return np.array([np.quantile(known, 0.9) if len(known) else 0.0 for known in columns])


def split(layout: Layout, rows: pa.Table, groups: Array) -> list[tuple[int, Profile]]:
    """The profile of each group of rows, groups ascending."""
    if not len(groups):
        return []
    first = int(groups[0])
    if (groups == first).all():
        return [(first, layout.count(rows))]
    values, places = np.unique(groups, return_inverse=True)
    profiles = layout.count_each(rows, places, len(values))
    return [(int(v), profile) for v, profile in zip(values, profiles, strict=True)]


def _windows(by_day: dict[int, Profile], window: str) -> list[Profile]:
    if window == "day":
        return list(by_day.values())
    weeks: dict[int, Any] = {}
    for day, profile in by_day.items():
        begin = calendar.monday(day)
        weeks[begin] = weeks[begin] + profile if begin in weeks else profile
    first, last = min(by_day, default=0), max(by_day, default=-1)
    return [p for begin, p in weeks.items() if begin >= first and begin + 6 <= last]


def _own(layout: Layout, total: Profile, windows: list[Profile]) -> Array:
    """The judged distance of each window from the rest, a row a window, a column a column."""
    return judged_apart(layout, total, windows)
