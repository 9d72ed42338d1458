"""Statistics protos by the names of slices and features, as TFDV's views give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from whence.integrations.tfdv.feature_path import FeaturePath, as_path
from whence.integrations.tfdv.messages import Message, as_ours, statistics_pb2
from whence.integrations.tfdv.refusals import NotFoundError, UsageError
from whence.integrations.tfdv.schema_util import require
from whence.integrations.tfdv.statistics_in import DEFAULT_SLICE

FeatureId: TypeAlias = str | FeaturePath | Iterable[str]


class DatasetListView:
    """The data sets (slices) of a ``DatasetFeatureStatisticsList``."""

    def __init__(self, stats_proto: Message) -> None:
        self._statistics = stats_proto

    @cached_property
    def _slices(self) -> dict[str, DatasetView]:
        out: dict[str, DatasetView] = {}
        for dataset in self._statistics.datasets:
            if dataset.name in out:
                raise UsageError(f"slice {dataset.name!r} is there twice", code="bad-statistics")
            out[dataset.name] = DatasetView(dataset)
        return out

    def proto(self) -> Message:
        """The message."""
        return self._statistics

    def get_slice(self, slice_key: str) -> DatasetView | None:
        """A slice by its name, or None."""
        return self._slices.get(slice_key)

    def get_default_slice(self) -> DatasetView | None:
        """The only slice, or the one of all rows, or None."""
        if len(self._slices) == 1:
            return next(iter(self._slices.values()))
        return self._slices.get(DEFAULT_SLICE)

    def get_default_slice_or_die(self) -> DatasetView:
        """The slice of all rows.

        Raises:
            UsageError: There is none (``bad-statistics``).
        """
        found = self.get_default_slice()
        if found is None:
            raise UsageError("the statistics have no slice of all rows", code="bad-statistics")
        return found

    def list_slices(self) -> Iterable[str]:
        """The names of the slices."""
        return self._slices.keys()


class DatasetView:
    """The features of a ``DatasetFeatureStatistics``."""

    def __init__(self, stats_proto: Message) -> None:
        self._statistics = stats_proto

    @cached_property
    def _features(self) -> dict[FeaturePath, Message]:
        fields = {f.WhichOneof("field_id") for f in self._statistics.features}
        if len(fields) > 1:
            raise UsageError("some features are given by path and some by name", code="bad-statistics")
        out: dict[FeaturePath, Message] = {}
        for feature in self._statistics.features:
            path = FeaturePath(feature.path.step) if fields == {"path"} else FeaturePath([feature.name])
            if path in out:
                raise UsageError(f"feature {str(path)!r} is there twice", code="duplicate-feature")
            out[path] = feature
        return out

    @cached_property
    def _crosses(self) -> dict[tuple[FeaturePath, FeaturePath], Message]:
        out: dict[tuple[FeaturePath, FeaturePath], Message] = {}
        for cross in self._statistics.cross_features:
            key = (FeaturePath(cross.path_x.step), FeaturePath(cross.path_y.step))
            if key in out:
                raise UsageError(f"cross feature {key} is there twice", code="duplicate-feature")
            out[key] = cross
        return out

    def proto(self) -> Message:
        """The message."""
        return self._statistics

    def get_feature(self, feature_id: FeatureId) -> FeatureView | None:
        """A feature by name or path, or None."""
        found = self._features.get(as_path(feature_id))
        return None if found is None else FeatureView(found)

    def get_cross_feature(self, x_path: FeatureId, y_path: FeatureId) -> CrossFeatureView | None:
        """The statistics of a pair of features, or None."""
        found = self._crosses.get((as_path(x_path), as_path(y_path)))
        return None if found is None else CrossFeatureView(found)

    def list_features(self) -> Iterable[FeaturePath]:
        """The paths of the features."""
        return self._features.keys()

    def list_cross_features(self) -> Iterable[tuple[FeaturePath, FeaturePath]]:
        """The pairs of paths there are cross statistics of."""
        return self._crosses.keys()

    def get_derived_feature(
        self, deriver_name: str, source_paths: Sequence[FeaturePath]
    ) -> FeatureView | None:
        """The feature that a deriver made of these sources, or None.

        Raises:
            UsageError: There are several (``bad-statistics``).
        """
        wanted = [p.steps() for p in source_paths]
        found = [
            f
            for f in self._statistics.features
            if f.validation_derived_source.deriver_name == deriver_name
            and [tuple(p.step) for p in f.validation_derived_source.source_path] == wanted
        ]
        if len(found) > 1:
            raise UsageError(f"{len(found)} features are derived by {deriver_name!r}", code="bad-statistics")
        return FeatureView(found[0]) if found else None


class FeatureView:
    """The statistics of one feature."""

    def __init__(self, stats_proto: Message) -> None:
        self._statistics = stats_proto

    def proto(self) -> Message:
        """The message."""
        return self._statistics

    def custom_statistic(self, name: str) -> Message | None:
        """A custom statistic by its name, or None.

        Raises:
            UsageError: There are several (``bad-statistics``).
        """
        found = [s for s in self._statistics.custom_stats if s.name == name]
        if len(found) > 1:
            raise UsageError(f"custom statistic {name!r} is there twice", code="bad-statistics")
        return found[0] if found else None

    def numeric_statistics(self) -> Message | None:
        """The statistics of numbers, or None."""
        return self._of("num_stats")

    def string_statistics(self) -> Message | None:
        """The statistics of texts, or None."""
        return self._of("string_stats")

    def bytes_statistics(self) -> Message | None:
        """The statistics of bytes, or None."""
        return self._of("bytes_stats")

    def struct_statistics(self) -> Message | None:
        """The statistics of a structure, or None."""
        return self._of("struct_stats")

    def common_statistics(self) -> Message | None:
        """What all kinds have, or None."""
        which = self._statistics.WhichOneof("stats")
        return getattr(self._statistics, which).common_stats if which else None

    def _of(self, which: str) -> Message | None:
        return getattr(self._statistics, which) if self._statistics.WhichOneof("stats") == which else None


class CrossFeatureView:
    """The statistics of a pair of features."""

    def __init__(self, stats_proto: Message) -> None:
        self._statistics = stats_proto

    def proto(self) -> Message:
        """The message."""
        return self._statistics


def get_feature_stats(stats: Message, feature_path: FeaturePath) -> Message:
    """The statistics of a feature in one data set.

    Raises:
        TypeError: `stats` is no ``DatasetFeatureStatistics``.
        NotFoundError: The feature is absent.
    """
    given = as_ours(stats, "DatasetFeatureStatistics")
    path = as_path(feature_path)
    for feature in given.features:
        if tuple(feature.path.step) == path.steps():
            return feature
    names = [".".join(f.path.step) for f in given.features]
    raise NotFoundError("feature", path, near=names)


def get_custom_stats(feature_stats: Message, custom_stats_name: str) -> Any:
    """A custom statistic of a feature: a number, text, a histogram, ranks or a message.

    Raises:
        TypeError: It is no ``FeatureNameStatistics``.
        NotFoundError: It has no statistic of this name.
    """
    require(feature_stats, statistics_pb2.FeatureNameStatistics, "feature_stats")
    for stat in feature_stats.custom_stats:
        if stat.name == custom_stats_name:
            return getattr(stat, stat.WhichOneof("val") or "str")
    raise NotFoundError(
        "custom statistic", custom_stats_name, near=[s.name for s in feature_stats.custom_stats]
    )


def get_slice_stats(stats: Message, slice_key: str) -> Message:
    """The statistics of one slice, alone.

    Raises:
        NotFoundError: The slice is absent.
    """
    for dataset in stats.datasets:
        if dataset.name == slice_key:
            out = type(stats)()
            out.datasets.add().CopyFrom(dataset)
            return out
    raise NotFoundError("slice", slice_key, near=[d.name for d in stats.datasets])
