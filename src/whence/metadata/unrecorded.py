"""A recording that keeps nothing: for looking at a workspace without writing into it."""

from __future__ import annotations

from whence.metadata.ledger import Intent, Ledger
from whence.metadata.open import open_store
from whence.metadata.recording import Recording
from whence.metadata.types import NONE, Artifact, Execution, Written


class Unrecorded(Recording):
    """An execution that only reads, where nothing may be written down: what it notes is forgotten.

    Example:
        >>> Unrecorded("point_in_time").execution.type
        'point_in_time'
    """

    def __init__(self, type_: str) -> None:
        node = Execution(type=type_)
        intent = Intent(
            node=node, properties=NONE, inputs=(), expects=(), contexts=(), code=None, parent=None
        )
        ledger = Ledger(open_store("memory://"), "unrecorded", dict)
        super().__init__(ledger, intent, Written({node.uid: node}))

    def flush(self) -> None:
        """Nothing is written."""

    def expect(self, artifact: Artifact) -> Artifact:
        """Nothing is expected."""
        return artifact
