"""ML Metadata's side of `bench_mlmd`, run by a Python that has its wheel: one command a line, one JSON answer a line.

It knows nothing of whence. A command is timed here, so that the pipe between both processes costs nothing.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from ml_metadata import metadata_store
from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2 as pb

TYPED = {"span": pb.INT, "share": pb.DOUBLE, "split": pb.STRING}


class Peer:
    """A SQLite database of ML Metadata, opened as its users open it."""

    def __init__(self, path: str, tries: int) -> None:
        config = pb.ConnectionConfig(sqlite={"filename_uri": path, "connection_mode": 3})
        config.retry_options.max_num_retries = tries
        self.store = metadata_store.MetadataStore(config)
        self.data = self.store.put_artifact_type(pb.ArtifactType(name="Data", properties=TYPED))
        self.step = self.store.put_execution_type(pb.ExecutionType(name="Step", properties=TYPED))
        self.run = self.store.put_context_type(pb.ContextType(name="Run"))
        self.n = 0
        self.random = random.Random(7)

    def fill(self, node: Any, i: int) -> Any:
        node.properties["span"].int_value = i
        node.properties["share"].double_value = i % 1000 / 1000
        node.properties["split"].string_value = f"split {i % 7}"
        node.custom_properties["note"].string_value = f"note {i}"
        node.custom_properties["weight"].double_value = i / 3
        return node

    def artifact(self) -> Any:
        self.n += 1
        made = pb.Artifact(
            type_id=self.data, name=f"peer-a{self.n}", uri=f"/data/{self.n}", state=pb.Artifact.LIVE
        )
        return self.fill(made, self.n)

    def execution(self) -> Any:
        self.n += 1
        made = pb.Execution(type_id=self.step, name=f"peer-x{self.n}", last_known_state=pb.Execution.COMPLETE)
        return self.fill(made, self.n)

    def begin(self, i: int) -> Callable[[], object]:
        """Names of its own, for one of several that write the same file."""
        self.n = i * 1_000_000
        return lambda: None

    def put(self) -> Callable[[], object]:
        made = [self.artifact()]
        return lambda: self.store.put_artifacts(made)

    def record(self) -> Callable[[], object]:
        pairs = [
            (self.artifact(), pb.Event(type=kind))
            for kind in (pb.Event.INPUT, pb.Event.INPUT, pb.Event.OUTPUT, pb.Event.OUTPUT)
        ]
        made, context = self.execution(), pb.Context(type_id=self.run, name="peer")
        return lambda: self.store.put_execution(made, pairs, [context], reuse_context_if_already_exist=True)

    def many(self, what: str, n: int) -> Callable[[], object]:
        """Calls one after another, their values made before; what fails is counted."""
        calls = [getattr(self, what)() for _ in range(n)]

        def run() -> dict[str, float]:
            failed, worst = 0, 0.0
            for call in calls:
                at = time.perf_counter()
                try:
                    call()
                except Exception:  # noqa: BLE001 - told to the other side
                    failed += 1
                worst = max(worst, time.perf_counter() - at)
            return {"failed": failed, "worst": worst}

        return run

    def load(self, n_executions: int) -> Callable[[], object]:
        """Executions that read 2 of the last 1000 artifacts and write 2, 200 of them a transaction and a context."""
        batches = []
        for begin in range(0, n_executions, 200):
            here = range(min(200, n_executions - begin))
            artifacts, executions = (
                [self.artifact() for _ in here for _ in "ab"],
                [self.execution() for _ in here],
            )
            batches.append((artifacts, executions, pb.Context(type_id=self.run, name=f"load{self.n}")))

        def run() -> None:
            known: list[int] = []
            for artifacts, executions, context in batches:
                edges: list[tuple[int, int | None, Any]] = []
                for i in range(len(executions)):
                    reads = self.random.sample(known[-1000:], 2) if known else []
                    edges += [(i, 2 * i + k, pb.Event(type=pb.Event.OUTPUT)) for k in range(2)]
                    edges += [(i, None, pb.Event(type=pb.Event.INPUT, artifact_id=id_)) for id_ in reads]
                _, ids, _ = self.store.put_lineage_subgraph(executions, artifacts, [context], edges)
                known += ids

        return run

    def get(self, ids: list[int]) -> Callable[[], object]:
        return lambda: self.store.get_artifacts_by_id(ids)

    def filter(self, query: str) -> Callable[[], object]:
        return lambda: self.store.get_artifacts(ListOptions(filter_query=query))

    def lineage(self, id_: int, hops: int) -> Callable[[], object]:
        options = pb.LineageSubgraphQueryOptions(
            starting_artifacts={"filter_query": f"id = {id_}"},
            max_num_hops=hops,
            direction=pb.LineageSubgraphQueryOptions.UPSTREAM,
        )
        return lambda: self.store.get_lineage_subgraph(options)


def main() -> None:
    peer = Peer(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        call = getattr(peer, name)(*arguments)
        began = time.perf_counter()
        try:
            found = call()
            answer: dict[str, object] = {"s": time.perf_counter() - began}
            answer.update(found if isinstance(found, dict) else {"n": size(found)})
        except Exception as error:  # noqa: BLE001 - told to the other side, which counts failures
            answer = {"s": time.perf_counter() - began, "failed": type(error).__name__}
        print(json.dumps(answer), flush=True)


def size(found: Any) -> int:
    """How many nodes an answer has."""
    if isinstance(found, pb.LineageGraph):
        return len(found.artifacts) + len(found.executions)
    return len(found) if found is not None else 0


if __name__ == "__main__":
    main()
