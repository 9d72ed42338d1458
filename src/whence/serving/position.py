"""How far a stream has come: said by the predictions table itself, in the commit of the predictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from whence.errors import NotFoundError
from whence.lake import Lake
from whence.serving.types import Deployment

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream has come.

    Attributes:
        step: How many steps are committed.
        spine: The version of the spine that was read; -1 is none.
        moment: Up to which moment, in microseconds, everything that had come is answered; None is none.
        sink: The version of the predictions table it was read from; -1 when there is none.
    """

    step: int = 0
    spine: int = -1
    moment: int | None = None
    sink: int = -1

    @property
    def scored_to(self) -> datetime | None:
        """The moment; None before the first step."""
        return None if self.moment is None else instant(self.moment)

    def progress(self, deployment: Deployment) -> dict[str, int]:
        """What the commit of the step carries beside its number."""
        assert self.moment is not None
        name = deployment.application
        return {f"{name}/version": self.spine, f"{name}/moment": self.moment}


def read_position(lake: Lake, deployment: Deployment) -> Position:
    """What the newest version of the predictions table says.

    A deployment with a start begins there: as if everything before had been answered.
    """
    start = None if deployment.start is None else micros(deployment.start) - 1
    try:
        head = lake.table(deployment.into).head()
    except NotFoundError as error:
        if error.code != "table-not-found":
            raise
        return Position(moment=start)
    name = deployment.application
    step = head.transaction(name)
    if step is None:
        return Position(moment=start, sink=head.version)
    version, moment = head.transaction(f"{name}/version"), head.transaction(f"{name}/moment")
    assert version is not None
    return Position(step, version, moment, head.version)


def micros(moment: datetime) -> int:
    """Microseconds since 1970.

    Example:
        >>> micros(datetime(1970, 1, 2, tzinfo=UTC))
        86400000000
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """The moment of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)
