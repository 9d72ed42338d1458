"""The moment of a write: that of the store's clock, and later than that of any write before.

Nodes that are brought in have times of their own; a moment is never taken from those.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NEVER_US: Final = 2**62
"""Later than any moment."""

MAX_AHEAD_US: Final = 5 * 60 * 1_000_000
"""How far the last write may be ahead of the clock and still be waited for.

Machines that write into one database differ by seconds, a write that follows another at once by 1 µs. Kerberos takes
clocks that differ by 5 minutes for one (RFC 4120, 1.6). What is farther ahead was written by a clock that was wrong.
"""


def next_moment(clock_us: int, last_us: int) -> int:
    """The moment of the next write, all in microseconds since 1970.

    It is later than the last one, unless that is more than 5 minutes ahead: then it is the clock's, so that one wrong
    clock does not date every later write wrong. What was written with it keeps its moment, and is known from then on.

    Example:
        >>> next_moment(100, 90), next_moment(100, 100), next_moment(100, 3_600_000_000)
        (100, 101, 100)
    """
    return clock_us if last_us > clock_us + MAX_AHEAD_US else max(clock_us, last_us + 1)


class Then(NamedTuple):
    """A moment of which a graph is read, in microseconds since 1970."""

    us: int
    ahead_us: int = NEVER_US
    """where the graph is read as of a moment when it was read before, that of the last write: what claims to be later
    has its time from elsewhere, and is taken to have been there"""

    def knows(self, us: int) -> bool:
        """Whether what has this time was there.

        Example:
            >>> [Then(5, ahead_us=8).knows(us) for us in (5, 6, 8, 9)]
            [True, False, False, True]
        """
        return us <= self.us or us > self.ahead_us
