from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot
from sqlglot.errors import ParseError

from whence.compute import open_engine
from whence.errors import NotFoundError, UsageError
from whence.lake import Lake, PinScope, open_lake, pinned, pinning, table_names
from whence.lake.conditions import check_condition
from whence.lake.pin import pinned_version
from whence.lake.query import closed_query
from whence.metadata import Recorder, open_store


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1", []),
        ("FROM t", ["t"]),
        ("SELECT * FROM A.b, c", ["a.b", "c"]),
        ('SELECT * FROM "A.b"', ["A.b"]),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", ["t"]),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b", []),
        ("WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM a, b", ["a"]),
        ("WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a WHERE n < 3) SELECT * FROM a", []),
        ("SELECT * FROM (WITH a AS (SELECT * FROM x) SELECT * FROM a) JOIN a USING (k)", ["a", "x"]),
        (
            "WITH a AS (SELECT 1) SELECT * FROM t WHERE k IN (SELECT k FROM a) AND EXISTS (SELECT 1 FROM u)",
            ["t", "u"],
        ),
        ("WITH A AS (SELECT 1) SELECT * FROM a", []),
        ("SELECT * FROM t UNION SELECT * FROM u", ["t", "u"]),
        ("SELECT * FROM range(3), t", ["t"]),
        ("SELECT * FROM t ASOF JOIN u ON t.k = u.k AND t.at >= u.at", ["t", "u"]),
    ],
)
def test_names_of_tables(sql: str, names: list[str]) -> None:
    assert table_names(sql, dialect="duckdb") == names


def test_names_in_a_text_that_cannot_be_parsed() -> None:
    with pytest.raises(UsageError) as caught:
        table_names("SELECT ((( FROM", dialect="duckdb")
    assert caught.value.code == "unparsable-query"
    assert "\x1b" not in caught.value.message


@pytest.fixture
def lake() -> Lake:
    lake = open_lake("memory://", recorder=Recorder(open_store("memory://")), engine=open_engine(threads=1))
    for value in (1, 2, 3):
        lake.table("t").append({"a": [value], "b": [value * 10]})
    return lake


@pytest.mark.parametrize(
    ("sql", "want"),
    [
        ("WITH t AS (SELECT a FROM t VERSION AS OF 1 WHERE a > 1) SELECT a FROM t", [2]),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT r.a + 1 FROM r JOIN t ON t.a = r.a) SELECT a FROM r ORDER BY a",
            [1, 2, 3, 4],
        ),
        ("SELECT t.a FROM t WHERE t.a = (SELECT max(x.a) FROM t AT (VERSION => 0) AS x)", [1]),
        ("SELECT x.a FROM t VERSION AS OF 0 AS x CROSS JOIN t VERSION AS OF 1 AS y ORDER BY y.a", [1, 1]),
        ("SELECT a FROM (FROM t VERSION AS OF 0)", [1]),
        ("FROM t SELECT a WHERE a >= $low ORDER BY a", [2, 3]),
        ("SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a DESC) = 1", [3]),
        ("SELECT a FROM t, LATERAL (SELECT t.a * 2 AS d) WHERE d = 4", [2]),
        ("SELECT a // 2 AS a FROM t ORDER BY a", [0, 1, 1]),
        ("SELECT list_sum(list_transform([1, 2], x -> x + 1))::INT AS a", [5]),
        ("SELECT count(*) FILTER (WHERE a > 1)::INT AS a FROM t", [2]),
    ],
)
def test_queries_mean_what_they_meant(lake: Lake, sql: str, want: list[int]) -> None:
    parameters = {"low": 2} if "$low" in sql else None
    assert lake.sql(sql, parameters=parameters).column("a").to_pylist() == want


def test_a_text_that_only_the_engine_understands_is_run_by_names(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> object:
        raise ParseError("new syntax")

    monkeypatch.setattr(sqlglot, "parse", refuse)
    got = lake.sql("SELECT sum(a)::INT AS s FROM t")
    assert got.to_pydict() == {"s": [6]}
    assert got.schema.metadata == {b"whence": b'{"lineage": "tables", "sources": {"t": [2]}, "views": []}'}
    for text in (
        "SELECT * FROM t VERSION AS OF 1",
        "SELECT * FROM t AT (VERSION => 1)",
        "SELECT * FROM read_text('x')",
        "SELECT * FROM 'x.csv'",
    ):
        with pytest.raises(UsageError) as caught:
            lake.sql(text)
        assert caught.value.code == "unparsable-query"
    with pytest.raises(UsageError) as caught:
        lake.sql("DROP TABLE t")
    assert caught.value.code == "not-a-query"


@pytest.mark.parametrize(
    "source",
    [
        '"{file}"',
        "t, '{file}'",
        "/**/'{file}'",
        "read_text/**/('{file}')",
        "\"read_text\"('{file}')",
        "query('FROM ''{file}''')",
        '(WITH "{file}" AS (SELECT 1) SELECT 2), "{file}"',
        "duckdb_settings()",
    ],
)
def test_a_text_that_only_the_engine_understands_reaches_no_file(
    lake: Lake, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    with pytest.raises(UsageError) as caught:
        lake.sql(f"SELECT 5!, * FROM {source.format(file=file)}")
    assert caught.value.code == "unparsable-query"


def test_a_text_that_only_the_engine_understands_may_name_its_parts(lake: Lake) -> None:
    got = lake.sql(
        "WITH w AS (SELECT 5! AS f) SELECT f, count(*) AS n FROM w, T, range(2), unnest([1]) GROUP BY 1"
    )
    assert got.to_pylist() == [{"f": 120, "n": 6}]


def test_relations_may_be_handles_and_frames(lake: Lake) -> None:
    got = lake.sql(
        "SELECT h.a FROM h JOIN v USING (a) JOIN f USING (a)",
        relations={"h": lake.table("t"), "v": lake.table("t").at(1), "f": pa.table({"a": [2, 3]})},
    )
    assert got.to_pydict() == {"a": [2]}


def test_inner_blocks_pin_first() -> None:
    scope = PinScope({"t": 1})
    with pinned(scope), pinned({"t": 2, "u": 3}):
        assert (pinned_version("t"), pinned_version("u"), pinned_version("v")) == (2, 3, None)
    assert pinned_version("t") is None


def test_pinning_inside_pinned_keeps_the_outer_pins(lake: Lake) -> None:
    with pinned({"t": 1}), pinning() as scope:
        assert lake.table("t").head().version == 1
    assert scope.versions == {"t": 1}


def test_pins_need_names() -> None:
    with pytest.raises(UsageError), pinned({"No Name": 1}):
        pass


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("delay = (SELECT count(*) FROM read_text('/etc/hostname'))", "condition-reads"),
        ("EXISTS (FROM 'secret.csv')", "condition-reads"),
        ("id IN (SELECT id FROM other)", "condition-reads"),
        ("true) OR (SELECT 1) = (1", "condition-reads"),
        ("true), (SELECT 1", "bad-sql"),
        ("1=1) OR (1=1", "bad-sql"),
        ("id AS other", "bad-sql"),
        ("read_text('/etc/hostname') = 'a'", "sql-function"),
        ("glob('/etc/*') = 'a'", "sql-function"),
        ("id = 1; DROP TABLE x", "bad-sql"),
        ("id = 1) FROM range(3) WHERE (true", "bad-sql"),
        ("", "bad-sql"),
    ],
)
def test_a_condition_reads_nothing_but_its_row(where: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_condition(where)
    assert caught.value.code == code


def test_a_condition_of_a_row_is_fine() -> None:
    for where in (
        "id = 1 -- the first",
        "a IS NULL OR b LIKE 'x%'",
        "t = TIMESTAMPTZ '2013-01-01 00:00:00+00'",
        "true",
    ):
        check_condition(where)


def test_a_notebook_shows_the_first_rows(lake: Lake) -> None:
    table = lake.table("shown")
    assert "no versions yet" in table._repr_html_()
    table.append([{"n": n, "word": "<b>"} for n in range(12)])
    html = table._repr_html_()
    assert "table:shown@0: 12 rows" in html
    assert html.count("<tr>") == 1 + 10
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM t, LATERAL read_csv('secret.csv')", "sql-function"),
        ("SELECT * FROM (SUMMARIZE 'secret.csv')", "not-a-query"),
        ("SELECT * FROM (DESCRIBE 'secret.csv')", "table-not-found"),
        ("SELECT * FROM (SHOW TABLES)", "table-not-found"),
        ("TABLE 'secret.csv'", "unparsable-query"),
    ],
)
def test_what_reads_from_outside(lake: Lake, sql: str, code: str) -> None:
    for run in (lake.sql, lake.stream):
        with pytest.raises((UsageError, NotFoundError)) as caught:
            run(sql)
        assert caught.value.code == code
    with pytest.raises((UsageError, NotFoundError)) as caught:
        closed_query(sql, ["t"], dialect="duckdb")
    assert caught.value.code == code


def test_rows_stream(lake: Lake) -> None:
    rows = lake.stream("SELECT a FROM t VERSION AS OF 2 JOIN k USING (a)", relations={"k": {"a": [1, 3]}})
    assert sorted(rows.read_all()["a"].to_pylist()) == [1, 3]
    lake.create_view("v", "SELECT a FROM t WHERE a > 1")
    assert sorted(lake.view("v").pin().stream().read_all()["a"].to_pylist()) == [2, 3]
    with pytest.raises(UsageError, match="bad-argument"):
        lake.stream(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t@0",
        "SELECT x.a FROM t@0 x",
        "SELECT * FROM t @ 0 AS x",
        "SELECT a FROM (SELECT * FROM T@0)",
        'SELECT * FROM "t@0"',
    ],
)
def test_a_version_after_an_at_sign_is_refused_with_the_right_spelling(lake: Lake, query: str) -> None:
    with pytest.raises((UsageError, NotFoundError)) as caught:
        lake.sql(query)
    assert caught.value.code in ("bad-version", "table-not-found")
    assert (caught.value.hint or "").lower() == "write t version as of 0"


def test_an_at_sign_elsewhere_is_none_of_a_version(lake: Lake) -> None:
    assert lake.sql("SELECT 'from t@0' AS s, @a AS n FROM t").to_pylist() == [
        {"s": "from t@0", "n": n} for n in (1, 2, 3)
    ]
