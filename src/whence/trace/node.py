"""The nodes of a trace: one step each, with what is known of it and the rows below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

import pyarrow as pa

from whence.trace.plain import Json, plain

Agreement: TypeAlias = Literal["exact", "equivalent", "different", "unknown"]
"""How a stored feature value compares with the one recomputed from its raw rows.

``exact``: equal. ``equivalent``: doubles at most 1e-12 apart, relative (sums of doubles in another
order). ``different``: the rows do not give the stored value. ``unknown``: the rows are out of reach.
"""

NO_FACTS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """One feature value of a prediction, beside what its raw rows give.

    Attributes:
        name: The column of the prediction, ``view__feature``.
        view: The feature view.
        feature: The feature's name in its view.
        table: The source as ``table:arrivals@95``; None when the value needs no table.
        value: As stored in the prediction.
        recomputed: From the raw rows, in plain Python; None when they are out of reach, too.
        agreement: How the two compare.
        n_rows: How many raw rows made the value.
        error: Why the rows are out of reach; None otherwise.
    """

    name: str
    view: str
    feature: str
    table: str | None
    value: object
    recomputed: object
    agreement: Agreement
    n_rows: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TraceNode:
    """One step of a trace.

    Attributes:
        label: What a person reads.
        kind: ``prediction``, ``execution``, ``run``, ``model``, ``table``, ``feature_view``,
            ``feature``, ``row``, ``seen`` (shown above), ``more`` (a count of what is not shown), …
        ref: The reference to ask about this node; None for a group.
        facts: What is known of it. ``missing`` says what is gone.
        children: What it came from.
        rows: The raw rows of a feature, with their references in the column ``_row``.
        feature: The value, for a node of kind ``feature``.
    """

    label: str
    kind: str
    ref: str | None = None
    facts: Mapping[str, object] = field(default_factory=lambda: NO_FACTS)
    children: tuple[TraceNode, ...] = ()
    rows: pa.Table | None = None
    feature: FeatureValue | None = None

    @property
    def n_rows(self) -> int:
        """How many raw rows there are, kept here or not."""
        kept = 0 if self.rows is None else int(self.rows.num_rows)
        return kept if self.feature is None else max(kept, self.feature.n_rows)

    def walk(self) -> Iterator[TraceNode]:
        """This node and everything below it, parents before children."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def to_dict(self, *, max_rows: int | None = None) -> dict[str, Json]:
        """The node as JSON; at most `max_rows` rows of each feature, beside their number."""
        out: dict[str, Json] = {
            "label": self.label,
            "kind": self.kind,
            "ref": self.ref,
            "facts": plain(self.facts),
        }
        if self.rows is not None:
            kept = self.rows if max_rows is None else self.rows.slice(0, max_rows)
            out["n_rows"] = self.n_rows
            out["rows"] = plain(kept.to_pylist())
        out["children"] = [child.to_dict(max_rows=max_rows) for child in self.children]
        return out


def leaf(label: str, kind: str, ref: str | None = None, **facts: object) -> TraceNode:
    """A node without children."""
    return TraceNode(label, kind, ref, MappingProxyType(facts) if facts else NO_FACTS)


def seen(node: TraceNode) -> TraceNode:
    """The stand-in for a node that is drawn above."""
    return TraceNode(f"{node.label} (above)", "seen", node.ref)


def more(n: int, what: str) -> TraceNode:
    """The stand-in for `n` things that are not drawn."""
    return leaf(f"… and {n} more {what}", "more", None, n=n)
