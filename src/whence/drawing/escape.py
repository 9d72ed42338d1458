"""Text that is safe inside HTML and SVG."""

from __future__ import annotations

import html
import re
from typing import Final

#: Characters XML 1.0 cannot hold at all (section 2.2), not even escaped.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Characters that turn the direction of whatever follows: left as they are, data could reorder our own words.
_TURNING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def escape(text: str) -> str:
    r"""`text` with markup escaped; what no document can hold is U+FFFD, what turns the text around is spelled out.

    Example:
        >>> escape('a<b & "c"'), escape("bell" + chr(7)) == "bell" + chr(0xFFFD)
        ('a&lt;b &amp; &quot;c&quot;', True)
        >>> print(escape("pay" + chr(0x202E) + "ment"))
        pay\u202ement
    """
    return html.escape(_TURNING.sub(_spelled, _FORBIDDEN.sub("\ufffd", text)))


def _spelled(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
