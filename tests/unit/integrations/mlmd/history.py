"""A random history of calls by ML Metadata's own client, and what each answered, one line a call.

Run by a Python that has its wheel: ``history.py SEED [PORT]``; without a port on ML Metadata itself, in memory. Ids and
times are said by names, since each store gives its own.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Callable
from typing import Any

N_CALLS = 120
UNKNOWN = 1 << 30


def main(seed: int, port: int | None) -> None:
    from ml_metadata import errors, metadata_store  # imported here: pytest looks into every file
    from ml_metadata.proto import metadata_store_pb2 as pb

    logging.disable()
    if port is None:
        config = pb.ConnectionConfig(fake_database={})
    else:
        config = pb.MetadataStoreClientConfig(host="127.0.0.1", port=port)
    history = History(metadata_store.MetadataStore(config), pb, random.Random(seed))
    for _ in range(N_CALLS):
        call = history.draw()
        try:
            answer = call()
        except errors.StatusError as error:
            # A name or external id that is taken is an inner error of ML Metadata's when a node is updated.
            answer = type(error).__name__.replace("Internal", "AlreadyExists")
        print(json.dumps(answer, sort_keys=True))


class History:
    """Draws calls; few names, so that they meet."""

    def __init__(self, store: Any, pb: Any, choose: random.Random) -> None:
        self.store, self.pb, self.choose = store, pb, choose
        kinds = {"i": pb.INT, "d": pb.DOUBLE, "s": pb.STRING}
        self.types = {
            "artifact": store.put_artifact_type(pb.ArtifactType(name="A", properties=kinds)),
            "execution": store.put_execution_type(pb.ExecutionType(name="X", properties=kinds)),
            "context": store.put_context_type(pb.ContextType(name="C", properties=kinds)),
        }
        self.made = {"artifact": pb.Artifact, "execution": pb.Execution, "context": pb.Context}
        self.ids: dict[str, list[int]] = {kind: [] for kind in self.types}
        """Ids in the order in which nodes were made: how many-th a node is, is its name in answers."""

    def draw(self) -> Callable[[], Any]:
        calls = [
            self.put, self.put, self.put, self.update, self.update, self.mask, self.event, self.event, self.event,
            self.member, self.parent, self.execution, self.execution, self.list, self.list, self.find, self.edges,
            self.lineage, self.lineage, self.type, self.external,
        ]  # fmt: skip
        return self.choose.choice(calls)()

    # what is drawn

    def kind(self) -> str:
        return self.choose.choice(list(self.types))

    def id(self, kind: str) -> int:
        """An id of this kind, rarely one that nobody has."""
        if not self.ids[kind] or self.choose.random() < 0.05:
            return UNKNOWN
        return self.choose.choice(self.ids[kind])

    def node(self, kind: str, *, wrong: float = 0, **given: Any) -> Any:
        made = self.made[kind](type_id=self.types[kind], **given)
        if kind == "context" or self.choose.random() < 0.4:
            made.name = f"n{self.choose.randrange(40)}"
        if self.choose.random() < 0.1:
            made.external_id = f"e{self.choose.randrange(20)}"
        if kind == "artifact" and self.choose.random() < 0.5:
            made.uri = f"u{self.choose.randrange(4)}"
        if kind != "context" and self.choose.random() < 0.5:
            setattr(made, "state" if kind == "artifact" else "last_known_state", self.choose.randrange(1, 7))
        for name in "ids":
            # Of one name, a custom property that goes takes the typed one with it: a fault of ML Metadata's.
            for target, called in ((made.properties, name), (made.custom_properties, f"c{name}")):
                if self.choose.random() < 0.3:
                    of_kind = self.choose.choice("ids") if self.choose.random() < wrong else name
                    self.value(target[called], of_kind)
        return made

    def value(self, into: Any, name: str) -> None:
        drawn = self.choose.randrange(5)
        if name == "i":
            into.int_value = drawn
        elif name == "d":
            into.double_value = drawn / 2
        else:
            into.string_value = "abcdE"[drawn]

    def an_event(self, **given: Any) -> Any:
        event = self.pb.Event(type=self.choose.randrange(1, 8), milliseconds_since_epoch=7, **given)
        if self.choose.random() < 0.3:
            event.path.steps.add(index=self.choose.randrange(3))
        return event

    def filter(self, kind: str) -> str:
        parts = ["name = 'n1'", "name LIKE 'n1%'", "properties.i.int_value > 2", "custom_properties.cs.string_value = 'a'",
                 "properties.d.double_value <= 1.0", "external_id = 'e3'", f"id = {self.id(kind)}", "name != 'n3'"]  # fmt: skip
        if kind == "artifact":
            parts += [
                "uri = 'u1'",
                "state = LIVE",
                "state != LIVE",
                "events_0.type = INPUT",
                "contexts_a.name = 'n1'",
            ]
        if kind == "execution":
            parts += [
                "last_known_state = RUNNING",
                "events_0.type = OUTPUT",
                "contexts_a.name != 'n1'",
            ]
        if kind == "context":
            parts += ["child_contexts_a.name != 'n1'", "artifacts_a.uri = 'u1'", "executions_a.name = 'n2'"]
        one = self.choose.choice(parts)
        # A state twice, and other things twice, ML Metadata refuses.
        other = self.choose.choice([p for p in parts if p.split()[0] != one.split()[0]])
        return self.choose.choice([one, f"({one}) AND ({other})", f"{one} OR {other}", f"NOT ({one})"])

    # how answers are said

    def place(self, kind: str, id_: int) -> int:
        return self.ids[kind].index(id_) if id_ in self.ids[kind] else -1

    def said(self, kind: str, node: Any) -> Any:
        values = {
            f"{where}.{name}": str(value).strip()
            for where, properties in (("p", node.properties), ("c", node.custom_properties))
            for name, value in sorted(properties.items())
        }
        own = (node.uri, node.HasField("uri"), node.state) if kind == "artifact" else ()
        own += (node.last_known_state,) if kind == "execution" else ()
        return [
            self.place(kind, node.id),
            node.type,
            node.name,
            node.external_id,
            node.HasField("name"),
            *own,
            values,
        ]

    def nodes(self, kind: str, found: Any) -> Any:
        return sorted((self.said(kind, n) for n in found), key=str)

    def events(self, found: Any) -> Any:
        return sorted(
            [self.place("execution", e.execution_id), self.place("artifact", e.artifact_id), e.type,
             [s.index for s in e.path.steps], e.milliseconds_since_epoch] for e in found
        )  # fmt: skip

    # calls

    def put(self) -> Callable[[], Any]:
        kind = self.kind()
        given = [self.node(kind) for _ in range(self.choose.randrange(1, 4))]

        def call() -> Any:
            ids = getattr(self.store, f"put_{kind}s")(given)
            self.ids[kind] += ids
            return len(ids)

        return call

    def update(self, *paths: str) -> Callable[[], Any]:
        kind = self.kind()
        given = self.node(kind, wrong=0.05, id=self.id(kind))
        if self.choose.random() < 0.3:
            given.ClearField("type_id")
        return lambda: (
            self.place(kind, getattr(self.store, f"put_{kind}s")([given], list(paths))[0]),
            self.nodes(kind, getattr(self.store, f"get_{kind}s_by_id")([given.id])),
        )

    def mask(self) -> Callable[[], Any]:
        paths = [
            "uri",
            "state",
            "last_known_state",
            "external_id",
            "properties",
            "properties.i",
            "custom_properties.cs",
            "no",
        ]
        return self.update(*self.choose.sample(paths, 2))

    def event(self) -> Callable[[], Any]:
        given = [self.an_event(execution_id=self.id("execution"), artifact_id=self.id("artifact"))]
        if all(
            e.execution_id < UNKNOWN and e.artifact_id < UNKNOWN for e in given
        ):  # else which error comes first?
            ids = self.ids["execution"], self.ids["artifact"]
            given += [
                self.an_event(execution_id=self.choose.choice(ids[0]), artifact_id=self.choose.choice(ids[1]))
                for _ in range(self.choose.randrange(3))
            ]
        return lambda: self.store.put_events(given)

    def member(self) -> Callable[[], Any]:
        attribution = self.pb.Attribution(context_id=self.id("context"), artifact_id=self.id("artifact"))
        association = self.pb.Association(context_id=self.id("context"), execution_id=self.id("execution"))
        return lambda: self.store.put_attributions_and_associations([attribution], [association])

    def parent(self) -> Callable[[], Any]:
        given = self.pb.ParentContext(child_id=self.id("context"), parent_id=self.id("context"))
        return lambda: self.store.put_parent_contexts([given])

    def execution(self) -> Callable[[], Any]:
        pairs = []
        for _ in range(self.choose.randrange(4)):
            stored = self.choose.random() < 0.5 and self.ids["artifact"]
            artifact = (
                self.node("artifact", id=self.choose.choice(self.ids["artifact"]))
                if stored
                else self.node("artifact")
            )
            pairs.append((artifact, self.an_event() if self.choose.random() < 0.9 else None))
        made, context = self.node("execution"), self.node("context")
        context.ClearField("external_id")  # one that is taken makes its client wait and try again
        reuse, external = self.choose.random() < 0.7, self.choose.random() < 0.5

        def call() -> Any:
            known = set(self.ids["context"])
            x, artifacts, contexts = self.store.put_execution(
                made, pairs, [context], reuse_context_if_already_exist=reuse,
                reuse_artifact_if_already_exist_by_external_id=external,
            )  # fmt: skip
            self.ids["execution"].append(x)
            self.ids["artifact"] += [a for a in dict.fromkeys(artifacts) if a not in self.ids["artifact"]]
            self.ids["context"] += [c for c in contexts if c not in known]
            return [self.place("artifact", a) for a in artifacts], [
                self.place("context", c) for c in contexts
            ]

        return call

    def list(self) -> Callable[[], Any]:
        from ml_metadata.metadata_store import ListOptions, OrderByField  # as above

        kind = self.kind()
        options = ListOptions(
            limit=self.choose.choice([None, 1, 3]), is_asc=self.choose.random() < 0.5,
            order_by=OrderByField.ID, filter_query=self.filter(kind),
        )  # fmt: skip
        return lambda: [self.said(kind, n) for n in getattr(self.store, f"get_{kind}s")(options)]

    def find(self) -> Callable[[], Any]:
        kind, name = self.kind(), f"n{self.choose.randrange(40)}"

        def call() -> Any:
            found = getattr(self.store, f"get_{kind}_by_type_and_name")(self.store_type(kind), name)
            return None if found is None else self.said(kind, found)

        return call

    def store_type(self, kind: str) -> str:
        return {"artifact": "A", "execution": "X", "context": "C"}[kind]

    def edges(self) -> Callable[[], Any]:
        a, x, c = (self.id(kind) for kind in self.types)
        calls: list[Callable[[], Any]] = [
            lambda: self.events(self.store.get_events_by_execution_ids([x])),
            lambda: self.events(self.store.get_events_by_artifact_ids([a])),
            lambda: self.nodes("context", self.store.get_contexts_by_artifact(a)),
            lambda: self.nodes("context", self.store.get_contexts_by_execution(x)),
            lambda: self.nodes("context", self.store.get_parent_contexts_by_context(c)),
            lambda: self.nodes("context", self.store.get_children_contexts_by_context(c)),
            lambda: self.nodes("artifact", self.store.get_artifacts_by_context(c)),
            lambda: self.nodes("execution", self.store.get_executions_by_context(c)),
            lambda: self.nodes("artifact", self.store.get_artifacts_by_uri("u1")),
        ]
        return self.choose.choice(calls)

    def lineage(self) -> Callable[[], Any]:
        kind = self.choose.choice(["artifact", "execution"])
        options = self.pb.LineageSubgraphQueryOptions(
            max_num_hops=self.choose.randrange(5), direction=self.choose.randrange(1, 4)
        )
        getattr(options, f"starting_{kind}s").filter_query = self.filter(kind)
        if self.choose.random() < 0.3:
            end = self.choose.choice(["artifact", "execution"])
            ending = getattr(options, f"ending_{end}s")
            ending.filter_query, ending.include_ending_nodes = self.filter(end), self.choose.random() < 0.5

        def call() -> Any:
            found = self.store.get_lineage_subgraph(options)
            return {
                "nodes": [self.nodes(k, getattr(found, f"{k}s")) for k in self.types],
                "events": self.events(found.events),
                "in": sorted([self.place("context", p.context_id), self.place("artifact", p.artifact_id)] for p in found.attributions),
                "with": sorted([self.place("context", p.context_id), self.place("execution", p.execution_id)] for p in found.associations),
            }  # fmt: skip

        return call

    def type(self) -> Callable[[], Any]:
        given = self.pb.ArtifactType(name=f"T{self.choose.randrange(3)}")
        if self.choose.random() < 0.5:
            given.properties[self.choose.choice("xy")] = self.choose.randrange(1, 4)
        if self.choose.random() < 0.3:
            given.base_type = self.choose.randrange(1, 4)
        elif self.choose.random() < 0.3:
            given.external_id = f"t{self.choose.randrange(3)}"
        flags = {"can_add_fields": self.choose.random() < 0.5, "can_omit_fields": self.choose.random() < 0.5}

        def call() -> Any:
            self.store.put_artifact_type(given, **flags)
            found = self.store.get_artifact_type(given.name)
            return found.external_id, found.base_type, sorted(found.properties.items())

        return call

    def external(self) -> Callable[[], Any]:
        kind, wanted = self.kind(), f"e{self.choose.randrange(20)}"
        return lambda: self.nodes(kind, getattr(self.store, f"get_{kind}s_by_external_ids")([wanted]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
