"""Crash points: named places where a test may kill the process, as a power cut would.

Each multi-step write calls `crash_point` between its steps. ``WHENCE_CRASH_AT=name`` (or
``name:3`` for the third passage) ends the process there with SIGKILL: nothing is flushed, no
handler runs. Without the variable a passage costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_REGISTRY: dict[str, str] = {}
_passages: dict[str, int] = {}
VARIABLE: Final = "WHENCE_CRASH_AT"


def register(name: str, meaning: str) -> str:
    """Declare a crash point once, at import; `list_points` shows all of them.

    Example:
        >>> register("doc.example", "between nothing and nothing")
        'doc.example'
    """
    _REGISTRY[name] = meaning
    return name


def list_points() -> dict[str, str]:
    """All declared crash points of the rooms loaded so far, with what lies between."""
    return dict(sorted(_REGISTRY.items()))


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    at, _, nth = wanted.partition(":")
    if at != name:
        return
    _passages[name] = _passages.get(name, 0) + 1
    if _passages[name] == int(nth or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
