"""Reading a piece of lineage: who made what, from what, in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from whence.errors import NotFoundError
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, Artifact, Context, Event, Execution, Subgraph


class Lineage:
    """A `Subgraph`, with its edges looked up from both ends.

    Example:
        >>> from whence.metadata import Event, Subgraph
        >>> raw, train = Artifact(type="Table", name="raw"), Execution(type="train")
        >>> model = Artifact(type="Model", name="late@1")
        >>> events = [Event(train.uid, raw.uid, "INPUT"), Event(train.uid, model.uid, "OUTPUT")]
        >>> lineage = Lineage(Subgraph([raw, model], [train], events))
        >>> [a.name for e in lineage.producers(model.uid) for a in lineage.inputs(e.uid)]
        ['raw']
    """

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self._artifacts = {node.uid: node for node in subgraph.artifacts}
        self._executions = {node.uid: node for node in subgraph.executions}
        self._contexts = {node.uid: node for node in subgraph.contexts}
        self._of_execution: dict[str, list[Event]] = defaultdict(list)
        self._of_artifact: dict[str, list[Event]] = defaultdict(list)
        for event in subgraph.events:
            self._of_execution[event.execution].append(event)
            self._of_artifact[event.artifact].append(event)
        self._around: dict[str, list[str]] = defaultdict(list)
        for context, node in (*subgraph.attributions, *subgraph.associations):
            self._around[node].append(context)

    def node(self, uid: str) -> Artifact | Execution:
        """The artifact or execution.

        Raises:
            NotFoundError: It is not part of this lineage (``node-not-found``).
        """
        found = self._artifacts.get(uid) or self._executions.get(uid)
        if found is None:
            raise NotFoundError("node", uid)
        return found

    def inputs(self, execution: str, *, internal: bool = False) -> list[Artifact]:
        """What an execution read, in the order recorded, each once; `internal`: its code and environment too."""
        kinds = INPUT_KINDS | {"INTERNAL_INPUT"} if internal else INPUT_KINDS
        return self._artifacts_of(execution, kinds)

    def outputs(self, execution: str, *, pending: bool = False) -> list[Artifact]:
        """What an execution wrote, in the order recorded, each once; `pending`: and what it only expected."""
        kinds = OUTPUT_KINDS if pending else OUTPUT_KINDS - {"PENDING_OUTPUT"}
        return self._artifacts_of(execution, kinds)

    def producers(self, artifact: str) -> list[Execution]:
        """The executions that wrote an artifact, each once."""
        return self._executions_of(artifact, OUTPUT_KINDS - {"PENDING_OUTPUT"})

    def consumers(self, artifact: str) -> list[Execution]:
        """The executions that read an artifact, each once."""
        return self._executions_of(artifact, INPUT_KINDS)

    def events(self, uid: str) -> Sequence[Event]:
        """The events of an artifact or execution, oldest first."""
        return (*self._of_execution.get(uid, ()), *self._of_artifact.get(uid, ()))

    def contexts(self, uid: str) -> list[Context]:
        """The contexts of an artifact or execution."""
        return [self._contexts[context] for context in self._around.get(uid, ())]

    def up(self, uid: str) -> Iterator[tuple[int, Artifact | Execution]]:
        """The node and everything it came from, with the distance in events, nearest first, each once."""
        yield from self._walk(uid, up=True)

    def down(self, uid: str) -> Iterator[tuple[int, Artifact | Execution]]:
        """The node and everything it went into, with the distance in events, nearest first, each once."""
        yield from self._walk(uid, up=False)

    def _walk(self, uid: str, *, up: bool) -> Iterator[tuple[int, Artifact | Execution]]:
        front: list[Artifact | Execution] = [self.node(uid)]
        seen = {uid}
        distance = 0
        while front:
            following: list[Artifact | Execution] = []
            for node in front:
                yield distance, node
                for neighbour in self._next(node, up=up):
                    if neighbour.uid not in seen:
                        seen.add(neighbour.uid)
                        following.append(neighbour)
            front, distance = following, distance + 1

    def _next(self, node: Artifact | Execution, *, up: bool) -> Sequence[Artifact | Execution]:
        if isinstance(node, Artifact):
            return self.producers(node.uid) if up else self.consumers(node.uid)
        return self.inputs(node.uid) if up else self.outputs(node.uid)

    def _artifacts_of(self, execution: str, kinds: frozenset[str]) -> list[Artifact]:
        uids = dict.fromkeys(e.artifact for e in self._of_execution.get(execution, ()) if e.kind in kinds)
        return [self._artifacts[uid] for uid in uids]

    def _executions_of(self, artifact: str, kinds: frozenset[str]) -> list[Execution]:
        uids = dict.fromkeys(e.execution for e in self._of_artifact.get(artifact, ()) if e.kind in kinds)
        return [self._executions[uid] for uid in uids]
