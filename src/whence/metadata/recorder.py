"""The recorder: what happens is in the graph because it happens inside a block.

::

    intent     one transaction: the execution RUNNING, its expected outputs PENDING
    body       writes blobs, tables, …; inputs and outputs are noted
    closing    one transaction: COMPLETE or FAILED, outputs LIVE, what was not written ABANDONED

A process that dies in between leaves a RUNNING execution with a dead life; `Recorder.recover` settles it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.ids import new_uid
from whence.errors import BackendError, ConflictError, DeniedError, NotFoundError, WhenceError
from whence.metadata.ambient import current_allowance, current_contexts, current_recording, surrounding
from whence.metadata.base import MetadataStore
from whence.metadata.code import Blobs, CodeInfo
from whence.metadata.environment import read_environment
from whence.metadata.ledger import Guard, Intent, Ledger, Path
from whence.metadata.lifecycle import RACES, RETRIES, Liveness, Probe, ProcessLife, Recovered, Recovery
from whence.metadata.marks import TaintGuard
from whence.metadata.recording import Recording
from whence.metadata.types import NONE, Artifact, Change, Context, Execution, IfExists, Properties, Put
from whence.metadata.unrecorded import Unrecorded

log = logging.getLogger(__name__)

BEFORE_INTENT: Final = register("metadata.intent.before", "nothing of the execution is written")
AFTER_INTENT: Final = register(
    "metadata.intent.after", "the execution is RUNNING and its outputs PENDING, the body has not begun"
)

DONE: Final = frozenset({"COMPLETE", "CACHED"})


class Recorder:
    """Records executions into a graph.

    Args:
        store: The graph.
        life: The life of this process in the workspace; without one, host and process id serve.
        blobs: Where the source of code is kept; without it, in the graph.
        project: The context of type ``Project`` that everything happens in.
        environment: What the process runs on; the default reads it once.
        read_only: Whether everything that would be recorded is refused.

    Example:
        >>> from whence.metadata import Artifact, Recorder, Type, open_store
        >>> recorder = Recorder(open_store("memory://"))
        >>> _ = recorder.store.put_type(Type("artifact", "Report"))
        >>> with recorder.execution("evaluate", params={"month": 4}) as recording:
        ...     recording.output(Artifact(type="Report", name="april"))
        >>> recording.execution.state, recording.outputs[0].state
        ('COMPLETE', 'LIVE')
    """

    def __init__(
        self,
        store: MetadataStore,
        *,
        life: Liveness | None = None,
        blobs: object | None = None,
        project: str = "default",
        environment: Callable[[], Properties] | None = None,
        read_only: bool = False,
    ) -> None:
        self.store = store
        self.read_only = read_only
        self.project = project
        self._blobs = blobs if isinstance(blobs, Blobs) else None
        self._life = life if life is not None else ProcessLife()
        self._environment = environment or read_environment
        self._recovery = Recovery(store, self._life)
        self._ledger = Ledger(store, self._life.uid, self._environment)

    @contextmanager
    def execution(
        self,
        type_: str,
        *,
        key: str | None = None,
        params: Properties = NONE,
        properties: Properties = NONE,
        inputs: Sequence[tuple[Artifact, Path]] = (),
        expects: Sequence[Artifact] = (),
        contexts: Sequence[Context] = (),
        code: CodeInfo | None = None,
        uid: str | None = None,
        allow_tainted: str | None = None,
        looks: bool = False,
    ) -> Iterator[Recording]:
        """Record one execution around the block.

        Args:
            type_: The type's name; a type that is not stored is made.
            key: Repetition under the same key is the same execution: it runs again only if it failed or died.
            params: What it was called with.
            properties: More properties; one that the type does not declare becomes a custom property.
            inputs: What it reads, with the role of each.
            expects: What it is about to write; recorded as PENDING before the block begins.
            contexts: Contexts besides the project and the surrounding ones.
            code: What runs.
            uid: Its public name, where that is derived; like `key`, it is run once.
            allow_tainted: Why it may read what is marked bad with the policy ``block``; recorded with the marks.
            looks: It judges what it reads and makes nothing of it, so it may read what is marked bad.

        Raises:
            ConflictError: The key is being run (``execution-running``), or is done (``execution-complete``).
            DataRejectedError: An input is tainted (``tainted-input``), here or when the block notes it.
            DeniedError: Nothing may be written (``read-only``).

        Records:
            One execution `type_` with principal, times, duration, attempt, params, error, environment, git,
            process and life; its inputs, outputs, code and environment as events; associations with its
            contexts, and attributions of its outputs to them.
        """
        self.check_writable()
        outer = self.current()
        guard = None if looks else self._guard(type_, allow_tainted)
        allowed = NONE if guard is None else guard([artifact for artifact, _ in inputs])
        intent = Intent(
            node=Execution(type=type_, name=key, uid=uid or new_uid()),
            properties={**properties, **allowed, "params": params},
            inputs=inputs,
            expects=expects,
            contexts=self._contexts(contexts),
            code=None if code is None else code.stored(self._blobs),
            parent=None if outer is None else outer.uid,
            guard=guard,
        )
        crash_point(BEFORE_INTENT)
        recording = self._intend(intent, contexts, once=key is not None or uid is not None)
        try:
            crash_point(AFTER_INTENT)
            with surrounding(self, recording):
                yield recording
        except BaseException as error:
            self._fail(recording, error)
            raise
        else:
            self._complete(recording)
        finally:
            self._recovery.release(recording.uid)

    def _complete(self, recording: Recording) -> None:
        try:
            recording.complete()
        except BackendError:
            # The outputs exist: left RUNNING and let go, recovery can still roll it forward.
            raise
        except WhenceError as error:
            self._fail(recording, error)
            raise

    def _fail(self, recording: Recording, error: BaseException) -> None:
        try:
            recording.fail(error)
        except WhenceError as second:
            # The body's error is the one to see; recovery will settle the execution.
            error.add_note(f"whence could not record the failure of {recording.ref}: {second}")
            log.warning("failure not recorded", extra={"execution": recording.uid, "error": str(second)})

    @contextmanager
    def joined(
        self,
        type_: str,
        *,
        key: str | None = None,
        params: Properties = NONE,
        properties: Properties = NONE,
        inputs: Sequence[tuple[Artifact, Path]] = (),
        expects: Sequence[Artifact] = (),
        contexts: Sequence[Context] = (),
        code: CodeInfo | None = None,
        uid: str | None = None,
        reads: bool = False,
        looks: bool = False,
    ) -> Iterator[Recording]:
        """The surrounding recording, if there is one, else an execution of its own.

        One that only `reads` may also happen where nothing may be written; then it is not recorded.

        Inside another recording, `inputs`, `expects` and `contexts` become that one's; type, key, uid, params,
        properties and code are left out: they would say something else of the outer execution.
        """
        outer = self.current()
        if outer is None and reads and self.read_only:
            unrecorded = Unrecorded(type_)
            with surrounding(self, unrecorded):
                yield unrecorded
            return
        if outer is None:
            with self.execution(
                type_, key=key, params=params, properties=properties, inputs=inputs, expects=expects,
                contexts=contexts, code=code, uid=uid, looks=looks,
            ) as recording:  # fmt: skip
                yield recording
            return
        for artifact, path in inputs:
            outer.input(artifact, path=path, looks=looks)
        for artifact in expects:
            outer.expect(artifact)
        for context in contexts:
            outer.context(context.type, context.name or context.uid, context.custom)
        yield outer

    def current(self) -> Recording | None:
        """The innermost open recording of this recorder around the caller."""
        return current_recording(self)

    def find_complete(self, type_: str, key: str, *, redeem: str | None = None) -> Execution | None:
        """The execution with this key, if it is done; one whose process died is settled first.

        With `redeem`, a type, one that was told to have failed is completed if all it expected of that type
        exists; see the method of that name.
        """
        found = self._find_key(type_, key)
        if found is not None and redeem is not None and not self.read_only:
            found = self.redeem(found, type_=redeem, noted=True) or found
        if found is not None and found.state == "RUNNING" and not self._recovery.is_alive(found):
            self._recovery.settle(found)
            found = self._find_key(type_, key)
        return found if found is not None and found.state in DONE else None

    def redeem(self, execution: Execution, *, type_: str, noted: bool = False) -> Execution | None:
        """Complete an execution that was told to have failed, if everything it expected to make exists.

        Its error came when its last write was done: the graph could not be written, the caller was interrupted.
        What was told stays beside it.

        Args:
            execution: One that is FAILED or CANCELED; another is left as it is.
            type_: What it may have expected: artifacts that, once there, can only be its own.
            noted: Also when it had noted all of them before it failed, since it had nothing else to do.

        Returns:
            The execution, complete; None when it has failed indeed.
        """
        self.check_writable()
        return self._recovery.redeem(execution, type_, noted=noted)

    @contextmanager
    def within(self, context: Context) -> Iterator[Context]:
        """Within the block, executions happen in `context` too, and their outputs belong to it."""
        stored = self.put_context(context)
        with surrounding(self, stored):
            yield stored

    def put_artifact(self, artifact: Artifact, *, if_exists: IfExists = "reuse") -> Artifact:
        """Store an artifact outside of any execution; returns it as stored."""
        self.check_writable()
        stored = self.store.write(Change([Put(artifact, if_exists)])).nodes[artifact.uid]
        assert isinstance(stored, Artifact)
        return stored

    def put_context(self, context: Context) -> Context:
        """Store a context, or find the one of the same type and name; its type is made when absent."""
        self.check_writable()
        return self._ledger.put_context(context)

    def check_writable(self) -> None:
        """Refuse what would be written where nothing may be.

        Raises:
            DeniedError: ``read-only``.
        """
        if self.read_only:
            raise DeniedError(
                "the workspace was opened to look, nothing may be written into it",
                code="read-only",
                hint="open it for writing",
            )

    def add_probe(self, artifact_type: str, probe: Probe) -> None:
        """Tell recovery how to find out whether a pending artifact of this type exists by now."""
        self._recovery.add_probe(artifact_type, probe)

    def recover(self) -> Recovered:
        """Settle every RUNNING execution whose process is dead.

        Rolled forward when it expected outputs and each of them exists (a probe says so), else FAILED with
        its pending outputs ABANDONED. Safe to run at any time, by several processes at once.
        """
        return self._recovery.recover()

    def beside(self, store: MetadataStore) -> Recorder:
        """A recorder of the same process that writes into another handle of the graph: another namespace."""
        made = Recorder(
            store,
            life=self._life,
            blobs=self._blobs,
            project=self.project,
            environment=self._environment,
            read_only=self.read_only,
        )
        made._recovery = Recovery(store, self._life, self._recovery.probes)
        return made

    def _guard(self, type_: str, allowed: str | None) -> Guard | None:
        """What keeps an execution from reading what is marked bad; None in the usual case: nothing is."""
        if not self.store.has_marks():
            return None
        return TaintGuard(self.store, type_, allowed or current_allowance()).check

    def _contexts(self, given: Sequence[Context]) -> list[Context]:
        """The project, what surrounds the caller, and what was given: each once, stored."""
        everywhere = [Context(type="Project", name=self.project), *current_contexts(self), *given]
        stored = [self._ledger.put_context(context) for context in everywhere]
        return list({context.uid: context for context in stored}.values())

    def _intend(self, intent: Intent, contexts: Sequence[Context], *, once: bool) -> Recording:
        """Write the intent: it claims the key, or says who has it.

        Whoever finds the key free, failed or dead writes on the revision that was read; of several, one
        wins and the others read again. So the decision is made inside the store's transaction.
        """
        lost: ConflictError | None = None
        anew = False
        for _ in range(RETRIES):
            stored = self._claim(intent.node) if once else None
            uid = stored.uid if stored is not None else intent.node.uid
            self._recovery.hold(uid)
            try:
                written = self.store.write(self._ledger.begin(intent, stored))
            except BaseException as error:
                self._recovery.release(uid)
                if _is_gone(error) and not anew:
                    # A context or the environment that this process knew was removed: others take their place.
                    self._ledger.forget()
                    intent, anew = replace(intent, contexts=self._contexts(contexts)), True
                    continue
                if not isinstance(error, ConflictError) or error.code not in RACES:
                    raise
                lost = error
                continue
            self._ledger.know(written)
            return Recording(self._ledger, intent, written)
        assert lost is not None
        raise lost

    def _claim(self, node: Execution) -> Execution | None:
        """The stored execution that may be run again; None when there is none.

        Raises:
            ConflictError: It runs, or is done.
        """
        stored = self._find(node)
        if stored is not None and stored.state == "RUNNING" and not self._recovery.is_alive(stored):
            self._recovery.settle(stored)
            stored = self._find(node)
        if stored is None:
            return None
        what = f"{stored.type} {stored.name or stored.uid!r}"
        details = {"uid": stored.uid, "type": stored.type, "key": stored.name}
        if stored.state == "RUNNING":
            who = f"process {stored.get('pid')} on {stored.get('host')}"
            raise ConflictError(
                f"{what} is being run by {who}",
                code="execution-running",
                hint="wait for it to end, then read its outputs",
                details=details,
            )
        if stored.state in DONE:
            raise ConflictError(
                f"{what} is done", code="execution-complete", hint="read its outputs", details=details
            )
        return stored

    def _find(self, node: Execution) -> Execution | None:
        if node.name is not None:
            return self._find_key(node.type, node.name)
        found = self.store.get_nodes("execution", uids=[node.uid])
        return found[0] if found and isinstance(found[0], Execution) else None

    def _find_key(self, type_: str, key: str) -> Execution | None:
        found = self.store.find_nodes("execution", type_=type_, name=key).nodes
        return found[0] if found and isinstance(found[0], Execution) else None


def _is_gone(error: BaseException) -> bool:
    """Whether a write named something that is removed, or was taken out."""
    return isinstance(error, NotFoundError) or (isinstance(error, ConflictError) and error.code == "removed")
