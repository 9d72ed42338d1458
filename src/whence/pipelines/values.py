"""What goes into a step: each input resolved to one version, with its digest and its place in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from whence._base.digest import spec_digest
from whence._base.refs import Ref
from whence.errors import NotFoundError, UsageError
from whence.lake import Table as TableHandle
from whence.lake import TableVersion
from whence.metadata.types import Artifact, Value
from whence.pipelines.base import Rooms
from whence.pipelines.types import Report, Slot
from whence.registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Given:
    """One resolved input of a step.

    Attributes:
        param: The parameter it is passed as.
        slot: What the parameter is annotated with.
        ref: The version, as text; it finds the same thing again later.
        digest: Of the contents.
        artifact: Its node in the graph; None for metrics given by hand.
        inline: The value itself, where it is stored with the step (metrics).
    """

    param: str
    slot: Slot
    ref: str
    digest: str
    artifact: Artifact | None = None
    inline: Value = None
    version: TableVersion | ModelVersion | None = field(default=None, compare=False, repr=False)
    """What the reference stood for when it was resolved."""

    def to_dict(self) -> dict[str, Value]:
        """The input as it is stored with the step."""
        return {"kind": self.slot.kind, "ref": self.ref, "digest": self.digest, "inline": self.inline}


class Inputs:
    """Finds what an argument stands for, and loads it when the step runs."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def resolve(self, param: str, slot: Slot, value: object, pins: Mapping[str, int], *, step: str) -> Given:
        """The one version an argument stands for.

        Args:
            param: The parameter's name.
            slot: Its annotation.
            value: None (the version of `pins`, or the newest), a reference, or a version itself.
            pins: The table versions this run reads.
            step: For messages.

        Raises:
            NotFoundError: The table or model is absent.
            UsageError: The value is of no kind that fits (``step-input``).
        """
        if slot.kind == "table":
            return self._table(param, slot, value, pins, step)
        if slot.kind == "model":
            return self._model(param, slot, value, step)
        if slot.kind == "metrics" and isinstance(value, Mapping):
            inline = {str(k): float(v) for k, v in value.items()}
            return Given(param, slot, "value", spec_digest(inline), inline=inline)
        if slot.kind == "report" and isinstance(value, Report):
            digest = self._rooms.blobs.put(value.data)
            return Given(
                param,
                slot,
                f"blob:{digest}",
                digest,
                inline={"media_type": value.media_type, "name": value.name},
            )
        raise _misfit(step, param, slot, value)

    def _table(self, param: str, slot: Slot, value: object, pins: Mapping[str, int], step: str) -> Given:
        if isinstance(value, TableVersion):
            version = value
        elif isinstance(value, TableHandle):
            version = self._pinned(value.name, pins)
        elif isinstance(value, str):
            ref = Ref.parse(value, kind="table")
            version = (
                self._pinned(ref.name, pins)
                if ref.version is None
                else self._rooms.lake.table(ref.name).at(ref.number or 0)
            )
        elif value is None and slot.name is not None:
            version = self._pinned(slot.name, pins)
        else:
            raise _misfit(step, param, slot, value)
        return Given(param, slot, version.ref, version.digest(), version.artifact(), version=version)

    def _pinned(self, name: str, pins: Mapping[str, int]) -> TableVersion:
        handle = self._rooms.lake.table(name)
        if name in pins:
            return handle.at(pins[name])
        if not handle.exists:
            raise NotFoundError(
                "table", name, near=self._rooms.lake.list(), hint="whence table list shows all"
            )
        return handle.head()

    def _model(self, param: str, slot: Slot, value: object, step: str) -> Given:
        if isinstance(value, ModelVersion):
            version = value
        elif isinstance(value, str):
            version = self._rooms.models.get(value)
        elif value is None and slot.name is not None:
            version = self._rooms.models.get(slot.name) if "@" in slot.name else self._newest(slot.name)
        else:
            raise _misfit(step, param, slot, value)
        return Given(
            param, slot, version.ref, version.digest, self._rooms.models.artifact(version), version=version
        )

    def _newest(self, name: str) -> ModelVersion:
        versions = self._rooms.models.versions(name)
        if not versions:
            raise NotFoundError(
                "model", name, near=self._rooms.models.list(), hint="whence models list shows all"
            )
        return versions[-1]

    def load(self, given: Given) -> object:
        """The value a step gets: a pinned `TableVersion`, a `ModelVersion`, metrics, or a `Report`."""
        if given.slot.kind in ("table", "model"):
            return given.version
        if given.slot.kind == "report":
            facts = given.inline if isinstance(given.inline, Mapping) else {}
            data = self._rooms.blobs.get(given.digest)
            name = facts.get("name")
            return Report(data, str(facts.get("media_type", "text/plain")), str(name) if name else None)
        assert isinstance(given.inline, Mapping)
        return {str(k): float(v) for k, v in given.inline.items() if isinstance(v, int | float)}


def _misfit(step: str, param: str, slot: Slot, value: object) -> UsageError:
    return UsageError(
        f"step {step!r}: input {param!r} is a {slot.kind}, got {type(value).__qualname__}",
        code="step-input",
        hint="pass a reference such as table:labels@3, a version, or the output of a step",
    )
