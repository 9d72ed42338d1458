"""Text that is safe inside HTML and SVG."""

from __future__ import annotations

import html
import re
from typing import Final

#: Characters XML 1.0 cannot hold at all (section 2.2), not even escaped.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """`text` with markup escaped, and what no document can hold shown as U+FFFD.

    Example:
        >>> escape('a<b & "c"'), escape("bell" + chr(7)) == "bell" + chr(0xFFFD)
        ('a&lt;b &amp; &quot;c&quot;', True)
    """
    return html.escape(_FORBIDDEN.sub("\ufffd", text))
