"""Removing what is no longer wanted, so that lineage stays connected, and taking out what nothing refers to.

By default nothing goes. Asked to, a node becomes a **tombstone**: what it was is gone, its uid, type, name, times
and edges stay, and a walk through it goes on as before. Its name is free again. What something still needs is not
removed: a `Holder` says so for the rooms above, and an execution that runs holds what it reads and writes.

**Collecting** takes a tombstone out for good once nothing that lives is left on either side of it, and with it the
environments, code and groups that only tombstones named. So whether one living node is reached from another is the
same before and after, and so is what the marks in force reach: a tombstone stays that such a mark needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, TypeVar, cast

from whence._base.crash import crash_point, register
from whence._base.principal import current_principal
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.rows import KINDS, kind_of
from whence.metadata.series import needed_for
from whence.metadata.types import (
    INPUT_KINDS,
    OUTPUT_KINDS,
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    NodeKind,
    Put,
    Removal,
    Type,
    Value,
)
from whence.metadata.walk import WalkQuery

AFTER_REMOVED: Final = register(
    "metadata.collect.removed", "what retention lets go is removed, nothing is taken out"
)

BATCH: Final = 500
"""Nodes of one transaction, or one read."""
GRACE: Final = timedelta(hours=1)
"""What nothing names is left alone for so long: an execution that names it may be about to be written."""
MEMBERS: Final[tuple[NodeKind, ...]] = ("artifact", "execution")
UNNAMED_TYPES: Final = ("Environment", "Code")
GROUP_TYPES: Final = ("Pipeline", "PipelineRun", "Experiment")
RULE_TYPE: Final = "RetentionRule"
OPEN: Final = frozenset({"NEW", "RUNNING"})

_T = TypeVar("_T")

Holder: TypeAlias = Callable[[AnyNode], str | None]
"""Why a node must stay, in words; None when this one does not need it."""


def remove_nodes(
    store: MetadataStore, nodes: Sequence[AnyNode], *, reason: str = "", holders: Sequence[Holder] = ()
) -> list[AnyNode]:
    """Make nodes tombstones, all of them or none; returns them as they are now. Removed ones stay as they are.

    Raises:
        ConflictError: Something still needs one of them (``still-referenced``).
    """
    wanted = list({n.uid: n for n in nodes if n.removed_at is None}.values())
    for node in wanted:
        why = why_kept(store, node, holders)
        if why is not None:
            raise ConflictError(
                f"{label(node)} cannot be removed: {why}",
                code="still-referenced",
                hint="give up what needs it, then remove it",
                details={"uid": node.uid, "why": why},
            )
    if wanted:
        store.write(Change(removals=[Removal(n.uid, reason, current_principal()) for n in wanted]))
    return read_again(store, nodes)


def read_again(store: MetadataStore, nodes: Iterable[AnyNode]) -> list[AnyNode]:
    """The nodes as they are stored now, in the same order."""
    wanted: dict[NodeKind, list[str]] = defaultdict(list)
    order: list[str] = []
    for node in nodes:
        wanted[kind_of(node)].append(node.uid)
        order.append(node.uid)
    found = {n.uid: n for kind, uids in wanted.items() for n in store.get_nodes(kind, uids=uids)}
    return [found[uid] for uid in order if uid in found]


def why_kept(store: MetadataStore, node: AnyNode, holders: Sequence[Holder]) -> str | None:
    """Why a node cannot be removed now; None when it can."""
    if isinstance(node, Execution) and node.state in OPEN:
        return f"it is {node.state}"
    if isinstance(node, Artifact):
        if node.state == "PENDING":
            return "an execution is about to write it"
        using = list(dict.fromkeys(e.execution for e in store.list_events(artifacts=[node.uid])))
        for found in _chunks(using):
            for execution in store.get_nodes("execution", uids=found):
                if isinstance(execution, Execution) and execution.state in OPEN:
                    return f"{label(execution)} runs and uses it"
    if isinstance(node, Context):
        if node.type == "Project":
            return "a project is where everything happens"
        inside = store.find_nodes("execution", context=node.uid, state=OPEN, limit=1, everywhere=True)
        for execution in inside.nodes:
            return f"{label(execution)} runs in it"
    return next((why for holder in holders if (why := holder(node)) is not None), None)


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What may go, and when. A rule does nothing by itself: `collect` follows it when told to.

    Attributes:
        name: What it is called.
        kind: The kind of the nodes.
        matching: Which of them, in the filter language; None is all.
        keep_for: A node stays until it is this old.
        keep_newest: So many of each group stay, however old.
        per: What makes a group: ``type``, ``name`` (what stands before its ``@``), or the name of a property.

    Example:
        >>> rule = RetentionRule("profiles", "artifact", "type = 'Profile'", timedelta(days=90), keep_newest=3)
        >>> str(rule)
        "artifacts with type = 'Profile' that are older than 90 days, but for the 3 newest of each type"
    """

    name: str
    kind: NodeKind = "artifact"
    matching: str | None = None
    keep_for: timedelta | None = None
    keep_newest: int | None = None
    per: str = "type"

    def __post_init__(self) -> None:
        wrong = (
            "a name has 1 to 200 characters" if not 0 < len(self.name) <= 200
            else f"{self.kind!r} is not a kind of node" if self.kind not in KINDS
            else "say keep_for, keep_newest or both" if self.keep_for is None and self.keep_newest is None
            else "keep_for is not a length of time" if self.keep_for is not None and self.keep_for < timedelta(0)
            else "keep_newest is below 0" if self.keep_newest is not None and self.keep_newest < 0
            else None
        )  # fmt: skip
        if wrong is not None:
            raise UsageError(f"retention rule {self.name!r:.60}: {wrong}", code="bad-retention")

    def __str__(self) -> str:
        what = f"{self.kind}s" + (f" with {self.matching}" if self.matching else "")
        old = "" if self.keep_for is None else f" that are older than {_days(self.keep_for)}"
        per = "type" if self.per == "type" else f"same {self.per}"
        new = "" if self.keep_newest is None else f", but for the {self.keep_newest} newest of each {per}"
        return what + old + new

    def to_dict(self) -> dict[str, Value]:
        """The rule as plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "matching": self.matching,
            "keep_for_s": None if self.keep_for is None else self.keep_for.total_seconds(),
            "keep_newest": self.keep_newest,
            "per": self.per,
        }


def put_rule(store: MetadataStore, rule: RetentionRule) -> RetentionRule:
    """Keep a rule in the graph, in place of one of the same name.

    Raises:
        UsageError: Its filter cannot be read (``bad-filter``).
    """
    if rule.matching is not None:
        store.find_nodes(rule.kind, matching=rule.matching, limit=1)
    store.put_type(Type("context", RULE_TYPE))
    node = Context(type=RULE_TYPE, name=rule.name, custom={**rule.to_dict(), "withdrawn": False})
    store.write(Change([Put(node, "update")]))
    return rule


def drop_rule(store: MetadataStore, name: str) -> None:
    """Take a rule back.

    Raises:
        NotFoundError: There is none of this name (``retention-rule-not-found``).
    """
    rules = list_rules(store)
    if name not in {rule.name for rule in rules}:
        raise NotFoundError(
            "retention rule", name, near=[r.name for r in rules], hint="whence retention list shows them"
        )
    store.write(Change([Put(Context(type=RULE_TYPE, name=name, custom={"withdrawn": True}), "update")]))


def list_rules(store: MetadataStore) -> list[RetentionRule]:
    """The rules in force, by name."""
    found = [n for n in store.find_nodes("context", type_=RULE_TYPE).nodes if not n.get("withdrawn")]
    return sorted((_rule(n) for n in found), key=lambda rule: rule.name)


def _rule(node: AnyNode) -> RetentionRule:
    seconds, newest, matching = node.get("keep_for_s"), node.get("keep_newest"), node.get("matching")
    return RetentionRule(
        name=str(node.name),
        kind=cast("NodeKind", node.get("kind")),
        matching=matching if isinstance(matching, str) else None,
        keep_for=timedelta(seconds=seconds) if isinstance(seconds, int | float) else None,
        keep_newest=newest if isinstance(newest, int) else None,
        per=str(node.get("per")),
    )


def let_go(store: MetadataStore, rule: RetentionRule, now: datetime) -> list[AnyNode]:
    """The nodes a rule does not keep, oldest first."""
    due: list[AnyNode] = []
    kept: dict[Value, int] = defaultdict(int)
    for node in _newest_first(store, rule):
        group = _group(node, rule.per)
        kept[group] += 1
        old = rule.keep_for is None or node.created_at is None or now - node.created_at > rule.keep_for
        if old and kept[group] > (rule.keep_newest or 0):
            due.append(node)
    return due[::-1]


def _newest_first(store: MetadataStore, rule: RetentionRule) -> Iterator[AnyNode]:
    cursor: str | None = None
    while True:
        page = store.find_nodes(
            rule.kind, matching=rule.matching, descending=True, limit=BATCH, cursor=cursor
        )
        yield from page.nodes
        cursor = page.cursor
        if cursor is None:
            return


def _group(node: AnyNode, per: str) -> Value:
    if per == "type":
        return node.type
    if per == "name":
        return f"{node.type} {(node.name or node.uid).rpartition('@')[0] or node.name}"
    value = node.get(per)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@dataclass(frozen=True, slots=True)
class Gone:
    """A node that goes, or stays although a rule lets it go.

    Attributes:
        uid: Its public name.
        kind: ``artifact``, ``execution`` or ``context``.
        type: Its type.
        name: What it was called.
        why: The rule that lets it go, that nothing names it, or what keeps it.
    """

    uid: str
    kind: NodeKind
    type: str
    name: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did, or would do.

    Attributes:
        dry_run: Nothing was changed; these are the nodes that would be.
        removed: What became a tombstone, by which rule or because nothing names it.
        kept: What a rule lets go and something still needs, and the tombstones that a mark needs.
        n_nodes: Tombstones taken out for good.
        n_events: Edges taken out with them.
        n_tombstones: Tombstones that stay, since they stand between living nodes or a mark needs them.
    """

    dry_run: bool
    removed: Sequence[Gone] = ()
    kept: Sequence[Gone] = ()
    n_nodes: int = 0
    n_events: int = 0
    n_tombstones: int = 0

    def to_dict(self) -> dict[str, Value]:
        """The collection as plain values, for ``--json``."""
        return {
            "dry_run": self.dry_run,
            "removed": [_gone_dict(g) for g in self.removed],
            "kept": [_gone_dict(g) for g in self.kept],
            "n_nodes": self.n_nodes,
            "n_events": self.n_events,
            "n_tombstones": self.n_tombstones,
        }


def _gone_dict(gone: Gone) -> dict[str, Value]:
    return {"uid": gone.uid, "kind": gone.kind, "type": gone.type, "name": gone.name, "why": gone.why}


def collect(
    store: MetadataStore,
    *,
    dry_run: bool = True,
    holders: Sequence[Holder] = (),
    rules: Sequence[RetentionRule] | None = None,
    now: datetime | None = None,
    grace: timedelta = GRACE,
) -> Collected:
    """Remove what the retention rules let go, then take out every tombstone that nothing living is tied to.

    Args:
        store: The graph.
        dry_run: Change nothing; say what would go.
        holders: What keeps nodes from going.
        rules: The rules to follow; those in the graph by default.
        now: The moment their age is counted to; wall time by default.
        grace: How long what nothing names is left alone.
    """
    now = now or datetime.now(UTC)
    going, kept = _going(store, list_rules(store) if rules is None else rules, holders, now)
    if not dry_run:
        _remove(store, going)
        crash_point(AFTER_REMOVED)
    dead = _Dead(store, going)
    loose = dead.loose()
    needed = needed_for(store, loose)
    loose -= needed.keys()
    kept += [_gone(node, needed[uid]) for uid, node in dead.nodes.items() if uid in needed]
    unnamed = {
        n.uid: (n, "nothing names it") for n in _unnamed(store, loose, now - grace) if n.uid not in going
    }
    if not dry_run:
        _remove(store, unnamed)
    going |= unnamed
    loose |= unnamed.keys()
    n_nodes, n_events = len(loose), len(dead.events_of(loose))
    if not dry_run:
        n_nodes = n_events = 0
        for batch in _chunks(sorted(loose)):
            purged = store.purge(batch)
            n_nodes += purged.n_nodes
            n_events += purged.n_events
    return Collected(
        dry_run,
        [_gone(node, why) for node, why in going.values()],
        kept,
        n_nodes,
        n_events,
        len(dead.nodes.keys() - loose),
    )


def _going(
    store: MetadataStore, rules: Sequence[RetentionRule], holders: Sequence[Holder], now: datetime
) -> tuple[dict[str, tuple[AnyNode, str]], list[Gone]]:
    going: dict[str, tuple[AnyNode, str]] = {}
    kept: list[Gone] = []
    for rule in rules:
        for node in let_go(store, rule, now):
            if node.uid in going or node.type == RULE_TYPE:
                continue
            why = why_kept(store, node, holders)
            if why is None:
                going[node.uid] = (node, f"rule {rule.name}")
            else:
                kept.append(_gone(node, why))
    return going, kept


def _remove(store: MetadataStore, going: dict[str, tuple[AnyNode, str]]) -> None:
    for batch in _chunks(list(going.values())):
        store.write(Change(removals=[Removal(node.uid, why, current_principal()) for node, why in batch]))


@dataclass(slots=True)
class _Dead:
    """The tombstones of a store, those that are about to be, and the events they have."""

    store: MetadataStore
    going: dict[str, tuple[AnyNode, str]]
    nodes: dict[str, AnyNode] = field(default_factory=dict)
    above: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    below: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    inside: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The executions that ran with code or an environment."""
    events: dict[tuple[str, str, str, tuple[str | int, ...]], Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node, _ in self.going.values():
            self.add(node)
        for kind in KINDS:
            for node in tombstones(self.store, kind):
                self.nodes.setdefault(node.uid, node)
        for batch in _chunks([n.uid for n in self.nodes.values() if isinstance(n, Artifact)]):
            self._learn(self.store.list_events(artifacts=batch))
        for batch in _chunks([n.uid for n in self.nodes.values() if isinstance(n, Execution)]):
            self._learn(self.store.list_events(executions=batch))

    def add(self, node: AnyNode) -> None:
        self.nodes[node.uid] = node

    def _learn(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events[event.execution, event.artifact, event.kind, event.path] = event
            if event.kind in INPUT_KINDS:
                self.above[event.execution].add(event.artifact)
                self.below[event.artifact].add(event.execution)
            elif event.kind in OUTPUT_KINDS:
                self.above[event.artifact].add(event.execution)
                self.below[event.execution].add(event.artifact)
            else:
                self.inside[event.artifact].add(event.execution)

    def loose(self) -> set[str]:
        """Those with nothing living above them and nothing living below them, however far.

        What code and environment an execution ran with does not tie it to what lives; they go when it has gone.
        """
        tied = self._tied(self.above, self.below) | self._tied(self.below, self.above)
        loose = {uid for uid, node in self.nodes.items() if uid not in tied and not self._groups(node)}
        return {uid for uid in loose if self.inside.get(uid, loose) <= loose}

    def _tied(self, to: dict[str, set[str]], back: dict[str, set[str]]) -> set[str]:
        """Those from which something living is reached along `to`, through tombstones only."""
        todo = [uid for uid in self.nodes if any(n not in self.nodes for n in to.get(uid, ()))]
        tied = set(todo)
        while todo:
            for uid in back.get(todo.pop(), ()):
                if uid in self.nodes and uid not in tied:
                    tied.add(uid)
                    todo.append(uid)
        return tied

    def _groups(self, node: AnyNode) -> bool:
        """Whether a removed context still has something living in it."""
        return isinstance(node, Context) and _has_members(self.store, node, self.nodes)

    def events_of(self, uids: Collection[str]) -> list[Event]:
        return [e for e in self.events.values() if e.execution in uids or e.artifact in uids]


def tombstones(store: MetadataStore, kind: NodeKind) -> Iterator[AnyNode]:
    """Every removed node of a kind, by id."""
    cursor: str | None = None
    while True:
        page = store.find_nodes(
            kind, matching="removed_at IS NOT NULL", removed=True, limit=BATCH, cursor=cursor
        )
        yield from page.nodes
        cursor = page.cursor
        if cursor is None:
            return


def _unnamed(store: MetadataStore, loose: Collection[str], before: datetime) -> Iterator[AnyNode]:
    """Environments, code and groups that nothing names, or only what goes; young ones are left alone."""
    for node in store.list_nodes("artifact", type_=UNNAMED_TYPES):
        if _older(node, before) and not _is_used(store, node, loose):
            yield node
    for node in store.list_nodes("context", type_=GROUP_TYPES):
        if _older(node, before) and not (
            _has_members(store, node, loose) or store.list_contexts(parent=node.uid)
        ):
            yield node


def _is_used(store: MetadataStore, artifact: AnyNode, loose: Collection[str]) -> bool:
    """Whether an execution that stays names an artifact, in whatever role."""
    query = WalkQuery([artifact.uid], "both", max_hops=1, internal=True, page_nodes=BATCH)
    return any(n.uid not in loose for level in store.walk(query) if level.hops for n in level.nodes)


def _has_members(store: MetadataStore, context: AnyNode, dead: Collection[str]) -> bool:
    """Whether something living is in a context, in whatever namespace."""
    for kind in MEMBERS:
        cursor: str | None = None
        while True:
            page = store.find_nodes(kind, context=context.uid, limit=BATCH, cursor=cursor, everywhere=True)
            if any(n.uid not in dead for n in page.nodes):
                return True
            cursor = page.cursor
            if cursor is None:
                break
    return False


def _older(node: AnyNode, moment: datetime) -> bool:
    return node.created_at is not None and node.created_at < moment


def _gone(node: AnyNode, why: str) -> Gone:
    return Gone(node.uid, kind_of(node), node.type, node.name, why)


def label(node: AnyNode) -> str:
    """What a person reads: type, and name or uid."""
    return f"{node.type} {node.name or node.uid}"


def _days(length: timedelta) -> str:
    days = length.total_seconds() / 86_400
    return f"{days:g} day{'' if days == 1 else 's'}"


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
