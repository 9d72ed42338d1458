"""The port of an online store: the rows behind features, by key, so that a moment can be answered at once.

The store keeps rows and not values: a window is right at the moment it is asked for, and a new feature over
rows that are there needs nothing loaded. It is a projection that only goes forward, written by
`whence.features.materialize` and never an input to anything that is recorded as done.

Words: a *group* is the rows of one source by one event time and one set of join keys. Of rows that share a
*name* (their declared key) the one known last counts; from then on the others are taken back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from whence._base.crash import register

NEVER: Final = 2**62
"""The moment at which a row is taken back that never is."""

NOBODY: Final = b""
"""The key of a row that no one can ask for: it only takes back an earlier row of its name."""

NO_PROGRESS: Final[Mapping[str, int]] = MappingProxyType({})

ROWS_WRITTEN: Final = register(
    "features.online.rows_written", "rows of a batch are written, its progress is not: nothing is committed"
)

Rank: TypeAlias = Callable[[bytes], Any]
"""What orders contents that became known at one moment; least first."""


class OnlineRow(NamedTuple):
    """One row as it is written.

    Attributes:
        key: Whose row it is; `NOBODY` where a join key or the event time is null.
        name: What rows share that correct each other; None: nothing corrects it.
        event_us: When it happened.
        known_us: When it could first be used.
        content: Its columns.
    """

    key: bytes
    name: bytes | None
    event_us: int
    known_us: int
    content: bytes


Asked: TypeAlias = tuple[bytes, int]
"""One question: a key, and a moment in microseconds."""

Found: TypeAlias = tuple[int, int, bytes]
"""One row as it is read: when it happened and could first be used, in microseconds; its columns."""


class GroupState(NamedTuple):
    """What a store says of a group.

    Attributes:
        group: Its name.
        facts: What the writer said of the rows, as text.
        progress: How far the writer has come.
        forgotten_us: Moments before this cannot be asked; None: all can.
        since_us: Rows of earlier events are gone but for the newest of each key; None: none are.
    """

    group: str
    facts: str
    progress: Mapping[str, int] = NO_PROGRESS
    forgotten_us: int | None = None
    since_us: int | None = None


class OnlineReading(ABC):
    """One state of a store, as a thread sees it within a block of `OnlineStore.reading`."""

    @abstractmethod
    def states(self, groups: Sequence[str]) -> list[GroupState | None]:
        """What is known of each group; None for one that is not there."""

    @abstractmethod
    def newest(self, group: str, asked: Sequence[Asked]) -> list[list[Found]]:
        """For each question the rows of the newest event that can be used then; more than one where they tie.

        Usable are rows with event and knowledge time up to the moment that are not taken back by then.
        """

    @abstractmethod
    def since(
        self, group: str, asked: Sequence[Asked], reach_us: int | None, *, strict: bool
    ) -> list[list[Found]]:
        """For each question the rows whose event lies at most `reach_us` before it, oldest first; None: all.

        Args:
            group: The group.
            asked: The questions.
            reach_us: How far back, this moment included.
            strict: As windows want it: event and knowledge time before the moment, taken back not before
                it. Else as `newest`: up to the moment, not taken back by then.
        """

    @abstractmethod
    def awaited(self, group: str, asked: Sequence[Asked]) -> list[bool]:
        """For each question whether the key has a row that can be used later, but not yet."""


class OnlineStore(ABC):
    """Rows by key for features at a moment. Safe for several threads and, in a file, several processes.

    Whatever the order in which rows are written, the same rows give the same answers: of one name the row
    with the greatest (knowledge time, content) counts, of one key those with the greatest event time.
    """

    name: ClassVar[str]

    @abstractmethod
    def put(
        self,
        group: str,
        rows: Sequence[OnlineRow],
        *,
        progress: Mapping[str, int],
        after: Mapping[str, int],
        facts: str,
        rank: Rank,
    ) -> bool:
        """Write rows and how far the writer has come with them, all or nothing.

        Args:
            group: The group; made when absent.
            rows: The rows.
            progress: How far the writer is afterwards.
            after: How far it was: a store that is elsewhere writes nothing. Empty for a new group.
            facts: What readers must know of the rows; replaces what was said before.
            rank: Decides between two contents of one name that became known at one moment.

        Returns:
            False if the store's progress is not `after`: somebody else has been faster. Read it, go on from there.

        Raises:
            BackendError: The store is full (``store-full``), locked (``store-locked``) or failed (``store-failed``).
        """

    def state(self, group: str) -> GroupState | None:
        """What is known of a group; None for one that is not there."""
        with self.reading() as reading:
            return reading.states([group])[0]

    @abstractmethod
    def list_groups(self) -> list[str]:
        """The names of all groups, sorted."""

    @abstractmethod
    def count(self, group: str) -> int:
        """How many rows a group has, with those that were taken back."""

    @abstractmethod
    def forget(self, group: str, before_us: int, since_us: int | None) -> int:
        """Drop what no moment from `before_us` on can see; gives the number of rows.

        Rows taken back before `before_us` go; with `since_us`, also rows of earlier events, but for the
        newest usable one of each key. Rows that become known after `before_us` stay in any case.
        """

    @abstractmethod
    def drop(self, group: str) -> None:
        """Take a group away whole; one that is not there is no error."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[OnlineReading]:
        """Within the block this thread sees one state of the store; blocks may be nested, the outer one decides."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


class Version(NamedTuple):
    """One row of a name: where it lies, when it was known and until when it counts."""

    place: Any
    known_us: int
    until_us: int
    content: bytes


def chain(versions: Sequence[Version], rank: Rank) -> list[int]:
    """When each of the rows of one name is taken back: when the next one of them became known.

    Example:
        >>> rows = [Version(0, 5, NEVER, b"b"), Version(1, 3, NEVER, b"a"), Version(2, 5, NEVER, b"c")]
        >>> chain(rows, lambda content: content) == [5, 5, NEVER]
        True
    """
    known = [version.known_us for version in versions]
    if len(set(known)) == len(known):
        order = sorted(range(len(versions)), key=known.__getitem__)
    else:
        order = sorted(range(len(versions)), key=lambda i: (known[i], rank(versions[i].content)))
    # never later than it was: a version in between may have been forgotten by now
    until = [version.until_us for version in versions]
    for older, newer in pairwise(order):
        until[older] = min(until[older], known[newer])
    return until
