"""What can be drawn, and what has been drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from whence.errors import UsageError

X: TypeAlias = "float | str | date"


class Html(str):
    """Text that is already HTML: it stands in a page as it is. Every other text is escaped.

    Example:
        >>> Html("<b>1</b>")._repr_html_()
        '<b>1</b>'
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of bars.

    Args:
        name: What the legend says.
        y: The values; None is a gap.
    """

    name: str
    y: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level drawn across a chart."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place of a line chart that is pointed at.

    Args:
        x: One of the chart's places.
        label: A few characters that stand at the mark.
        note: What happened there, in words.
    """

    x: X
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of a calibration plot: `n` predictions with this mean score, of which this share came true."""

    mean_score: float
    rate: float
    n: int

    def __post_init__(self) -> None:
        if self.n < 0 or not (0 <= self.mean_score <= 1 and 0 <= self.rate <= 1):
            raise UsageError(f"{self} is no bin: scores and rates lie in [0, 1]", code="bad-chart")


@dataclass(frozen=True, slots=True)
class Branch:
    """A node of a tree and what lies below it."""

    label: str
    children: tuple[Branch, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        parts: Text becomes a paragraph; `Html` stands as it is.
    """

    title: str
    parts: Sequence[str]
