"""How long a row counts, by its event time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, overload

from whence.features.folding.growing import Ints

NEVER: Final = 2**62
"""The moment of what does not happen."""

ALWAYS: Final = -(2**62)
"""A moment before all others."""


@dataclass(frozen=True, slots=True)
class Span:
    """A window's length and the raster of its far end, in microseconds; `hop_us` 0 is exact.

    Example:
        >>> import numpy as np
        >>> Span(10, 4).start(23), int(Span(10, 4).expiry(np.array([12]))[0])
        (12, 25)
    """

    over_us: int
    hop_us: int = 0

    def expiry(self, event: Ints) -> Ints:
        """The last moment at which a row still counts."""
        if not self.hop_us:
            return event + self.over_us
        # q - w, rounded down to the hop, is at most e  <=>  q < tile of e + hop + w
        return event - event % self.hop_us + (self.hop_us + self.over_us - 1)

    @overload
    def start(self, moment: int) -> int: ...

    @overload
    def start(self, moment: Ints) -> Ints: ...

    def start(self, moment: int | Ints) -> int | Ints:
        """The earliest event time that counts at a moment."""
        start = moment - self.over_us
        return start - start % self.hop_us if self.hop_us else start
