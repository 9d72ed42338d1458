"""What every page's data share: the question that was asked, the workspace it is asked of, and plain JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from whence.errors import NotFoundError, UsageError
from whence.metadata import Artifact, Execution
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, AnyNode
from whence.server.api.kept import Kept
from whence.trace.names import kind_of, label_of, ref_of
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

Data: TypeAlias = dict[str, Json]
"""What a page shows, and its ``.json`` twin says."""

T = TypeVar("T")

PAGE_ROWS: Final = 50
MAX_PAGE: Final = 1_000_000
MAX_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a browser: the workspace, the names in the path, the parameters behind it.

    Example:
        >>> asked = Asked(None, {"name": "flights"}, {"page": "2"})
        >>> asked.name("name"), asked.number("page", 1, low=1, high=9)
        ('flights', 2)
    """

    ws: Workspace
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)

    def name(self, key: str) -> str:
        """A name of the path."""
        return self.path[key]

    def text(self, key: str, default: str = "") -> str:
        """A parameter as text, without blanks around it.

        Raises:
            UsageError: It is longer than 2,000 characters (``bad-parameter``).
        """
        found = self.query.get(key, default).strip()
        if len(found) > MAX_TEXT:
            raise UsageError(
                f"parameter {key!r} has {len(found):,} characters, at most {MAX_TEXT:,} are read",
                code="bad-parameter",
            )
        return found

    def number(self, key: str, default: int, *, low: int, high: int) -> int:
        """A parameter as a whole number between `low` and `high`.

        Raises:
            UsageError: It is none (``bad-parameter``).
        """
        text = self.text(key)
        if not text:
            return default
        if text.isascii() and text.isdecimal() and low <= int(text) <= high:
            return int(text)
        raise UsageError(
            f"parameter {key!r} is {text!r:.60}, want a whole number from {low} to {high}",
            code="bad-parameter",
        )


def json_of(value: object) -> Json:
    """`value` as JSON: our value objects by `to_dict` or by their fields, the rest as `whence.trace.plain`.

    Example:
        >>> json_of({"a": (1.5, float("inf"))})
        {'a': [1.5, None]}
    """
    convert = getattr(value, "to_dict", None)
    if callable(convert):
        return json_of(convert())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: json_of(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): json_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_of(v) for v in value]
    return plain(value)


def number_of(value: object) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def artifact_facts(node: AnyNode) -> Data:
    """A node in a few words: what it is called, what kind it is, how to ask about it."""
    facts: Data = {"ref": ref_of(node), "label": label_of(node), "kind": kind_of(node), "type": node.type}
    if isinstance(node, Artifact | Execution):
        facts["state"] = node.state
    return facts


def execution_facts(node: Execution) -> Data:
    """An execution as a line of a list."""
    return {
        **artifact_facts(node),
        "uid": node.uid,
        "name": node.name,
        "about": about(node),
        "principal": plain(node.get("principal")),
        "started_at": plain(node.get("started_at") or node.created_at),
        "duration_s": plain(node.get("duration_s")),
        "error": plain(node.get("error")),
        "error_code": plain(node.get("error_code")),
    }


def about(node: Execution) -> str:
    """What an execution was about, in a word or two; empty when nothing says so.

    Example:
        >>> about(Execution(type="set_alias", properties={"model": "late", "alias": "champion"}))
        'late@champion'
    """
    params = node.get("params")
    given = params if isinstance(params, Mapping) else {}
    model, alias, table = node.get("model"), node.get("alias"), node.get("table")
    if alias:
        return f"{model}@{alias}"
    if table:
        version = node.get("version")
        return str(table) if version is None else f"{table}@{version}"
    named = (
        node.get("into") or given.get("schema") or given.get("table") or given.get("ref") or given.get("name")
    )
    return str(named or model or "")


def executions_by_uid(ws: Workspace, uids: Iterable[str]) -> dict[str, Execution]:
    """The executions of these uids, those that are known."""
    found = ws.graph.get_nodes("execution", uids=list(dict.fromkeys(uids)))
    return {n.uid: n for n in found if isinstance(n, Execution)}


def inputs_of(ws: Workspace, executions: Sequence[str]) -> dict[str, list[Artifact]]:
    """What each of these executions read, each artifact once."""
    return _artifacts(ws, executions, INPUT_KINDS)


def outputs_of(ws: Workspace, executions: Sequence[str]) -> dict[str, list[Artifact]]:
    """What each of these executions wrote, each artifact once."""
    return _artifacts(ws, executions, OUTPUT_KINDS)


def _artifacts(ws: Workspace, executions: Sequence[str], kinds: frozenset[str]) -> dict[str, list[Artifact]]:
    found: dict[str, dict[str, None]] = {uid: {} for uid in executions}
    for event in ws.graph.list_events(executions=list(executions)) if executions else []:
        if event.kind in kinds and event.kind != "PENDING_OUTPUT":
            found[event.execution][event.artifact] = None
    nodes = _nodes(ws, [a for several in found.values() for a in several])
    return {uid: [nodes[a] for a in several if a in nodes] for uid, several in found.items()}


def makers_of(ws: Workspace, artifacts: Sequence[Artifact]) -> dict[str, str]:
    """Artifact uid → uid of the execution that wrote it."""
    uids = [a.uid for a in artifacts]
    events = ws.graph.list_events(artifacts=uids) if uids else []
    return {e.artifact: e.execution for e in events if e.kind in OUTPUT_KINDS and e.kind != "PENDING_OUTPUT"}


def readers_of(ws: Workspace, artifact: Artifact) -> list[str]:
    """The uids of the executions that read an artifact, oldest first."""
    events = ws.graph.list_events(artifacts=[artifact.uid])
    return list(dict.fromkeys(e.execution for e in events if e.kind in INPUT_KINDS))


def _nodes(ws: Workspace, uids: Sequence[str]) -> dict[str, Artifact]:
    found = ws.graph.get_nodes("artifact", uids=list(dict.fromkeys(uids))) if uids else []
    return {n.uid: n for n in found if isinstance(n, Artifact)}


def artifact_named(ws: Workspace, type_: str, name: str) -> Artifact | None:
    """The artifact of a type and name; None when the graph has none."""
    found = ws.graph.find_nodes("artifact", type_=type_, name=name).nodes
    return found[0] if found and isinstance(found[0], Artifact) else None


def page_of(whole: Sequence[T], page: int, rows: int = PAGE_ROWS) -> tuple[list[T], Data]:
    """One numbered page of a list that is known whole, and where in the list it is.

    Raises:
        NotFoundError: There is no such page (``page-not-found``).

    Example:
        >>> page_of("abcde", 2, 2)
        (['c', 'd'], {'page': 2, 'pages': 3, 'total': 5})
    """
    pages = max(1, -(-len(whole) // rows))
    if not 1 <= page <= pages:
        raise NotFoundError("page", page, hint=f"there are {pages}")
    cut = list(whole[(page - 1) * rows : page * rows])
    return cut, {"page": page, "pages": pages, "total": len(whole)}
