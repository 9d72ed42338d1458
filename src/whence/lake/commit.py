"""One commit: intent in the graph, one optimistic write to the lake, closing in the graph.

::

    check        the input against the newest snapshot: an error here has changed nothing
    intent       the execution RUNNING, a TableVersion PENDING (not inside another recording)
    commit       newest snapshot → effect → write; a lost race begins again from the newest snapshot
    closing      the TableVersion LIVE

The lake is the truth: the commit carries execution, inputs, rows and watermark, and `whence.lake.reconcile`
derives the graph from it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.principal import current_principal
from whence._base.rows import RowsDigest, schema_digest
from whence.errors import ConflictError, UsageError
from whence.lake.base import Snapshot
from whence.lake.chain import FENCE, write_facts
from whence.lake.core import Core
from whence.lake.operations import Effect, Operation
from whence.lake.types import Commit, CommitFacts, CommitInfo, Part, State
from whence.metadata import NONE, Artifact, Properties, Recording

BEFORE_COMMIT: Final = register("lake.commit.before", "the intent is in the graph, the table is unchanged")
AFTER_COMMIT: Final = register(
    "lake.commit.after", "the table has the new version, the graph does not know it"
)

MAX_TRIES: Final = 200
_RACES: Final = frozenset({"commit-conflict", "table-exists"})


@dataclass(frozen=True, slots=True)
class _Carried:
    """The app transactions of a commit: the one that makes it unique, and those that only say how far it came."""

    transaction: tuple[str, int] | None
    progress: tuple[tuple[str, int], ...] = ()

    @property
    def all(self) -> tuple[tuple[str, int], ...]:
        return self.progress if self.transaction is None else (self.transaction, *self.progress)


def run(
    core: Core,
    operation: Operation,
    *,
    transaction: tuple[str, int] | None = None,
    key: str | None = None,
    properties: Properties | None = None,
    progress: Mapping[str, int] | None = None,
) -> Commit:
    """Carry out one write.

    Args:
        core: The lake.
        operation: What to write.
        transaction: (application, version): at or below the version the table has, nothing is written.
        key: Repetition under the same key is the same write.
        properties: More facts for the execution.
        progress: More app transactions of the same commit; what the table has of them is not looked at.

    Raises:
        ConflictError: The write lost `MAX_TRIES` races (``commit-contested``).
    """
    core.recorder.check_writable()
    if key is not None and transaction is None:
        transaction = f"key:{operation.type}:{key}", 1
    carried = _Carried(transaction, _progress(transaction, progress or {}))
    base, state = _newest(core, operation.table)
    alone = core.recorder.current() is None
    done = None if base is None or transaction is None else find_duplicate(core, base, transaction)
    if key is not None and alone:
        # an execution that died after its commit is settled, or closed below
        completed = _completed(core, operation, key, base)
        if completed is not None:
            return completed
    elif done is not None and alone:
        return done
    if done is None:
        operation.check(base, state)
    with _recording(core, operation, key, properties or NONE) as (recording, pending):
        commit, snapshot = _commit(core, operation, recording, carried)
        if snapshot is not None:
            recording.output(core.artifact(snapshot), path=(operation.table,), replaces=pending)
        if pending is not None and alone:
            recording.set(table=commit.table, version=commit.version, n_rows=commit.n_rows)
        if operation.filled and snapshot is not None:
            recording.set(filled=dict(operation.filled))
    return commit


def _progress(
    transaction: tuple[str, int] | None, progress: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    taken = {FENCE} if transaction is None else {FENCE, transaction[0]}
    if taken & progress.keys():
        raise UsageError(
            f"progress names the application {min(taken & progress.keys())!r}, which the commit has already",
            code="progress-name",
            hint="give progress a name of its own",
        )
    return tuple(sorted(progress.items()))


@contextmanager
def _recording(
    core: Core, operation: Operation, key: str | None, properties: Properties
) -> Iterator[tuple[Recording, Artifact | None]]:
    """The recording around the caller, or an execution of this write's own, with its pending output."""
    outer = core.recorder.current()
    if outer is not None:
        awaited = (a for a in outer.expected if a.type == "TableVersion" and a.name is None)
        # of several writes to the table the first is the expected one
        written = any(a.type == "TableVersion" and a.get("table") == operation.table for a in outer.outputs)
        yield (
            outer,
            None if written else next((a for a in awaited if a.get("table") == operation.table), None),
        )
        return
    expected = Artifact(type="TableVersion", properties={"table": operation.table})
    with core.recorder.execution(
        operation.type, key=key, properties=properties, expects=[expected]
    ) as recording:
        yield recording, expected


def _commit(
    core: Core, operation: Operation, recording: Recording, carried: _Carried
) -> tuple[Commit, Snapshot | None]:
    transaction = carried.transaction
    with core.locks.holding("write", operation.table):
        for tried in range(MAX_TRIES):
            base, state = _newest(core, operation.table)
            if base is not None and transaction is not None:
                done = find_duplicate(core, base, transaction)
                if done is not None:
                    return done, core.get(operation.table, done.version)
            if base is not None and operation.type != "attach":
                core.backend.check_writable(base)
            if tried:
                operation.check(base, state)
            effect = operation.effect(base, state)
            if effect is None:
                return _unchanged(core, operation, recording, base), None
            try:
                return _write(core, operation, recording, carried, base, state, effect)
            except ConflictError as error:
                if error.code not in _RACES:
                    raise
                time.sleep(random.uniform(0, min(0.001 * 2**tried, 0.2)))  # noqa: S311  # spreads rivals, guards nothing
    raise ConflictError(
        f"table {operation.table!r} was changed by others {MAX_TRIES} times in a row",
        code="commit-contested",
        hint="retry, or let fewer writers share the table",
    )


def _write(
    core: Core,
    operation: Operation,
    recording: Recording,
    carried: _Carried,
    base: Snapshot | None,
    state: State,
    effect: Effect,
) -> tuple[Commit, Snapshot | None]:
    after = _state_after(core, base, state, effect)
    info = CommitInfo(
        table=operation.table,
        version=0 if base is None else base.version + 1,
        type=operation.type,
        at=after.at or core.clock.now(),
        operation=operation.type,
        execution=recording.uid,
        principal=current_principal(),
        inputs=input_refs(recording),
        added=effect.added,
        removed=effect.removed,
        n_late=effect.n_late,
        transaction=carried.transaction,
        state=after,
        base=None if base is None else base.version,
        progress=carried.progress,
        n_quarantined=operation.n_quarantined,
        filled=tuple(operation.filled.items()),
    )
    transactions = ((FENCE, info.version), *carried.all)
    crash_point(BEFORE_COMMIT)
    snapshot = effect.write(CommitFacts(write_facts(info), transactions))
    crash_point(AFTER_COMMIT)
    if base is not None and snapshot.version == base.version:
        return _unchanged(core, operation, recording, base), None
    chain = core.chain(snapshot)
    if snapshot.version == info.version:
        chain.know(info, after)
    digest = core.state(snapshot).digest(schema_digest(snapshot.schema))
    commit = Commit(
        table=operation.table,
        version=snapshot.version,
        execution=recording.uid,
        n_rows=effect.n_rows,
        digest=None if digest is None else digest.text,
        watermark=effect.watermark,
        n_late=effect.n_late,
        n_quarantined=operation.n_quarantined,
        filled=info.filled,
    )
    return commit, snapshot


def _state_after(core: Core, base: Snapshot | None, state: State, effect: Effect) -> State:
    """The state the commit leaves: counted on from the base, whose rows are read if the log does not know them."""
    before = Part()
    if base is not None:
        known = core.digest(base)
        before = Part(known.n_rows, known.total)
    n_rows = before.n + effect.added.n - effect.removed.n
    total = (before.total + effect.added.total - effect.removed.total) % (1 << 128)
    now = core.clock.now()
    at = now if state.at is None else max(now, state.at)
    raises = state.raises + bool(effect.n_late) if effect.watermark == state.watermark else 0
    return State(n_rows, total, effect.watermark, effect.epoch, at, raises)


def _newest(core: Core, table: str) -> tuple[Snapshot | None, State]:
    base = core.find(table)
    return (None, State(0, 0)) if base is None else (base, core.state(base))


def _unchanged(core: Core, operation: Operation, recording: Recording, base: Snapshot | None) -> Commit:
    assert base is not None
    state = core.state(base)
    return Commit(operation.table, base.version, recording.uid, 0, core.digest(base).text, state.watermark)


# --- duplicates -------------------------------------------------------------------------------------


def find_duplicate(core: Core, base: Snapshot, transaction: tuple[str, int]) -> Commit | None:
    """The commit that carries this app transaction already; None when the table has not come so far."""
    application, version = transaction
    reached = core.backend.transaction_version(base, application)
    if reached is None or reached < version:
        return None
    infos = core.chain(base).infos(base.version)
    exact = [i for i in infos if i.transaction == transaction]
    above = [i for i in infos if i.transaction is not None and i.transaction[0] == application]
    return told_again(core, (exact or above)[-1] if exact or above else None, base)


def _completed(core: Core, operation: Operation, key: str, base: Snapshot | None) -> Commit | None:
    """The commit of an execution with this key that is done."""
    done = core.recorder.find_complete(operation.type, key)
    if done is None or base is None:
        return None
    infos = [i for i in core.chain(base).infos(base.version) if i.execution == done.uid]
    return told_again(core, infos[-1] if infos else None, base)


def told_again(core: Core, info: CommitInfo | None, base: Snapshot) -> Commit:
    """An earlier commit, as the answer to its repetition."""
    if info is None:
        state = core.state(base)
        return Commit(base.table, base.version, "", 0, watermark=state.watermark, duplicate=True)
    digest: RowsDigest | None = None
    if info.version == base.version:
        digest = core.digest(base)
    return Commit(
        table=base.table,
        version=info.version,
        execution=info.execution or "",
        n_rows=0 if info.added is None else info.added.n,
        digest=None if digest is None else digest.text,
        watermark=info.watermark,
        n_late=info.n_late,
        duplicate=True,
        n_quarantined=info.n_quarantined,
        filled=info.filled,
    )


_REF_KINDS: Final = {
    "TableVersion": "table",
    "View": "view",
    "Model": "model",
    "Statistics": "statistics",
    "Schema": "schema",
    "FeatureView": "feature_view",
    "Environment": "environment",
}


def input_refs(recording: Recording) -> tuple[str, ...]:
    """References of what a recording has read so far."""
    refs = [
        f"{_REF_KINDS.get(a.type, 'artifact')}:{a.name}"
        if a.type in _REF_KINDS and a.name
        else f"artifact:{a.uid}"
        for a in recording.inputs
    ]
    return tuple(dict.fromkeys(refs))
