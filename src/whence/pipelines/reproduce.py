"""`reproduce`: run a step again on what it read, and compare what comes out.

The stored code runs in a process of its own, on the recorded versions, with nothing recorded and
nothing written; its outputs are digested there and compared here. When an ancestor is substituted, the
steps between it and the target run again one after the other, each on what the one before gave.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.progress import progress
from whence._base.refs import Ref
from whence._base.rows import rows_digest
from whence.errors import IntegrityError, NotFoundError, UsageError, WhenceError
from whence.lake import TableVersion
from whence.metadata.open import declare_types
from whence.metadata.types import Artifact, Execution, Type, Value
from whence.pipelines.ancestry import Again, Ancestry, as_step, inputs_of, producers_of
from whence.pipelines.base import Rooms
from whence.pipelines.cache import outputs_of
from whence.pipelines.child import read_rows, write_rows
from whence.pipelines.compare import compare_digests, compare_metrics, compare_tables
from whence.pipelines.environment import differences, package_differences
from whence.pipelines.outputs import Kept
from whence.pipelines.remake import CodeChoice, Impossible, Remaker
from whence.pipelines.types import Difference, OutputComparison, Verdict, VerdictKind

Substitute: TypeAlias = "TableVersion | pa.Table | Path | str | int | object"

REPRODUCE_TYPE: Final = Type(
    "execution",
    "reproduce",
    {"target": "STRING", "verdict": "STRING", "answer": "STRUCT"},
    description="a step run again and compared with what was recorded",
)


@dataclass(frozen=True, slots=True)
class _Substituted:
    """What stands in for a table: a version of itself, or rows."""

    table: str
    digest: str
    version: int | None = None
    rows: pa.Table | None = None


@dataclass
class _Made:
    """What came out of one step that ran again."""

    again: Again
    folder: Path
    result: Mapping[str, Any]
    comparisons: list[OutputComparison] = field(default_factory=list)

    @property
    def step(self) -> str:
        return str(self.again.execution.get("step"))


class Reproducer:
    """Makes steps again.

    Args:
        rooms: The workspace.
        remaker: Runs single steps again.
    """

    def __init__(self, rooms: Rooms, remaker: Remaker) -> None:
        self._rooms = rooms
        self._store = rooms.recorder.store
        self._remaker = remaker
        declare_types(self._store, [REPRODUCE_TYPE])

    def reproduce(
        self, ref: str, *, inputs: Mapping[str, Substitute] | None = None, code: CodeChoice = "stored"
    ) -> Verdict:
        """Run what made `ref` again and compare.

        Args:
            ref: A run or execution; or a table version or model version, which means the step that made it.
            inputs: Table → what to read in its place: a version (``12``, ``table:flights@12``, a
                `TableVersion`), rows, or the path of a file. It may be an ancestor: the steps between run again.
            code: ``stored`` runs the code as it was; ``current`` as it is now.

        Raises:
            NotFoundError: There is no such execution, table or model.
            UsageError: A substituted table is none that the step came from (``not-an-ancestor``).

        Records:
            One execution ``reproduce`` that reads the outputs it was compared with.
        """
        if code not in ("stored", "current"):
            raise UsageError(f"code must be 'stored' or 'current', got {code!r}", code="bad-code")
        target = self._target(ref)
        params: dict[str, Value] = {
            "ref": ref,
            "code": code,
            "inputs": {k: _describe(v) for k, v in (inputs or {}).items()},
        }
        compared = [(a, ("compared",)) for a in _outputs(self._store, target)]
        with self._rooms.recorder.execution(
            "reproduce", params=params, inputs=compared, looks=True
        ) as recording:
            try:
                verdict = self._attempt(target, dict(inputs or {}), code)
            except Impossible as why:
                verdict = Verdict("impossible", f"execution:{target.uid}", reason=str(why))
            recording.set(target=target.uid, verdict=verdict.verdict, answer=verdict.to_dict())
            return replace(verdict, execution=recording.ref)

    def maker(self, ref: str) -> Execution:
        """The execution that made a table version or model version; a cached one leads to its origin.

        Raises:
            NotFoundError: There is no such version, or nothing is known to have made it.
        """
        return self._producer(Ref.parse(ref))

    # what to run

    def _target(self, ref: str) -> Execution:
        parsed = Ref.parse(ref)
        if parsed.kind in ("run", "execution"):
            found = self._store.get_nodes("execution", uids=[parsed.name])
            if not found or not isinstance(found[0], Execution):
                raise NotFoundError(parsed.kind, parsed.name, hint="whence runs list shows all")
            return as_step(self._store, found[0])
        if parsed.kind == "step":
            page = self._store.find_nodes(
                "execution",
                type_="step",
                state=("COMPLETE", "CACHED"),
                where={"step": parsed.name},
                descending=True,
                limit=1,
            )
            if not page.nodes or not isinstance(page.nodes[0], Execution):
                raise NotFoundError("step", parsed.name)
            return as_step(self._store, page.nodes[0])
        if parsed.kind in ("table", "model"):
            return self._producer(parsed)
        raise UsageError(
            f"{ref} names a {parsed.kind}; a run, an execution, a step, a table version or a model version can be made again",
            code="bad-reference",
        )

    def _producer(self, ref: Ref) -> Execution:
        if ref.kind == "model":
            ref = Ref.parse(self._rooms.models.get(str(ref)).ref)
            type_ = "Model"
        else:
            handle = self._rooms.lake.table(ref.name)
            version = handle.head() if ref.version is None else handle.at(ref.number or 0)
            ref = Ref.parse(version.ref)
            type_ = "TableVersion"
        page = self._store.find_nodes("artifact", type_=type_, name=f"{ref.name}@{ref.version}", limit=1)
        node = page.nodes[0] if page.nodes else None
        found = producers_of(self._store, node) if isinstance(node, Artifact) else []
        if not found:
            raise NotFoundError("execution that made", str(ref))
        return found[0]

    def _attempt(self, target: Execution, inputs: dict[str, Substitute], code: CodeChoice) -> Verdict:
        self._check_target(target)
        substitutes = {name: self._substitute(name, value) for name, value in inputs.items()}
        ref = f"execution:{target.uid}"
        with tempfile.TemporaryDirectory(prefix="whence-reproduce-") as top:
            folder = Path(top)
            current = self._current_parts(target, folder) if code == "current" else {}
            changed = {uid for uid, parts in current.items() if parts[0] != parts[1]}
            ancestry = Ancestry(self._store, frozenset(substitutes), changed)
            plan = ancestry.plan(target)
            self._check_plan(ancestry, substitutes)
            made: list[_Made] = []
            with progress("reproducing", total=len(plan)) as advance:
                for n, again in enumerate(plan):
                    made.append(self._make(again, made, substitutes, folder / str(n), code))
                    advance(note=made[-1].step)
            return self._verdict(ref, made, substitutes, current)

    def _check_target(self, target: Execution) -> None:
        if target.type != "step":
            raise Impossible(
                f"execution:{target.uid} is of type {target.type}: only steps have stored code to run again"
            )
        if target.state != "COMPLETE":
            raise Impossible(
                f"execution:{target.uid} is {target.state}: there is no complete result to compare with"
            )
        self._remaker.check_possible()

    @staticmethod
    def _check_plan(ancestry: Ancestry, substitutes: Mapping[str, _Substituted]) -> None:
        unknown = sorted(set(substitutes) - ancestry.reached)
        if unknown:
            raise UsageError(
                f"{', '.join(repr(u) for u in unknown)} is no table this came from",
                code="not-an-ancestor",
                hint="tables: " + ", ".join(sorted(ancestry.tables)),
            )
        if ancestry.blocked:
            raise Impossible(ancestry.blocked[0])

    def _substitute(self, name: str, value: Substitute) -> _Substituted:
        if isinstance(value, TableVersion) and value.table == name:
            return _Substituted(name, value.digest(), version=value.version)
        if isinstance(value, TableVersion):
            rows = value.arrow()
        elif isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            version = self._rooms.lake.table(name).at(int(value))
            return _Substituted(name, version.digest(), version=version.version)
        elif isinstance(value, str) and value.startswith("table:"):
            ref = Ref.parse(value, kind="table")
            handle = self._rooms.lake.table(ref.name)
            return self._substitute(
                name, handle.head() if ref.version is None else handle.at(ref.number or 0)
            )
        else:
            rows = to_arrow(value)
        return _Substituted(name, rows_digest(rows).text, rows=rows)

    # running

    def _make(
        self,
        again: Again,
        made: Sequence[_Made],
        substitutes: Mapping[str, _Substituted],
        folder: Path,
        code: CodeChoice,
    ) -> _Made:
        folder.mkdir()
        params, inputs, pins, tables = self._given(again, made, substitutes, folder)
        result = self._remaker.remake(
            again.execution, folder, params=params, inputs=inputs, pins=pins, tables=tables, code=code
        )
        out = _Made(again, folder, result)
        failed = result.get("failed")
        if not failed:
            out.comparisons = [
                self._compare(kept, answer, folder)
                for kept, answer in zip(outputs_of(again.execution), result["outputs"], strict=False)
            ]
        return out

    def _given(
        self,
        again: Again,
        made: Sequence[_Made],
        substitutes: Mapping[str, _Substituted],
        folder: Path,
    ) -> tuple[Mapping[str, Value], Mapping[str, Value], Mapping[str, Value], Mapping[str, Value]]:
        """Params, inputs, versions and files of rows: as recorded, but for what is substituted or made anew."""
        execution = again.execution
        changed = {
            ref: (m, i) for m in made for i, ref in enumerate(k.ref for k in outputs_of(m.again.execution))
        }
        pins: dict[str, Value] = {str(k): v for k, v in _mapping(execution.get("pins")).items()}
        tables: dict[str, Value] = {}
        for name in sorted(again.substituted):
            substitute = substitutes[name]
            if substitute.rows is not None:
                write_rows(folder / f"input-{name}.arrow", substitute.rows)
                tables[name] = f"input-{name}.arrow"
            else:
                pins[name] = substitute.version
        for item in again.inputs:
            if item.ref in changed and item.table is not None and item.table not in again.substituted:
                source, index = changed[item.ref]
                tables[item.table] = str(source.folder / source.result["outputs"][index]["file"])
        inputs: dict[str, Value] = {
            param: self._job_input(_mapping(given), changed, again, substitutes)
            for param, given in _mapping(execution.get("inputs")).items()
        }
        return dict(_mapping(execution.get("params"))), inputs, pins, tables

    def _job_input(
        self,
        given: Mapping[str, Value],
        changed: Mapping[str, tuple[_Made, int]],
        again: Again,
        substitutes: Mapping[str, _Substituted],
    ) -> dict[str, Value]:
        ref, kind = str(given["ref"]), str(given["kind"])
        out: dict[str, Value] = {
            "kind": kind,
            "ref": ref,
            "digest": given.get("digest"),
            "inline": given.get("inline"),
        }
        if kind == "table":
            name = Ref.parse(ref).name
            if name in again.substituted and substitutes[name].version is not None:
                out["ref"] = f"table:{name}@{substitutes[name].version}"
            elif name not in again.substituted and ref not in changed:
                self._remaker.check_table(ref)
            return out
        if ref not in changed:
            if kind == "model":
                self._remaker.check_blob(str(given["digest"]), ref)
            return out
        source, index = changed[ref]
        answer = source.result["outputs"][index]
        out["digest"], out["inline"] = answer["digest"], answer.get("inline", out["inline"])
        if kind == "model" and answer["digest"] != given["digest"]:
            # By its digest the child finds it like any other; nothing in the graph refers to it.
            self._rooms.blobs.put(source.folder / answer["file"])
        elif "file" in answer:
            out["file"] = str(source.folder / answer["file"])
        return out

    def _current_parts(
        self, target: Execution, folder: Path
    ) -> dict[str, tuple[Mapping[str, str], Mapping[str, str]]]:
        """For the target and every step above it: the parts of its code as recorded, and as they are now."""
        found: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {}
        for n, execution in enumerate(_steps_above(self._store, target)):
            place = folder / f"now-{n}"
            place.mkdir()
            found[execution.uid] = (
                _texts(execution.get("code_parts")),
                self._remaker.current_parts(execution, place),
            )
        return found

    # comparing

    def _compare(self, kept: Kept, answer: Mapping[str, Any], folder: Path) -> OutputComparison:
        name = kept.ref
        if kept.slot.kind == "metrics":
            recorded = {k: float(v) for k, v in _mapping(kept.inline).items() if isinstance(v, int | float)}
            return compare_metrics(name, recorded, answer["inline"])
        if kept.slot.kind != "table":
            return self._compare_bytes(name, kept.digest, answer["digest"])
        if answer["digest"] == kept.digest:
            return compare_digests(name, kept.digest, answer["digest"])
        if kept.slot.mode == "append":
            return compare_digests(name, kept.digest, answer["digest"])
        ref = Ref.parse(kept.ref)
        try:
            recorded_rows = self._rooms.lake.table(ref.name).at(ref.number or 0).arrow()
        except WhenceError as error:
            note = f"the digests differ; the recorded rows are gone: {error.message}"
            return OutputComparison(name, kept.digest, answer["digest"], "different", note=note)
        return compare_tables(name, recorded_rows, read_rows(folder / answer["file"]))

    def _compare_bytes(self, name: str, recorded: str, reproduced: str) -> OutputComparison:
        """A model or report by its digest; and whether what is stored under it still has it."""
        found = compare_digests(name, recorded, reproduced)
        try:
            self._rooms.blobs.get(recorded)
        except NotFoundError as error:
            return replace(found, note=f"the stored bytes are gone: {error.message}")
        except IntegrityError as error:
            note = f"the stored bytes are corrupted: {error.message}"
            return replace(found, verdict="different", note=note)
        return found

    def _verdict(
        self,
        ref: str,
        made: Sequence[_Made],
        substitutes: Mapping[str, _Substituted],
        current: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]],
    ) -> Verdict:
        last = made[-1]
        causes = [(m, list(self._causes(m, substitutes, current))) for m in made]
        everything = list(dict.fromkeys(d for _, found in causes for d in found))
        verdict, reason = _judge(made)
        first = None
        if verdict == "different":
            first = next((d for m, found in causes if _differs(m) for d in _weighty(found)), None)
            first = _corrupted(last) or first or self._unexplained(made)
        return Verdict(
            verdict,
            ref,
            outputs=tuple(last.comparisons),
            first_difference=first,
            reason=reason,
            differences=tuple(everything),
            steps=tuple(str(m.again.execution.get("call")) for m in made),
            threads={
                "recorded": _mapping(_mapping(last.again.execution.get("runs_on")).get("threads")),
                "now": _mapping(_mapping(last.result.get("runs_on")).get("threads")),
            },
        )

    def _causes(
        self,
        made: _Made,
        substitutes: Mapping[str, _Substituted],
        current: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]],
    ) -> Iterator[Difference]:
        """What was not as recorded for one step: inputs first, then code, packages and machine."""
        execution = made.again.execution
        for item in made.again.inputs:
            if item.table in made.again.substituted and item.table is not None:
                before, now = str(item.artifact.get("digest")), substitutes[item.table].digest
                if before != now:
                    yield Difference("input", item.ref, before, now)
        before_parts, now_parts = current.get(execution.uid, ({}, {}))
        for name in sorted({*before_parts, *now_parts}):
            if before_parts.get(name) != now_parts.get(name):
                yield Difference("code", name, before_parts.get(name), now_parts.get(name))
        yield from package_differences(_texts(execution.get("packages")), made.result.get("packages", {}))
        yield from differences(_mapping(execution.get("runs_on")), made.result.get("runs_on", {}))

    def _unexplained(self, made: Sequence[_Made]) -> Difference:
        """Nothing given was another, and yet the outputs are: altered bytes, or a step that is not deterministic."""
        for m in made:
            if not _differs(m):
                continue
            for item in m.again.inputs:
                altered = self._altered(item.artifact)
                if altered is not None:
                    return altered
            return Difference("unexplained", f"step {m.step}")
        return Difference("unexplained", f"step {made[-1].step}")

    def _altered(self, artifact: Artifact) -> Difference | None:
        if artifact.type != "TableVersion":
            return None
        before = str(artifact.get("digest"))
        try:
            rows = (
                self._rooms.lake.table(str(artifact.get("table"))).at(_int(artifact.get("version"))).arrow()
            )
        except WhenceError as error:
            return Difference("input", f"table:{artifact.name}", before, f"gone: {error.message}")
        now = rows_digest(rows).text
        return None if now == before else Difference("input", f"table:{artifact.name}", before, now)


def _judge(made: Sequence[_Made]) -> tuple[VerdictKind, str]:
    last = made[-1]
    failed = next((m for m in made if "failed" in m.result), None)
    if failed is not None:
        return (
            "different",
            f"step {failed.step!r} fails: {failed.result.get('error_type')}: {failed.result.get('error')}",
        )
    recorded, now = len(outputs_of(last.again.execution)), len(last.result["outputs"])
    if recorded != now:
        return "different", f"{recorded} outputs recorded, {now} reproduced"
    kinds = {c.verdict for c in last.comparisons}
    if not kinds:
        return "identical", "the step has no outputs to compare"
    notes = "; ".join(f"{c.output}: {c.note}" for c in last.comparisons if c.note)
    return (
        "different" if "different" in kinds else "equivalent" if "equivalent" in kinds else "identical",
        notes,
    )


def _differs(made: _Made) -> bool:
    return "failed" in made.result or any(c.verdict != "identical" for c in made.comparisons)


def _corrupted(made: _Made) -> Difference | None:
    """An output that is made again as recorded, while what is stored of it is not what was recorded."""
    found = (c for c in made.comparisons if c.verdict == "different" and c.recorded == c.reproduced)
    return next((Difference("output", c.output, c.recorded, "corrupted") for c in found), None)


def _weighty(found: Sequence[Difference]) -> list[Difference]:
    """Causes in the order they are believed: thread counts and the platform only when nothing else differs."""
    order = ("output", "input", "code", "param", "package", "python", "platform", "threads", "unexplained")
    return sorted(found, key=lambda d: order.index(d.what))


def _steps_above(store: Any, target: Execution) -> list[Execution]:
    found: dict[str, Execution] = {}
    waiting = [target]
    while waiting:
        execution = waiting.pop()
        if execution.uid in found:
            continue
        found[execution.uid] = execution
        for item in inputs_of(store, execution):
            waiting.extend(producers_of(store, item.artifact))
    return [e for e in found.values() if e.type == "step"]


def _outputs(store: Any, execution: Execution) -> list[Artifact]:
    events = [e for e in store.list_events(executions=[execution.uid]) if e.kind == "OUTPUT"]
    nodes = store.get_nodes("artifact", uids=list(dict.fromkeys(e.artifact for e in events)))
    return [n for n in nodes if isinstance(n, Artifact)]


def _describe(value: Substitute) -> str:
    ref = getattr(value, "ref", None)
    if isinstance(ref, str):
        return ref
    return str(value) if isinstance(value, str | int | Path) else type(value).__qualname__


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in _mapping(value).items()}


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
