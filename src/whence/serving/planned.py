"""A step before it is taken: where the stream stands, what is read, what would be committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from whence.lake import Digested, TableVersion
from whence.registry import ModelVersion
from whence.serving.moving import Looked
from whence.serving.position import Position
from whence.serving.scored import ScoredKeys
from whence.serving.spine import Spine, Waiting


@dataclass(frozen=True, slots=True)
class Versions:
    """What a step reads: one resolution of the spine and all sources."""

    spine: TableVersion
    sources: Mapping[str, TableVersion]

    @property
    def complete_to(self) -> datetime | None:
        """Up to when all of them are complete; what never said so, is complete as it stands."""
        said = [v.watermark for v in (self.spine, *self.sources.values()) if v.watermark is not None]
        return min(said, default=None)


@dataclass(frozen=True, slots=True)
class Made:
    """What a step commits: its features, and the predictions of a model version."""

    looked: Looked
    model: ModelVersion
    rows: Digested


@dataclass(frozen=True, slots=True)
class Plan:
    """A step, before anything is predicted.

    Attributes:
        number: Of the step.
        before: Where the stream stands.
        versions: What is read.
        waiting: The rows.
        model: What answers.
        began_s: When it was begun.
        more: Whether rows will be left that can be answered.
        made: What was made ahead.
    """

    number: int
    before: Position
    versions: Versions
    waiting: Waiting
    model: ModelVersion
    began_s: float
    more: bool
    made: Made | None = None

    @property
    def after(self) -> Position:
        """Where the stream stands once it is committed."""
        spine = self.versions.spine.version if self.waiting.whole else self.before.spine
        return Position(self.number, spine, self.waiting.moment)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a stream at a position; all of it is made from the lake."""

    position: Position
    spine: Spine
    scored: ScoredKeys

    def after(self, plan: Plan) -> Standing:
        """The same once a step is committed; this one stays as it is."""
        spine = self.spine.copied()
        spine.answered(plan.after, whole=plan.waiting.whole)
        scored = self.scored.with_coming(plan.waiting.rows, plan.waiting.hashes)
        return Standing(plan.after, spine, scored)


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a step, and their predictions where those were made ahead.

    Attributes:
        standing: From where they were found.
        until: The last moment that was asked for.
        versions: What was read.
        waiting: The rows; None: there is nothing to do.
        more: Whether rows will be left that can be answered.
        made: The predictions.
    """

    standing: Standing
    until: datetime | None
    versions: Versions
    waiting: Waiting | None
    more: bool
    made: Made | None = None


def planned(found: Found, waiting: Waiting, model: ModelVersion, began_s: float) -> Plan:
    """The step that answers for the rows that were found."""
    position = found.standing.position
    return Plan(position.step + 1, position, found.versions, waiting, model, began_s, found.more, found.made)


def worth(waiting: Waiting, standing: Standing, versions: Versions) -> bool:
    """A step without rows is committed only where it spares reading again: the spine has grown."""
    if waiting.rows.num_rows:
        return True
    position, spine = standing.position, standing.spine
    moved = waiting.moment != position.moment
    return moved and (versions.spine.version > position.spine or waiting.moment == spine.horizon)
