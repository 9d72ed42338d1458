"""Looking after the graph: what may go, what is bad."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import overload

from whence.metadata import marks as validity
from whence.metadata import removal
from whence.metadata.ambient import allowing_tainted
from whence.metadata.base import MetadataStore
from whence.metadata.delegate import Delegate
from whence.metadata.making import read_length
from whence.metadata.refs import Ref, Resolver, find_node
from whence.metadata.types import AnyNode, Mark, NodeKind, Policy


class Cared(Delegate):
    """A graph whose nodes can be named, removed, and marked; `whence.metadata.graph.Graph` is one.

    Args:
        store: The graph itself.
        resolver: What the rooms of a workspace call things.
        holders: What keeps nodes from being removed.
    """

    def __init__(
        self,
        store: MetadataStore,
        *,
        resolver: Resolver | None = None,
        holders: Sequence[removal.Holder] = (),
    ) -> None:
        super().__init__(store)
        self._resolver = resolver
        self._holders = tuple(holders)

    def node(self, ref: Ref, *, kind: NodeKind | None = None) -> AnyNode:
        """The node that is meant, as it is now.

        Raises:
            NotFoundError: Nothing is called so; near names are given.
            UsageError: Several nodes have the name (``ambiguous-reference``).
        """
        return find_node(self, ref, kind=kind, resolver=self._resolver)

    def resolve(self, ref: Ref) -> str:
        """The uid of the node that is meant; see `node`."""
        return self.node(ref).uid

    # what goes

    def remove(self, *refs: Ref, reason: str = "") -> list[AnyNode]:
        """Remove nodes: a tombstone of each stays, so that lineage holds together. Their names are free again.

        Args:
            refs: Nodes of any kind: all of them are removed, or none.
            reason: Why, kept on the tombstone.

        Raises:
            ConflictError: Something still needs one of them (``still-referenced``).
        """
        nodes = [self.node(ref) for ref in refs]
        return removal.remove_nodes(self, nodes, reason=reason, holders=self._holders)

    def retain(
        self,
        name: str,
        kind: NodeKind = "artifact",
        matching: str | None = None,
        *,
        keep_for: str | timedelta | None = None,
        keep_newest: int | None = None,
        per: str = "type",
    ) -> removal.RetentionRule:
        """Keep a rule that says what may go. It is followed when `collect` is told to, never by itself.

        Args:
            name: What the rule is called; one of the same name is replaced.
            kind: The kind of the nodes.
            matching: Which of them, in the filter language; None is all.
            keep_for: A node stays until it is this old: ``90d``, ``12h``, or a `timedelta`.
            keep_newest: So many of each group stay, however old.
            per: What makes a group: ``type``, ``name`` (what stands before its ``@``), or the name of a property.

        Raises:
            UsageError: The rule makes no sense (``bad-retention``), or its filter cannot be read (``bad-filter``).
        """
        length = None if keep_for is None else read_length(keep_for)
        rule = removal.RetentionRule(name, kind, matching, length, keep_newest, per)
        return removal.put_rule(self, rule)

    def rules(self) -> list[removal.RetentionRule]:
        """The retention rules in force, by name."""
        return removal.list_rules(self)

    def drop_rule(self, name: str) -> None:
        """Take a retention rule back."""
        removal.drop_rule(self, name)

    def collect(self, *, dry_run: bool = True) -> removal.Collected:
        """Follow the retention rules, and take out for good what nothing living is tied to.

        Whether one living node is reached from another is the same before and after.

        Args:
            dry_run: Change nothing; say what would go.
        """
        return removal.collect(self, dry_run=dry_run, holders=self._holders)

    # what is bad

    def mark(self, ref: Ref, reason: str, *, policy: Policy = "block", onward: bool = False) -> Mark:
        """Mark an artifact or execution as bad: everything made from it is tainted until the mark is lifted.

        Args:
            ref: The artifact or execution.
            reason: Why, for whoever is stopped by it.
            policy: ``block`` refuses executions that would read what is tainted; ``retrain`` starts the pipelines that
                wait for it; ``alert`` opens an alert in the monitors of what it reached.
            onward: Its later versions are bad too, also those still to come: an append carries the bad rows on. It
                ends where rows are changed or removed (an overwrite, a merge, a delete), and where `repaired` says.

        Example:
            >>> from whence.metadata import open_store
            >>> from whence.metadata.graph import Graph
            >>> graph = Graph(open_store("memory://"))
            >>> _ = graph.add("Dataset", "raw", kind="artifact"), graph.add("Model", "m", kind="artifact")
            >>> graph.link(graph.add("train", kind="execution"), reads=["raw"], writes=["m"])
            >>> mark = graph.mark("raw", "the sensor was broken", policy="alert")
            >>> [m.reason for m in graph.tainted("m").marks]
            ['the sensor was broken']
            >>> _ = graph.lift(mark)
            >>> bool(graph.tainted("m"))
            False
        """
        return self.mark_all([ref], reason, policy=policy, onward=onward)[0]

    def mark_all(
        self, refs: Sequence[Ref], reason: str, *, policy: Policy = "block", onward: bool = False
    ) -> list[Mark]:
        """Mark several nodes, all of them or none; see `mark`."""
        nodes = [self.node(ref) for ref in refs]
        return validity.put_marks(self, nodes, reason=reason, policy=policy, onward=onward)

    def repaired(self, ref: Ref, reason: str = "") -> list[Mark]:
        """Say that a version is good again: it and what comes after it are no longer reached by the marks that go on
        with an earlier version. That one and those up to here stay bad.

        Returns:
            The marks that end before it.

        Raises:
            UsageError: There is no such mark (``bad-mark``).

        Example:
            >>> from whence.metadata import open_store
            >>> from whence.metadata.graph import Graph
            >>> graph = Graph(open_store("memory://"))
            >>> for n in range(4):
            ...     _ = graph.add("Table", f"orders@{n}", kind="artifact")
            >>> _ = graph.mark("orders@1", "amounts are in cents", onward=True)
            >>> [len(graph.repaired("orders@3")), [t.node.name for t in graph.tainted()]]
            [1, ['orders@1', 'orders@2']]
        """
        return validity.put_repair(self, self.node(ref), reason=reason)[1]

    def lift(self, mark: int | Mark) -> Mark:
        """Lift a mark: what it tainted is clean at once.

        Raises:
            NotFoundError: There is no such mark (``mark-not-found``).
            UsageError: It says that a version is repaired; to take that back, mark the version (``bad-mark``).
        """
        return validity.lift_mark(self, mark)

    def marks(self, *, since: int = 0, ref: Ref | None = None, live: bool = False) -> list[Mark]:
        """Marks by id, those that were lifted too.

        Args:
            since: Only marks with a greater id; the last one read is the cursor of whoever listens.
            ref: Only marks on this node itself.
            live: Only marks that are in force.
        """
        uids = None if ref is None else [self.node(ref).uid]
        return self.list_marks(after=since, uids=uids, live=live)

    @overload
    def tainted(self) -> list[validity.Taint]: ...
    @overload
    def tainted(self, ref: Ref) -> validity.Taint: ...
    def tainted(self, ref: Ref | None = None) -> validity.Taint | list[validity.Taint]:
        """Which marks reach a node; without one, every node that is tainted.

        Returns:
            For one node its `Taint`, which is false when the node is clean; else a list of them by id.
        """
        if ref is None:
            return list(validity.list_tainted(self))
        return validity.taint_of(self, self.node(ref))

    def taints(self, of: Ref, *, since: int = 0, policy: Policy = "retrain") -> list[Mark]:
        """The marks in force, of one policy and after a number, that reach what `of` names now, by number.

        The feed of the trigger `whence.on_taint`.
        """
        if not self.has_marks():
            return []
        found = validity.taint_of(self, self.node(of), policies=(policy,)).marks
        return [mark for mark in found if (mark.id or 0) > since]

    def allow_tainted(self, reason: str) -> AbstractContextManager[None]:
        """Within the block, executions may read what is marked bad; each records the reason and the marks."""
        return allowing_tainted(reason)


__all__ = ["Cared"]
