"""Who is alive, and what becomes of the executions of the dead.

An execution that is RUNNING names the *life* that runs it. A life is alive while its process is; inside one
process an execution is alive while its block is open. `Recovery` rolls a dead one forward when everything
it set out to write exists, else it failed.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from whence._base.crash import crash_point, register
from whence._base.ids import new_uid
from whence.errors import ConflictError
from whence.metadata.base import MetadataStore
from whence.metadata.types import Artifact, Change, Event, Execution, Put, Value

log = logging.getLogger(__name__)

BEFORE_RECOVER: Final = register(
    "metadata.recover.before", "a dead execution's outputs were probed, its fate is not written"
)
AFTER_RECOVER: Final = register(
    "metadata.recover.after", "a dead execution's fate is written, the next one's is not"
)

Probe: TypeAlias = Callable[[Execution, Artifact], Artifact | None]
"""Does this pending output exist by now? Its final form, or None."""

# How often a write is made anew after another writer was in between.
RETRIES: Final = 20
RACES: Final = frozenset({"name-taken", "stale-revision"})

FELL: Final = frozenset({"FAILED", "CANCELED"})

_active: Final[Counter[tuple[str, str]]] = Counter()
_active_lock: Final = threading.Lock()
"""(life, execution) of what this process runs; recorders that share a life share it."""


class Liveness(Protocol):
    """A life, and a way to ask about others: `whence._base.locks.Life`, or `ProcessLife`."""

    uid: str

    def is_alive(self, uid: str) -> bool:
        """Whether the process with that life still runs."""
        ...


@runtime_checkable
class Held(Protocol):
    """A life that must know while it runs executions: `whence.metadata.beats.DatabaseLife`."""

    def hold(self) -> None:
        """An execution is about to be written as RUNNING."""
        ...

    def release(self) -> None:
        """It has ended."""
        ...


class ProcessLife:
    """A life without a file: host, process id and start time. Another host's processes count as alive.

    Example:
        >>> life = ProcessLife()
        >>> life.is_alive(life.uid)
        True
    """

    _open: Final[set[str]] = set()

    def __init__(self) -> None:
        self.uid = f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}/{new_uid()}"
        self._open.add(self.uid)

    def is_alive(self, uid: str) -> bool:
        return self.runs(uid)

    @classmethod
    def runs(cls, uid: str) -> bool:
        """Whether a life of this kind goes on."""
        process, _, _ = uid.rpartition("/")
        host, _, rest = process.rpartition("/")[0].rpartition("/")
        if not rest.isdecimal() or host != platform.node():
            return True  # nothing can be known of it from here: leave its work alone
        if int(rest) == os.getpid() and process == f"{host}/{rest}/{_started(int(rest))}":
            return uid in cls._open
        return process == f"{host}/{rest}/{_started(int(rest))}"

    def close(self) -> None:
        """End this life: its executions count as dead from now on."""
        self._open.discard(self.uid)


def _started(pid: int) -> str:
    """When a process started, as its system tells it; a number is used again, a number and a start are not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _answers(pid)
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended: only its parent has not looked yet.
    return "ended" if fields[0] == "Z" else fields[19]


def _answers(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "ended"
    except PermissionError:
        pass
    return "unknown"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did."""

    rolled_forward: Sequence[Execution] = field(default_factory=list)
    failed: Sequence[Execution] = field(default_factory=list)

    @property
    def n(self) -> int:
        """How many executions were dead."""
        return len(self.rolled_forward) + len(self.failed)


class Recovery:
    """Settles the executions of the dead.

    Args:
        store: The graph.
        life: The life of this process.
        probes: How pending artifacts are looked for, by type; shared with whoever gives them.
    """

    def __init__(self, store: MetadataStore, life: Liveness, probes: dict[str, Probe] | None = None) -> None:
        self._store = store
        self._life = life
        self._told = life if isinstance(life, Held) else None
        self.probes: dict[str, Probe] = {} if probes is None else probes

    def hold(self, uid: str) -> None:
        """This life runs the execution, or is about to; said before it is written as RUNNING."""
        if self._told is not None:
            self._told.hold()
        with _active_lock:
            _active[self._life.uid, uid] += 1

    def release(self, uid: str) -> None:
        """One holder less."""
        key = (self._life.uid, uid)
        with _active_lock:
            _active[key] -= 1
            if _active[key] <= 0:
                del _active[key]
        if self._told is not None:
            self._told.release()

    def add_probe(self, artifact_type: str, probe: Probe) -> None:
        """How to find out whether a pending artifact of this type exists by now."""
        self.probes[artifact_type] = probe

    def is_alive(self, execution: Execution) -> bool:
        """Whether a RUNNING execution is still being run; one without a life is not ours to judge."""
        life = execution.get("life")
        if not isinstance(life, str):
            return True
        if life == self._life.uid:
            return (life, execution.uid) in _active
        return self._life.is_alive(life)

    def recover(self) -> Recovered:
        """Settle every RUNNING execution whose life is over."""
        forward: list[Execution] = []
        failed: list[Execution] = []
        for node in self._store.find_nodes("execution", state="RUNNING").nodes:
            assert isinstance(node, Execution)
            if self.is_alive(node):
                continue
            fate = self.settle(node)
            if fate is not None:
                (forward if fate.state == "COMPLETE" else failed).append(fate)
        return Recovered(forward, failed)

    def settle(self, execution: Execution) -> Execution | None:
        """Roll one dead execution forward, or fail it; None when another process was faster."""
        for _ in range(RETRIES):
            change = self._fate_of(execution)
            crash_point(BEFORE_RECOVER)
            try:
                written = self._store.write(change)
            except ConflictError as error:
                if error.code not in RACES:
                    raise
                (now,) = self._store.get_nodes("execution", uids=[execution.uid])
                assert isinstance(now, Execution)
                if now.state != "RUNNING" or self.is_alive(now):
                    return None
                execution = now
                continue
            crash_point(AFTER_RECOVER)
            fate = written.nodes[execution.uid]
            assert isinstance(fate, Execution)
            log.info(
                "dead execution settled",
                extra={"execution": fate.uid, "type": fate.type, "state": fate.state},
            )
            return fate
        return None

    def redeem(self, execution: Execution, type_: str, *, noted: bool) -> Execution | None:
        """Complete one that was told to have failed, if all it set out to make exists; None when it does not.

        The error came after the last of its writes: between it and the closing transaction, or out of that.
        Only outputs of `type_` are believed to be its own when they exist. One that had noted them all before
        it failed is only completed when `noted` is set: it may have had more to do.
        """
        for _ in range(RETRIES):
            if execution.state not in FELL:
                return None
            events = self._store.list_events(executions=[execution.uid])
            uids = list(dict.fromkeys(e.artifact for e in events if e.kind == "PENDING_OUTPUT"))
            expected = [n for n in self._store.get_nodes("artifact", uids=uids) if isinstance(n, Artifact)]
            open_ = [artifact for artifact in expected if artifact.state in ("PENDING", "ABANDONED")]
            if not expected or any(artifact.type != type_ for artifact in expected):
                return None
            if not open_ and not noted:
                return None
            found = [(artifact, self._probe(execution, artifact)) for artifact in open_]
            finals = [(artifact, final) for artifact, final in found if final is not None]
            if len(finals) < len(open_):
                return None
            try:
                written = self._store.write(self._forward(execution, finals))
            except ConflictError as error:
                if error.code not in RACES:
                    raise
                (now,) = self._store.get_nodes("execution", uids=[execution.uid])
                assert isinstance(now, Execution)
                execution = now
                continue
            fate = written.nodes[execution.uid]
            assert isinstance(fate, Execution)
            log.info("failed execution redeemed", extra={"execution": fate.uid, "type": fate.type})
            return fate
        return None

    def _fate_of(self, execution: Execution) -> Change:
        pending, anything = self._pending(execution)
        finals = [self._probe(execution, artifact) for artifact in pending]
        if anything and all(final is not None for final in finals):
            found = [(p, f) for p, f in zip(pending, finals, strict=True) if f is not None]
            return self._forward(execution, found)
        return self._failed(execution, pending)

    def _pending(self, execution: Execution) -> tuple[list[Artifact], bool]:
        """What is still pending of an execution, and whether it expected anything at all."""
        events = self._store.list_events(executions=[execution.uid])
        uids = list(dict.fromkeys(e.artifact for e in events if e.kind == "PENDING_OUTPUT"))
        nodes = [n for n in self._store.get_nodes("artifact", uids=uids) if isinstance(n, Artifact)]
        # An abandoned one belongs to an earlier attempt.
        return [n for n in nodes if n.state == "PENDING"], any(n.state != "ABANDONED" for n in nodes)

    def _probe(self, execution: Execution, artifact: Artifact) -> Artifact | None:
        probe = self.probes.get(artifact.type)
        return None if probe is None else probe(execution, artifact)

    def _forward(self, execution: Execution, found: Sequence[tuple[Artifact, Artifact]]) -> Change:
        contexts = self._store.list_contexts(execution=execution.uid)
        puts = [self._fate(execution, "COMPLETE", "rolled-forward", None)]
        events = []
        attributions = []
        for pending, final in found:
            given, more = fulfil(self._store, pending, final)
            puts += more
            events.append(Event(execution.uid, given, "OUTPUT"))
            attributions += [(context.uid, given) for context in contexts]
        return Change(puts, events, attributions)

    def _failed(self, execution: Execution, pending: Sequence[Artifact]) -> Change:
        reason = "the process ended before the execution did"
        return Change(
            [self._fate(execution, "FAILED", "failed", reason), *(abandon(artifact) for artifact in pending)]
        )

    def _fate(
        self, execution: Execution, state: Literal["COMPLETE", "FAILED"], how: str, error: str | None
    ) -> Put:
        told: dict[str, Value] = {"recovered": how}
        if error is not None:
            told |= {"error": error, "error_type": "ProcessDied"}
        node = Execution(
            type=execution.type, uid=execution.uid, id=execution.id, state=state, properties=told
        )
        return Put(node, if_exists="update", revision=execution.revision)


def abandon(artifact: Artifact) -> Put:
    """The put that gives up a pending artifact, unless somebody has changed it since."""
    gone = Artifact(
        type=artifact.type, type_version=artifact.type_version, uid=artifact.uid, state="ABANDONED"
    )
    return Put(gone, if_exists="update", revision=artifact.revision)


def fulfil(store: MetadataStore, pending: Artifact, final: Artifact) -> tuple[str, list[Put]]:
    """The puts that make a pending artifact its final form, and the uid the final form is named by.

    When another writer has recorded the final form already (a commit found in the lake), that node is it, and
    the pending one is given up.
    """
    state = "LIVE" if final.state == "PENDING" else final.state
    if final.name is not None and final.name != pending.name:
        found = store.find_nodes("artifact", type_=final.type, name=final.name).nodes
        if any(node.uid != pending.uid for node in found):
            fresh = dataclasses.replace(
                final, id=None, state=state, uid=new_uid() if final.uid == pending.uid else final.uid
            )
            return fresh.uid, [Put(fresh, if_exists="update"), abandon(pending)]
    same = dataclasses.replace(final, id=None, state=state, uid=pending.uid)
    return same.uid, [Put(same, if_exists="update")]
