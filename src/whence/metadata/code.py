"""The code an execution ran: what pipelines hand the recorder to keep."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from whence.metadata.types import NONE, Artifact, Properties


@runtime_checkable
class Blobs(Protocol):
    """What the recorder needs of a blob store."""

    def put(self, data: bytes, /) -> str:
        """Keep the bytes; returns their digest."""
        ...


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """A function and its closure, by digest.

    Attributes:
        name: Its qualified name: ``flights.train``.
        digest: Names the closure: equal code has an equal digest.
        source: The closure as text; kept in the blob store when the recorder has one, else in the graph.
        blob: The digest of the stored closure, when it is stored already.
        properties: What else is known of it: packages it imports, names that could not be resolved.
    """

    name: str
    digest: str
    source: str | None = None
    blob: str | None = None
    properties: Properties = field(default_factory=lambda: NONE)

    def stored(self, blobs: Blobs | None) -> CodeInfo:
        """The same, its source in the blob store."""
        if self.source is None or self.blob is not None or blobs is None:
            return self
        return replace(self, blob=blobs.put(self.source.encode()))

    def artifact(self) -> Artifact:
        """The artifact of type ``Code`` that stands for it."""
        typed: dict[str, str | None] = {"qualified_name": self.name, "digest": self.digest, "blob": self.blob}
        if self.blob is None and self.source is not None:
            typed["source"] = self.source
        return Artifact(
            type="Code",
            name=self.digest,
            uri=f"blob:{self.blob}" if self.blob else None,
            properties={name: value for name, value in typed.items() if value is not None},
            custom=self.properties,
        )
