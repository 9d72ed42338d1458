"""Validity: what is marked bad taints everything made from it, until the mark is lifted.

A mark stands on one artifact or execution. Taint is never stored, it is computed: a node is tainted by a mark
that is not lifted and stands on the node itself or on anything it came from, its code and environment included.
So lifting a mark clears at once what it had tainted, and what is recorded later is tainted from the start.

A mark may go on with the later versions of what it stands on, see `whence.metadata.series`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, cast, get_args

from whence._base.principal import current_principal
from whence.errors import DataRejectedError, NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.series import (
    ONWARD,
    REPAIRED,
    check_versions,
    ended_by,
    later_versions,
    onward_marks,
)
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Direction,
    Execution,
    Lift,
    Mark,
    Policy,
    Value,
    Verdict,
)
from whence.metadata.walk import WalkQuery

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
MAX_REASON: Final = 2_000

_NAMED: Final = 5  # inputs and marks that a message names; `details` has them all


@dataclass(frozen=True, slots=True)
class Taint:
    """A node, and the marks that reach it.

    Attributes:
        node: The artifact or execution.
        marks: The marks in force on it or on what it came from, by id. None: it is clean.
    """

    node: AnyNode
    marks: tuple[Mark, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.marks)

    def to_dict(self) -> dict[str, Value]:
        """The taint as plain values."""
        return {
            "uid": self.node.uid,
            "type": self.node.type,
            "name": self.node.name,
            "tainted": bool(self.marks),
            "marks": [mark_to_dict(m) for m in self.marks],
        }


def put_marks(
    store: MetadataStore,
    nodes: Sequence[AnyNode],
    *,
    reason: str,
    policy: Policy = "block",
    onward: bool = False,
) -> list[Mark]:
    """Mark nodes as bad, all of them or none; returns the marks as stored.

    Args:
        store: The graph.
        nodes: Artifacts and executions.
        reason: Why, for whoever is stopped by it.
        policy: What is to happen with what is made from them: ``block`` refuses to read it, ``retrain`` starts the
            pipelines that wait for it, ``alert`` opens an alert in the monitors of what it reached. Each policy
            includes that `tainted` shows it.
        onward: Their later versions are bad too.

    Raises:
        UsageError: No reason, another policy, a context is to be marked, or `onward` what has no versions
            (``bad-mark``).
    """
    if not isinstance(cast("object", reason), str) or not reason.strip() or len(reason) > MAX_REASON:
        raise UsageError(f"a mark needs a reason of 1 to {MAX_REASON} characters", code="bad-mark")
    if policy not in POLICIES:
        raise UsageError(f"{policy!r} is not a policy", code="bad-mark", hint="one of " + ", ".join(POLICIES))
    if not nodes:
        raise UsageError("nothing to mark was named", code="bad-mark")
    for node in nodes:
        if not isinstance(node, Artifact | Execution):
            raise UsageError(
                f"{node.type} {node.name or node.uid} is a context: it groups, nothing is made from it",
                code="bad-mark",
                hint="mark the artifacts or executions in it",
            )
    if onward:
        check_versions(nodes)
    who = current_principal()
    verdict: Verdict = ONWARD if onward else "bad"
    marks = [Mark(node.uid, reason, policy, verdict, who) for node in nodes]
    return list(store.write(Change(marks=marks)).marks)


def put_repair(store: MetadataStore, node: AnyNode, *, reason: str = "") -> tuple[Mark, list[Mark]]:
    """Say that a version is good again: the marks that go on with earlier ones end before it.

    Those versions stay tainted. To take it back, mark the version.

    Returns:
        What was said, as stored, and the marks that end.

    Raises:
        UsageError: No mark goes on with it (``bad-mark``).
    """
    ends = ended_by(store, node)
    said = Mark(node.uid, reason, verdict=REPAIRED, principal=current_principal())
    return store.write(Change(marks=[said])).marks[0], ends


def lift_mark(store: MetadataStore, mark: int | Mark) -> Mark:
    """Lift a mark: what it tainted is clean again at once. A mark that is lifted stays as it is.

    Raises:
        NotFoundError: There is no such mark (``mark-not-found``).
        UsageError: It is none, but says that a version is repaired (``bad-mark``).
    """
    number = mark.id if isinstance(mark, Mark) else mark
    if number is None:
        raise NotFoundError("mark", mark, hint="a stored one has an id; whence mark list shows them")
    stored = get_mark(store, number)
    if stored.verdict == REPAIRED:
        raise UsageError(
            f"mark {number} says that a version is repaired: that is not lifted",
            code="bad-mark",
            hint="to take it back, mark the version: whence mark add --onward",
            details={"mark": number, "uid": stored.uid},
        )
    written = store.write(Change(lifts=[Lift(number, current_principal())])).marks
    return written[0] if written else stored


def get_mark(store: MetadataStore, number: int) -> Mark:
    """The mark of this id.

    Raises:
        NotFoundError: There is none (``mark-not-found``).
    """
    for mark in store.list_marks(after=number - 1, limit=1):
        if mark.id == number:
            return mark
    raise NotFoundError("mark", number, hint="whence mark list shows them")


def marks_on(
    store: MetadataStore, uids: Collection[str], *, policies: Collection[str] = POLICIES
) -> list[Mark]:
    """The marks in force that reach any of these nodes, by id.

    Args:
        store: The graph.
        uids: Artifacts and executions; one that is not stored has no past, and is clean.
        policies: Only marks with one of these policies.
    """
    return _marks_above(store, list(uids), (), policies)


def _marks_above(
    store: MetadataStore, uids: Sequence[str], beside: Sequence[Artifact], policies: Collection[str]
) -> list[Mark]:
    """The marks in force that reach these nodes, or hold of artifacts that are not stored yet."""
    live = [mark for mark in store.list_marks(live=True) if mark.policy in policies]
    if not live:
        return []
    onward = onward_marks(store, live)
    left = {mark.id for mark in live}
    standing: dict[str, list[Mark]] = {}
    for mark in live:
        standing.setdefault(mark.uid, []).append(mark)
    found: dict[int, Mark] = {}
    for node in chain(beside, _reached(store, uids, "up")):
        here = [*standing.get(node.uid, ()), *(one.mark for one in onward if one.holds(node))]
        found |= {_number(mark): mark for mark in here}
        if here and found.keys() >= left:
            break
    return [found[number] for number in sorted(found)]


def marks_on_artifacts(
    store: MetadataStore, artifacts: Sequence[Artifact], *, policies: Collection[str] = POLICIES
) -> list[Mark]:
    """The marks in force that reach any of these artifacts; one without an id may be meant by its name."""
    uids = [a.uid for a in artifacts]
    if not uids:
        return []
    beside: list[Artifact] = []
    for artifact in artifacts:
        if artifact.id is None and artifact.name is not None:
            found = store.find_nodes("artifact", type_=artifact.type, name=artifact.name).nodes
            uids += [n.uid for n in found]
            if not found:
                beside.append(replace(artifact, namespace=store.namespace))
    return _marks_above(store, uids, beside, policies)


def taint_of(store: MetadataStore, node: AnyNode, *, policies: Collection[str] = POLICIES) -> Taint:
    """A node with the marks that reach it; a context is reached by what reaches anything in it."""
    if isinstance(node, Artifact | Execution):
        return Taint(node, tuple(marks_on(store, [node.uid], policies=policies)))
    inside = [
        n.uid
        for kind in ("artifact", "execution")
        for n in store.find_nodes(kind, context=node.uid, everywhere=True).nodes
    ]
    return Taint(node, tuple(marks_on(store, inside, policies=policies)))


def list_tainted(store: MetadataStore, *, policies: Collection[str] = POLICIES) -> Iterator[Taint]:
    """Everything that is tainted now, each once, by id: one walk down for each marked node."""
    reached: dict[str, list[Mark]] = {}
    live = [mark for mark in store.list_marks(live=True) if mark.policy in policies]
    onward = {going.mark.id: going for going in onward_marks(store, live)}
    for mark in live:
        going = onward.get(mark.id)
        later = [] if going is None else [node.uid for node in later_versions(store, going)]
        for one in _reached(store, {mark.uid, *later}, "down"):
            reached.setdefault(one.uid, []).append(mark)
    nodes: list[AnyNode] = []
    for kind in ("artifact", "execution"):
        nodes += store.get_nodes(kind, uids=list(reached))
    for node in sorted(nodes, key=lambda n: n.id or 0):
        yield Taint(node, tuple(reached[node.uid]))


class TaintGuard:
    """Keeps an execution from reading what a ``block`` mark reaches.

    Made when the execution begins: a mark that is set later does not stop it.

    Args:
        store: The graph.
        what: The execution's type, for the message.
        allowed: Why tainted inputs are allowed; None refuses them.
    """

    def __init__(self, store: MetadataStore, what: str, allowed: str | None = None) -> None:
        self._store = store
        self._what = what
        self._allowed = allowed
        self._seen: dict[int, Mark] = {}

    def check(self, artifacts: Sequence[Artifact]) -> Mapping[str, Value]:
        """Refuse tainted inputs; returns what is to be recorded of those that are allowed.

        Raises:
            DataRejectedError: One of them is tainted (``tainted-input``).
        """
        found = marks_on_artifacts(self._store, artifacts, policies=("block",))
        if not found:
            return {}
        if self._allowed is None:
            raise self._refusal(artifacts, found)
        self._seen |= {_number(mark): mark for mark in found}
        return {"allow_tainted": self._allowed, "tainted_by": sorted(self._seen)}

    def _refusal(self, artifacts: Sequence[Artifact], marks: Sequence[Mark]) -> DataRejectedError:
        marked = {n.uid: n for k in ("artifact", "execution") for n in self._store.get_nodes(k, uids=[m.uid for m in marks])}  # fmt: skip
        read = ", ".join(_label(a) for a in artifacts[:_NAMED])
        told = "; ".join(
            f"{_label(marked[m.uid]) if m.uid in marked else m.uid} is marked bad"
            f"{' from there on' if m.verdict == ONWARD else ''} by {m.principal or 'unknown'}:"
            f" {m.reason} (mark {m.id})"
            for m in marks[:_NAMED]
        )
        more = f" and {len(marks) - _NAMED} more" if len(marks) > _NAMED else ""
        return DataRejectedError(
            f"{self._what} would read {read}, which is tainted: {told}{more}",
            code="tainted-input",
            hint="use something else, lift the mark, or allow it for a reason (allow_tainted)",
            details={
                "marks": [mark_to_dict(m) for m in marks],
                "inputs": [a.name or a.uid for a in artifacts],
            },
        )


def mark_to_dict(mark: Mark) -> dict[str, Value]:
    """A mark as plain values."""
    return {
        "mark": mark.id,
        "uid": mark.uid,
        "verdict": mark.verdict,
        "policy": mark.policy,
        "reason": mark.reason,
        "principal": mark.principal,
        "at": None if mark.at is None else mark.at.isoformat(),
        "lifted_at": None if mark.lifted_at is None else mark.lifted_at.isoformat(),
        "lifted_by": mark.lifted_by,
    }


def _reached(
    store: MetadataStore, uids: Collection[str], direction: Direction
) -> Iterator[Artifact | Execution]:
    """What is reached from these, themselves included, nearest first; absent ones are left out."""
    known = {n.uid: n for k in ("artifact", "execution") for n in store.get_nodes(k, uids=list(uids))}
    if not known:
        return
    for level in store.walk(WalkQuery(tuple(known), direction, internal=True)):
        yield from level.nodes


def _number(mark: Mark) -> int:
    assert mark.id is not None
    return mark.id


def _label(node: AnyNode) -> str:
    return f"{node.type} {node.name or node.uid}"


__all__ = [
    "POLICIES",
    "Taint",
    "TaintGuard",
    "get_mark",
    "lift_mark",
    "list_tainted",
    "mark_to_dict",
    "marks_on",
    "marks_on_artifacts",
    "put_marks",
    "put_repair",
    "taint_of",
]
