"""Whether an earlier result may be taken, and why not.

The key is the digest of code, params and **input digests**; it does not ask whether the steps before
were cached. What a step read beside its declared inputs is known only after it has run: it is stored
with the execution, and a hit requires that the run's own versions of those tables have the same
digests. A hit also requires that every output is still there and, read again, has its digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from whence._base.digest import spec_digest
from whence._base.refs import Ref
from whence._base.rows import rows_digest
from whence.errors import NotFoundError, WhenceError
from whence.metadata.types import Execution, Value
from whence.pipelines.base import Rooms
from whence.pipelines.closure import StepCode
from whence.pipelines.outputs import Kept
from whence.pipelines.step import StepSignature
from whence.pipelines.types import Decision, Reason
from whence.pipelines.values import Given

CANDIDATES: Final = 16
"""How many earlier results with the same key are looked at, newest first."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is about to be run: everything its cache key is made of."""

    step: str
    code: StepCode
    params: Mapping[str, Value]
    inputs: Sequence[Given]
    signature: StepSignature

    def key(self) -> str:
        """The cache key."""
        return spec_digest(
            {
                "code": self.code.digest,
                "params": self.params,
                "inputs": {g.param: g.digest for g in self.inputs},
                "slots": self.slots(),
            }
        )

    def slots(self) -> list[str]:
        """What goes in and out, as text."""
        return [s.spec() for s in (*self.signature.inputs.values(), *self.signature.outputs)]

    def facts(self) -> dict[str, Value]:
        """The parts of the key as they are stored, so that a later miss can be explained."""
        return {
            "code_digest": self.code.digest,
            "code_parts": dict(self.code.parts),
            "packages": dict(self.code.packages),
            "inputs": {g.param: g.to_dict() for g in self.inputs},
            "slots": list(self.slots()),
        }


class Cache:
    """Looks for earlier results in the graph."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._store = rooms.recorder.store
        self._latest: dict[str, Execution] = {}

    def remember(self, execution: Execution) -> None:
        """A step has just ended here: the next miss of it is explained against this one, without a query."""
        self._latest[str(execution.get("step"))] = execution

    def decide(
        self, request: Request, pins: Mapping[str, int], *, enabled: bool
    ) -> tuple[Decision, Execution | None]:
        """Whether to take an earlier result; with it, when so.

        Args:
            request: What is about to be run.
            pins: The table versions of this run, for what is read beside the declared inputs.
            enabled: False when the step or the run asks for no cache.
        """
        key = request.key()
        if not enabled:
            return Decision(request.step, "off", (Reason("off", "cache=False"),), key), None
        if request.code.uncacheable:
            reasons = tuple(Reason("uncacheable", text) for text in request.code.uncacheable)
            return Decision(request.step, "uncacheable", reasons, key), None
        refused: tuple[Reason, ...] = ()
        against: str | None = None
        for candidate in self._candidates(key):
            reasons = tuple(self._obstacles(candidate, pins))
            if not reasons:
                taken = Reason("same", "code, params and inputs")
                return Decision(request.step, "hit", (taken,), key, f"execution:{candidate.uid}"), candidate
            if not refused:
                refused, against = reasons, f"execution:{candidate.uid}"
        if refused:
            only = all(r.what == "uncacheable" for r in refused)
            return Decision(request.step, "uncacheable" if only else "miss", refused, key, against), None
        return self._explain(request, key), None

    def _candidates(self, key: str) -> list[Execution]:
        page = self._store.find_nodes(
            "execution",
            type_="step",
            state="COMPLETE",
            where={"cache_key": key},
            descending=True,
            limit=CANDIDATES,
        )
        return [n for n in page.nodes if isinstance(n, Execution)]

    def _obstacles(self, candidate: Execution, pins: Mapping[str, int]) -> list[Reason]:
        """Why the result of `candidate` cannot be taken; empty when it can."""
        writes = candidate.get("writes")
        if isinstance(writes, Sequence) and writes:
            return [
                Reason("uncacheable", f"it writes {', '.join(str(w) for w in writes)} beside its outputs")
            ]
        reads = candidate.get("reads")
        found: list[Reason] = []
        for name, read in reads.items() if isinstance(reads, Mapping) else ():
            assert isinstance(read, Mapping)
            found.extend(self._read_differs(name, read, pins))
        if found:
            return found
        return [r for kept in outputs_of(candidate) if (r := self._gone(kept)) is not None]

    def _read_differs(self, name: str, read: Mapping[str, Value], pins: Mapping[str, int]) -> list[Reason]:
        if read.get("kind") == "view":
            return self._view_differs(str(read["view"]), str(read["digest"]))
        if read.get("kind") != "table":
            return [Reason("uncacheable", f"it reads {read.get('ref')} without declaring it as an input")]
        before, table = str(read["digest"]), str(read["table"])
        if read.get("version") == pins.get(table):
            return []
        try:
            version = self._rooms.lake.table(table).at(pins[table])
            now: str | None = version.digest()
        except (KeyError, WhenceError):
            now = None
        return [] if now == before else [Reason("read", name, before, now)]

    def _view_differs(self, name: str, before: str) -> list[Reason]:
        """A view may have been named by the code, or looked up: it must still be the one in force."""
        try:
            now: str | None = self._rooms.features.get(name).digest
        except NotFoundError:
            return []  # never applied, so the code itself holds it
        return [] if now == before else [Reason("read", f"feature_view:{name}", before, now)]

    def _gone(self, kept: Kept) -> Reason | None:
        """Why an output cannot be taken: absent, or its bytes are not those of its digest."""
        try:
            have = self._digest_now(kept)
        except WhenceError as error:
            return Reason("output", kept.ref, kept.digest, f"gone: {error.message}")
        return None if have == kept.digest else Reason("output", kept.ref, kept.digest, have)

    def _digest_now(self, kept: Kept) -> str:
        if kept.slot.kind == "table":
            ref = Ref.parse(kept.ref)
            return rows_digest(self._rooms.lake.table(ref.name).at(ref.number or 0).arrow()).text
        if kept.slot.kind == "model":
            version = self._rooms.models.get(kept.ref)
            self._rooms.blobs.get(version.digest)
            return version.digest
        if kept.slot.kind == "report":
            self._rooms.blobs.get(kept.digest)
        return kept.digest

    # explanation

    def _explain(self, request: Request, key: str) -> Decision:
        """What differs from the latest execution of the same step."""
        before = self._latest.get(request.step) or self._latest_stored(request.step)
        if before is None:
            return Decision(request.step, "miss", (Reason("first-run", ""),), key)
        reasons = tuple(_differences(before, request)) or (
            Reason("first-run", "no result of this key is complete"),
        )
        return Decision(request.step, "miss", reasons, key, f"execution:{before.uid}")

    def _latest_stored(self, step: str) -> Execution | None:
        page = self._store.find_nodes(
            "execution",
            type_="step",
            state=("COMPLETE", "CACHED"),
            where={"step": step},
            descending=True,
            limit=1,
        )
        return next((n for n in page.nodes if isinstance(n, Execution)), None)


def outputs_of(execution: Execution) -> list[Kept]:
    """The outputs stored with a step's execution, in the order of its annotation."""
    stored = execution.get("outputs")
    if not isinstance(stored, Sequence):
        return []
    return [Kept.from_dict(item) for item in stored if isinstance(item, Mapping)]


def decision_of(execution: Execution) -> Decision | None:
    """The decision stored with a step's execution."""
    stored = execution.get("decision")
    if not isinstance(stored, Mapping):
        return None
    reasons = stored.get("reasons")
    return Decision(
        step=str(stored["step"]),
        outcome=stored["outcome"],  # type: ignore[arg-type]  # written by Decision.to_dict
        reasons=tuple(
            Reason(str(r["what"]), str(r["name"]), _optional(r.get("before")), _optional(r.get("now")))
            for r in (reasons if isinstance(reasons, Sequence) else ())
            if isinstance(r, Mapping)
        ),
        key=str(stored["key"]),
        against=_optional(stored.get("against")),
    )


def _differences(before: object, request: Request) -> list[Reason]:
    assert isinstance(before, Execution)
    found = _compare("code", before.get("code_parts"), request.code.parts)
    found += _compare("package", before.get("packages"), request.code.packages)
    found += _compare("param", before.get("params"), request.params)
    stored = before.get("inputs")
    digests = {
        str(k): v.get("digest")
        for k, v in (stored.items() if isinstance(stored, Mapping) else ())
        if isinstance(v, Mapping)
    }
    found += _compare("input", digests, {g.param: g.digest for g in request.inputs})
    slots = before.get("slots")
    if isinstance(slots, Sequence) and list(slots) != request.slots():
        found.append(Reason("slots", "", ", ".join(str(s) for s in slots), ", ".join(request.slots())))
    return found


def _compare(what: str, before: object, now: Mapping[str, Value]) -> list[Reason]:
    old = before if isinstance(before, Mapping) else {}
    return [
        Reason(what, name, _optional(old.get(name)), _optional(now.get(name)))
        for name in sorted({*old, *now})
        if old.get(name) != now.get(name)
    ]


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
