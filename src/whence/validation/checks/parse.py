"""Text that reads as numbers, as TFDV reads it."""

from __future__ import annotations

import re
from typing import Final

from whence.validation.patterns import parse_int

__all__ = ["parse_float", "parse_int"]

_NUMBER: Final = re.compile(
    r"[ \t\n\v\f\r]*([+-]?)(?:(inf|infinity)|(nan(?:\([0-9a-z_]*\))?)"
    r"|(0x[0-9a-f]+(?:\.[0-9a-f]*)?(?:p[+-]?[0-9]+)?)|([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?))"
    r"[ \t\n\v\f\r]*",
    re.IGNORECASE | re.ASCII,  # else a dotless i folds to an i
)


def parse_float(text: str) -> float | None:
    """A text as a number; None when it is none. NaN, infinities and hexadecimal numbers are numbers.

    Example:
        >>> parse_float("1e3"), parse_float("-Inf"), parse_float("0x10"), parse_float("x"), parse_float("1_0")
        (1000.0, -inf, 16.0, None, None)
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, infinite, nan, hexadecimal, decimal = found.groups()
    if hexadecimal:
        return float.fromhex(sign + hexadecimal)
    return float("nan") if nan else float(sign + (infinite or decimal))
