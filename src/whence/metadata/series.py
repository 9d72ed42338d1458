"""Versions of one thing: artifacts of one type and namespace whose names are ``NAME@0``, ``NAME@1``, ….

A mark may say of a version that it is bad *from there on*: an append carries the rows of the version before it on
and does not read it, so lineage alone would not say so. Such a mark goes on with every later version, also those
that are written after it, up to one that

- is said to be repaired, after the mark was made, or
- is of another **epoch**: the property of that name counts how often rows were changed or removed; a version that
  was removed still says it. A version that does not say its epoch carries on: nobody knows that the rows are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from whence.errors import UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.rows import version_name
from whence.metadata.types import AnyNode, Artifact, Mark
from whence.metadata.walk import WalkQuery

ONWARD: Final = "bad-onward"
REPAIRED: Final = "repaired"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a thing.

    Attributes:
        of: What is the same for all its versions: namespace, type and name.
        number: Which one.
        epoch: How often rows had been changed or removed by then; None where that is not known.
    """

    of: tuple[str, str, str]
    number: int
    epoch: int | None


def version_of(node: AnyNode) -> Version | None:
    """The version that an artifact is; None when it is none.

    Example:
        >>> version_of(Artifact(type="TableVersion", name="flights@12", properties={"epoch": 1}))
        Version(of=('default', 'TableVersion', 'flights'), number=12, epoch=1)
        >>> version_of(Artifact(type="Report", name="april")) is None
        True
    """
    named = version_name(node.name) if isinstance(node, Artifact) else None
    if named is None:
        return None
    epoch = node.get("epoch") if node.removed_at is None else node.custom.get("removed_epoch")
    known = epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None
    return Version((node.namespace, node.type, named[0]), named[1], known)


@dataclass(frozen=True, slots=True)
class Onward:
    """A mark that goes on with later versions.

    Attributes:
        mark: The mark.
        begin: The version it stands on.
        repaired: The first version that is said to be repaired, if there is one.
    """

    mark: Mark
    begin: Version
    repaired: int | None = None

    def holds(self, node: AnyNode) -> bool:
        """Whether a node is the version the mark stands on, or one that it goes on with."""
        version = version_of(node)
        if version is None or version.of != self.begin.of or version.number < self.begin.number:
            return False
        if self.repaired is not None and version.number >= self.repaired:
            return False
        return None in (version.epoch, self.begin.epoch) or version.epoch == self.begin.epoch


def onward_marks(store: MetadataStore, marks: Iterable[Mark]) -> list[Onward]:
    """Those of these marks that go on with later versions, each with where it ends."""
    going = [mark for mark in marks if mark.verdict == ONWARD]
    if not going:
        return []
    repairs = [mark for mark in store.list_marks() if mark.verdict == REPAIRED]
    uids = {mark.uid for mark in (*going, *repairs)}
    versions = {n.uid: v for n in store.get_nodes("artifact", uids=sorted(uids)) if (v := version_of(n))}
    found: list[Onward] = []
    for mark in going:
        begin = versions.get(mark.uid)
        if begin is not None:
            ends = [
                versions[repair.uid].number
                for repair in repairs
                if repair.uid in versions and _ends(mark, begin, repair, versions[repair.uid])
            ]
            found.append(Onward(mark, begin, min(ends, default=None)))
    return found


def _ends(mark: Mark, begin: Version, repair: Mark, at: Version) -> bool:
    """Whether a repair ends a mark: it was said after it, of a later version of the same thing."""
    return at.of == begin.of and at.number > begin.number and (repair.id or 0) > (mark.id or 0)


def later_versions(store: MetadataStore, onward: Onward) -> Iterator[AnyNode]:
    """The versions that a mark holds of, as far as they are there, tombstones too."""
    return (node for node in _versions(store, onward.begin.of) if onward.holds(node))


def needed_for(store: MetadataStore, going: Collection[str]) -> dict[str, str]:
    """Which of these nodes are named by a mark that still holds of what stays when they are gone, and why.

    - A mark that goes on is needed while any other version stays: the next one comes after it.
    - A repair is needed while a mark is that it ends.
    - Any mark is needed while something stays that came from the node, though it be its code or environment.

    Args:
        store: The graph.
        going: The uids of what is to be taken out.
    """
    marks = store.list_marks()
    if not any(mark.uid in going for mark in marks):
        return {}
    live = [mark for mark in marks if mark.lifted_at is None]
    onward = onward_marks(store, live)
    needed = {
        one.mark.uid: f"mark {one.mark.id} on it goes on with later versions"
        for one in onward
        if one.mark.uid in going and any(n.uid not in going for n in _versions(store, one.begin.of))
    }
    for mark in live:
        if mark.uid in going and mark.uid not in needed and _reaches_beyond(store, mark.uid, going):
            needed[mark.uid] = f"mark {mark.id} on it taints what was made with it"
    repairs = {mark.uid: mark for mark in marks if mark.verdict == REPAIRED and mark.uid in going}
    staying = [one for one in onward if one.mark.uid not in going or one.mark.uid in needed]
    for node in store.get_nodes("artifact", uids=sorted(repairs)):
        at, repair = version_of(node), repairs[node.uid]
        ended = [one.mark.id for one in staying if at is not None and _ends(one.mark, one.begin, repair, at)]
        if ended:
            needed.setdefault(node.uid, f"mark {ended[0]} ends there, as mark {repair.id} says")
    return needed


def _reaches_beyond(store: MetadataStore, uid: str, going: Collection[str]) -> bool:
    """Whether something that stays came from a node."""
    walk = store.walk(WalkQuery([uid], "down", max_hops=None, internal=True))
    return any(node.uid not in going for level in walk for node in level.nodes)


def _versions(store: MetadataStore, of: tuple[str, str, str]) -> Iterator[AnyNode]:
    """All versions of a thing, tombstones too."""
    _, type_, name = of
    cursor: str | None = None
    while True:
        page = store.find_nodes(
            "artifact", type_=type_, name_prefix=f"{name}@", limit=500, cursor=cursor, removed=True, everywhere=True
        )  # fmt: skip
        yield from (node for node in page.nodes if (found := version_of(node)) and found.of == of)
        cursor = page.cursor
        if cursor is None:
            return


def check_versions(nodes: Sequence[AnyNode]) -> None:
    """Refuse nodes that have no later versions.

    Raises:
        UsageError: ``bad-mark``.
    """
    for node in nodes:
        if version_of(node) is None:
            raise UsageError(
                f"{node.type} {node.name or node.uid} is no version of anything, so nothing comes after it",
                code="bad-mark",
                hint="versions are named such as flights@12, without leading zeros",
            )


def ended_by(store: MetadataStore, node: AnyNode) -> list[Mark]:
    """The marks in force that go on with a version, and end there when it is said to be repaired.

    Raises:
        UsageError: There are none, or it is no version (``bad-mark``).
    """
    check_versions([node])
    going = onward_marks(store, store.list_marks(live=True))
    found = [one.mark for one in going if one.holds(node) and one.mark.uid != node.uid]
    if not found:
        raise UsageError(
            f"no mark on a version before {node.name} goes on with it",
            code="bad-mark",
            hint="a mark on the version itself is lifted",
        )
    return found


__all__ = [
    "ONWARD",
    "REPAIRED",
    "Onward",
    "Version",
    "check_versions",
    "ended_by",
    "later_versions",
    "needed_for",
    "onward_marks",
    "version_of",
]
