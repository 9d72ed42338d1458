"""What a monitor knows between runs: all of it is in the blobs of its runs, and is read back from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from whence.blobs import BlobStore
from whence.lake import Table
from whence.monitoring.alarms import Stream, streams_from_json, streams_to_json
from whence.monitoring.blame import Move
from whence.monitoring.feeds import LOOK_BACK, FeedPart
from whence.monitoring.performance import Quality
from whence.monitoring.profile import Layout, Profile, from_sparse, pack, to_sparse, unpack
from whence.monitoring.types import Alert, Monitor
from whence.stats.base import Array

KEPT_DAYS: Final = 120
"""Days of a feed that are kept in memory; older ones are judged long since."""


@dataclass
class Read:
    """One version, read: what a run adds to what is known. Arrays by name, plain facts beside."""

    role: str
    table: str
    version: int
    facts: dict[str, Any]
    arrays: dict[str, Array]


@dataclass
class Session:
    """The memory of one monitor.

    Attributes:
        monitor: Which.
        n: How many runs have committed.
        read: Table → the last version read.
        judged: What → the first day that is not judged yet.
        streams: The memory of each stream.
        alerts: Stream → the alert that is open.
        models: Window → the model it was compared with last.
        edges: The number of the edges that predictions are counted on; 0 before the first.
        scored: The last version of the predictions that waits for its labels.
        moves: Days on which sources moved, oldest first.
        seen: Table → column → texts seen.
        days: Day → model → profile of its predictions.
        feeds: Table → day → what became known on it.
        keys: Table → hashes of the keys of its newest versions.
        quality: Predictions and their truth.
        blob: The blob of the newest run.
        versions: The versions it read.
    """

    monitor: Monitor
    n: int = 0
    read: dict[str, int] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    edges: int = 0
    scored: int = -1
    moves: list[Move] = field(default_factory=list)
    seen: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    days: dict[int, dict[str, Profile]] = field(default_factory=dict)
    feeds: dict[str, dict[int, list[FeedPart]]] = field(default_factory=dict)
    keys: dict[str, list[Array]] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    blob: str | None = None
    versions: list[tuple[str, int]] = field(default_factory=list)

    # --- what is kept

    def state(self) -> dict[str, Any]:
        """What is not in the versions read, as JSON."""
        return {
            "n": self.n,
            "read": self.read,
            "judged": self.judged,
            "streams": streams_to_json(self.streams),
            "alerts": {name: alert.to_dict() for name, alert in self.alerts.items()},
            "models": self.models,
            "edges": self.edges,
            "scored": self.scored,
            "moves": [m.to_list() for m in self.moves],
            "seen": self.seen,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.n = state["n"]
        self.read = dict(state["read"])
        self.judged = dict(state["judged"])
        self.streams = streams_from_json(state["streams"])
        self.alerts = {name: Alert.from_dict(data) for name, data in state["alerts"].items()}
        self.models = dict(state["models"])
        self.edges = state["edges"]
        self.scored = state["scored"]
        self.moves = [Move.from_list(m) for m in state["moves"]]
        self.seen = {table: dict(columns) for table, columns in state["seen"].items()}

    def to_bytes(self, reads: Sequence[Read]) -> bytes:
        """The state and the versions of one run as bytes."""
        facts = [{"role": r.role, "table": r.table, "version": r.version, **r.facts} for r in reads]
        arrays = {f"{i}.{name}": a for i, r in enumerate(reads) for name, a in r.arrays.items()}
        return pack({"state": self.state(), "versions": facts}, arrays)

    def cut_by(self, edges: int) -> None:
        """Count predictions on these edges: on others than before, all of them anew."""
        if self.edges not in (0, edges):
            self.days = {}
            self.read.pop(self.monitor.table, None)
            for window in self.monitor.windows:
                self.models.pop(window, None)
        self.edges = edges

    # --- taking versions in

    def take(self, read: Read) -> set[int]:
        """Take in a version; gives the days of predictions whose measures it changes."""
        if read.role == "predictions":
            return self._take_predictions(read)
        if read.role == "labels":
            return self.quality.add_labels(read.arrays["hash"], read.arrays["truth"])
        self._take_feed(read)
        return set()

    def _take_predictions(self, read: Read) -> set[int]:
        a, n_cells = read.arrays, read.facts["n_cells"]
        touched: set[int] = set()
        if "hash" in a:
            self.quality.add_predictions(a["hash"], a["score"], a["day"])
            self.scored = max(self.scored, read.version)
        if read.facts["edges"] != self.edges:  # counted on edges that are no longer in force
            return touched
        for i, (day, model) in enumerate(read.facts["groups"]):
            begin, end = int(a["bounds"][i]), int(a["bounds"][i + 1])
            cells = from_sparse(a["places"][begin:end], a["counts"][begin:end], n_cells)
            profile = Profile(cells, a["nulls"][i].astype(np.int64))
            models = self.days.setdefault(day, {})
            models[model] = models[model] + profile if model in models else profile
            touched.add(day)
        return touched

    def _take_feed(self, read: Read) -> None:
        days = self.feeds.setdefault(read.table, {})
        for part in map(FeedPart.from_dict, read.facts["parts"]):
            days.setdefault(part.day, []).append(part)
        for old in [d for d in days if d < max(days) - KEPT_DAYS]:
            del days[old]
        kept = self.keys.setdefault(read.table, [])
        kept.append(read.arrays["hash"])
        del kept[:-LOOK_BACK]

    def earlier_keys(self, table: str) -> Array:
        """The sorted hashes of the keys of the newest versions of a feed."""
        kept = self.keys.get(table)
        return np.sort(np.concatenate(kept)) if kept else np.empty(0, np.uint64)


def predictions_read(
    layout: Layout,
    edges: int,
    table: str,
    version: int,
    groups: Sequence[tuple[int, str, Profile]],
    labelled: Mapping[str, Array],
) -> Read:
    """A version of the predictions: the profile of each day and model in it, and what labels will want."""
    sparse = [to_sparse(profile.cells) for _, _, profile in groups]
    nothing = np.empty(0, np.uint32)
    bounds = np.cumsum([0, *(len(places) for places, _ in sparse)]).astype(np.int64)
    arrays = {
        "bounds": bounds,
        "places": np.concatenate([places for places, _ in sparse] or [nothing]),
        "counts": np.concatenate([counts for _, counts in sparse] or [nothing]),
        "nulls": np.array([p.nulls for _, _, p in groups], dtype=np.uint32).reshape(len(groups), -1),
        **labelled,
    }
    facts = {"edges": edges, "n_cells": layout.n_cells, "groups": [[day, model] for day, model, _ in groups]}
    return Read("predictions", table, version, facts, arrays)


def feed_read(table: str, version: int, parts: Sequence[FeedPart], hashes: Array) -> Read:
    """A version of a feed."""
    return Read("feed", table, version, {"parts": [p.to_dict() for p in parts]}, {"hash": hashes})


def labels_read(table: str, version: int, hashes: Array, truth: Array) -> Read:
    """A version of the labels: key and truth, the newest known last."""
    return Read("labels", table, version, {}, {"hash": hashes, "truth": truth.astype(np.int8)})


def load(monitor: Monitor, table: Table, blobs: BlobStore) -> Session:
    """The memory of a monitor, from the blobs that its table names."""
    session = Session(monitor)
    if not table.exists:
        return session
    rows = table.arrow(["value", "detail"], where="kind = 'run'").to_pylist()
    rows.sort(key=lambda r: r["value"])
    state: Mapping[str, Any] | None = None
    if rows:
        session.edges = unpack(blobs.get(rows[-1]["detail"]))[0]["state"]["edges"]
    for row in rows:
        facts, arrays = unpack(blobs.get(row["detail"]))
        state, session.blob = facts["state"], row["detail"]
        session.versions = [(v["table"], v["version"]) for v in facts["versions"]]
        for i, version in enumerate(facts["versions"]):
            session.take(_read_back(version, i, arrays))
    if state is not None:
        session.restore(state)
    return session


def _read_back(version: dict[str, Any], i: int, arrays: Mapping[str, Array]) -> Read:
    mine = {name.partition(".")[2]: a for name, a in arrays.items() if name.startswith(f"{i}.")}
    facts = {k: v for k, v in version.items() if k not in ("role", "table", "version")}
    return Read(version["role"], version["table"], version["version"], facts, mine)
