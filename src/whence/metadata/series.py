"""Versions of one thing: artifacts of one type and namespace whose names are ``NAME@0``, ``NAME@1``, ….

A mark may say of a version that it is bad *from there on*: an append carries the rows of the version before it on
and does not read it, so lineage alone would not say so. Such a mark goes on with every later version, also those
that are written after it, up to one that

- is said to be repaired, after the mark was made, or
- is of another **epoch**: the property of that name counts how often rows were changed or removed. A version
  that does not say its epoch carries on: nobody knows that the rows are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from whence.errors import UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.types import AnyNode, Artifact, Mark

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
    if not isinstance(node, Artifact) or node.name is None:
        return None
    name, at, number = node.name.rpartition("@")
    if not at or not number.isascii() or not number.isdecimal():
        return None
    epoch = node.get("epoch")
    known = epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None
    return Version((node.namespace, node.type, name), int(number), known)


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
                if repair.uid in versions
                and versions[repair.uid].of == begin.of
                and versions[repair.uid].number > begin.number
                and (repair.id or 0) > (mark.id or 0)
            ]
            found.append(Onward(mark, begin, min(ends, default=None)))
    return found


def later_versions(store: MetadataStore, onward: Onward) -> Iterator[AnyNode]:
    """The versions that a mark holds of, as far as they are there, tombstones too."""
    _, type_, name = onward.begin.of
    cursor: str | None = None
    while True:
        page = store.find_nodes(
            "artifact", type_=type_, name_prefix=f"{name}@", limit=500, cursor=cursor, removed=True, everywhere=True
        )  # fmt: skip
        yield from (node for node in page.nodes if onward.holds(node))
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
                hint="versions are named such as flights@12",
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
    "onward_marks",
    "version_of",
]
