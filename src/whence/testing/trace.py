"""A small journey written straight into a graph: tables → training set → model → predictions.

For tests of whatever reads lineage; nothing is computed, no table exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from whence._base.ids import derived_uid
from whence.metadata import MetadataStore, open_store
from whence.metadata.types import (
    Artifact,
    Change,
    Event,
    EventKind,
    Execution,
    ExecutionState,
    Put,
    Type,
    Value,
)

TYPES: Final[tuple[str, ...]] = (
    *("TableVersion", "FeatureView", "View", "Model", "Statistics", "Schema", "Report", "Blob"),
    *("Code", "Environment"),
)
EXECUTIONS: Final = ("append", "overwrite", "delete", "point_in_time", "step", "run", "score", "statistics")


@dataclass
class Story:
    """Writes nodes with names that are the same each time."""

    store: MetadataStore = field(default_factory=lambda: open_store("memory://"))
    n: int = 0

    def __post_init__(self) -> None:
        for name in TYPES:
            self.store.put_type(Type("artifact", name))
        for name in EXECUTIONS:
            self.store.put_type(Type("execution", name))

    def artifact(self, type_: str, name: str, **custom: Value) -> Artifact:
        """Put an artifact; the same name again gains properties."""
        node = Artifact(type=type_, name=name, custom=custom, uid=derived_uid("artifact", type_, name))
        stored = self.store.write(Change([Put(node, if_exists="update")])).nodes[node.uid]
        assert isinstance(stored, Artifact)
        return stored

    def table(self, name: str, **custom: Value) -> Artifact:
        """Put a table version, named ``flights@12``."""
        return self.artifact("TableVersion", name, **custom)

    def execution(
        self,
        type_: str,
        *,
        inputs: Sequence[Artifact] = (),
        outputs: Sequence[Artifact] = (),
        internal: Sequence[Artifact] = (),
        paths: Mapping[str, str] | None = None,
        state: ExecutionState = "COMPLETE",
        **custom: Value,
    ) -> Execution:
        """Put an execution with its events; `paths` gives the part each artifact (by uid) plays."""
        self.n += 1
        uid = derived_uid("execution", str(self.n))
        node = Execution(type=type_, custom={"principal": "user:ada", **custom}, uid=uid, state=state)
        edges: list[tuple[Artifact, EventKind]] = [(a, "INPUT") for a in inputs]
        edges += [(a, "INTERNAL_INPUT") for a in internal]
        edges += [(a, "OUTPUT") for a in outputs]
        part = paths or {}
        events = [Event(uid, a.uid, kind, (part[a.uid],) if a.uid in part else ()) for a, kind in edges]
        stored = self.store.write(Change([Put(node)], events)).nodes[uid]
        assert isinstance(stored, Execution)
        return stored

    def appends(self, table: str, n: int) -> list[Artifact]:
        """Versions 0 to n-1, each appended to the one before."""
        versions: list[Artifact] = []
        for i in range(n):
            version = self.table(f"{table}@{i}", n_rows=10 * (i + 1))
            self.execution("append", inputs=versions[-1:], outputs=[version])
            versions.append(version)
        return versions


@dataclass
class Journey:
    """The nodes of the journey, by what they are."""

    story: Story
    arrivals: list[Artifact]
    labels: Artifact
    view: Artifact
    training_set: Artifact
    model: Artifact
    predictions: Artifact
    join: Execution
    train: Execution
    score: Execution


def tell(story: Story) -> Journey:
    """Write the journey: a model trained on version 1 of a table, predictions made on version 3."""
    arrivals = story.appends("arrivals", 4)
    labels = story.table("labels@0", n_rows=7)
    story.execution("append", outputs=[labels])
    view = story.artifact("FeatureView", "delays@aaaaaaaaaaaa", digest="sha256:" + "a" * 64)
    rows = story.table("train.late@0", n_rows=7)
    join = story.execution("step", step="training_set", inputs=[labels, arrivals[1], view], outputs=[rows])
    model = story.artifact("Model", "late@1", digest="sha256:" + "b" * 64, format="skops")
    train = story.execution("step", step="train", inputs=[rows], outputs=[model], params={"depth": 6})
    predictions = story.table("late_scores@0", n_rows=3)
    score = story.execution("score", inputs=[model, arrivals[3], view], outputs=[predictions], n_rows=3)
    return Journey(story, arrivals, labels, view, rows, model, predictions, join, train, score)
