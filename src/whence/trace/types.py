"""What a trace and an impact are: trees and groups of facts, readable as text, page, JSON and Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from whence.trace import render
from whence.trace.node import NO_FACTS, Agreement, FeatureValue, TraceNode
from whence.trace.plain import Json, plain, plain_text

ROWS_SCHEMA = pa.schema(
    [
        pa.field("view", pa.string()),
        pa.field("feature", pa.string()),
        pa.field("table", pa.string()),
        pa.field("row", pa.string()),
        pa.field("columns", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Impact:
    """Where a thing went: everything made from it, by kind.

    Attributes:
        ref: What was asked about.
        groups: ``tables``, ``training sets``, ``views``, ``statistics``, ``models``, ``predictions``,
            ``reports``, ``runs`` and ``other``, each sorted; empty groups are left out.
        notes: What the answer rests on, where it is coarser than the question.
    """

    ref: str
    groups: Mapping[str, tuple[ImpactItem, ...]]
    notes: tuple[str, ...] = ()

    @property
    def n_items(self) -> int:
        """How many things are affected."""
        return sum(len(items) for items in self.groups.values())

    def refs(self, group: str) -> list[str]:
        """The references of one group; an absent group is empty."""
        return [item.ref for item in self.groups.get(group, ())]

    def to_dict(self) -> dict[str, Json]:
        """The answer as JSON."""
        return {
            "ref": self.ref,
            "groups": {name: [item.to_dict() for item in items] for name, items in self.groups.items()},
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The groups as an indented list."""
        return render.tree_text(self.tree())

    def html(self) -> str:
        """One self-contained page."""
        return render.page(f"Impact of {self.ref}", self.tree(), notes=self.notes)

    def _repr_html_(self) -> str:
        return render.fragment(self.tree(), notes=self.notes)

    def tree(self) -> TraceNode:
        """The groups as a tree of two levels."""
        groups = tuple(
            TraceNode(name, "group", facts={"n": len(items)}, children=tuple(i.node() for i in items))
            for name, items in self.groups.items()
        )
        notes = tuple(TraceNode(note, "note") for note in self.notes)
        return TraceNode(f"impact of {self.ref}", "impact", self.ref, children=groups + notes)


@dataclass(frozen=True, slots=True)
class ImpactItem:
    """One affected thing.

    Attributes:
        via: ``read``: made from the thing itself. ``carried``: made from a later version of the same
            table that still carries it.
        facts: ``n_predictions``, ``n_rows``, ``metrics``: what is known of it.
    """

    ref: str
    kind: str
    label: str
    via: Literal["read", "carried"] = "read"
    facts: Mapping[str, object] = field(default_factory=lambda: NO_FACTS)

    def to_dict(self) -> dict[str, Json]:
        """The item as JSON."""
        return {
            "ref": self.ref,
            "kind": self.kind,
            "label": self.label,
            "via": self.via,
            "facts": plain(self.facts),
        }

    def node(self) -> TraceNode:
        """The item as a leaf."""
        facts = dict(self.facts) if self.via == "read" else {"via": self.via, **self.facts}
        return TraceNode(self.label, self.kind, self.ref, facts)


@dataclass(frozen=True, slots=True)
class Trace:
    """Whence a thing came, down to the rows.

    Attributes:
        ref: What was asked about, with aliases and heads resolved.
        tree: The answer, root first.
        notes: What is not shown and why.
    """

    ref: str
    tree: TraceNode
    notes: tuple[str, ...] = ()
    onward: Callable[[], Impact] | None = field(default=None, repr=False, compare=False)

    def features(self) -> list[FeatureValue]:
        """The feature values of a traced prediction, in the order of its columns."""
        return [node.feature for node in self.tree.walk() if node.feature is not None]

    def values(self) -> dict[str, dict[str, Json]]:
        """Feature → ``{value, recomputed, rows}``, JSON-safe; `rows` is their number."""
        return {
            f.name: {"value": plain(f.value), "recomputed": plain(f.recomputed), "rows": f.n_rows}
            for f in self.features()
        }

    def mismatches(self) -> list[FeatureValue]:
        """The features whose raw rows do not give the stored value; empty is as it should be."""
        return [f for f in self.features() if f.agreement == "different"]

    def rows(self) -> pa.Table:
        """All raw rows of all features: ``view``, ``feature``, ``table``, ``row``, ``columns`` (JSON).

        A row that made several features appears once for each. `rows_by_table` has the columns with
        their types.
        """
        parts: list[dict[str, str | None]] = []
        for node in self.tree.walk():
            if node.rows is None or node.feature is None:
                continue
            value = node.feature
            head = {"view": value.view, "feature": value.feature, "table": value.table}
            for row in node.rows.to_pylist():
                ref = row.pop("_row", None)
                parts.append({**head, "row": ref, "columns": plain_text(row)})
        return pa.Table.from_pylist(parts, schema=ROWS_SCHEMA)

    def rows_by_table(self) -> dict[str, pa.Table]:
        """Table version → its raw rows, each once, with typed columns and their reference ``_row``."""
        found: dict[str, list[pa.Table]] = {}
        for node in self.tree.walk():
            if node.rows is not None and node.feature is not None and node.feature.table is not None:
                found.setdefault(node.feature.table, []).append(node.rows)
        return {
            name: _once(pa.concat_tables(tables, promote_options="default")) for name, tables in found.items()
        }

    def up(self) -> Impact:
        """The other way: where the traced thing went."""
        if self.onward is None:
            return Impact(self.ref, {}, ("this trace was read from a file and cannot look onward",))
        return self.onward()

    def to_dict(self, *, max_rows: int | None = None) -> dict[str, Json]:
        """The trace as JSON: ``ref``, ``features``, ``mismatches``, ``notes``, ``tree``; no NaN anywhere."""
        return {
            "ref": self.ref,
            "features": {name: dict(value) for name, value in self.values().items()},
            "mismatches": [f.name for f in self.mismatches()],
            "notes": list(self.notes),
            "tree": self.tree.to_dict(max_rows=max_rows),
        }

    def text(self, *, max_rows: int = 3) -> str:
        """The tree in characters; at most `max_rows` raw rows of each feature, and the number left out."""
        return render.tree_text(self.tree, max_rows=max_rows, notes=self.notes)

    def html(self, *, max_rows: int = 50) -> str:
        """One self-contained page with the tree and the raw rows in tables."""
        return render.page(f"Trace of {self.ref}", self.tree, max_rows=max_rows, notes=self.notes)

    def _repr_html_(self) -> str:
        return render.fragment(self.tree, max_rows=10, notes=self.notes)


def _once(table: pa.Table) -> pa.Table:
    if "_row" not in table.column_names:
        return table
    seen: set[str | None] = set()
    keep: list[bool] = []
    for ref in table.column("_row").to_pylist():
        keep.append(ref is None or ref not in seen)
        seen.add(ref)
    return table.filter(pa.array(keep, pa.bool_()))


__all__ = [
    "Agreement",
    "FeatureValue",
    "Impact",
    "ImpactItem",
    "Trace",
    "TraceNode",
]
