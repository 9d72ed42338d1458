"""Aliases: names that point at one version of a model and may be moved, by one mover at a time.

The context ``RegisteredModel`` holds where each alias points and the number of the last version. It is
written on the revision that was read, so of two movers one reads again. Each move is an execution whose
output, an artifact ``Alias``, says from where to where; both are written in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Change, Context, Event, MetadataStore, Put, Value
from whence.registry.types import AliasMove

REGISTERED_MODEL: Final = "RegisteredModel"
RETRIES: Final = 50

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*")
_ALIASES: Final = "aliases"
_LAST: Final = "last_version"
_N_MOVES: Final = "n_moves"


def check_name(name: object, what: str = "registered model") -> str:
    """A name for a model or an alias.

    Raises:
        UsageError: It is not one (``bad-model-name``, ``bad-alias``).

    Example:
        >>> check_name("late.jfk")
        'late.jfk'
    """
    if isinstance(name, str) and len(name) <= 250 and _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r:.300} is not a name for a {what}",
        code="bad-alias" if what == "alias" else "bad-model-name",
        hint="small letters, digits and _, beginning with a letter; parts joined by . or -",
    )


def find_registered(graph: MetadataStore, name: str) -> Context | None:
    """The registered model of this name, as it is now."""
    found = graph.find_nodes("context", type_=REGISTERED_MODEL, name=name).nodes
    return found[0] if found and isinstance(found[0], Context) else None


def get_registered(graph: MetadataStore, name: str) -> Context:
    """The registered model of this name.

    Raises:
        NotFoundError: None has it (``registered-model-not-found``).
    """
    found = find_registered(graph, name)
    if found is None:
        raise NotFoundError("registered model", name, near=list_registered(graph), hint="whence models list")
    return found


def list_registered(graph: MetadataStore) -> list[str]:
    """The names of all registered models, ascending."""
    return sorted(str(node.name) for node in graph.find_nodes("context", type_=REGISTERED_MODEL).nodes)


def aliases_of(context: Context) -> dict[str, int]:
    """Where each alias points, by name."""
    held = context.get(_ALIASES)
    pairs = held.items() if isinstance(held, Mapping) else ()
    return {alias: version for alias, version in sorted(pairs) if isinstance(version, int)}


def claim_version(graph: MetadataStore, context: Context, execution: str, artifact: Artifact) -> Artifact:
    """Take the next number and note the artifact as pending under it, in one transaction.

    Returns:
        The pending artifact, named ``name@n``.
    """
    for _ in range(RETRIES):
        number = _int(context, _LAST) + 1
        pending = replace(
            artifact,
            name=f"{context.name}@{number}",
            state="PENDING",
            properties={**artifact.properties, "version": number},
        )
        change = Change(
            [_update(context, {_LAST: number}), Put(pending)],
            [Event(execution, pending.uid, "PENDING_OUTPUT")],
            attributions=[(context.uid, pending.uid)],
            associations=[(context.uid, execution)],
        )
        try:
            graph.write(change)
        except ConflictError as error:
            if error.code not in ("stale-revision", "name-taken"):
                raise
            context = get_registered(graph, str(context.name))
            continue
        return pending
    raise contested(str(context.name))


def write_alias(
    graph: MetadataStore,
    context: Context,
    move: AliasMove,
    pending: Artifact,
    versions: Mapping[str, Artifact | None],
) -> AliasMove:
    """Move the alias as `move` says, and say so, in one transaction on the revision of `context`.

    Args:
        graph: The graph.
        context: The registered model as it was read.
        move: Where the alias goes.
        pending: The artifact that is to say so; it becomes live.
        versions: The versions it goes from and to, by role; inputs of the move.

    Raises:
        ConflictError: Somebody else wrote the registered model since (``stale-revision``).
    """
    aliases = aliases_of(context)
    aliases.pop(move.alias, None)
    if move.version is not None:
        aliases[move.alias] = move.version
    move = replace(move, number=_int(context, _N_MOVES) + 1)
    said = replace(alias_artifact(move), uid=pending.uid, state="LIVE")
    read = [Event(move.execution, a.uid, "INPUT", (role,)) for role, a in versions.items() if a is not None]
    graph.write(
        Change(
            [_update(context, {_ALIASES: aliases, _N_MOVES: move.number}), Put(said, if_exists="update")],
            [*read, Event(move.execution, said.uid, "OUTPUT", ("alias",))],
            attributions=[(context.uid, said.uid)],
            associations=[(context.uid, move.execution)],
        )
    )
    return move


def standing(moves: Sequence[AliasMove]) -> AliasMove | None:
    """The move an alias stands by: the last one that was not taken back.

    Args:
        moves: The moves of one alias, oldest first.

    Example:
        >>> one, two = (AliasMove("late", "champion", n, n - 1 or None, n, "01J") for n in (1, 2))
        >>> back = AliasMove("late", "champion", 1, 2, 3, "01J", undoes=2)
        >>> standing([one, two, back]) == one
        True
    """
    n = len(moves) - 1
    numbers = {move.number: place for place, move in enumerate(moves)}
    while n >= 0:
        undone = moves[n].undoes
        if undone is None:
            return moves[n]
        n = numbers[undone] - 1
    return None


def contested(name: str) -> ConflictError:
    """The error when others were faster, again and again."""
    return ConflictError(
        f"registered model {name!r} is contested by other processes", code="model-contested", hint="retry"
    )


def alias_artifact(move: AliasMove) -> Artifact:
    """The artifact that says where an alias went."""
    properties: dict[str, Value] = {
        "model": move.model,
        "alias": move.alias,
        "version": move.version,
        "previous": move.previous,
        "reason": move.reason,
        "undoes": move.undoes,
        "moment": None if move.moment is None else move.moment.isoformat(),
    }
    if move.number:
        properties["number"] = move.number
    return Artifact(
        type="Alias",
        name=f"{move.model}@{move.alias}/{move.execution}",
        properties={key: value for key, value in properties.items() if value is not None},
    )


def move_of(node: Artifact) -> AliasMove:
    """The move that an artifact says."""
    version, previous, undoes = (node.get(name) for name in ("version", "previous", "undoes"))
    moment = node.get("moment")
    return AliasMove(
        model=str(node.get("model")),
        alias=str(node.get("alias")),
        version=version if isinstance(version, int) else None,
        previous=previous if isinstance(previous, int) else None,
        number=_int(node, "number"),
        execution=str(node.name).rpartition("/")[2],
        reason=str(node.get("reason") or ""),
        at=node.updated_at,
        undoes=undoes if isinstance(undoes, int) else None,
        moment=datetime.fromisoformat(moment) if isinstance(moment, str) else None,
    )


def _update(context: Context, custom: Mapping[str, Value]) -> Put:
    node = Context(type=REGISTERED_MODEL, name=context.name, uid=context.uid, id=context.id, custom=custom)
    return Put(node, if_exists="update", revision=context.revision)


def _int(node: Context | Artifact, name: str) -> int:
    found = node.get(name)
    return found if isinstance(found, int) else 0
