"""The feature values of a prediction, each beside the raw rows that made it and the value they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from whence.errors import WhenceError
from whence.features import Explanation as RawRows
from whence.features import FeatureView
from whence.trace.agree import agreement
from whence.trace.base import Explanation, Features, Prediction, View
from whence.trace.node import FeatureValue, TraceNode, leaf
from whence.trace.plain import shown
from whence.trace.spine import SpineRow, from_spine

_SPINE = "spine"


@dataclass(frozen=True, slots=True)
class Values:
    """Explains the values of one prediction.

    Args:
        features: Explains and recomputes; None leaves every value unexplained.
        prediction: Whose values.
        spine: The row it was asked for; the join keys are in it.
        max_rows: Keep at most this many rows of each value.
    """

    features: Features | None
    prediction: Prediction
    spine: SpineRow
    max_rows: int | None

    def nodes(self) -> list[TraceNode]:
        """A node for each view, in the order of the columns, with a node for each of its values below."""
        found: list[TraceNode] = []
        for view, error, columns in self._by_view():
            found.append(self._view_node(view, error, columns))
        return found

    def _by_view(self) -> Iterator[tuple[View | str, str | None, list[str]]]:
        """The views that made the columns; columns that no view makes are the spine's own."""
        views: dict[str, View | None] = {}
        errors: dict[str, str | None] = {}
        for name, digest in self.prediction.definitions.items():
            views[name], errors[name] = self._definition(digest)
        made = {column: name for name, view in views.items() if view for column in view.outputs}
        groups: dict[str, list[str]] = {}
        for column in self.prediction.features:
            before = column.partition("__")[0]
            lost = made.get(column) is None and self._lost(column)
            name = made.get(column, before if lost or views.get(before, made) is None else _SPINE)
            if lost:
                errors[name] = self.prediction.definitions_error
            groups.setdefault(name, []).append(column)
        for name, columns in groups.items():
            yield views.get(name) or name, errors.get(name), columns

    def _lost(self, column: str) -> bool:
        """Whether some view may have made it, nobody can say which."""
        return self.prediction.definitions_error is not None and "__" in column

    def _definition(self, digest: str) -> tuple[View | None, str | None]:
        if self.features is None:
            return None, "no features are at hand to explain it"
        try:
            return self.features.get(digest), None
        except WhenceError as error:
            return None, str(error)

    def _view_node(self, view: View | str, error: str | None, columns: Sequence[str]) -> TraceNode:
        if isinstance(view, str):
            if view == _SPINE:
                values = tuple(self._of_spine(_SPINE, c, {"kind": "given"}) for c in columns)
                return TraceNode("columns of the scored row", "spine", self.spine.table, children=values)
            values = tuple(self._unknown(view, c, error or "its definition is gone") for c in columns)
            return TraceNode(f"feature view {view}", "feature_view", None, {"missing": error}, values)
        definition = view.to_dict()
        digest = self.prediction.definitions[view.name]
        ref = f"feature_view:{view.name}@{digest.removeprefix('sha256:')[:12]}"
        if definition["kind"] != "feature_view":
            values = tuple(self._of_spine(view.name, c, definition) for c in columns)
            return TraceNode(ref, "feature_view", ref, _row_facts(definition), values)
        known: dict[object, Explanation] = {}
        values = tuple(self._of_rows(view, digest, c, known) for c in columns)
        source = self._source(view.name, str(definition["source"]))
        table = TraceNode(source, "table", source, children=values)
        return TraceNode(ref, "feature_view", ref, self._keys(definition), (table,))

    def _source(self, view: str, table: str) -> str:
        version = self._versions(view).get(table)
        return f"table:{table}" if version is None else f"table:{table}@{version}"

    def _versions(self, view: str) -> dict[str, int]:
        """The version of each source that a view was read at."""
        own = {
            name.partition("#")[0]: version
            for name, version in self.prediction.view_sources.items()
            if name.partition("#")[2] == view
        }
        return {**self.prediction.sources, **own}

    def _keys(self, definition: Mapping[str, object]) -> dict[str, object]:
        keys = definition.get("keys")
        names = keys.values() if isinstance(keys, Mapping) else ()
        return {"keys": {str(n): self.spine.values.get(str(n)) for n in names}} if names else {}

    def _of_rows(self, view: View, digest: str, column: str, known: dict[object, Explanation]) -> TraceNode:
        """A value that is made of rows of a table."""
        feature = column.removeprefix(f"{view.name}__")
        stored = self.prediction.features[column]
        facts: dict[str, object] = {}
        try:
            explanation, again = self._explained(view, digest, feature, known)
            if agreement(stored, again) == "different":
                explanation, again = self._explained(view, digest, feature, {})
                facts["engine_now"] = explanation.value
        except WhenceError as error:
            said = str(error) if self.spine.error is None else f"{error}; {self.spine.error}"
            return self._unknown(view.name, column, said)
        facts["where"] = explanation.predicate
        return self._node(view.name, column, explanation.source, again, explanation.rows, facts)

    def _explained(
        self, view: View, digest: str, feature: str, known: dict[object, Explanation]
    ) -> tuple[Explanation, object]:
        """The raw rows of a value, and the value made of them again.

        Features of one view with the same window and condition are made of the same rows, so they are
        looked up once; what is recomputed is each feature's own.
        """
        assert self.features is not None
        declared = view.feature(feature) if isinstance(view, FeatureView) else None
        window = None if declared is None else (declared.over, declared.where)
        earlier = known.get(window)
        if declared is not None and isinstance(earlier, RawRows):
            found: Explanation = replace(earlier, feature=declared)
        else:
            found = self.features.explain(
                digest,
                feature,
                dict(self.spine.values),
                self.prediction.features_at,
                self._versions(view.name),
            )
            known[window] = found
        return found, self.features.recompute(found)

    def _of_spine(self, view: str, column: str, definition: Mapping[str, object]) -> TraceNode:
        """A value that is made of the scored row alone."""
        try:
            again = from_spine(definition, column, self.spine.values)
        except KeyError as error:
            said = self.spine.error or f"the scored row has no column {error}"
            return self._unknown(view, column, said)
        rows = self.spine.rows
        wanted = [str(definition["column"])] if definition["kind"] == "calendar" else [column]
        if rows.num_rows:
            rows = rows.select([*(c for c in wanted if c in rows.column_names), "_row"])
        return self._node(view, column, self.spine.table, again, rows, {})

    def _node(
        self,
        view: str,
        column: str,
        table: str | None,
        again: object,
        rows: pa.Table,
        facts: Mapping[str, object],
    ) -> TraceNode:
        stored = self.prediction.features[column]
        how = agreement(stored, again)
        value = FeatureValue(
            name=column,
            view=view,
            feature=column.removeprefix(f"{view}__"),
            table=table,
            value=stored,
            recomputed=again,
            agreement=how,
            n_rows=int(rows.num_rows),
        )
        said: dict[str, object] = (
            {"recomputed": again} if how == "exact" else {"recomputed": again, "agreement": how}
        )
        said |= {"rows": value.n_rows, **facts}
        kept = rows if self.max_rows is None else rows.slice(0, self.max_rows)
        if rows.num_columns == 0:  # pyarrow slices a table without columns into one with rows
            kept = None
        return TraceNode(
            f"{value.feature} = {shown(stored)}", "feature", None, said, rows=kept, feature=value
        )

    def _unknown(self, view: str, column: str, error: str) -> TraceNode:
        stored = self.prediction.features[column]
        name = column.removeprefix(f"{view}__")
        value = FeatureValue(column, view, name, None, stored, None, "unknown", 0, error)
        node = leaf(f"{name} = {shown(stored)}", "feature", None, missing=error)
        return TraceNode(node.label, node.kind, None, node.facts, feature=value)


def _row_facts(definition: Mapping[str, object]) -> dict[str, object]:
    return {name: definition[name] for name in ("column", "tz") if name in definition}
