"""What comes out of a step: checked as a whole before any of it is written, then written in one order.

The order of writes is that of the house: blobs, then lake commits, then the closing transaction of
the recording. Lake commits carry an app transaction made of the execution's uid, which a retry
keeps; so what a killed attempt has committed is not committed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.crash import crash_point, register
from whence._base.digest import sha256_bytes, spec_digest
from whence._base.rows import rows_digest
from whence.errors import DeniedError, UsageError, WhenceError
from whence.metadata.recording import Recording
from whence.metadata.types import Artifact, Value
from whence.pipelines.base import Rooms
from whence.pipelines.step import StepSignature
from whence.pipelines.types import ModelOutput, Report, Slot
from whence.registry import ModelVersion, canonical_skops

POINT_COMPUTED = register("pipelines.computed", "between a step's function and the first of its outputs")
POINT_BETWEEN = register("pipelines.between-outputs", "between two outputs of a step")
POINT_WRITTEN = register(
    "pipelines.written", "between a step's last output and the transaction that closes it"
)


@dataclass(frozen=True, slots=True)
class Computed:
    """One output, checked and not yet written."""

    slot: Slot
    index: int
    value: pa.Table | ModelOutput | Mapping[str, float] | Report


@dataclass(frozen=True, slots=True)
class Kept:
    """One output, written: where it is found again, and its digest."""

    slot: Slot
    ref: str
    digest: str
    inline: Value = None

    def to_dict(self) -> dict[str, Value]:
        """The output as it is stored with the step."""
        return {
            "kind": self.slot.kind,
            "name": self.slot.name,
            "mode": self.slot.mode,
            "ref": self.ref,
            "digest": self.digest,
            "inline": self.inline,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Value]) -> Kept:
        """The output as it was stored."""
        kind, mode, name = value["kind"], value["mode"], value.get("name")
        assert kind in ("table", "model", "metrics", "report")
        slot = Slot(kind, str(name) if name else None, "append" if mode == "append" else "overwrite")  # type: ignore[arg-type]  # checked above
        return cls(slot, str(value["ref"]), str(value["digest"]), value.get("inline"))


def check_outputs(step: str, signature: StepSignature, result: object) -> list[Computed]:
    """The outputs of a function by its annotation. Nothing is written when one of them does not fit.

    Raises:
        UsageError: There are more or fewer than annotated (``step-output-count``), or one cannot be
            kept as what it is annotated (``step-output``); step, output and type are named.
    """
    slots = signature.outputs
    values: Sequence[object]
    if signature.single:
        if not slots:
            if result is not None:
                raise UsageError(
                    f"step {step!r} returns a {type(result).__qualname__}, but its annotation names no output",
                    code="step-output-count",
                    hint='annotate the return: -> w.Table["name"], w.Model["name"], w.Metrics or w.Report',
                )
            return []
        values = [result]
    else:
        values = list(result) if isinstance(result, tuple | list) else [result]
    if len(values) != len(slots):
        raise UsageError(
            f"step {step!r} returns {len(values)} outputs, its annotation names {len(slots)}",
            code="step-output-count",
        )
    return [
        Computed(s, i, _checked(step, i, s, v)) for i, (s, v) in enumerate(zip(slots, values, strict=True))
    ]


def _checked(
    step: str, index: int, slot: Slot, value: object
) -> pa.Table | ModelOutput | Mapping[str, float] | Report:
    where = f"step {step!r}: output {index} ({slot.kind}{f' {slot.name!r}' if slot.name else ''})"
    if slot.kind == "table":
        try:
            return to_arrow(value)
        except WhenceError as error:
            raise UsageError(
                f"{where} is a {type(value).__qualname__}: {error.message}",
                code="step-output",
                hint=error.hint,
            ) from error
    if slot.kind == "model":
        estimator = value.estimator if isinstance(value, ModelOutput) else value
        if not (hasattr(estimator, "predict") or hasattr(estimator, "transform")):
            raise _unfit(where, estimator, "an estimator with predict or transform, or w.model(estimator, …)")
        return value if isinstance(value, ModelOutput) else ModelOutput(value)
    if slot.kind == "metrics":
        return _metrics(where, value)
    if isinstance(value, bytes | str):
        return Report(value)
    if not isinstance(value, Report):
        raise _unfit(where, value, "w.Report(content, media_type=…), text or bytes")
    return value


def _metrics(where: str, value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise _unfit(where, value, "a mapping of names to numbers")
    found: dict[str, float] = {}
    for name, number in value.items():
        try:
            found[str(name)] = float(number)
        except (TypeError, ValueError) as error:
            raise _unfit(f"{where}, metric {name!r}", number, "a number") from error
        if not math.isfinite(found[str(name)]):
            raise _unfit(f"{where}, metric {name!r}", number, f"a finite number, got {number}")
    return found


def _unfit(where: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"{where} is a {type(value).__qualname__}", code="step-output", hint=f"return {wanted}")


def model_bytes(output: ModelOutput) -> bytes:
    """The canonical bytes of a model that the code of this process has just made.

    Its types are trusted for this: they are no more dangerous than the code that made it. What is
    registered is checked by the registry.
    """
    try:
        return canonical_skops(output.estimator, trust=output.trusted)
    except DeniedError as error:
        named = error.details.get("types")
        types = [str(t) for t in named] if isinstance(named, list) else []
        return canonical_skops(output.estimator, trust=[*output.trusted, *types])


class Outputs:
    """Writes the outputs of one step."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def write(self, computed: Sequence[Computed], recording: Recording) -> list[Kept]:
        """Write all of them, into the recording; gives them in the order of the annotation."""
        crash_point(POINT_COMPUTED)
        kept: dict[int, Kept] = {}
        order = {"report": 0, "metrics": 1, "table": 2, "model": 3}
        for item in sorted(computed, key=lambda c: order[c.slot.kind]):
            if kept:
                crash_point(POINT_BETWEEN)
            kept[item.index] = self._write(item, recording)
        crash_point(POINT_WRITTEN)
        return [kept[i] for i in sorted(kept)]

    def _write(self, item: Computed, recording: Recording) -> Kept:
        value = item.value
        if isinstance(value, pa.Table):
            return self._table(item.slot, value, f"step/{recording.uid}/{item.index}")
        if isinstance(value, ModelOutput):
            return self._model(item.slot, value, recording)
        if isinstance(value, Report):
            return self._report(item, value, recording)
        assert isinstance(value, Mapping)
        return self._metrics(item, value, recording)

    def _table(self, slot: Slot, data: pa.Table, transaction: str) -> Kept:
        assert slot.name is not None
        handle = self._rooms.lake.table(slot.name)
        if slot.mode == "append":
            commit = handle.append(data, transaction=(transaction, 1))
            return self._kept_table(slot, handle.at(commit.version).digest(), commit.version)
        number = 1
        while True:
            commit = handle.overwrite(data, transaction=(transaction, number), evolve=True)
            have = handle.at(commit.version).digest()
            # An earlier attempt that was killed had committed other rows: a function that is not
            # deterministic. The rows of this attempt go with its other outputs.
            if not commit.duplicate or have == rows_digest(data).text:
                return self._kept_table(slot, have, commit.version)
            number += 1

    @staticmethod
    def _kept_table(slot: Slot, digest: str, version: int) -> Kept:
        return Kept(slot, f"table:{slot.name}@{version}", digest)

    def _model(self, slot: Slot, output: ModelOutput, recording: Recording) -> Kept:
        assert slot.name is not None
        version = self._registered(slot.name, output, recording)
        if version is None:
            version = self._rooms.models.register(
                slot.name,
                output.estimator,
                signature=output.signature,
                sample=output.sample,
                metrics=output.metrics,
                params=output.params,
                tags=output.tags,
                trusted=output.trusted,
            )
        return Kept(slot, version.ref, version.digest)

    def _registered(self, name: str, output: ModelOutput, recording: Recording) -> ModelVersion | None:
        """The version a killed attempt of this execution had registered, if it is the same model."""
        events = self._rooms.recorder.store.list_events(executions=[recording.uid])
        uids = [e.artifact for e in events if e.kind == "OUTPUT"]
        nodes = self._rooms.recorder.store.get_nodes("artifact", uids=list(dict.fromkeys(uids)))
        earlier = [
            n for n in nodes if isinstance(n, Artifact) and n.type == "Model" and n.get("model") == name
        ]
        if not earlier:
            return None
        digest = sha256_bytes(model_bytes(output))
        return next((self._rooms.models.get(str(n.name)) for n in earlier if n.get("digest") == digest), None)

    def _metrics(self, item: Computed, values: Mapping[str, float], recording: Recording) -> Kept:
        digest = spec_digest(dict(values))
        artifact = Artifact(
            type="Metrics",
            name=f"{recording.uid}/{item.index}",
            properties={"digest": digest},
            custom=dict(values),
        )
        recording.output(artifact, path=("metrics", item.index))
        run = self._rooms.runs.current()
        if run is not None:
            run.log_metrics(values)
        return Kept(item.slot, f"artifact:{artifact.uid}", digest, dict(values))

    def _report(self, item: Computed, report: Report, recording: Recording) -> Kept:
        digest = self._rooms.blobs.put(report.data)
        facts: dict[str, Value] = {"media_type": report.media_type, "name": report.name}
        artifact = Artifact(
            type="Report",
            name=f"{recording.uid}/{item.index}",
            uri=f"blob:{digest}",
            properties={"digest": digest, "media_type": report.media_type},
        )
        recording.output(artifact, path=("report", item.index))
        return Kept(item.slot, f"blob:{digest}", digest, facts)
