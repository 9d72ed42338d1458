"""The features of a stream: a fold moved along with the lake, and the lake itself for what comes behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.compute import Engine
from whence.errors import IntegrityError
from whence.features import AnyView, Features, FeatureView, Fold
from whence.features.types import feature_columns
from whence.lake import Lake, TableVersion
from whence.lake.changes import BROKEN
from whence.serving.position import instant, micros

Moments: TypeAlias = "npt.NDArray[np.int64]"


class Moving(Protocol):
    """What a follower needs of a fold; `whence.features.Fold` is one."""

    @property
    def moment(self) -> datetime | None:
        """The moment it stands at; it answers for none before."""
        ...

    def add(self, source: str, rows: pa.Table) -> None:
        """New rows of a source, in the order of its commits."""
        ...

    def look(self, spine: pa.Table, *, at: str) -> Seen:
        """The features of the spine's rows, in their order; the fold stays where it is."""
        ...

    def take(self, look: Any) -> None:
        """Move to the latest moment of a look."""
        # Any: a fold takes its own looks
        ...


class Seen(Protocol):
    """What a fold gives when it is looked at."""

    @property
    def features(self) -> pa.Table:
        """The features, a row for each of the spine."""
        ...


MakeFold: TypeAlias = Callable[
    [Sequence[AnyView], Mapping[str, TableVersion], "datetime | None", Engine], Moving
]


def build_fold(
    views: Sequence[AnyView], sources: Mapping[str, TableVersion], at: datetime | None, engine: Engine
) -> Moving:
    """The fold of the views, built from the lake."""
    return Fold.build(views, sources, at=at, engine=engine)


@dataclass(frozen=True, slots=True)
class Looked:
    """The features of rows, and what moves once they are used.

    Attributes:
        features: A row for each row asked.
        n_late: How many of them lay behind the fold.
        look: What the fold takes; None when all lay behind it.
    """

    features: pa.Table
    n_late: int
    look: Seen | None


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

    def behind(self, us: Moments) -> npt.NDArray[np.bool_]:
        """Which moments lie behind the fold."""
        assert self._fold is not None
        moment = self._fold.moment
        return np.zeros(len(us), dtype=bool) if moment is None else us < micros(moment)

    def look(self, rows: pa.Table, us: Moments, at: str) -> Looked:
        """The features of rows; `take` then moves the fold there.

        Args:
            rows: The spine's rows.
            us: Their moments in microseconds.
            at: The spine's column of the moment.
        """
        behind = self.behind(us)
        names = feature_columns(self.views)
        if not behind.any():
            look = self._look(rows, at)
            return Looked(look.features.select(names), 0, look)
        late = self._features.point_in_time(
            rows.filter(pa.array(behind)),
            self.views,
            at=at,
            sources={name: v.version for name, v in self._versions.items()},
            complete=True,
        ).select(names)
        late = late.replace_schema_metadata(None)
        if behind.all():
            return Looked(late, len(us), None)
        look = self._look(rows.filter(pa.array(~behind)), at)
        ahead = look.features.select(names).replace_schema_metadata(None)
        both = pa.concat_tables([late, ahead], promote_options="default")
        order = np.concatenate([np.flatnonzero(behind), np.flatnonzero(~behind)])
        return Looked(both.take(pa.array(np.argsort(order))), int(behind.sum()), look)

    def take(self, looked: Looked) -> None:
        """Move the fold on to the last moment that was looked at; it answers for none before from then on."""
        if looked.look is None:
            return
        fold, self._fold = self._fold, None  # one that has moved half the way is not kept
        assert fold is not None
        fold.take(looked.look)
        self._fold = fold

    def _look(self, rows: pa.Table, at: str) -> Seen:
        fold, self._fold = self._fold, None
        assert fold is not None
        look = fold.look(rows, at=at)
        self._fold = fold
        return look

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
