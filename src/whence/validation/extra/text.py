"""Text that is an address, and text of a language."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array

# A scheme of a place to fetch from, a host (or bucket), then anything without blanks.
_URL: Final = r"^(?i:https?|ftps?|sftp|wss?|s3a?|gs|hdfs|abfss?)://[^\s/?#]+[^\s]*$"
# What separates words: the blanks of Unicode.
_BLANK: Final = r"[\t-\r\x1c-\x20\x{85}\p{Z}]"
_WORD: Final = r"[^\t-\r\x1c-\x20\x{85}\p{Z}]+"

MIN_WORDS: Final = 3
MIN_WORD_LENGTH: Final = 2.5
MAX_WORD_LENGTH: Final = 8.0
CROP: Final = 100
"""Characters of a value that are looked at."""


def urls(values: pa.Array) -> Array:
    """Which of n texts are absolute addresses: ``scheme://host…`` without blanks.

    Example:
        >>> urls(pa.array(["https://a.org/x?y=1", "HTTP://a", "a.org", "see http://a.org"])).tolist()
        [True, True, False, False]
    """
    found: Array = pc.match_substring_regex(values, _URL).to_numpy(zero_copy_only=False)
    return found


def sentences(values: pa.Array) -> Array:
    """Which of n valid texts look like a language: 3 or more words of 2.5 to 8 characters in the mean.

    Only the first 100 characters are looked at.

    Example:
        >>> sentences(pa.array(["The quick brown fox", "a b c", "x7-99", ""])).tolist()
        [True, False, False, False]
    """
    start = pc.utf8_slice_codeunits(values, 0, CROP)
    words: Array = pc.count_substring_regex(start, _WORD).to_numpy(zero_copy_only=False)
    blanks: Array = pc.count_substring_regex(start, _BLANK).to_numpy(zero_copy_only=False)
    letters: Array = pc.utf8_length(start).to_numpy(zero_copy_only=False) - blanks
    enough: Array = words >= MIN_WORDS
    return enough & (letters >= MIN_WORD_LENGTH * words) & (letters <= MAX_WORD_LENGTH * words)


def valid_texts(values: pa.Array) -> tuple[pa.Array, Array | None]:
    r"""Those of n texts or bytes that are UTF-8, as text; which they are, None for all.

    Example:
        >>> kept, here = valid_texts(pa.array([b"a", b"\xff"]))
        >>> kept.to_pylist(), here.tolist()
        (['a'], [True, False])
    """
    kind = pa.string() if pa.types.is_string(values.type) or pa.types.is_binary(values.type) else None
    try:
        text = values.cast(kind or pa.large_string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        plain = [_decoded(v) for v in values.cast(pa.large_binary()).to_pylist()]
        kept = pa.array(plain, pa.string())
        here: Array = kept.is_valid().to_numpy(zero_copy_only=False)
        return kept.drop_null(), here
    return text, None


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None
