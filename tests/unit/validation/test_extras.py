from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from whence.errors import ConflictError, UsageError
from whence.validation import Extra, Statistics, StatisticsOptions, describe, extras, register_extra


@register_extra
@dataclass(frozen=True)
class Total(Extra):
    """The sum of a column."""

    kind: ClassVar[str] = "test-total"

    column: str
    total: int = 0

    def key(self) -> str:
        return f"total({self.column})"

    def columns(self) -> tuple[str, ...] | None:
        return (self.column,)

    def add(self, block: pa.Table, /) -> Self:
        return type(self)(self.column, self.total + (pc.sum(block.column(self.column)).as_py() or 0))

    def merge(self, other: Self, /) -> Self:
        return type(self)(self.column, self.total + other.total)

    def finish(self) -> Any:
        return self.total

    def by_feature(self) -> Mapping[str, Any]:
        return {self.column: self.total}

    def to_dict(self) -> dict[str, Any]:
        return {"column": self.column, "total": self.total}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        return cls(**data)


ROWS = pa.table({"x": [1, 2, 4], "c": ["a", "b", "a"]})
OPTIONS = StatisticsOptions(columns=("c",), extras=(Total("x"),), slices=("c",))  # type: ignore[arg-type]  # a column is a slice


def test_kept_merged_and_stored() -> None:
    s = describe(ROWS, options=OPTIONS)
    assert list(s.features) == ["c"]
    assert s.extras["total(x)"].finish() == 7
    assert s.slices["c=a"].extras["total(x)"].finish() == 5
    back = Statistics.from_bytes(s.to_bytes())
    assert back.to_bytes() == s.to_bytes()
    both = back.merge(s)
    assert both.summary()["extras"] == {"total(x)": 14}
    assert s.merge(describe(ROWS)).extras == {}


def test_what_it_says_of_a_feature() -> None:
    s = describe(ROWS, options=StatisticsOptions(extras=(Total("x"),)))
    assert s["x"].custom == {"total(x)": 7}
    assert s.merge(s)["x"].custom == {"total(x)": 14}
    assert Statistics.from_bytes(s.to_bytes())["x"].summary()["custom"] == {"total(x)": 7}


def test_one_that_is_not_known_here_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    s = describe(ROWS, options=OPTIONS)
    monkeypatch.delitem(extras._KINDS, "test-total")
    back = Statistics.from_bytes(s.to_bytes())
    assert back.to_bytes() == s.to_bytes()
    assert back.extras["total(x)"].finish() is None
    with pytest.raises(
        UsageError, match=r"statistic 'total\(x\)' is of kind 'test-total', .* \(unknown-extra\)"
    ):
        back.merge(back)


def test_names_are_taken_once() -> None:
    with pytest.raises(UsageError, match="asked for twice"):
        StatisticsOptions(extras=(Total("x"), Total("x")))

    class Other(Total):
        pass

    with pytest.raises(ConflictError, match=r"extra 'test-total' is already Total \(extra-exists\)"):
        register_extra(Other)
