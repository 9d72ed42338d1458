"""The features of a stream: a fold moved along with the lake, and the lake itself for what comes behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from whence.compute import Engine
from whence.errors import IntegrityError
from whence.features import AnyView, Features, FeatureView, Fold
from whence.features.types import feature_columns
from whence.lake import Lake, TableVersion
from whence.lake.changes import BROKEN
from whence.serving.position import instant, micros


class Moving(Protocol):
    """What a follower needs of a fold; `whence.features.Fold` is one."""

    @property
    def moment(self) -> datetime | None:
        """The moment it stands at; it answers for none before."""
        ...

    def add(self, source: str, rows: pa.Table) -> None:
        """New rows of a source, in the order of its commits."""
        ...

    def features(self, spine: pa.Table, *, at: str) -> pa.Table:
        """The features of the spine's rows, in their order."""
        ...


MakeFold: TypeAlias = Callable[
    [Sequence[AnyView], Mapping[str, TableVersion], "datetime | None", Engine], Moving
]


def build_fold(
    views: Sequence[AnyView], sources: Mapping[str, TableVersion], at: datetime | None, engine: Engine
) -> Moving:
    """The fold of the views, built from the lake."""
    return Fold.build(views, sources, at=at, engine=engine)


class MovingFeatures:
    """A fold that goes along with the versions of its sources.

    Built from the lake when it is first needed; then only what came since is read. When rows of a source
    were changed or removed, or the versions asked for are older, it is built anew.

    Args:
        lake: Where the sources are.
        features: Computes point in time what lies behind the fold.
        views: What is computed.
        make: Builds the fold.
    """

    def __init__(
        self, lake: Lake, features: Features, views: Sequence[AnyView], make: MakeFold = build_fold
    ) -> None:
        self.views = tuple(views)
        self.sources = tuple(dict.fromkeys(v.source for v in views if isinstance(v, FeatureView)))
        self.n_built = 0
        self._lake = lake
        self._features = features
        self._make = make
        self._fold: Moving | None = None
        self._versions: dict[str, TableVersion] = {}

    def move_to(self, versions: Mapping[str, TableVersion], moment: int | None) -> None:
        """Take in what the sources have gained.

        Args:
            versions: The versions to be at.
            moment: Where the stream stands, in microseconds; a new fold is built for there.
        """
        fold, self._fold = self._fold, None  # one that took in a part is not kept
        if fold is not None:
            try:
                self._add(fold, versions)
                self._fold = fold
            except IntegrityError as error:
                if error.code not in BROKEN:
                    raise
        if self._fold is None:
            at = None if moment is None else instant(moment)
            self._fold = self._make(self.views, versions, at, self._lake.engine)
            self.n_built += 1
        self._versions = dict(versions)

    def of(
        self, rows: pa.Table, us: np.ndarray[tuple[int], np.dtype[np.int64]], at: str
    ) -> tuple[pa.Table, int]:
        """The features of rows, and how many of them lay behind the fold.

        Args:
            rows: The spine's rows.
            us: Their moments in microseconds.
            at: The spine's column of the moment.
        """
        assert self._fold is not None
        moment = self._fold.moment
        behind = np.zeros(len(us), dtype=bool) if moment is None else us < micros(moment)
        names = feature_columns(self.views)
        if not behind.any():
            return self._ahead(rows, at).select(names), 0
        late = self._features.point_in_time(
            rows.filter(pa.array(behind)),
            self.views,
            at=at,
            sources={name: v.version for name, v in self._versions.items()},
            complete=True,
        ).select(names)
        late = late.replace_schema_metadata(None)
        if behind.all():
            return late, len(us)
        ahead = self._ahead(rows.filter(pa.array(~behind)), at).select(names)
        both = pa.concat_tables([late, ahead.replace_schema_metadata(None)], promote_options="default")
        order = np.concatenate([np.flatnonzero(behind), np.flatnonzero(~behind)])
        return both.take(pa.array(np.argsort(order))), int(behind.sum())

    def _ahead(self, rows: pa.Table, at: str) -> pa.Table:
        fold, self._fold = self._fold, None
        assert fold is not None
        features = fold.features(rows, at=at)
        self._fold = fold
        return features

    def _add(self, fold: Moving, versions: Mapping[str, TableVersion]) -> None:
        """What came since, source by source; that rows were changed or removed is found before any row is added."""
        found = [
            (name, self._lake.table(name).changes(self._versions[name].version, version.version))
            for name, version in versions.items()
            if version != self._versions[name]
        ]
        for name, changes in found:
            for change in changes:
                fold.add(name, change.rows)
