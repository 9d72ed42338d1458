"""The graph follows the lake: commits that the graph does not know are derived from the log.

A process may die between its commit and the closing transaction; tables may be written by others. The graph
may lag the lake, it never contradicts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from whence._base.crash import crash_point, register
from whence._base.ids import derived_uid
from whence._base.refs import Ref
from whence.lake.base import Snapshot
from whence.lake.core import Core
from whence.lake.types import CommitInfo
from whence.metadata import Artifact, Change, Event, Execution, Put, Type, Value

BETWEEN: str = register("lake.reconcile", "one commit is derived into the graph, the next one is not")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The commits that were added to the graph."""

    commits: Sequence[CommitInfo] = field(default_factory=list)


def reconcile(core: Core) -> Reconciled:
    """Derive every commit that the graph lacks. Safe to run at any time, by several processes at once.

    A commit of an execution that is RUNNING is left to it, or to recovery if its process is dead. One that was told
    to have failed before it had noted its commit is complete when all it expected has been committed.
    """
    done: list[CommitInfo] = []
    for table in core.backend.list():
        snapshot = core.find(table)
        if snapshot is not None:
            done += _reconcile_table(core, snapshot)
    return Reconciled(done)


def _reconcile_table(core: Core, snapshot: Snapshot) -> list[CommitInfo]:
    produced = _produced(core, snapshot.table)
    missing = set(range(snapshot.version + 1)) - produced
    if not missing:
        return []
    infos = {i.version: i for i in core.chain(snapshot).infos(snapshot.version) if i.version in missing}
    done = []
    for info in infos.values():
        if _redeem(core, info):
            crash_point(BETWEEN)
    produced = _produced(core, snapshot.table)
    for version, info in infos.items():
        if version in produced:
            done.append(info)
        elif _derive(core, core.get(snapshot.table, version), info):
            done.append(info)
            crash_point(BETWEEN)
    return done


def _produced(core: Core, table: str) -> set[int]:
    """The versions the graph has, with the execution that made them."""
    store = core.recorder.store
    nodes = store.find_nodes("artifact", type_="TableVersion", name_prefix=f"{table}@").nodes
    versions = {n.uid: n.get("version") for n in nodes if isinstance(n, Artifact) and n.state == "LIVE"}
    events = store.list_events(artifacts=list(versions)) if versions else []
    made = {e.artifact for e in events if e.kind in ("OUTPUT", "DECLARED_OUTPUT")}
    return {v for uid, v in versions.items() if uid in made and isinstance(v, int)}


def _derive(core: Core, snapshot: Snapshot, info: CommitInfo) -> bool:
    """Record one commit; False when its execution is still running."""
    store = core.recorder.store
    uid = info.execution or derived_uid("foreign", snapshot.table_id, str(info.version))
    found = store.get_nodes("execution", uids=[uid])
    if found and isinstance(found[0], Execution) and found[0].state == "RUNNING":
        return False
    puts: list[Put] = []
    events: list[Event] = []
    if not found:
        type_ = "foreign_commit" if info.type == "foreign" else info.type
        store.put_type(Type("execution", type_), extend=True)
        puts.append(Put(_execution(type_, uid, info), if_exists="reuse"))
        for artifact in _inputs(core, info):
            puts.append(Put(artifact, if_exists="reuse"))
            events.append(Event(uid, artifact.uid, "INPUT"))
    output = core.artifact(snapshot)
    puts.append(Put(output, if_exists="update"))
    events.append(Event(uid, output.uid, "OUTPUT", (info.table,), at=info.at))
    store.write(Change(puts, events))
    return True


def _redeem(core: Core, info: CommitInfo) -> bool:
    """Complete the execution that was told to have failed before it noted this commit: as after a kill."""
    uids = [] if info.execution is None else [info.execution]
    found = core.recorder.store.get_nodes("execution", uids=uids)
    return any(
        core.recorder.redeem(node, type_="TableVersion") is not None
        for node in found
        if isinstance(node, Execution)
    )


def _execution(type_: str, uid: str, info: CommitInfo) -> Execution:
    told: dict[str, Value] = {
        "principal": info.principal or "unknown",
        "started_at": info.at.isoformat(),
        "finished_at": info.at.isoformat(),
        "recovered": "reconciled",
        "table": info.table,
        "version": info.version,
        "operation": info.operation,
    }
    return Execution(type=type_, uid=uid, state="COMPLETE", custom=told)


def _inputs(core: Core, info: CommitInfo) -> list[Artifact]:
    """The inputs a commit names, as far as the lake or the graph still has them."""
    found: list[Artifact] = []
    for text in info.inputs:
        ref = Ref.parse(text)
        if ref.kind == "artifact":
            nodes = core.recorder.store.get_nodes("artifact", uids=[ref.name])
        else:
            name = ref.name if ref.version is None else f"{ref.name}@{ref.version}"
            nodes = list(core.recorder.store.find_nodes("artifact", name=name).nodes)
        found += [n for n in nodes if isinstance(n, Artifact)][:1]
    return found


def probe(core: Core, execution: Execution, pending: Artifact) -> Artifact | None:
    """The table version that a dead execution was about to make, if its commit is in the lake."""
    table = pending.get("table")
    snapshot = core.find(table) if isinstance(table, str) else None
    if snapshot is None:
        return None
    for info in reversed(core.chain(snapshot).infos(snapshot.version)):
        if info.execution == execution.uid:
            return core.artifact(core.get(snapshot.table, info.version))
    return None
