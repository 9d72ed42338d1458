"""Patterns of LIKE: read once, then matched here or spelled as each database wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# A sign of a pattern is one character, or one of these two, which have more.
ANY_ONE: Final = "one"
ANY_MANY: Final = "many"


def read_pattern(pattern: str, escape: str | None) -> tuple[str, ...]:
    """The signs of a pattern: ``%`` stands for any characters, ``_`` for one; `escape` takes that from the next.

    Example:
        >>> read_pattern("a%!_", "!")
        ('a', 'many', '_')
    """
    signs: list[str] = []
    plain = False
    for char in pattern:
        if plain or char not in ("%", "_", escape):
            signs.append(char)
            plain = False
        elif char == escape:
            plain = True
        elif char == "_":
            signs.append(ANY_ONE)
        elif signs[-1:] != [ANY_MANY]:
            signs.append(ANY_MANY)
    return tuple(signs)


def is_like(text: str, pattern: Sequence[str]) -> bool:
    """Whether the whole text is like the pattern, in at most their lengths' product of steps.

    Example:
        >>> is_like("late@7", read_pattern("l_te%", None)), is_like("Late", read_pattern("late", None))
        (True, False)
    """
    at = here = 0
    again: tuple[int, int] | None = None
    while at < len(text):
        sign = pattern[here] if here < len(pattern) else None
        if sign == ANY_MANY:
            here += 1
            again = here, at
        elif sign is not None and sign in (ANY_ONE, text[at]):
            here, at = here + 1, at + 1
        elif again is not None:
            # The last % takes one character more; an earlier one need not be tried again.
            here, at = again[0], again[1] + 1
            again = here, at
        else:
            return False
    return all(sign == ANY_MANY for sign in pattern[here:])


def to_glob(pattern: Sequence[str]) -> str:
    """The pattern as GLOB has it: SQLite's LIKE does not tell A from a, its GLOB does.

    Example:
        >>> to_glob(read_pattern("[a]_%*", None))
        '[[]a]?*[*]'
    """
    signs = {ANY_MANY: "*", ANY_ONE: "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(sign, sign) for sign in pattern)


def to_like(pattern: Sequence[str]) -> str:
    """The pattern as LIKE has it where that tells A from a, with ``|`` as its escape.

    Example:
        >>> to_like(read_pattern("100!%_|%", "!"))
        '100|%_||%'
    """
    signs = {ANY_MANY: "%", ANY_ONE: "_", "%": "|%", "_": "|_", "|": "||"}
    return "".join(signs.get(sign, sign) for sign in pattern)


def lower(text: str) -> str:
    """The text with the letters A to Z small, others as they are: databases differ about those.

    Example:
        >>> lower("ÄRA")
        'Ära'
    """
    return text.translate(_LOWER)


def upper(text: str) -> str:
    """The text with the letters a to z large, others as they are.

    Example:
        >>> upper("ära")
        'äRA'
    """
    return text.translate(_UPPER)


_LOWER: Final = {ord(c): ord(c) + 32 for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UPPER: Final = {small: large for large, small in _LOWER.items()}
