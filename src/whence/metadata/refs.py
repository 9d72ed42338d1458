"""Which node is meant: a node, an id, a uid, a reference, ``TYPE/NAME`` or a name that only one has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from whence.errors import NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.rows import KINDS
from whence.metadata.types import AnyNode, Artifact, Context, Execution, NodeKind

Ref: TypeAlias = "str | int | Artifact | Execution | Context"
"""How a node of the graph may be named."""
Resolver: TypeAlias = Callable[[str], AnyNode | None]
"""Finds what ``table:flights@12`` or ``model:late@champion`` means; None where it knows no such reference."""

_A: Final = {"artifact": "an artifact", "execution": "an execution", "context": "a context", None: "a node"}
_NEAR: Final = 200
"""Names looked at for near ones."""


def find_node(
    store: MetadataStore, ref: Ref, *, kind: NodeKind | None = None, resolver: Resolver | None = None
) -> AnyNode:
    """The node that is meant, as it is stored now.

    Args:
        store: The graph.
        ref: A node (it is read again), an id, a uid, ``artifact:…``, ``execution:…`` or ``context:…`` with a uid,
            ``TYPE/NAME`` or a name; or what `resolver` understands.
        kind: Only a node of this kind is meant.
        resolver: What the rooms above call things.

    Raises:
        NotFoundError: Nothing is called so (``artifact-not-found``, ``execution-not-found``, ``context-not-found``,
            ``node-not-found``).
        UsageError: Several nodes have the name (``ambiguous-reference``), or it is of another kind
            (``bad-reference``).

    Example:
        >>> from whence.metadata import Artifact, Change, Put, open_store
        >>> store = open_store("memory://")
        >>> _ = store.write(Change([Put(Artifact(type="mlmd.Dataset", name="flights"))]))
        >>> [find_node(store, ref).type for ref in ("flights", "mlmd.Dataset/flights", "artifact:flights")]
        ['mlmd.Dataset', 'mlmd.Dataset', 'mlmd.Dataset']
    """
    if isinstance(ref, Artifact | Execution | Context):
        return _checked(_by_uid(store, ref.uid) or _absent(store, ref.uid, kind), ref.uid, kind)
    if isinstance(ref, int):
        found = next((n for k in KINDS for n in store.get_nodes(k, ids=[ref]) if kind in (None, k)), None)
        return found or _absent(store, str(ref), kind)
    if not isinstance(ref, str):
        raise UsageError(
            f"{ref!r} names no node",
            code="bad-reference",
            hint="give a name, TYPE/NAME, a uid, an id or a node",
        )
    head, colon, rest = ref.partition(":")
    given = next((k for k in KINDS if colon and head == k), None)
    name = rest if given is not None else ref
    if given is not None and kind not in (None, given):
        raise UsageError(f"{ref!r} is {_A[given]}, {_A[kind]} is wanted here", code="bad-reference")
    node = _by_uid(store, name)
    if node is None and resolver is not None and given is None and colon:
        node = resolver(ref)
    if node is None:
        node = _by_name(store, name, given or kind)
    return _checked(node or _absent(store, name, given or kind), ref, given or kind)


def _checked(node: AnyNode, ref: str, kind: NodeKind | None) -> AnyNode:
    have = next(k for k, c in zip(KINDS, (Artifact, Execution, Context), strict=True) if isinstance(node, c))
    if kind not in (None, have):
        raise UsageError(f"{ref!r} is {_A[have]}, {_A[kind]} is wanted here", code="bad-reference")
    return node


def _by_uid(store: MetadataStore, uid: str) -> AnyNode | None:
    if not 0 < len(uid) <= 64:  # no uid is longer
        return None
    return next((n for kind in KINDS for n in store.get_nodes(kind, uids=[uid])), None)


def _by_name(store: MetadataStore, name: str, kind: NodeKind | None) -> AnyNode | None:
    type_, slash, rest = name.partition("/")
    found: dict[str, AnyNode] = {}
    for k in KINDS if kind is None else (kind,):
        if slash and rest:
            found |= {n.uid: n for n in store.find_nodes(k, type_=type_, name=rest, limit=2).nodes}
        found |= {n.uid: n for n in store.find_nodes(k, name=name, limit=2).nodes}
    if len(found) > 1:
        shown = ", ".join(f"{n.type}/{n.name} ({n.uid})" for n in found.values())
        raise UsageError(
            f"{name!r} names several nodes: {shown}",
            code="ambiguous-reference",
            hint="write TYPE/NAME, or the uid",
        )
    return next(iter(found.values()), None)


def _absent(store: MetadataStore, name: str, kind: NodeKind | None) -> AnyNode:
    near: list[str] = []
    for k in KINDS if kind is None else (kind,):
        newest = store.find_nodes(k, descending=True, limit=_NEAR).nodes
        near += [text for n in newest if n.name for text in (n.name, f"{n.type}/{n.name}")]
    if kind == "context":
        raise NotFoundError("context", name, near=near, hint="whence nodes context lists them")
    raise NotFoundError(kind or "node", name, near=near, hint="whence nodes lists them")


__all__ = ["Ref", "Resolver", "find_node"]
