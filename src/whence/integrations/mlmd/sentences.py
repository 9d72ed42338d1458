"""What is told of a source or a file: sentences, each once, and no more of them than somebody reads."""

from __future__ import annotations

from typing import Final

MOST: Final = 1_000
"""Sentences that are kept; the rest is counted."""


class Sentences:
    """Sentences in the order in which they were said; however many there are, memory does not grow.

    Example:
        >>> told = Sentences()
        >>> for n in range(1_002):
        ...     told.add(f"event {n} is left out")
        >>> told.add("event 0 is left out")
        >>> told.all()[-2:]
        ['event 999 is left out', 'and 2 more']
    """

    def __init__(self) -> None:
        self._said: dict[str, None] = {}
        self._more = 0

    def add(self, sentence: str) -> None:
        """Say something."""
        if len(self._said) < MOST:
            self._said[sentence] = None
        elif sentence not in self._said:
            self._more += 1

    def all(self) -> list[str]:
        """What was said, and how much more there was."""
        return [*self._said, *([f"and {self._more} more"] if self._more else [])]
