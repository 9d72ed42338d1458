"""Registered models: versions by number, digest and alias.

Registering writes in this order: the number and a pending artifact (one transaction), the bytes, the
artifact live. A process that dies in between leaves a pending artifact; recovery makes it live when its
bytes are there, and gives it up when they are not. Numbers are never used twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from whence._base.clock import Clock, WallClock
from whence._base.crash import crash_point, register
from whence._base.digest import is_digest, sha256_bytes
from whence._base.refs import Ref
from whence.blobs import BlobStore
from whence.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Context,
    Execution,
    Properties,
    Recorder,
    Recording,
    Type,
    declare_types,
)
from whence.registry.aliases import (
    REGISTERED_MODEL,
    RETRIES,
    alias_artifact,
    aliases_of,
    check_name,
    claim_version,
    contested,
    find_registered,
    get_registered,
    list_registered,
    move_of,
    standing,
    write_alias,
)
from whence.registry.formats import ModelFormat, Trust, get_format, sniff_format, type_names
from whence.registry.signature import infer_signature
from whence.registry.types import AliasMove, ModelVersion, Signature

CLAIMED: Final = register("registry.claimed", "a version number and its pending artifact, no bytes yet")
STORED: Final = register("registry.stored", "the model's bytes, its artifact still pending")
RECORDED: Final = register("registry.recorded", "the model version is live, its execution is not closed")
ALIAS_INTENT: Final = register(
    "registry.alias.intent", "the move of an alias is noted, the alias stands where it was"
)
ALIAS_MOVED: Final = register(
    "registry.alias.moved", "the alias stands where it shall, its execution is not closed"
)

TYPES: Final = (
    Type(
        "artifact",
        "Model",
        {
            "model": "STRING",
            "version": "INT",
            "digest": "STRING",
            "format": "STRING",
            "size_bytes": "INT",
            "signature": "STRUCT",
            "metrics": "STRUCT",
            "params": "STRUCT",
            "tags": "STRUCT",
            "packages": "STRUCT",
            "trust": "STRUCT",
        },
        description="a version of a registered model; its bytes are the blob of its digest",
    ),
    Type(
        "artifact",
        "Alias",
        {
            "model": "STRING",
            "alias": "STRING",
            "version": "INT",
            "previous": "INT",
            "number": "INT",
            "reason": "STRING",
            "undoes": "INT",
            "moment": "STRING",
        },
        description="the move of an alias",
    ),
    Type("context", REGISTERED_MODEL),
    Type("execution", "register", {"model": "STRING"}),
    Type("execution", "set_alias", {"model": "STRING", "alias": "STRING", "reason": "STRING"}),
    Type("execution", "delete_alias", {"model": "STRING", "alias": "STRING", "reason": "STRING"}),
)

KEPT: Final = 64
"""So many versions are kept beside the revision they were read at: a stream asks for its champion at each step."""

ANY: Final = "any"
Expected: TypeAlias = int | str | None
"""Where an alias must point for a move to happen: a version, None for nowhere, ``any``."""

VersionList: TypeAlias = list[ModelVersion]
MoveList: TypeAlias = list[AliasMove]


class Models:
    """The registered models of a workspace.

    Args:
        recorder: Records registrations and moves of aliases.
        blobs: Where the bytes of models are.
        trust: Types to trust in every model, by full name or as the type itself.
        clock: In a replay its clock: a move of an alias says the moment it shows.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from whence.blobs import open_blobs
        >>> from whence.metadata import open_store
        >>> models = Models(Recorder(open_store("memory://")), open_blobs("memory://"))
        >>> models.register("late", LogisticRegression().fit([[0.0], [1.0]], [0, 1])).ref
        'model:late@1'
        >>> _ = models.set_alias("late", "champion", 1)
        >>> models.load("late@champion").predict([[2.0]]).tolist()
        [1]
    """

    def __init__(
        self, recorder: Recorder, blobs: BlobStore, *, trust: Trust = (), clock: Clock | None = None
    ) -> None:
        self.recorder = recorder
        self._replay = None if clock is None or isinstance(clock, WallClock) else clock
        self._graph = recorder.store
        self._blobs = blobs
        self._trust = type_names(trust)
        self._known: dict[str, tuple[tuple[object, str], ModelVersion]] = {}
        declare_types(recorder.store, TYPES)
        recorder.add_probe("Model", self._probe_model)

    # -- registering ---------------------------------------------------------------------------

    def register(
        self,
        name: str,
        model: object,
        *,
        signature: Signature | None = None,
        sample: object | None = None,
        metrics: Mapping[str, float] | None = None,
        params: Properties | None = None,
        tags: Mapping[str, str] | None = None,
        trusted: Trust = (),
        format: str = "skops",  # noqa: A002  # the field's word
    ) -> ModelVersion:
        """Keep a model as the next version of a registered model.

        Everything about the model is checked before anything is written. The version is live when this
        returns, whatever becomes of a surrounding execution.

        Args:
            name: The registered model; made when absent.
            model: The model itself, or a file of it (path or bytes; pickles are refused).
            signature: What it takes and gives.
            sample: Rows as it takes them; the signature is inferred when it is not given.
            metrics: How good it is; a gate compares them.
            params: What it was made with.
            tags: Text about it.
            trusted: Types to trust in this model. Remembered as a fact, not as a permission: loading asks again.
            format: How it is stored.

        Raises:
            DeniedError: It holds a type that is not trusted (``untrusted-model-type``), or is a pickle
                (``pickle-refused``).
            UsageError: ``bad-model-name``, ``model-unsupported``, ``model-does-not-round-trip``, ``bad-model-metric``.
            IntegrityError: The file was not written by an honest writer (``model-malformed``).

        Records:
            The surrounding execution, or one of type ``register``, with an output ``Model`` named
            ``name@version``, in the context ``RegisteredModel``.
        """
        check_name(name)
        trust = self._trust | type_names(trusted)
        kind, data = _bytes_of(model, format, trust)
        if signature is None and sample is not None:
            signature = infer_signature(kind.load(data, trust=trust) if _is_file(model) else model, sample)
        artifact = _artifact(
            name, kind, data, signature=signature, trust=type_names(trusted),
            metrics=_checked(metrics or {}), params=params or {}, tags=tags or {},
        )  # fmt: skip
        with self.recorder.joined("register", properties={"model": name}) as recording:
            return self._write(recording, name, artifact, data)

    def _write(self, recording: Recording, name: str, artifact: Artifact, data: bytes) -> ModelVersion:
        context = self._context(name)
        pending = self._unfinished(recording.uid, name, artifact)
        if pending is None:
            pending = claim_version(self._graph, context, recording.uid, artifact)
        pending = recording.expect(pending)
        crash_point(CLAIMED)
        digest = self._blobs.put(data)
        if digest != artifact.get("digest"):
            raise IntegrityError(
                f"the blob store gave {digest} for bytes of digest {artifact.get('digest')}",
                code="blob-corrupted",
            )
        crash_point(STORED)
        recording.output(replace(pending, state="LIVE"), path=("model", name), replaces=pending)
        recording.flush()
        crash_point(RECORDED)
        stored = self._find(name, _number(pending))
        assert stored is not None
        return self._version(stored, execution=recording.ref)

    def _unfinished(self, execution: str, name: str, artifact: Artifact) -> Artifact | None:
        """What an earlier attempt of the same execution began and did not finish: the same bytes."""
        events = self._graph.list_events(executions=[execution])
        uids = [event.artifact for event in events if event.kind == "PENDING_OUTPUT"]
        for node in self._graph.get_nodes("artifact", uids=list(dict.fromkeys(uids))):
            assert isinstance(node, Artifact)
            same = (
                node.type == "Model"
                and node.get("model") == name
                and node.get("digest") == artifact.get("digest")
            )
            if same and node.state in ("PENDING", "ABANDONED"):
                return replace(artifact, name=node.name, uid=node.uid, properties=_merged(artifact, node))
        return None

    def _context(self, name: str) -> Context:
        found = find_registered(self._graph, name)
        if found is None:
            self.recorder.put_context(Context(type=REGISTERED_MODEL, name=name))
            found = get_registered(self._graph, name)
        return found

    # -- finding -------------------------------------------------------------------------------

    def list(self) -> list[str]:
        """The names of the registered models, ascending."""
        return list_registered(self._graph)

    def versions(self, name: str) -> VersionList:
        """The versions of a registered model, oldest first.

        Raises:
            NotFoundError: No such registered model (``registered-model-not-found``).
        """
        get_registered(self._graph, name)
        nodes = self._graph.find_nodes("artifact", type_="Model", name_prefix=f"{name}@", state="LIVE").nodes
        found = [self._version(node) for node in nodes if isinstance(node, Artifact)]
        return sorted(found, key=lambda version: version.version)

    def get(self, ref: str | ModelVersion) -> ModelVersion:
        """The version of a reference: ``late@3``, ``late@champion``, ``model:late@3`` or a digest.

        Of several versions with the same digest, the first.

        Raises:
            NotFoundError: No such registered model, version or alias (``registered-model-not-found``,
                ``model-version-not-found``, ``alias-not-found``), or no model has the digest.
            UsageError: The reference names no version (``model-version-missing``).
        """
        if isinstance(ref, ModelVersion):
            return ref
        if is_digest(ref.removeprefix("model:")):
            return self._by_digest(ref.removeprefix("model:"))
        parsed = Ref.parse(ref, kind="model")
        if parsed.version is None:
            raise UsageError(
                f"{ref!r} names no version of the model",
                code="model-version-missing",
                hint=f"write {parsed.name}@1 or {parsed.name}@champion",
            )
        context = get_registered(self._graph, parsed.name)
        number = int(parsed.version) if parsed.version.isdecimal() else self._aliased(context, parsed.version)
        found = self._find(parsed.name, number)
        if found is None:
            known = [version.ref.removeprefix("model:") for version in self.versions(parsed.name)]
            raise NotFoundError(
                "model version", f"{parsed.name}@{number}", near=known, hint="whence models list"
            )
        return self._version(found)

    def _aliased(self, context: Context, alias: str) -> int:
        held = aliases_of(context)
        if alias not in held:
            raise NotFoundError(
                "alias", f"{context.name}@{alias}", near=[f"{context.name}@{a}" for a in held]
            )
        return held[alias]

    def _by_digest(self, digest: str) -> ModelVersion:
        found = self._graph.find_nodes(
            "artifact", type_="Model", state="LIVE", where={"digest": digest}
        ).nodes
        if not found:
            raise NotFoundError("model", digest, hint="whence models list")
        assert isinstance(found[0], Artifact)
        return self._version(found[0])

    def _find(self, name: str, number: int) -> Artifact | None:
        found = self._graph.find_nodes("artifact", type_="Model", name=f"{name}@{number}", state="LIVE").nodes
        return found[0] if found and isinstance(found[0], Artifact) else None

    # -- loading -------------------------------------------------------------------------------

    def read(self, ref: str | ModelVersion) -> bytes:
        """The canonical file of a version, checked against its digest.

        Raises:
            IntegrityError: The stored bytes are not those that were registered (``blob-corrupted``).
        """
        return self._blobs.get(self.get(ref).digest)

    def load(self, ref: str | ModelVersion, *, trust: Trust = ()) -> Any:  # a model is of its own type
        """The model of a version, from bytes that match its digest and hold only trusted types.

        Args:
            ref: As for `get`.
            trust: Types to trust for this load.

        Raises:
            DeniedError: It holds a type that is not trusted (``untrusted-model-type``).
            IntegrityError: The bytes are not those that were registered (``blob-corrupted``), or no honest
                writer wrote them (``model-malformed``).

        Records:
            The version as an input of the surrounding execution, when there is one.
        """
        version = self.get(ref)
        model = get_format(version.format).load(self.read(version), trust=self._trust | type_names(trust))
        recording = self.recorder.current()
        if recording is not None:
            recording.input(self.artifact(version), path=("model", version.name))
        return model

    def artifact(self, version: str | ModelVersion) -> Artifact:
        """The artifact of a version in the graph."""
        found = self._graph.get_nodes("artifact", uids=[self.get(version).uid])
        assert isinstance(found[0], Artifact)
        return found[0]

    # -- aliases -------------------------------------------------------------------------------

    def aliases(self, name: str) -> dict[str, int]:
        """Where each alias of a registered model points.

        Raises:
            NotFoundError: No such registered model (``registered-model-not-found``).
        """
        return aliases_of(get_registered(self._graph, name))

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int | ModelVersion,
        *,
        expected: Expected = ANY,
        reason: str = "",
    ) -> AliasMove:
        """Let an alias point at a version.

        Args:
            name: The registered model.
            alias: The alias, ``champion``; made when absent. Pointing it where it points is a move too.
            version: The version, by number.
            expected: Where it must point before: a version, or None for nowhere. Not looked at by default.
            reason: Why, for the history.

        Raises:
            NotFoundError: No such registered model or version.
            ConflictError: The alias does not point where it was `expected` (``alias-moved``).
            UsageError: Not a name for an alias (``bad-alias``).

        Records:
            One execution ``set_alias`` with the versions as inputs and an ``Alias`` as output.
        """
        check_name(alias, "alias")
        number = version.version if isinstance(version, ModelVersion) else version
        target = self.get(f"{name}@{number}")
        return self._move(name, alias, target, expected, reason)

    def delete_alias(self, name: str, alias: str, *, expected: Expected = ANY, reason: str = "") -> AliasMove:
        """Remove an alias; its history stays.

        Raises:
            NotFoundError: No such registered model or alias (``alias-not-found``).
            ConflictError: The alias does not point where it was `expected` (``alias-moved``).

        Records:
            One execution ``delete_alias`` with the version as input and an ``Alias`` as output.
        """
        self._aliased(get_registered(self._graph, name), alias)
        return self._move(name, alias, None, expected, reason)

    def rollback(self, name: str, alias: str, *, expected: Expected = ANY, reason: str = "") -> AliasMove:
        """Move an alias back to where it pointed before the move it stands by.

        The move is taken back, not repeated: rolled back again, it goes one further into the past. Both
        moves stay in the history, the second says which one it undoes.

        Args:
            name: The registered model.
            alias: The alias.
            expected: Where it must point before.
            reason: Why, for the history.

        Raises:
            NotFoundError: No such registered model or alias (``alias-not-found``).
            UsageError: It never pointed elsewhere (``no-previous-holder``).
            ConflictError: The alias does not point where it was `expected` (``alias-moved``).

        Records:
            One execution ``set_alias`` with the versions as inputs and an ``Alias`` as output.
        """
        held = self._aliased(get_registered(self._graph, name), alias)
        last = standing(self.alias_history(name, alias))
        if last is None or last.previous is None:
            raise UsageError(
                f"alias {name}@{alias} points at version {held} and stood nowhere before",
                code="no-previous-holder",
                hint="set it to a version, or delete it",
            )
        why = f"rolled back from version {held}" + (f": {reason}" if reason else "")
        target = self.get(f"{name}@{last.previous}")
        wanted = held if expected == ANY else expected
        return self._move(name, alias, target, wanted, why, undoes=last.number)

    def alias_history(self, name: str, alias: str | None = None) -> MoveList:
        """The moves of an alias, or of all aliases of a registered model, oldest first."""
        get_registered(self._graph, name)
        prefix = f"{name}@" if alias is None else f"{name}@{alias}/"
        nodes = self._graph.find_nodes("artifact", type_="Alias", name_prefix=prefix, state="LIVE").nodes
        moves = [move_of(node) for node in nodes if isinstance(node, Artifact)]
        return sorted(moves, key=lambda move: move.number)

    def _move(
        self,
        name: str,
        alias: str,
        target: ModelVersion | None,
        expected: Expected,
        reason: str,
        *,
        undoes: int | None = None,
    ) -> AliasMove:
        what = "delete_alias" if target is None else "set_alias"
        told: dict[str, Any] = {"model": name, "alias": alias, "reason": reason}
        params = {"model": name, "alias": alias, "version": None if target is None else target.version}
        with self.recorder.execution(what, params=params, properties=told) as recording:
            move = AliasMove(
                name,
                alias,
                None if target is None else target.version,
                None,
                0,
                recording.uid,
                reason,
                undoes=undoes,
                moment=None if self._replay is None else self._replay.now(),
            )
            pending = recording.expect(alias_artifact(move))
            crash_point(ALIAS_INTENT)
            move = self._write_move(move, pending, expected)
            crash_point(ALIAS_MOVED)
            recording.output(
                replace(alias_artifact(move), uid=pending.uid), path=("alias",), replaces=pending
            )
        return replace(move, at=datetime.now(UTC))

    def _write_move(self, move: AliasMove, pending: Artifact, expected: Expected) -> AliasMove:
        for _ in range(RETRIES):
            context = get_registered(self._graph, move.model)
            previous = aliases_of(context).get(move.alias)
            if expected not in (ANY, previous):
                raise ConflictError(
                    f"alias {move.model}@{move.alias} points at {_spell(previous)}, not at {_spell(expected)}",
                    code="alias-moved",
                    hint="look who moved it: whence models history " + move.model,
                    details={"expected": expected, "found": previous},
                )
            numbers = {"version": move.version, "previous": previous}
            read = {role: None if n is None else self._find(move.model, n) for role, n in numbers.items()}
            try:
                return write_alias(self._graph, context, replace(move, previous=previous), pending, read)
            except ConflictError as error:
                if error.code != "stale-revision":
                    raise
        raise contested(move.model)

    # -- recovery ------------------------------------------------------------------------------

    def _probe_model(self, execution: Execution, pending: Artifact) -> Artifact | None:
        del execution
        digest = pending.get("digest")
        exists = isinstance(digest, str) and self._blobs.exists(digest)
        return replace(pending, state="LIVE") if exists else None

    def _version(self, node: Artifact, *, execution: str | None = None) -> ModelVersion:
        """The version of an artifact; as long as that is not written again, the same object."""
        known = self._known.get(node.uid)
        if known is not None and known[0] == (node.revision, node.state):
            return known[1]
        if execution is None:
            events = self._graph.list_events(artifacts=[node.uid])
            makers = [event.execution for event in events if event.kind == "OUTPUT"]
            execution = f"execution:{makers[0]}" if makers else None
        version = _version_of(node, execution)
        if execution is not None:  # a maker that is there stays the first
            self._known = {
                **dict(list(self._known.items())[1 - KEPT :]),
                node.uid: ((node.revision, node.state), version),
            }
        return version


def _bytes_of(model: object, format_name: str, trust: frozenset[str]) -> tuple[ModelFormat, bytes]:
    """The canonical bytes of a model, or of a file of one."""
    _check_model(model)
    if not _is_file(model):
        kind = get_format(format_name)
        return kind, kind.save(model, trust=trust)
    data = model.read_bytes() if isinstance(model, Path) else bytes(model)  # type: ignore[call-overload]  # bytes
    kind = sniff_format(data)
    loaded = kind.load(data, trust=trust)
    return kind, kind.save(loaded, trust=trust)


def _check_model(model: object) -> None:
    """Refuse what is plainly no model: text, numbers, nothing."""
    if model is None or isinstance(model, str | int | float | complex):
        raise UsageError(
            f"{model!r:.100} is no model",
            code="not-a-model",
            hint="give the model itself, or a file of it as a Path or bytes",
        )


def _is_file(model: object) -> bool:
    return isinstance(model, Path | bytes | bytearray | memoryview)


def _artifact(
    name: str,
    kind: ModelFormat,
    data: bytes,
    *,
    signature: Signature | None,
    trust: frozenset[str],
    metrics: Mapping[str, float],
    params: Properties,
    tags: Mapping[str, str],
) -> Artifact:
    digest = sha256_bytes(data)
    properties: dict[str, Any] = {
        "model": name,
        "digest": digest,
        "format": kind.name,
        "size_bytes": len(data),
        "metrics": dict(metrics),
        "params": dict(params),
        "tags": dict(tags),
        "packages": kind.versions(),
    }
    if signature is not None:
        properties["signature"] = signature.to_dict()
    if trust:
        properties["trust"] = sorted(trust)
    return Artifact(type="Model", name=f"{name}@0", uri=f"blob:{digest}", properties=properties)


def _checked(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as the graph can hold and a gate can compare them."""
    found: dict[str, float] = {}
    for key, value in metrics.items():
        number = float(value)
        if not math.isfinite(number):
            raise UsageError(
                f"metric {key!r} of the model is {number}",
                code="bad-model-metric",
                hint="leave it out, or log it to the run",
            )
        found[key] = number
    return found


def _version_of(node: Artifact, execution: str | None) -> ModelVersion:
    held: dict[str, Any] = {**node.properties, **node.custom}
    spec = held.get("signature")
    return ModelVersion(
        name=str(held["model"]),
        version=_number(node),
        digest=str(held["digest"]),
        format=str(held["format"]),
        size_bytes=int(held["size_bytes"]),
        uid=node.uid,
        execution=execution,
        signature=None if spec is None else Signature.from_dict(spec),
        metrics=MappingProxyType(dict(held.get("metrics") or {})),
        params=MappingProxyType(dict(held.get("params") or {})),
        tags=MappingProxyType(dict(held.get("tags") or {})),
        packages=MappingProxyType(dict(held.get("packages") or {})),
        trust=tuple(held.get("trust") or ()),
        state=node.state,
        created_at=node.created_at,
        properties=MappingProxyType(held),
    )


def _number(node: Artifact) -> int:
    return int(str(node.name).rpartition("@")[2])


def _merged(artifact: Artifact, node: Artifact) -> Properties:
    return {**artifact.properties, "version": _number(node)}


def _spell(version: object) -> str:
    return "nothing" if version is None else f"version {version}"
