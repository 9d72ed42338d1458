"""Scoring that does not end: following a table, and answering requests. The ports; not built yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from whence.errors import UnsupportedError


def follow_table(model: str, table: str) -> NoReturn:
    """Score a table's commits as they come.

    Raises:
        UnsupportedError: Always (``stream-scoring``).
    """
    raise UnsupportedError(
        f"following {table!r} with {model} is not built yet",
        code="stream-scoring",
        hint="ws.serving.score(…) scores a version, once, however often it is called",
    )


def answer_request(model: str, rows: Sequence[Mapping[str, object]]) -> NoReturn:
    """Answer a request with predictions.

    Raises:
        UnsupportedError: Always (``request-scoring``).
    """
    raise UnsupportedError(
        f"answering a request of {len(rows)} rows with {model} is not built yet",
        code="request-scoring",
        hint="ws.serving.score(…) scores rows that are given by hand",
    )
