"""Rules, checks and slices are one expression over the rows at hand: refused when made, put and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.validation.fakes import open_room
from whence._base.clock import ReplayClock
from whence.blobs import open_blobs
from whence.compute import Engine, open_engine
from whence.errors import UsageError
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store
from whence.validation import Feature, RowCheck, Schema, Slice, StatisticsOptions, Validation, describe
from whence.validation.expressions import check_expression, check_rule_columns
from whence.validation.types import Check, Rule

REFUSED = {
    "1=1) OR (1=1": "bad-rule",
    "x + > 3": "bad-rule",
    "x > 1; DROP TABLE t": "bad-rule",
    " ": "bad-rule",
    "x > 0) FROM range(3) WHERE (true": "bad-rule",
    "x AS y": "bad-rule",
    "x > (SELECT count(*) FROM read_text('/etc/hostname'))": "bad-rule",
    "EXISTS (FROM read_csv('/etc/passwd'))": "bad-rule",
    "x IN (TABLE t)": "bad-rule",
    "x IN (FROM 'secret.csv')": "bad-rule",
    "true) OR (SELECT 1) = (1": "bad-rule",
    "read_text('/etc/hostname') IS NOT NULL": "sql-function",
    "x = read_csv('a.csv')": "sql-function",
    "parquet_metadata('a') = 1": "sql-function",
    "query_table('t') = 1": "sql-function",
    "unnest([x]) > 1": "sql-function",
}
FINE = (
    "x > 0 -- and no more",
    "x <> ';' AND c LIKE '%)%'",
    "max(x) FILTER (x > 9) > 3",
    "list_filter(l, lambda y: y > 1) = [2]",
    "[y for y in l if y > x] <> []",
    "CASE WHEN x > 1 THEN c ELSE 'b' END = 'b'",
    "(x, x) = (1, 1)",
    "quantile_cont(x, 0.5) BETWEEN 1 AND 2",
    "at > now() - INTERVAL 3 DAY",
    "s.a::INT > 0",
)
ROWS = pa.table({"x": [1, 2, 3]})
MADE: dict[str, Callable[[str], object]] = {
    "rule": lambda sql: Schema().rule("r", sql),
    "check": lambda sql: Schema().check("r", sql),
    "slice": lambda sql: Slice("r", sql),
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine(threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize("maker", MADE)
@pytest.mark.parametrize("sql", REFUSED)
def test_refused_when_made(maker: str, sql: str) -> None:
    with pytest.raises(UsageError) as caught:
        MADE[maker](sql)
    code = REFUSED[sql]
    assert caught.value.code == ("bad-slice" if maker == "slice" and code == "bad-rule" else code)
    assert "'r'" in caught.value.message


@pytest.mark.parametrize("sql", FINE)
def test_one_expression_is_fine(sql: str) -> None:
    for make in MADE.values():
        make(sql)


def test_the_error_says_what_it_is() -> None:
    with pytest.raises(UsageError, match=r"rule 'r' holds a query, .* \(bad-rule\)"):
        Schema().rule("r", "x > (SELECT 1)")
    with pytest.raises(
        UsageError, match=r"check 'c' calls 'read_text', which gives rows .* \(sql-function\)"
    ):
        Schema().check("c", "read_text('a') = 1")
    with pytest.raises(UsageError, match=r"a rule has a name.* \(bad-rule\)"):
        Schema().rule(" ", "x > 1")


@pytest.mark.parametrize("sql", [s for s in REFUSED if s.strip()])
def test_a_stored_one_is_refused_when_put_and_never_run(sql: str) -> None:
    validation, _, engine = open_room()
    plain = Schema().add(Feature("x", "INT"))
    for stored in (replace(plain, rules=(Rule("r", sql),)), replace(plain, checks=(Check("r", sql),))):
        again = Schema.from_json(stored.to_json(), stored=True)  # a schema kept before is read, not run
        with pytest.raises(UsageError) as caught:
            validation.put_schema("t", again)
        assert caught.value.code == REFUSED[sql]
        report = validation.validate(ROWS, again)
        assert [(a.type, a.observed) for a in report.anomalies] == [("INVALID_SCHEMA_SPECIFICATION", sql)]
        assert "cannot be run" in report.anomalies[0].message
        if again.rules:
            with pytest.raises(UsageError, match=r"rule 'r'"):
                RowCheck(again, engine=engine)(ROWS)
    engine.close()


def test_a_stored_slice_is_refused_when_run(engine: Engine) -> None:
    made = Slice("s", "x > 1")
    object.__setattr__(made, "where", "true) OR (true")
    with pytest.raises(UsageError, match=r"slice 's' is not one expression.* \(bad-slice\)"):
        describe(ROWS, options=StatisticsOptions(slices=(made,)))


def test_a_comment_at_the_end_swallows_nothing() -> None:
    validation, _, engine = open_room()
    schema = Schema().add(Feature("x", "INT")).rule("r", "x < 3 -- why").check("c", "max(x) < 3 -- why")
    assert [a.rule for a in validation.validate(ROWS, schema).anomalies] == ["r", "check c"]
    assert RowCheck(schema, engine=engine)(ROWS)[0] == [True, True, False]
    engine.close()


class TestUnknownColumns:
    @pytest.fixture
    def rooms(self, tmp_path: Path) -> Iterator[tuple[Validation, Lake]]:
        recorder, engine = Recorder(open_store("memory://")), open_engine(threads=1)
        clock = ReplayClock(datetime(2013, 4, 1, tzinfo=UTC))
        lake = open_lake(
            f"file:{tmp_path / 'lake'}",
            recorder=recorder,
            engine=engine,
            clock=clock,
            locks=tmp_path / "locks",
        )
        yield Validation(recorder, open_blobs("memory://"), lake, engine), lake
        engine.close()

    def test_refused_where_it_is_enforced(self, rooms: tuple[Validation, Lake]) -> None:
        validation, _ = rooms
        schema = Schema().add(Feature("dep", "INT")).rule("r", "dap > 1")
        message = r"rule 'r' names the column 'dap', which neither the schema nor the table has \(bad-rule\).*near: 'dep'"
        with pytest.raises(UsageError, match=message):
            validation.put_schema("t", schema, enforce=True)
        assert validation.list_schemas() == []
        validation.put_schema("t", schema)  # not enforced: validate says what is wrong
        with pytest.raises(UsageError, match=message):
            validation.put_schema("t", schema, enforce=True)

    def test_stays_refused_when_enforced_before(self, rooms: tuple[Validation, Lake]) -> None:
        validation, _ = rooms
        schema = Schema().add(Feature("dep", "INT"))
        validation.put_schema("t", schema.rule("r", "DEP > 1"), enforce=True)
        with pytest.raises(UsageError, match="'dap'"):
            validation.put_schema("t", schema.rule("r", "dap > 1"))

    def test_a_column_of_the_table_is_known(self, rooms: tuple[Validation, Lake]) -> None:
        validation, lake = rooms
        lake.table("t").append(pa.table({"dep": [2], "arr": [3]}))
        validation.put_schema("t", Schema().add(Feature("dep", "INT")).rule("r", "arr > dep"), enforce=True)
        with pytest.raises(UsageError, match="'late'"):
            validation.put_schema("t", Schema().rule("r", "late > dep"), enforce=True)


def test_which_names_are_columns() -> None:
    known = ["l", "x", "s", "a b", "at"]
    for sql in (*(s for s in FINE if "c" not in s.split()), 's.a.b > 1 AND "a b" = 1', "rows.x > 1"):
        if "c LIKE" not in sql and "c ELSE" not in sql:
            check_rule_columns([Rule("r", sql)], known)
    for sql in ("z > 1", "list_filter(l, lambda y: y > z) = []", "[y for y in l if y > z] = []", "y = 1"):
        with pytest.raises(UsageError, match=r"names the column '[zy]'"):
            check_rule_columns([Rule("r", sql)], known)


def test_the_default_code_is_that_of_rules() -> None:
    with pytest.raises(UsageError, match="bad-rule"):
        check_expression("it", "a b c")


QUERIES = {
    "SELECT * FROM 'secret.csv'": "bad-slice",
    'SELECT * FROM "secret.csv"': "bad-slice",
    "FROM rows POSITIONAL JOIN 'secret.csv'": "bad-slice",
    "SELECT * FROM rows, LATERAL read_csv('secret.csv')": "sql-function",
    "SELECT * FROM read_text('/etc/hostname')": "sql-function",
    "SELECT * FROM system.main.read_blob('/etc/hostname')": "sql-function",
    "WITH a AS MATERIALIZED (FROM glob('/etc/*')) SELECT * FROM a": "sql-function",
    "SELECT (SELECT count(*) FROM parquet_metadata('a')) FROM rows": "sql-function",
    "SELECT * FROM query('FROM rows')": "sql-function",
    "SELECT * FROM duckdb_settings()": "sql-function",
    "SELECT * FROM (SUMMARIZE 'secret.csv')": "bad-slice",
    "SELECT * FROM (DESCRIBE 'secret.csv')": "bad-slice",
    "SELECT * FROM (SHOW ALL TABLES)": "bad-slice",
    "SELECT * FROM information_schema.tables": "bad-slice",
    "SELECT * FROM other": "bad-slice",
    "TABLE 'secret.csv'": "bad-slice",
    "PIVOT 'secret.csv' ON a": "bad-slice",
    "ATTACH 'secret.db'": "bad-slice",
    "COPY (FROM rows) TO 'out.csv'": "bad-slice",
    "INSTALL httpfs": "bad-slice",
    "SET threads = 1": "bad-slice",
    "SELECT 1; SELECT 2": "bad-slice",
    "SELECT * FROM rows WHERE x > 0; DROP TABLE t": "bad-slice",
    "not SQL at all": "bad-slice",
    " ": "bad-slice",
}


@pytest.mark.parametrize(("sql", "code"), QUERIES.items())
def test_a_slice_by_query_reads_the_rows_and_nothing_else(sql: str, code: str) -> None:
    with pytest.raises(UsageError, match="slice 's' is a query over the relation rows") as caught:
        Slice("s", query=sql)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("sql", "n"),
    [
        ("SELECT * FROM rows WHERE x > 1 -- ; DROP TABLE rows", 2),
        (
            "WITH big AS (FROM rows WHERE x > 2) SELECT big.x, r.x AS y FROM big JOIN rows AS r ON r.x < big.x",
            2,
        ),
        ("SELECT x, unnest([x, 0]) AS y FROM Rows", 6),
        ("SELECT x, u FROM rows, LATERAL (SELECT x + 1 AS u)", 3),
        ("SELECT range AS x FROM range(4) SEMI JOIN rows ON x = range", 3),
        ("(SELECT x FROM rows ORDER BY x DESC LIMIT 1) UNION ALL SELECT max(x) OVER () FROM rows", 4),
    ],
)
def test_what_a_slice_by_query_may_say(sql: str, n: int) -> None:
    assert describe(ROWS, slices=[Slice("s", query=sql)]).slices["s"].n_rows == n


def test_what_is_run_is_what_was_understood() -> None:
    """A slice made past the check, as out of a file, is checked again when it is run."""
    slice_ = Slice("s", query="FROM rows")
    object.__setattr__(slice_, "query", "SELECT * FROM read_text('/etc/hostname')")
    with pytest.raises(UsageError, match="sql-function"):
        describe(ROWS, slices=[slice_])
