"""Text with a form of its own, as patterns that Python and SQL engines (RE2) read alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from whence.validation.domains import Domain, MidDomain, TimeDomain, TimeOfDayDomain, UrlDomain
from whence.validation.reasons import AnomalyType

SPACE: Final = r"[ \t\n\v\f\r]"
INTEGER: Final = rf"{SPACE}*[+-]?[0-9]+{SPACE}*"
_INTEGER: Final = re.compile(rf"{SPACE}*([+-]?)0*([0-9]+){SPACE}*")
_DIGITS: Final = 19
"""So many digits has the largest integer of 64 bits."""
NUMBER: Final = (
    rf"{SPACE}*[+-]?(?:[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN](?:\([0-9a-zA-Z_]*\))?"
    r"|0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?[0-9]+)?"
    rf"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?){SPACE}*"
)
"""What `parse_float` takes."""
URL: Final = r"[A-Za-z][A-Za-z0-9+.\-]*:[^\x00-\x20\x7f<>\"\\^`{|}]+"
"""A scheme, a colon, and no space or other character that is never in a URL (RFC 3986)."""
MID: Final = r"/[a-z]/[0-9a-z_]+"

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _any_case(words: tuple[str, ...]) -> str:
    ordered = sorted(words, key=len, reverse=True)
    return "(?:" + "|".join("".join(f"[{c}{c.upper()}]" for c in w) for w in ordered) + ")"


_DIRECTIVES: Final[Mapping[str, str]] = {
    "A": _any_case(_DAYS),
    "B": _any_case(_MONTHS),
    "H": "(?:2[0-3]|[01][0-9]|[0-9])",
    "I": "(?:1[0-2]|0[1-9]|[1-9])",
    "M": "(?:[0-5][0-9]|[0-9])",
    "S": "(?:6[01]|[0-5][0-9]|[0-9])",
    "Y": "[0-9]{4}",
    "Z": "[A-Za-z]{1,5}",
    "a": _any_case(tuple(d[:3] for d in _DAYS)),
    "b": _any_case(tuple(m[:3] for m in _MONTHS)),
    "d": "(?:3[01]|[12][0-9]|0[1-9]|[1-9])",
    "e": "(?: ?[1-9]|[12][0-9]|3[01])",
    "f": "[0-9]{1,6}",
    "h": _any_case(tuple(m[:3] for m in _MONTHS)),
    "j": "(?:36[0-6]|3[0-5][0-9]|[12][0-9][0-9]|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9])",
    "m": "(?:1[0-2]|0[1-9]|[1-9])",
    "p": "[aApP][mM]",
    "s": "[0-9]+",
    "u": "[1-7]",
    "w": "[0-6]",
    "y": "[0-9]{2}",
    "z": r"(?:[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2}(?:\.[0-9]{1,6})?)?|Z)",
    "%": "%",
}
_TOGETHER: Final[Mapping[str, str]] = {"D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S"}


def parse_int(text: str) -> int | None:
    """A text as an integer of 64 bits; None when it is none. White space at the ends is allowed.

    Example:
        >>> parse_int("12"), parse_int(" +12"), parse_int("1.5"), parse_int("9223372036854775808")
        (12, 12, None, None)
    """
    found = _INTEGER.fullmatch(text)
    if found is None or len(found[2]) > _DIGITS:
        return None
    number = int(found[1] + found[2])
    return number if -(2**63) <= number < 2**63 else None


class Form(NamedTuple):
    """What text of a domain looks like.

    Attributes:
        type: The anomaly of text that does not.
        pattern: The pattern of the whole text.
        words: The same for people: ``a URL``.
    """

    type: AnomalyType
    pattern: str
    words: str


def form_of(domain: Domain | None) -> Form | None:
    """The form of text of a domain; None where it has none, or one that cannot be read.

    Example:
        >>> form_of(UrlDomain()).words
        'a URL'
    """
    if isinstance(domain, UrlDomain):
        return Form("URL_TYPE_NOT_URL", URL, "a URL")
    if isinstance(domain, MidDomain):
        return Form("MID_TYPE_NOT_MID", MID, "an identifier such as /m/05vl_")
    if isinstance(domain, (TimeDomain, TimeOfDayDomain)) and domain.string_format:
        pattern = strptime_pattern(domain.string_format)
        words = f"a time like {domain.string_format}"
        is_day = isinstance(domain, TimeOfDayDomain)
        if pattern is not None:
            return Form("TIME_OF_DAY_TYPE_NOT_TIME" if is_day else "TIME_TYPE_NOT_TIME", pattern, words)
    return None


@cache
def strptime_pattern(text: str) -> str | None:
    """The pattern of texts that read by a format of ``strptime``; None when it has a letter without a meaning.

    Each part is in its range by itself: ``2013-02-31`` is a text like ``%Y-%m-%d``.

    Example:
        >>> bool(re.fullmatch(strptime_pattern("%H:%M"), "23:59")), strptime_pattern("%Q")
        (True, None)
    """
    out, i = [], 0
    while i < len(text):
        c = text[i]
        if c == "%" and i + 1 < len(text):
            letter = text[i + 1]
            made = strptime_pattern(_TOGETHER[letter]) if letter in _TOGETHER else _DIRECTIVES.get(letter)
            if made is None:
                return None
            out.append(made)
            i += 2
        elif c.isspace():
            out.append(SPACE + "+")
            i += 1
        else:
            out.append(re.escape(c))
            i += 1
    return "".join(out)
