from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from whence.compute import Engine, open_engine
from whence.testing.compute import EngineSuite
from whence.testing.statistics import StatisticsSuite


class TestDuckDB(EngineSuite, StatisticsSuite):
    @pytest.fixture
    def make_engine(self) -> Iterator[Callable[[int], Engine]]:
        made: list[Engine] = []

        def make(threads: int) -> Engine:
            made.append(open_engine("duckdb://", threads=threads))
            return made[-1]

        yield make
        for engine in made:
            engine.close()
