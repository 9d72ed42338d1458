"""What every engine must do for statistics: subclass `StatisticsSuite` beside `EngineSuite`, run pytest.

`Engine.fold` is compared with an oracle of plain Python: exact statistics are equal on every engine and
for every way of cutting the rows, sketches keep the error they state.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from whence.compute.base import Engine, Files, Relation, State
from whence.errors import UsageError
from whence.testing.compute import write_files
from whence.validation.describe import DescribePart, merge_parts
from whence.validation.options import Slice, StatisticsOptions
from whence.validation.statistics import Statistics
from whence.validation.view import FeatureView

N_ROWS = 4_000
_START = datetime(2013, 1, 1, tzinfo=UTC)


def rows_of(n: int = N_ROWS) -> list[dict[str, Any]]:
    """Rows with what is hard: nulls, NaN, infinities, large integers, text of any kind, lists, structs."""
    return [_row(i) for i in range(n)]


def _row(i: int) -> dict[str, Any]:
    wild = (math.nan, math.inf, -math.inf)
    return {
        "big": None if i % 11 == 0 else 2**53 + i % 97,
        "small": i % 7 - 3,
        "value": wild[i % 3] if i % 101 == 0 else (i * 7919 % 1009) / 8,
        "many": (i * 7919 % 100_003) / 16.0,
        "text": None if i % 13 == 0 else f"é{i * 31 % 37}",
        "raw": bytes([255, i % 5]),
        "flag": i % 3 == 0,
        "at": _START + timedelta(seconds=i * 977 % 5_000),
        "items": None if i % 17 == 0 else [i % 5] * (i % 4),
        "trip": None if i % 19 == 0 else {"stops": [i % 3, 7], "to": "ab"[i % 2]},
        "weight": (i % 9) / 4,
    }


SCHEMA = pa.schema(
    {
        "big": pa.int64(),
        "small": pa.int32(),
        "value": pa.float64(),
        "many": pa.float64(),
        "text": pa.string(),
        "raw": pa.binary(),
        "flag": pa.bool_(),
        "at": pa.timestamp("us", tz="UTC"),
        "items": pa.list_(pa.int64()),
        "trip": pa.struct({"stops": pa.list_(pa.int64()), "to": pa.string()}),
        "weight": pa.float64(),
    }
)


class PartsEngine(Engine):
    """An engine in front of another that cuts the rows of a fold into parts, as one of several machines does.

    Args:
        engine: The engine that runs the queries.
        n_parts: How many parts there are; some may be without rows.
    """

    name: ClassVar[str] = "parts"
    dialect: ClassVar[str] = "duckdb"

    def __init__(self, engine: Engine, n_parts: int) -> None:
        self._engine = engine
        self._n_parts = n_parts

    def query(
        self, sql: str, relations: Mapping[str, Relation], *, parameters: Mapping[str, object] | None = None
    ) -> pa.Table:
        """As the engine behind."""
        return self._engine.query(sql, relations, parameters=parameters)

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, batch_rows: int = 65_536
    ) -> pa.RecordBatchReader:
        """As the engine behind."""
        return self._engine.stream(sql, relations, batch_rows=batch_rows)

    def scan(
        self, relation: Relation, *, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """As the engine behind."""
        return self._engine.scan(relation, columns=columns, where=where)

    def fold(
        self,
        sql: str,
        relations: Mapping[str, Relation],
        part: Callable[[pa.RecordBatchReader], State],
        merge: Callable[[State, State], State],
        *,
        batch_rows: int = 65_536,
    ) -> State:
        """Every part is folded on its own; states merge from the last to the first."""
        table = self._engine.query(sql, relations)
        size = math.ceil(table.num_rows / max(self._n_parts - 1, 1)) or 1
        parts = [table.slice(i * size, size).to_reader(batch_rows) for i in range(self._n_parts)]
        return functools.reduce(merge, [part(p) for p in reversed(parts)])

    def close(self) -> None:
        """As the engine behind."""
        self._engine.close()


def _count(rows: pa.RecordBatchReader) -> int:
    return sum(b.num_rows for b in rows)


def _add(a: int, b: int) -> int:
    return a + b


class StatisticsSuite:
    """The suite; `make_engine` is that of `EngineSuite`."""

    @pytest.fixture
    def make_engine(self) -> Callable[[int], Engine]:
        """Override: a factory of engines by number of threads."""
        raise NotImplementedError

    @pytest.fixture(params=[1, 2])
    def folding(self, make_engine: Callable[[int], Engine], request: pytest.FixtureRequest) -> Engine:
        """An engine with one and with two threads."""
        return make_engine(request.param)

    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        """The rows in four files, one of them empty."""
        table = pa.Table.from_pylist(rows_of(), schema=SCHEMA)
        cuts = (0, 1_500, 1_500, 3_999, N_ROWS)
        parts = [table.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
        return Files(write_files(tmp_path, *parts), SCHEMA)

    def test_a_fold_sees_every_row_once(self, folding: Engine, files: Files) -> None:
        assert folding.fold("SELECT small FROM t", {"t": files}, _count, _add, batch_rows=1_000) == N_ROWS
        assert folding.fold("SELECT small FROM t WHERE small > 9", {"t": files}, _count, _add) == 0
        assert folding.fold("SELECT 1 AS a FROM t", {"t": Files((), SCHEMA)}, _count, _add) == 0

    def test_a_fold_of_wrong_sql(self, folding: Engine, files: Files) -> None:
        with pytest.raises(UsageError) as caught:
            folding.fold("SELECT nowhere FROM t", {"t": files}, _count, _add)
        assert caught.value.code == "bad-sql"

    def test_statistics_equal_the_oracle(self, folding: Engine, files: Files) -> None:
        made = _described(folding, files)
        _check_all(made, rows_of())

    @pytest.mark.parametrize("n_parts", [2, 5])
    def test_statistics_of_parts_equal_the_oracle(self, folding: Engine, files: Files, n_parts: int) -> None:
        made = _described(PartsEngine(folding, n_parts), files)
        _check_all(made, rows_of())

    def test_slices_of_parts_equal_the_oracle(self, folding: Engine, files: Files) -> None:
        options = StatisticsOptions(slices=(Slice(by=("small", "flag")), Slice("late", "value > 60")))
        made = _described(PartsEngine(folding, 3), files, options)
        for small, flag in ((-3, True), (0, False), (3, True)):
            rows = [r for r in rows_of() if r["small"] == small and r["flag"] is flag]
            _check_all(made.slices[f"small={small},flag={flag}"], rows)
        late = [r for r in rows_of() if r["value"] > 60 or math.isnan(r["value"])]  # NaN is above all numbers
        assert made.slices["late"].n_rows == len(late)

    def test_weighted_statistics_equal_the_oracle(self, folding: Engine, files: Files) -> None:
        made = _described(PartsEngine(folding, 3), files, StatisticsOptions(weight="weight"))
        rows = [r for r in rows_of() if r["big"] is not None]
        total = sum(r["weight"] for r in rows)
        twin = made["big"].weighted
        assert twin is not None
        assert twin.num_non_missing == pytest.approx(total)
        assert twin.mean == pytest.approx(sum(r["weight"] * r["big"] for r in rows) / total)

    def test_no_rows_have_statistics(self, folding: Engine) -> None:
        made = _described(folding, Files((), SCHEMA))
        assert made.n_rows == 0
        assert list(made.features) == [f for f in _names() if f]
        assert [f.num_rows for f in made] == [0] * len(made)


def _names() -> list[str]:
    out = []
    for field in SCHEMA:
        out.append(field.name)
        if pa.types.is_struct(field.type):
            out += [f"{field.name}.{inner.name}" for inner in field.type]
    return out


def _described(engine: Engine, files: Files, options: StatisticsOptions | None = None) -> Statistics:
    part = DescribePart("rows", options or StatisticsOptions())
    return engine.fold("SELECT * FROM t", {"t": files}, part, merge_parts, batch_rows=2_048).sealed()


def _check_all(made: Statistics, rows: Sequence[Mapping[str, Any]]) -> None:
    assert made.n_rows == len(rows)
    for name in ("big", "small", "value", "many", "text", "raw", "flag", "at"):
        _check(made[name], [r[name] for r in rows])
    trips = [r["trip"] for r in rows if r["trip"] is not None]
    _check(made["trip.to"], [t["to"] for t in trips])
    for name, lists in (("items", [r["items"] for r in rows]), ("trip.stops", [t["stops"] for t in trips])):
        here, f = [v for v in lists if v is not None], made[name]
        sizes = [len(v) for v in here]
        assert (f.num_missing, f.min_num_values, f.max_num_values, f.tot_num_values) == (
            len(lists) - len(here), min(sizes), max(sizes), sum(sizes),
        )  # fmt: skip
        values = [x for v in here for x in v]
        assert f.mean == sum(values) / len(values)


def _check(f: FeatureView, values: Sequence[Any]) -> None:
    here = [v for v in values if v is not None]
    assert (f.num_non_missing, f.num_missing) == (len(here), len(values) - len(here))
    numbers = [v for v in here if not (isinstance(v, float) and math.isnan(v))]
    if f.unique_is_exact:
        counts = Counter(numbers)
        assert f.num_unique == len(counts)
        assert f.value_counts() == counts
    else:
        assert f.num_unique == pytest.approx(len(set(numbers)), rel=0.08)
    if f.is_text:
        ordered = sorted(Counter(numbers).items(), key=lambda p: (-p[1], p[0]))
        assert list(f.top_values(5)) == ordered[:5]
        return
    assert f.num_nan == len(here) - len(numbers)
    assert (f.min, f.max) == (min(numbers), max(numbers))
    _check_quantiles(f, sorted(numbers))
    if f.is_time:
        return
    finite = [v for v in numbers if not (isinstance(v, float) and math.isinf(v))]
    assert f.num_inf == len(numbers) - len(finite)
    assert f.num_zeros == sum(v == 0 for v in numbers)
    mean = Fraction(sum(map(Fraction, finite)), len(finite))
    spread = math.sqrt(sum((Fraction(v) - mean) ** 2 for v in finite) / len(finite))
    if all(isinstance(v, int) for v in finite):
        assert f.mean == float(mean)
        assert f.std_dev == pytest.approx(spread, rel=1e-15)
    else:
        assert f.mean == pytest.approx(float(mean), rel=1e-12)
        assert f.std_dev == pytest.approx(spread, rel=1e-9)


def _check_quantiles(f: FeatureView, ordered: Sequence[Any]) -> None:
    n = len(ordered)
    assert f.rank_error < 0.01
    for q in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0):
        found = f.quantile(q)
        below = sum(v < found for v in ordered)
        up_to = sum(v <= found for v in ordered)
        assert below / n - f.rank_error - 1 / n <= q <= up_to / n + f.rank_error + 1 / n
