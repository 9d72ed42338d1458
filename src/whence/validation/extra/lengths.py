"""Columns that belong together: values with their indices, values with their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from whence.errors import UsageError
from whence.stats.base import Array
from whence.validation.cells import is_list
from whence.validation.extra.leaves import leaves_of
from whence.validation.extras import Extra, register_extra
from whence.validation.nested import inner_type, list_lengths, null_mask, one_array
from whence.validation.paths import Path, path_steps, path_text
from whence.validation.schema import Schema
from whence.validation.types import SparseFeature, WeightedFeature


@dataclass(frozen=True, slots=True)
class Group:
    """Columns whose rows should hold equally many values.

    A row in which all of them are null is not counted at all. Of the others: rows in which a column
    is null, and for each column after the first by how many values it is longer (a null has none).

    Attributes:
        name: What they are together.
        parent: The path of the struct they are fields of; its values are the rows then.
        parts: The columns, that of the values first.
        missing: Rows without each of them.
        least: The smallest difference in length of each after the first; None before the first row.
        most: The largest.
    """

    name: str
    parent: Path
    parts: tuple[str, ...]
    missing: tuple[int, ...] = ()
    least: tuple[int | None, ...] = ()
    most: tuple[int | None, ...] = ()

    @classmethod
    def of(cls, name: str, parent: Path, parts: Sequence[str]) -> Group:
        """The group of no rows."""
        n = len(parts)
        return cls(name, parent, tuple(parts), (0,) * n, (None,) * (n - 1), (None,) * (n - 1))

    def add(self, block: pa.Table) -> Group:
        """The group after a block; a column that is not there is null in all rows."""
        n_rows, columns = _columns(block, self.parent, self.parts)
        nulls = [np.ones(n_rows, bool) if c is None else null_mask(c) for c in columns]
        counted = ~np.logical_and.reduce(nulls)
        lengths = [np.zeros(n_rows, np.int64) if c is None else _counts(c) for c in columns]
        diffs = [(length - lengths[0])[counted] for length in lengths[1:]]
        made = replace(
            self,
            missing=tuple(int((null & counted).sum()) for null in nulls),
            least=tuple(int(d.min()) if len(d) else None for d in diffs),
            most=tuple(int(d.max()) if len(d) else None for d in diffs),
        )
        return self.merge(made)

    def merge(self, other: Group) -> Group:
        """The group over both."""
        return replace(
            self,
            missing=tuple(a + b for a, b in zip(self.missing, other.missing, strict=True)),
            least=tuple(map(_least, self.least, other.least)),
            most=tuple(map(_most, self.most, other.most)),
        )

    def to_list(self) -> list[Any]:
        """The group as JSON."""
        return [
            self.name,
            list(self.parent),
            list(self.parts),
            list(self.missing),
            list(self.least),
            list(self.most),
        ]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> Group:
        """The group that `to_list` wrote."""
        return cls(data[0], *map(tuple, data[1:]))


class _Groups(Extra):
    """Groups of columns, each by its name."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(groups)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Groups) and (self.kind, self.groups) == (other.kind, other.groups)

    def __hash__(self) -> int:
        return hash((self.kind, self.groups))

    def __repr__(self) -> str:
        return f"<{self.key()}: {', '.join(g.name for g in self.groups)}>"

    def key(self) -> str:
        """What they are: ``sparse features``, ``weighted features``."""
        return self.kind.replace("-", " ")

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        return type(self)(g.add(block) for g in self.groups)

    def merge(self, other: Self, /) -> Self:
        """The state of both; a group that only one side knows is left out."""
        theirs = {(g.name, g.parent, g.parts): g for g in other.groups}
        keyed = [(g, theirs.get((g.name, g.parent, g.parts))) for g in self.groups]
        return type(self)(a.merge(b) for a, b in keyed if b is not None)

    def finish(self) -> Any:
        """What is known of each, by name."""
        return dict(self.by_feature())

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"groups": [g.to_list() for g in self.groups]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        return cls(map(Group.from_list, data["groups"]))


@register_extra
class SparseFeatures(_Groups):
    """Whether values and their indices are there together and equally many, as a schema declares them.

    Of the rows in which not all of a feature's columns are null: ``missing_value``, the rows without
    the value column; ``missing_index``, those without each index column; ``min_length_diff`` and
    ``max_length_diff``, the extremes of (number of indices - number of values) by index column.
    Exact over any split. Validation reads them (``SPARSE_FEATURE_…``).

    Source:
        TFDV ``SparseFeatureStatsGenerator``, equal; a column without lists has one value a row.

    Example:
        >>> from whence.validation import SparseFeature, StatisticsOptions, describe
        >>> t = pa.table({"v": [[1.0, 2.0], None], "i": [[0, 3, 9], [4]]})
        >>> sparse = SparseFeatures.of([SparseFeature("vec", "v", ("i",))])
        >>> describe(t, options=StatisticsOptions(extras=(sparse,))).extras["sparse features"].finish()
        {'vec': {'missing_value': 1, 'missing_index': {'i': 0}, 'min_length_diff': {'i': 1}, 'max_length_diff': {'i': 1}}}
    """

    kind: ClassVar[str] = "sparse-features"

    @classmethod
    def of(cls, features: Schema | Iterable[SparseFeature]) -> SparseFeatures:
        """Those of a schema, or these."""
        given = features.sparse_features.values() if isinstance(features, Schema) else features
        return cls(
            Group.of(f.name, f.parent, (f.value_feature, *sorted(set(f.index_features)))) for f in given
        )

    def by_feature(self) -> Mapping[str, Any]:
        """What is known of each, by the name of the sparse feature."""
        return {
            g.name: {
                "missing_value": g.missing[0],
                "missing_index": dict(zip(g.parts[1:], g.missing[1:], strict=True)),
                "min_length_diff": {i: n or 0 for i, n in zip(g.parts[1:], g.least, strict=True)},
                "max_length_diff": {i: n or 0 for i, n in zip(g.parts[1:], g.most, strict=True)},
            }
            for g in self.groups
        }


@register_extra
class WeightedFeatures(_Groups):
    """Whether values and their weights are there together and equally many, as a schema declares them.

    Of the rows in which not both are null: ``missing_value`` and ``missing_weight``, the rows without
    one; ``min_weight_length_diff`` and ``max_weight_length_diff``, the extremes of (number of weights
    - number of values). Exact over any split. Validation reads them (``WEIGHTED_FEATURE_…``).

    Source:
        TFDV ``WeightedFeatureStatsGenerator``, equal; a column without lists has one value a row.

    Example:
        >>> from whence.validation import StatisticsOptions, WeightedFeature, describe
        >>> t = pa.table({"v": [[1.0, 2.0], [3.0]], "w": [[0.5], None]})
        >>> weighted = WeightedFeatures.of([WeightedFeature("vw", "v", "w")])
        >>> describe(t, options=StatisticsOptions(extras=(weighted,))).extras["weighted features"].finish()["vw"]
        {'missing_value': 0, 'missing_weight': 1, 'min_weight_length_diff': -1, 'max_weight_length_diff': -1}
    """

    kind: ClassVar[str] = "weighted-features"

    @classmethod
    def of(cls, features: Schema | Iterable[WeightedFeature]) -> WeightedFeatures:
        """Those of a schema, or these.

        Raises:
            UsageError: A weight is not in the struct of its value (``bad-schema``).
        """
        given = features.weighted_features.values() if isinstance(features, Schema) else features
        return cls(map(_weighted, given))

    def by_feature(self) -> Mapping[str, Any]:
        """What is known of each, by the name of the weighted feature."""
        return {
            g.name: {
                "missing_value": g.missing[0],
                "missing_weight": g.missing[1],
                "min_weight_length_diff": g.least[0] or 0,
                "max_weight_length_diff": g.most[0] or 0,
            }
            for g in self.groups
        }


def declared_groups(schema: Schema) -> tuple[Extra, ...]:
    """What a validation must count beside the columns: the sparse and weighted features of a schema.

    A weighted feature whose weight lies in another struct is left out; `pairs_notes` says so.

    Example:
        >>> declared_groups(Schema(sparse_features={"vec": SparseFeature("vec", "v", ("i",))}))
        (<sparse features: vec>,)
    """
    made: tuple[_Groups, ...] = (
        SparseFeatures.of(schema),
        WeightedFeatures.of(w for w in schema.weighted_features.values() if _in_one_struct(w)),
    )
    return tuple(m for m in made if m.groups)


def columns_of(groups: Iterable[Extra], columns: Sequence[str]) -> list[str]:
    """The top-level columns of some that groups are made of; the first one when they have none of them."""
    named: set[str] = set()
    for group in (g for made in groups if isinstance(made, _Groups) for g in made.groups):
        named |= {path_text((*group.parent, part)) for part in group.parts}
        named |= {group.parent[0]} if group.parent else set(group.parts)
    return [c for c in columns if c in named] or list(columns[:1])


def _in_one_struct(feature: WeightedFeature) -> bool:
    return path_steps(feature.feature)[:-1] == path_steps(feature.weight_feature)[:-1]


def _weighted(feature: WeightedFeature) -> Group:
    value, weight = path_steps(feature.feature), path_steps(feature.weight_feature)
    if not _in_one_struct(feature):
        raise UsageError(
            f"weighted feature {feature.name!r}: {feature.feature!r} and {feature.weight_feature!r} lie in "
            "different structs, so that their rows are not the same",
            code="bad-schema",
        )
    return Group.of(feature.name, value[:-1], (value[-1], weight[-1]))


def _columns(block: pa.Table, parent: Path, parts: Sequence[str]) -> tuple[int, list[pa.Array | None]]:
    """How many rows there are, and the columns; None where one is absent."""
    names = set(block.column_names)
    whole = [path_text((*parent, p)) for p in parts]
    if parent and not names.isdisjoint(whole):  # a top-level column whose name has a dot
        parent, parts = (), whole
    if not parent:
        return block.num_rows, [one_array(block.column(p)) if p in names else None for p in parts]
    kind = block.schema.field(parent[0]).type if parent[0] in block.column_names else pa.null()
    for step in parent[1:]:
        kind = inner_type(kind)
        place = kind.get_field_index(step) if pa.types.is_struct(kind) else -1
        kind = kind.field(place).type if place >= 0 else pa.null()
    if not pa.types.is_struct(inner_type(kind)):
        return 0, [None] * len(parts)
    structs = leaves_of(block, parent).values
    places = [structs.type.get_field_index(p) for p in parts]
    fields = structs.flatten()
    return len(structs), [one_array(fields[i]) if i >= 0 else None for i in places]


def _counts(array: pa.Array) -> Array:
    """How many values each row has: of a list, or one where there is one."""
    return list_lengths(array) if is_list(array.type) else (~null_mask(array)).astype(np.int64)


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _most(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)
