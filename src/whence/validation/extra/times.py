"""Text and integers that read as times."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array
from whence.validation.domains import IntegerTimeFormat

_DATES: Final = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%y-%m-%d", "%y/%m/%d"),
    *("%m-%d-%Y", "%m/%d/%Y", "%m%d%Y", "%m-%d-%y", "%m/%d/%y"),
    *("%d-%m-%Y", "%d/%m/%Y", "%d%m%Y", "%d-%B-%Y", "%d-%m-%y", "%d/%m/%y", "%d-%B-%y"),
)
_CLOCKS: Final = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
FORMATS: Final = (
    *_DATES,
    *_CLOCKS,
    "%a %b %d %H:%M:%S %Y",
    *(d + between + c for d, c, between in itertools.product(_DATES, _CLOCKS, "T ")),
)
"""How text is read as a time, in the letters of ``strptime``; of equally good ones the first wins."""

_DAY_S: Final = 86_400
# 1990-01-01 and 2030-01-01 in days since 1970.
_FIRST_DAY, _LAST_DAY = 7_305, 21_915
UNIX: Final[Mapping[IntegerTimeFormat, tuple[int, int]]] = {
    "UNIX_DAYS": (_FIRST_DAY, _LAST_DAY),
    "UNIX_SECONDS": (_FIRST_DAY * _DAY_S, _LAST_DAY * _DAY_S),
    "UNIX_MILLISECONDS": (_FIRST_DAY * _DAY_S * 10**3, _LAST_DAY * _DAY_S * 10**3),
    "UNIX_MICROSECONDS": (_FIRST_DAY * _DAY_S * 10**6, _LAST_DAY * _DAY_S * 10**6),
    "UNIX_NANOSECONDS": (_FIRST_DAY * _DAY_S * 10**9, _LAST_DAY * _DAY_S * 10**9),
}
"""From 1990 on and before 2030, counted since 1970."""

# Names as in English, whatever the locale of the process says.
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_STRICT: Final[Mapping[str, str]] = {
    "%a": f"(?:{'|'.join(_DAYS)})",
    "%b": f"(?:{'|'.join(m[:3] for m in _MONTHS)})",
    "%B": f"(?:{'|'.join(_MONTHS)})",
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%m": "(?:0?[1-9]|1[0-2])",
    "%d": "(?:0?[1-9]|[12][0-9]|3[01]| [1-9])",
    "%H": "(?:[01]?[0-9]|2[0-3])",
    "%M": "[0-5]?[0-9]",
    "%S": "(?:[0-5]?[0-9]|6[01])",  # with leap seconds
    "%f": "[0-9]{1,6}",
}
# The same when every digit was written 0: which formats are worth a look.
_LOOSE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("%m", "%H", "%M", "%S"), "0{1,2}"),
    "%a": _STRICT["%a"],
    "%b": _STRICT["%b"],
    "%B": _STRICT["%B"],
    "%Y": "0{4}",
    "%y": "0{2}",
    "%d": "(?:0{1,2}| 0)",
    "%f": "0{1,6}",
}


def text_times(values: pa.Array, counts: Array) -> dict[str, int]:
    """How many values read as a time, by format; a value may read in several ways.

    Args:
        values: n different texts (or bytes).
        counts: How often each occurs.

    Example:
        >>> text_times(pa.array(["2018-11-30", "11:30", "soon"]), np.array([5, 1, 9]))
        {'%Y-%m-%d': 5, '%H:%M': 1}
    """
    some = pc.match_substring_regex(values, _any_pattern()).to_numpy(zero_copy_only=False)
    values, counts = values.filter(pa.array(some)), counts[some]
    if not len(values):
        return {}
    shapes = pc.replace_substring_regex(values, "[0-9]", "0").dictionary_encode()
    codes = shapes.indices.to_numpy()
    plain = [s.decode("latin-1") if isinstance(s, bytes) else s for s in shapes.dictionary.to_pylist()]
    out = {}
    for wanted in FORMATS:
        loose = _loose(wanted)
        fitting = [i for i, shape in enumerate(plain) if loose.fullmatch(shape)]
        if fitting:
            here = np.isin(codes, fitting)
            found = pc.match_substring_regex(values.filter(pa.array(here)), f"^{_pattern(wanted, _STRICT)}$")
            n = int(counts[here][found.to_numpy(zero_copy_only=False)].sum())
            if n:
                out[wanted] = n
    return out


def integer_times(values: Array) -> dict[str, int]:
    """How many integers lie between 1990 and 2030, by what they may count since 1970.

    Example:
        >>> integer_times(np.array([1_384_732_800, 16_000, 5]))
        {'UNIX_DAYS': 1, 'UNIX_SECONDS': 1}
    """
    out: dict[str, int] = {}
    for name, (low, high) in UNIX.items():
        n = int(((values >= low) & (values < high)).sum())
        if n:
            out[name] = n
    return out


def best_format(counts: Mapping[str, int]) -> tuple[str, int] | None:
    """The format most values have; of equal ones the first of `FORMATS` or `UNIX`.

    Example:
        >>> best_format({"%m%d%Y": 3, "%Y%m%d": 3, "%H:%M": 1})
        ('%Y%m%d', 3)
    """
    order = [f for f in (*FORMATS, *UNIX) if f in counts]
    if not order:
        return None
    best = max(order, key=counts.__getitem__)
    return best, counts[best]


def _pattern(wanted: str, parts: Mapping[str, str]) -> str:
    pieces = re.split(r"(%[A-Za-z])", wanted)
    return "".join(parts[p] if p in parts else re.escape(p) for p in pieces)


@cache
def _any_pattern() -> str:
    return f"^(?:{'|'.join(_pattern(f, _STRICT) for f in FORMATS)})$"


@cache
def _loose(wanted: str) -> re.Pattern[str]:
    return re.compile(_pattern(wanted, _LOOSE))
