"""Digests of bytes and of specifications. Digests of rows live in `whence._base.rows`."""

from __future__ import annotations

import hashlib
import json

from whence.errors import UsageError

PREFIX = "sha256:"


def sha256_bytes(data: bytes | memoryview) -> str:
    """The digest of bytes, with its algorithm in front.

    Example:
        >>> sha256_bytes(b"")[:15]
        'sha256:e3b0c442'
    """
    return PREFIX + hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces, no NaN: equal values give equal text.

    Raises:
        UsageError: The value holds something JSON cannot say, or NaN or an infinity.

    Example:
        >>> canonical_json({"b": 1, "a": [1.5, None]})
        '{"a":[1.5,null],"b":1}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"not expressible as canonical JSON: {error}", code="not-canonical") from error


def spec_digest(value: object) -> str:
    """The digest of a definition: sha256 of its canonical JSON.

    Example:
        >>> spec_digest({"a": 1, "b": 2}) == spec_digest({"b": 2, "a": 1})
        True
    """
    return sha256_bytes(canonical_json(value).encode())


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 digest in our form."""
    return (
        text.startswith(PREFIX)
        and len(text) == len(PREFIX) + 64
        and all(c in "0123456789abcdef" for c in text[len(PREFIX) :])
    )
