"""Lift: how much likelier a label is where a column has a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import pyarrow as pa

from whence.validation.extra.joint import Joint, Label, bucket_of, bucket_text, order_of
from whence.validation.extras import Extra, register_extra


@register_extra
class Lift(Extra):
    """How much likelier each value of y is in the rows that hold a value of x.

        lift(y | x) = P(y | x) / P(y) = (n(x, y) / n(x)) / (n(y) / n)

    n counts rows: all of them; those that hold x, y, or both. A row of a list holds each of its
    different values. A lift of 1 says nothing, above 1 that x speaks for y, 0 that they never meet.
    With weights every n is the weight of the rows. Counts add up, so any split merges exactly.

    Args:
        y: The label: text, bytes, booleans, dates or integers as they are; numbers with `y_edges`.
        x: Columns; None is all of such types, and those with edges.
        y_edges: Ascending edges that cut y into buckets; the first and the last are open.
        x_edges: The same by column of x.
        min_count: The least n(x) for which a lift is told.
        top: Only so many x of the highest lift for each y (and column).
        bottom: And so many of the lowest; with `top` both are told.
        weight: A column of weights.

    Raises:
        UsageError: Edges do not ascend (``bad-edges``), or numbers with a fraction, or instants, have
            none (``needs-edges``).

    Source:
        TFDV ``LiftStatsGenerator``. Differs: x may be a bucketed number; `min_count` itself is enough;
        n of weighted rows is their weight (TFDV divides by their number); of equal lifts the smaller
        x comes first; y with more than 1,000 and x with more than 10,000 values are left out.

    Example:
        >>> from whence.validation import StatisticsOptions, describe
        >>> t = pa.table({"pay": ["cash", "card", "card", "card"], "tip": [0, 0, 1, 1]})
        >>> s = describe(t, options=StatisticsOptions(extras=(Lift("tip"),)))
        >>> s.extras["lift(tip)"].lift("pay", "card", 1)
        1.3333333333333333
    """

    kind: ClassVar[str] = "lift"

    def __init__(
        self,
        y: str,
        x: Sequence[str] | None = None,
        *,
        y_edges: Sequence[float] = (),
        x_edges: Mapping[str, Sequence[float]] | None = None,
        min_count: float = 0,
        top: int | None = None,
        bottom: int | None = None,
        weight: str | None = None,
        _joint: Joint | None = None,
    ) -> None:
        if _joint is None:
            edges = {k: tuple(map(float, v)) for k, v in (x_edges or {}).items()}
            if y_edges:
                edges[y] = tuple(map(float, y_edges))
            names = None if x is None else tuple(dict.fromkeys(x))
            _joint = Joint(y, names, edges, weight)
        self._joint = _joint
        self._shown = (min_count, top, bottom)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lift) and (self._joint, self._shown) == (other._joint, other._shown)

    def __hash__(self) -> int:
        return hash((self.key(), self._joint.n_rows))

    def __repr__(self) -> str:
        return f"<Lift of {self._joint.y} over {self._joint.n_rows:,} rows>"

    def key(self) -> str:
        """``lift(y)``, with the columns and the weight where they were said."""
        j = self._joint
        said = [] if j.x is None else [f" | {', '.join(j.x)}"]
        said += [] if j.weight is None else [f", weight={j.weight}"]
        return f"lift({j.y}{''.join(said)})"

    def add(self, block: pa.Table, /) -> Self:
        """The state after a block."""
        return self._with(self._joint.add(block))

    def merge(self, other: Self, /) -> Self:
        """The state of both."""
        return self._with(self._joint.merge(other._joint))

    def _with(self, joint: Joint) -> Self:
        low, top, bottom = self._shown
        return type(self)(joint.y, min_count=low, top=top, bottom=bottom, _joint=joint)

    def lift(self, column: str, x: Label, y: Label) -> float | None:
        """One lift; None when x or y does not occur. A bucket is said by its number from 0."""
        j = self._joint
        n_x, n_y = j.of_x.get(column, {}).get(x, 0), j.of_y.get(y, 0)
        if not n_x or not n_y:
            return None
        return (j.of_both[column].get(x, {}).get(y, 0) / n_x) / (n_y / j.total)

    def finish(self) -> Any:
        """``{"y", "n_rows", "weight", "lifts": [{"x", "series": [{"y", "y_count", "values": […]}]}]}``.

        One series a value of y; its values ``{"x", "lift", "x_count", "x_and_y_count"}`` descend by
        lift, then ascend by x. Buckets of y carry ``low`` and ``high`` (None is infinity). What was
        given up is in ``left_out`` with the reason.
        """
        j = self._joint
        out: dict[str, Any] = {"y": j.y, "n_rows": j.n_rows, "weight": None if j.weight is None else j.total}
        out["lifts"] = [
            {"x": c, "series": [self._series(c, y) for y in sorted(j.of_y, key=order_of)]} for c in j.of_x
        ]
        out["left_out"] = dict(j.left_out)
        return out

    def _series(self, column: str, y: Label) -> dict[str, Any]:
        j = self._joint
        out: dict[str, Any] = {"y": y, "y_count": j.of_y[y]}
        if j.y in j.edges:
            low, high = bucket_of(y, j.edges[j.y])
            out |= {"y": bucket_text(y, j.edges[j.y]), "low": low, "high": high}
        found = [
            (x, self.lift(column, x, y), n)
            for x, n in j.of_x[column].items()
            if n > 0 and n >= self._shown[0]
        ]
        told = [(x, lift, n) for x, lift, n in found if lift is not None]
        told.sort(key=lambda v: (-v[1], order_of(v[0])))
        edges = j.edges.get(column)
        out["values"] = [
            {
                "x": x if edges is None else bucket_text(x, edges),
                "lift": lift,
                "x_count": n,
                "x_and_y_count": j.of_both[column].get(x, {}).get(y, 0),
            }
            for x, lift, n in self._cut(told)
        ]
        return out

    def _cut(self, told: list[tuple[Label, float, float]]) -> list[tuple[Label, float, float]]:
        _, top, bottom = self._shown
        if top is None and bottom is None:
            return told
        first = min(top or 0, len(told))
        last = max(len(told) - (bottom or 0), first)
        return told[:first] + told[last:]

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"shown": list(self._shown), **self._joint.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """The state that `to_dict` wrote."""
        low, top, bottom = data["shown"]
        joint = Joint.from_dict(data, missing=False)
        return cls(joint.y, min_count=low, top=top, bottom=bottom, _joint=joint)
