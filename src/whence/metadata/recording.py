"""One execution while it happens: what it read and wrote, kept until the closing transaction."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from whence._base.crash import crash_point, register
from whence.errors import ConflictError, NotFoundError, UsageError, WhenceError
from whence.metadata.ledger import Intent, Ledger, Path
from whence.metadata.lifecycle import RACES, RETRIES, abandon, fulfil
from whence.metadata.types import (
    NONE,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    ExecutionState,
    Properties,
    Put,
    Value,
    Written,
)

# An error's text can hold a whole table; the graph keeps its beginning.
MAX_ERROR: Final = 10_000

BEFORE_CLOSING: Final = register(
    "metadata.closing.before", "the body is done and its outputs exist, the graph still says RUNNING"
)
AFTER_CLOSING: Final = register("metadata.closing.after", "the closing transaction is written")


@dataclasses.dataclass(slots=True)
class _Output:
    artifact: Artifact
    path: Path
    replaces: Artifact | None


class Recording:
    """An open execution. Threads may share it; it is written when its block ends, or by `flush`."""

    def __init__(self, ledger: Ledger, intent: Intent, written: Written) -> None:
        node = next(n for n in written.nodes.values() if isinstance(n, Execution))
        self.execution: Execution = node
        self._ledger = ledger
        self._guard = intent.guard
        self._lock = threading.RLock()
        self._began_s = time.monotonic()
        self._contexts = {context.uid: context for context in intent.contexts}
        self._new_contexts: list[Context] = []
        self._pending: dict[str, Artifact] = {}
        self._new_inputs: list[tuple[Artifact, Path]] = []
        self._new_outputs: list[_Output] = []
        self._new_properties: dict[str, Value] = {}
        self._inputs: dict[str, Artifact] = {}
        self._outputs: dict[str, Artifact] = {}
        self._final: ExecutionState = "COMPLETE"
        self._open = True
        for artifact, _ in intent.inputs:
            self._know_input(artifact, written)
        for artifact in intent.expects:
            self._know_pending(artifact, written)

    @property
    def uid(self) -> str:
        """The execution's public name."""
        return self.execution.uid

    @property
    def ref(self) -> str:
        """The reference: ``execution:<uid>``."""
        return f"execution:{self.uid}"

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """What was read so far."""
        with self._lock:
            return (*self._inputs.values(), *(artifact for artifact, _ in self._new_inputs))

    @property
    def outputs(self) -> tuple[Artifact, ...]:
        """What was written so far, without what is only expected."""
        with self._lock:
            return (*self._outputs.values(), *(output.artifact for output in self._new_outputs))

    @property
    def expected(self) -> tuple[Artifact, ...]:
        """What is expected and not written yet."""
        with self._lock:
            return tuple(self._pending.values())

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The contexts it happens in."""
        with self._lock:
            return (*self._contexts.values(), *self._new_contexts)

    def input(self, artifact: Artifact, *, path: Path = (), looks: bool = False) -> None:
        """It reads this artifact; a stored one of the same type and name is meant.

        Args:
            artifact: The artifact.
            path: In which role.
            looks: It is judged and nothing is made of it, so it may be tainted.

        Raises:
            DataRejectedError: It is tainted, and was when the execution began (``tainted-input``).
        """
        with self._lock:
            self._check_open()
            if self._guard is not None and not looks:
                self._new_properties.update(self._guard([artifact]))
            self._new_inputs.append((artifact, tuple(path)))

    def output(self, artifact: Artifact, *, path: Path = (), replaces: Artifact | None = None) -> None:
        """It wrote this artifact.

        Args:
            artifact: The artifact; one stored under the same type and name gains its properties.
            path: In which role it was written.
            replaces: The expected artifact that this is the final form of.
        """
        with self._lock:
            self._check_open()
            if replaces is not None and replaces.type != artifact.type:
                raise UsageError(
                    f"a {artifact.type} cannot be the final form of a {replaces.type}", code="output-type"
                )
            self._new_outputs.append(_Output(artifact, tuple(path), replaces))

    def expect(self, artifact: Artifact) -> Artifact:
        """It is about to write this artifact: recorded now as PENDING. Returns it as stored."""
        with self._lock:
            self._check_open()
            written = self._retry(lambda: self._ledger.pend(self.uid, [artifact]))
            return self._know_pending(artifact, written)

    def set(self, **properties: Value) -> None:
        """Set properties of the execution; one its type does not declare becomes a custom property."""
        with self._lock:
            self._check_open()
            self._new_properties.update(properties)

    def context(self, type_: str, name: str, properties: Properties = NONE) -> Context:
        """It happens in this context too; a stored one of the same type and name is meant."""
        with self._lock:
            self._check_open()
            context = self._ledger.put_context(Context(type=type_, name=name, custom=properties))
            if context.uid not in self._contexts:
                self._new_contexts.append(context)
            return context

    def mark_cached(self) -> None:
        """Its outputs were not made but found: it ends as CACHED."""
        with self._lock:
            self._check_open()
            self._final = "CACHED"

    def flush(self) -> None:
        """Write what is buffered now, for executions that take long."""
        with self._lock:
            self._check_open()
            self._write("RUNNING", {})

    def complete(self) -> None:
        """The closing transaction of a body that ended; `Recorder.execution` calls it."""
        crash_point(BEFORE_CLOSING)
        with self._lock:
            self._close(self._final, {})
        crash_point(AFTER_CLOSING)

    def fail(self, error: BaseException) -> None:
        """The closing transaction of a body that raised; `Recorder.execution` calls it."""
        state: ExecutionState = "CANCELED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        told: dict[str, Value] = {
            "error": _storable(str(error))[:MAX_ERROR],
            "error_type": type(error).__name__,
            "error_code": error.code if isinstance(error, WhenceError) else None,
        }
        crash_point(BEFORE_CLOSING)
        with self._lock:
            try:
                self._close(state, told)
            except (ConflictError, NotFoundError, UsageError):
                # What was noted cannot be written (a wrong property, an unknown type): the failure can.
                self._new_inputs, self._new_outputs, self._new_contexts = [], [], []
                self._new_properties = {}
                self._close(state, told)
        crash_point(AFTER_CLOSING)

    def _close(self, state: ExecutionState, told: Mapping[str, Value]) -> None:
        self._check_open()
        now = {
            "finished_at": datetime.now(UTC).isoformat(),
            "duration_s": time.monotonic() - self._began_s,
            **told,
        }
        self._write(state, now)
        self._open = False

    def _write(self, state: ExecutionState, told: Mapping[str, Value]) -> None:
        outputs: list[str] = []
        pending: dict[str, Artifact] = {}

        def look() -> Change:
            nonlocal outputs, pending
            change, outputs, pending = self._change(state, told)
            return change

        written = self._retry(look)
        self._know(written, outputs, pending)

    def _retry(self, make: Callable[[], Change]) -> Written:
        """Write what `make` makes of the store as it is; made anew when another writer was in between."""
        for _ in range(RETRIES):
            try:
                return self._ledger.store.write(make())
            except ConflictError as error:
                if error.code not in RACES:
                    raise
                self._read_pending()
        return self._ledger.store.write(make())

    def _change(
        self, state: ExecutionState, told: Mapping[str, Value]
    ) -> tuple[Change, list[str], dict[str, Artifact]]:
        properties = {**self._new_properties, **told}
        stored = self.execution
        typed, custom = self._ledger.split(stored.type, properties)
        # Its name and external id stay as they are stored: what is not said is not changed.
        says = Execution(
            type=stored.type, type_version=stored.type_version, uid=stored.uid, id=stored.id,
            state=state, properties=typed, custom=custom,
        )  # fmt: skip
        puts = [Put(says, "update")]
        events: list[Event] = []
        for artifact, path in self._new_inputs:
            if artifact.id is None:
                puts.append(Put(artifact, if_exists="reuse"))
            events.append(Event(self.uid, artifact.uid, "INPUT", path))
        outputs, pending = self._output_puts(puts, events)
        if state != "RUNNING":
            puts += [abandon(artifact) for artifact in pending.values()]
            pending = {}
        contexts = [*self._contexts, *(context.uid for context in self._new_contexts)]
        change = Change(
            puts,
            events,
            attributions=[(context, uid) for uid in outputs for context in contexts],
            associations=[(context.uid, self.uid) for context in self._new_contexts],
        )
        return change, outputs, pending

    def _output_puts(self, puts: list[Put], events: list[Event]) -> tuple[list[str], dict[str, Artifact]]:
        """Add what writes the new outputs; returns the uids they go by, and what stays pending."""
        pending = dict(self._pending)
        outputs: list[str] = []
        for output in self._new_outputs:
            artifact = output.artifact
            expected = self._expected(output, pending)
            if expected is not None:
                del pending[expected.uid]
                uid, more = fulfil(self._ledger.store, expected, artifact)
                puts += more
            else:
                uid = artifact.uid
                live = (
                    dataclasses.replace(artifact, id=None, state="LIVE")
                    if artifact.state == "PENDING"
                    else artifact
                )
                puts.append(Put(live, if_exists="update"))
            events.append(Event(self.uid, uid, "OUTPUT", output.path))
            outputs.append(uid)
        return outputs, pending

    def _expected(self, output: _Output, pending: Mapping[str, Artifact]) -> Artifact | None:
        if output.replaces is not None:
            # Fulfilled twice (a retry inside the body): the second only updates the node.
            return pending.get(output.replaces.uid)
        artifact = output.artifact
        if artifact.uid in pending:
            return pending[artifact.uid]
        if artifact.name is None:
            return None
        same = (p for p in pending.values() if (p.type, p.name) == (artifact.type, artifact.name))
        return next(same, None)

    def _know(self, written: Written, outputs: Sequence[str], pending: dict[str, Artifact]) -> None:
        node = written.nodes[self.uid]
        assert isinstance(node, Execution)
        self.execution = node
        for artifact, _ in self._new_inputs:
            self._know_input(artifact, written)
        for uid in outputs:
            stored = written.nodes[uid]
            assert isinstance(stored, Artifact)
            self._outputs[stored.uid] = stored
        self._contexts |= {context.uid: context for context in self._new_contexts}
        self._pending = pending
        self._new_inputs, self._new_outputs, self._new_contexts = [], [], []
        self._new_properties = {}

    def _know_input(self, artifact: Artifact, written: Written) -> None:
        stored = written.nodes.get(artifact.uid, artifact)
        assert isinstance(stored, Artifact)
        self._inputs[stored.uid] = stored

    def _know_pending(self, artifact: Artifact, written: Written) -> Artifact:
        stored = written.nodes[artifact.uid]
        assert isinstance(stored, Artifact)
        if stored.state == "PENDING":
            self._pending[stored.uid] = stored
        return stored

    def _read_pending(self) -> None:
        nodes = self._ledger.store.get_nodes("artifact", uids=list(self._pending))
        self._pending = {n.uid: n for n in nodes if isinstance(n, Artifact) and n.state == "PENDING"}

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError(f"{self.ref} is closed", code="recording-closed", hint="record inside its block")


def _storable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
