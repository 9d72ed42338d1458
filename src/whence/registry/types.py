"""The value objects of the registry: columns and signatures, model versions, aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from whence.metadata.types import NONE, ArtifactState, Properties


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a signature: its name and its Arrow type as text, ``double``, ``timestamp[us, tz=UTC]``."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, by column.

    Example:
        >>> Signature((Column("depth", "int64"),), (Column("score", "double"),)).names
        ('depth',)
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in the model's order."""
        return tuple(column.name for column in self.inputs)

    def to_dict(self) -> dict[str, list[dict[str, str | bool]]]:
        """The signature as it is stored in the graph."""
        return {"inputs": [_spell(c) for c in self.inputs], "outputs": [_spell(c) for c in self.outputs]}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Sequence[Mapping[str, object]]]) -> Signature:
        """The signature as it was stored."""
        return cls(tuple(map(_read, spec["inputs"])), tuple(map(_read, spec.get("outputs", ()))))


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model, exactly: its bytes are those of `digest`.

    Attributes:
        name: The registered model, ``late``.
        version: 1, 2, 3, …; numbers are never used twice.
        digest: sha256 of the canonical file.
        format: How the file is read, ``skops``.
        size_bytes: How large the file is.
        uid: The artifact in the graph.
        execution: The execution that registered it, ``execution:01J…``.
        signature: What it takes and gives, when known.
        metrics, params, tags: As given when it was registered.
        packages: The versions of the packages that wrote the file.
        trust: The types beyond whence's own list that it was registered with.
        properties: Everything the graph holds about it.
    """

    name: str
    version: int
    digest: str
    format: str
    size_bytes: int
    uid: str
    execution: str | None = None
    signature: Signature | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    params: Properties = field(default_factory=lambda: NONE)
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    packages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    trust: tuple[str, ...] = ()
    state: ArtifactState = "LIVE"
    created_at: datetime | None = None
    properties: Properties = field(default_factory=lambda: NONE)

    @property
    def ref(self) -> str:
        """``model:late@3``."""
        return f"model:{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class AliasMove:
    """An alias was moved: from which version to which, when, and by which execution.

    Attributes:
        version: Where it points since; None when it was removed.
        previous: Where it pointed before; None when it was new.
        number: The how-manieth change of the registered model this was.
        at: When it was done, by the wall.
        undoes: The number of the move this one took back; None for any other move.
        moment: When it was by the clock of a replay; None outside of one.
    """

    model: str
    alias: str
    version: int | None
    previous: int | None
    number: int
    execution: str
    reason: str = ""
    at: datetime | None = None
    undoes: int | None = None
    moment: datetime | None = None


def _spell(column: Column) -> dict[str, str | bool]:
    return {"name": column.name, "type": column.type, "nullable": column.nullable}


def _read(spec: Mapping[str, object]) -> Column:
    return Column(str(spec["name"]), str(spec["type"]), bool(spec.get("nullable", True)))
