"""Which steps made an output, and which of them must run again when something above them is another.

The graph says what each execution read and wrote. From a step upwards, an artifact is *changed* when
its table is substituted, or when the step that wrote it must run again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from whence.metadata.base import MetadataStore
from whence.metadata.types import Artifact, Execution, Value


@dataclass(frozen=True, slots=True)
class Input:
    """One artifact a step read: declared (with its parameter) or beside that."""

    artifact: Artifact
    param: str | None

    @property
    def table(self) -> str | None:
        """The table's name; None for what is no table version."""
        return str(self.artifact.get("table")) if self.artifact.type == "TableVersion" else None

    @property
    def ref(self) -> str:
        """The reference of the artifact."""
        kind = {"TableVersion": "table", "Model": "model"}.get(self.artifact.type, "artifact")
        return f"{kind}:{self.artifact.name}" if kind != "artifact" else f"artifact:{self.artifact.uid}"


@dataclass(frozen=True, slots=True)
class Again:
    """A step that must run again: its execution, what it read, and what of that is changed."""

    execution: Execution
    inputs: tuple[Input, ...]
    substituted: frozenset[str] = frozenset()
    """Tables substituted among what it read."""


@dataclass
class Ancestry:
    """Walks the graph upwards from one step.

    Args:
        store: The graph.
        substituted: Names of the tables that are given other rows.
        changed_code: Uids of executions whose code is another now.
    """

    store: MetadataStore
    substituted: Collection[str]
    changed_code: Collection[str] = ()
    order: list[Again] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    """Why an artifact between a change and the target cannot be made again."""
    reached: set[str] = field(default_factory=set)
    """Substituted tables that were met."""
    tables: set[str] = field(default_factory=set)
    """All tables met, for near names."""
    _changed: dict[str, bool] = field(default_factory=dict)

    def plan(self, target: Execution) -> list[Again]:
        """The steps to run, upstream first; the target is the last."""
        self._visit(target, always=True)
        return self.order

    def _visit(self, execution: Execution, *, always: bool = False) -> bool:
        """Whether what `execution` wrote is changed."""
        known = self._changed.get(execution.uid)
        if known is not None:
            return known
        self._changed[execution.uid] = False  # a table read and written by one execution
        inputs = inputs_of(self.store, execution)
        hit = frozenset(i.table for i in inputs if i.table is not None and i.table in self.substituted)
        self.tables |= {i.table for i in inputs if i.table is not None}
        self.reached |= hit
        changed_above = [i for i in inputs if i.table not in hit and self._artifact_changed(i.artifact)]
        dirty = bool(hit or changed_above) or execution.uid in self.changed_code
        if execution.type != "step":
            if dirty:
                what = ", ".join(sorted(hit)) or ", ".join(i.ref for i in changed_above)
                self.blocked.append(
                    f"execution:{execution.uid} ({execution.type}) lies between {what} and the step, and is no step itself"
                )
            self._changed[execution.uid] = dirty
            return dirty
        if dirty or always:
            self.order.append(Again(execution, tuple(inputs), hit))
        self._changed[execution.uid] = dirty or always
        return dirty or always

    def _artifact_changed(self, artifact: Artifact) -> bool:
        return any(self._visit(e) for e in producers_of(self.store, artifact))


def inputs_of(store: MetadataStore, execution: Execution) -> list[Input]:
    """What an execution read, declared inputs with their parameter."""
    events = [
        e for e in store.list_events(executions=[execution.uid]) if e.kind in ("INPUT", "DECLARED_INPUT")
    ]
    nodes = {n.uid: n for n in store.get_nodes("artifact", uids=list({e.artifact for e in events}))}
    found: dict[tuple[str, str | None], Input] = {}
    declared = execution.get("inputs")
    params = set(declared) if isinstance(declared, Mapping) else set()
    for event in events:
        node = nodes.get(event.artifact)
        if not isinstance(node, Artifact):
            continue
        first = event.path[0] if event.path else None
        param = first if isinstance(first, str) and first in params else None
        found[(node.uid, param)] = Input(node, param)
    with_param = {uid for uid, param in found if param is not None}
    return [i for (uid, param), i in found.items() if param is not None or uid not in with_param]


def producers_of(store: MetadataStore, artifact: Artifact) -> list[Execution]:
    """The executions that made an artifact; one that found it in the cache leads to the one that made it."""
    events = [
        e for e in store.list_events(artifacts=[artifact.uid]) if e.kind in ("OUTPUT", "DECLARED_OUTPUT")
    ]
    nodes = store.get_nodes("execution", uids=list(dict.fromkeys(e.execution for e in events)))
    made = [n for n in nodes if isinstance(n, Execution) and n.state == "COMPLETE"]
    steps = [e for e in (as_step(store, n) for n in made) if e.type == "step"]
    return steps[:1] or made


def as_step(store: MetadataStore, execution: Execution) -> Execution:
    """The step an execution happened in: itself, or the one around it; a cached one leads to its origin."""
    seen: set[str] = set()
    while execution.uid not in seen:
        seen.add(execution.uid)
        above: Value = execution.get("taken_from") if execution.type == "step" else execution.get("parent")
        if not isinstance(above, str):
            return execution
        found: Sequence[object] = store.get_nodes("execution", uids=[above])
        if not found or not isinstance(found[0], Execution):
            return execution
        if execution.type != "step" and found[0].type != "step" and found[0].get("parent") is None:
            return execution
        execution = found[0]
    return execution
