"""How executions are written: types, contexts and the environment made by themselves, once each."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from whence._base.digest import spec_digest
from whence._base.principal import current_principal
from whence.metadata.base import MetadataStore
from whence.metadata.code import CodeInfo
from whence.metadata.encode import encode
from whence.metadata.environment import read_git
from whence.metadata.open import declare_types
from whence.metadata.standard import ENVIRONMENT, EXECUTION_PROPERTIES, STANDARD_TYPES
from whence.metadata.types import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    IfExists,
    Properties,
    Put,
    Type,
    Value,
    Written,
)

Path: TypeAlias = tuple[str | int, ...]
Guard: TypeAlias = Callable[[Sequence[Artifact]], Properties]
"""Refuses inputs that may not be read; gives what is to be recorded of those that may."""

_RESET: Final[dict[str, Value]] = dict.fromkeys(
    ("finished_at", "duration_s", "error", "error_type", "error_code", "recovered")
)
"""What an earlier attempt left behind."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What an execution sets out to do.

    Attributes:
        node: Its type, uid and key.
        properties: Its properties, typed or not.
        inputs: What it reads, with roles.
        expects: What it is about to write.
        contexts: What it happens in.
        code: What runs.
        parent: The uid of the execution around it.
        guard: Keeps it from reading what is marked bad; None while nothing is.
    """

    node: Execution
    properties: Properties
    inputs: Sequence[tuple[Artifact, Path]]
    expects: Sequence[Artifact]
    contexts: Sequence[Context]
    code: CodeInfo | None
    parent: str | None
    guard: Guard | None = None


class Ledger:
    """Makes the changes that a recorder writes.

    Args:
        store: The graph.
        life: The uid of this process's life.
        read_environment: What the process runs on.
    """

    def __init__(self, store: MetadataStore, life: str, read_environment: Callable[[], Properties]) -> None:
        self.store = store
        self._life = life
        self._read_environment = read_environment
        self._environment: Artifact | None = None
        self._contexts: dict[tuple[str, str], Context] = {}
        self._types: dict[str, Type] = {}
        declare_types(store, STANDARD_TYPES)

    def put_context(self, context: Context) -> Context:
        """The stored context of this type and name; it and its type are made when absent."""
        key = (context.type, context.name or context.uid)
        known = self._contexts.get(key)
        if known is None:
            self.store.put_type(Type("context", context.type), extend=True)
            stored = self.store.write(Change([Put(context, if_exists="reuse")])).nodes[context.uid]
            assert isinstance(stored, Context)
            known = self._contexts[key] = stored
        return known

    def split(self, type_: str, properties: Properties) -> tuple[dict[str, Value], dict[str, Value]]:
        """Properties of an execution: those its type declares, and the rest. The type is made when absent."""
        wanted = self._types.get(type_)
        if wanted is None:
            wanted = self._types[type_] = Type("execution", type_, EXECUTION_PROPERTIES)
        declared = self.store.put_type(wanted, extend=True).properties
        typed = {name: value for name, value in properties.items() if name in declared}
        return typed, {name: value for name, value in properties.items() if name not in declared}

    def begin(self, intent: Intent, stored: Execution | None) -> Change:
        """The intent transaction: a new execution, or another attempt of a stored one."""
        uid = stored.uid if stored is not None else intent.node.uid
        put = self._execution(intent, stored)
        puts, events = self._reads(intent, uid)
        pending = self.pend(uid, intent.expects)
        contexts = [context.uid for context in intent.contexts]
        return Change(
            [put, *puts, *pending.puts],
            [*events, *pending.events],
            associations=[(context, uid) for context in contexts],
        )

    def pend(self, execution: str, expects: Sequence[Artifact]) -> Change:
        """The change that notes what an execution is about to write; what is LIVE already stays so."""
        puts = []
        for artifact in expects:
            mode, revision = self._mode(artifact)
            puts.append(Put(dataclasses.replace(artifact, state="PENDING", id=None), mode, revision))
        return Change(puts, [Event(execution, artifact.uid, "PENDING_OUTPUT") for artifact in expects])

    def forget(self) -> None:
        """Look environment and contexts up anew: another process has removed what was known."""
        self._environment = None
        self._contexts.clear()

    def know(self, written: Written) -> None:
        """Remember the environment once it is stored: later executions only name it."""
        known = self._environment
        stored = written.nodes.get(known.uid) if known is not None else None
        if isinstance(stored, Artifact):
            self._environment = stored

    def _execution(self, intent: Intent, stored: Execution | None) -> Put:
        attempt = stored.get("attempt") if stored is not None else 0
        told = {
            **_RESET,
            **intent.properties,
            "principal": current_principal(),
            "started_at": datetime.now(UTC).isoformat(),
            "attempt": (attempt if isinstance(attempt, int) else 0) + 1,
            "environment": self._environment_artifact().name,
            "git": read_git(),
            "code": intent.code.digest if intent.code is not None else None,
            "parent": intent.parent,
            "pid": os.getpid(),
            "host": platform.node(),
            "life": self._life,
        }
        if stored is None:
            told = {name: value for name, value in told.items() if value is not None}
        typed, custom = self.split(intent.node.type, told)
        node = dataclasses.replace(intent.node, state="RUNNING", properties=typed, custom=custom)
        if stored is None:
            return Put(node)
        again = dataclasses.replace(node, uid=stored.uid, name=stored.name)
        return Put(again, if_exists="update", revision=stored.revision)

    def _reads(self, intent: Intent, uid: str) -> tuple[list[Put], list[Event]]:
        environment = self._environment_artifact()
        internal = [environment] if intent.code is None else [environment, intent.code.artifact()]
        puts, events = [], []
        for artifact in internal:
            if artifact.id is None:
                puts.append(Put(artifact, if_exists="reuse"))
            events.append(Event(uid, artifact.uid, "INTERNAL_INPUT"))
        for artifact, path in intent.inputs:
            if artifact.id is None:
                puts.append(Put(artifact, if_exists="reuse"))
            events.append(Event(uid, artifact.uid, "INPUT", tuple(path)))
        return puts, events

    def _environment_artifact(self) -> Artifact:
        if self._environment is None:
            facts = self._read_environment()
            typed = {name: value for name, value in facts.items() if name in ENVIRONMENT.properties}
            custom = {name: value for name, value in facts.items() if name not in typed}
            digest = spec_digest(encode(facts, {}))
            self._environment = Artifact(type="Environment", name=digest, properties=typed, custom=custom)
        return self._environment

    def _mode(self, artifact: Artifact) -> tuple[IfExists, int | None]:
        if artifact.name is None:
            return "error", None
        found = self.store.find_nodes("artifact", type_=artifact.type, name=artifact.name).nodes
        if not found:
            return "error", None
        assert isinstance(found[0], Artifact)
        return ("reuse", None) if found[0].state == "LIVE" else ("update", found[0].revision)
