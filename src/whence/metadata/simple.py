"""The nine simple types, present in every store, of which others may be derived."""

from __future__ import annotations

from typing import Final

from whence.metadata.types import Type

SIMPLE_TYPES: Final[tuple[Type, ...]] = (
    *(Type("artifact", f"mlmd.{name}") for name in ("Dataset", "Model", "Metrics", "Statistics")),
    *(Type("execution", f"mlmd.{name}") for name in ("Train", "Transform", "Process", "Evaluate", "Deploy")),
)
"""Source: ML Metadata ``mlmd_types.py``, names as stored there."""
