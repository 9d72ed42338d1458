"""Slices by SQL: the rows TFDV 1.16.1 puts into each slice of the same batch, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.compute import Engine, open_engine
from whence.integrations import tfdv
from whence.integrations.tfdv.slicing_util import listed
from whence.integrations.tfdv.sql_slices import sql_slicer

BATCH = pa.record_batch(
    {
        "gender": pa.array([[b"f"], [b"m"], None, [b"f", b"m"], []], pa.list_(pa.binary())),
        "country": pa.array([[b"USA"], [b"FR"], [b"USA"], [b"USA"], [b"DE"]], pa.list_(pa.binary())),
        "age": pa.array([[1], [2], [3], None, [5, 5]], pa.list_(pa.int64())),
        "fare": pa.array([[1.5], [2.0], [float("nan")], None, [1e10]], pa.list_(pa.float32())),
        "s": pa.array([["x"], ["y"], ["x"], ["é"], ["z z"]], pa.list_(pa.string())),
        "flat": pa.array([1, 2, 3, None, 5], pa.int64()),
        "trip id": pa.array([[1], [2], [3], None, [5, 5]], pa.list_(pa.int64())),
        "never": pa.nulls(5),
        "picture": pa.array([[b"\xff"]] * 5, pa.list_(pa.binary())),
    }
)
TFDVS: list[tuple[str, list[list[str]]]] = [
    (
        "SELECT STRUCT(gender) FROM example.gender",
        [["gender_f"], ["gender_m"], [], ["gender_f", "gender_m"], []],
    ),
    (
        "SELECT STRUCT(gender AS g, country AS c) FROM example.gender, example.country WHERE country = b'USA'",
        [["g_f_c_USA"], [], [], ["g_f_c_USA", "g_m_c_USA"], []],
    ),
    (
        "SELECT STRUCT(age) FROM example.age WHERE age > 1 AND age < 5 OR age = 5",
        [[], ["age_2"], ["age_3"], [], ["age_5"]],
    ),
    ("SELECT STRUCT(fare) FROM example.fare", [["fare_1.5"], ["fare_2"], ["fare_nan"], [], ["fare_1e+10"]]),
    ("SELECT STRUCT(flat)", [["flat_1"], ["flat_2"], ["flat_3"], ["flat_NULL"], ["flat_5"]]),
    ("SELECT STRUCT(example.flat)", [["flat_1"], ["flat_2"], ["flat_3"], ["flat_NULL"], ["flat_5"]]),
    ("SELECT STRUCT(age + 1) FROM example.age", [["_2"], ["_3"], ["_4"], [], ["_6"]]),
    (
        "SELECT STRUCT(IF(age > 2, 'old', \"young\") AS a) FROM example.age",
        [["a_young"], ["a_young"], ["a_old"], [], ["a_old"]],
    ),
    ("SELECT STRUCT('all' AS everything)", [["everything_all"]] * 5),
    ("SELECT STRUCT(1.5 AS x, NULL AS y)", [["x_1.5_y_NULL"]] * 5),
    ("SELECT STRUCT(s) FROM example.s WHERE s LIKE 'z%' -- a comment", [[], [], [], [], ["s_z z"]]),
    ("SELECT STRUCT(g) FROM example.gender g", [["g_f"], ["g_m"], [], ["g_f", "g_m"], []]),
    ("SELECT STRUCT(g) FROM UNNEST(example.gender) AS g", [["g_f"], ["g_m"], [], ["g_f", "g_m"], []]),
    (
        "SELECT STRUCT(`trip id`) FROM example.`trip id`",
        [["trip id_1"], ["trip id_2"], ["trip id_3"], [], ["trip id_5"]],
    ),
    ("SELECT STRUCT(MIN(age) AS m) FROM example.age", [["m_1"], ["m_2"], ["m_3"], ["m_NULL"], ["m_5"]]),
    ("select struct(Age as Old) from example.AGE where age = 1", [["Old_1"], [], [], [], []]),
    ("SELECT STRUCT(gender) FROM example.gender, example.age WHERE age >= 2", [[], ["gender_m"], [], [], []]),
    (
        "SELECT STRUCT(country) FROM example.country WHERE ARRAY_LENGTH(example.age) > 1",
        [[], [], [], [], ["country_DE"]],
    ),
    ("SELECT STRUCT(age / 2 AS h) FROM example.age", [["h_0.5"], ["h_1"], ["h_1.5"], [], ["h_2.5"]]),
    (
        "SELECT STRUCT(UPPER(s) || '_x' AS k) FROM example.s",
        [["k_X_x"], ["k_Y_x"], ["k_X_x"], ["k_É_x"], ["k_Z Z_x"]],
    ),
]
"""Queries, and the slices TFDV puts the five rows into."""


@pytest.fixture(scope="module")
def engine() -> Any:
    made = open_engine(threads=1)
    yield made
    made.close()


def slices(batch: pa.RecordBatch, queries: list[str], engine: Engine) -> list[list[str]]:
    numbered = batch.append_column("place", pa.array(range(batch.num_rows)))
    out: list[list[str]] = [[] for _ in range(batch.num_rows)]
    for key, part in sql_slicer(queries, engine)(numbered):
        for row in part.column("place").to_pylist():
            out[row].append(key)
    return [sorted(keys) for keys in out]


@pytest.mark.parametrize(("query", "expected"), TFDVS)
def test_rows_are_in_the_slices_of_tfdv(query: str, expected: list[list[str]], engine: Engine) -> None:
    assert slices(BATCH, [query], engine) == expected


def test_text_can_be_compared_with_bytes_and_a_row_is_in_a_slice_once(engine: Engine) -> None:
    one = "SELECT STRUCT(country) FROM example.country WHERE country != 'FR'"
    other = "SELECT STRUCT(country) FROM example.country"
    found = slices(BATCH, [one, other], engine)
    assert found == [[f"country_{c}"] for c in ("USA", "FR", "USA", "USA", "DE")]
    assert slices(BATCH, ["SELECT STRUCT(never) FROM example.never"], engine) == [[]] * 5


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.none() | st.sampled_from(["a", "b'", 'c"']), st.none() | st.integers(0, 3))))
def test_as_a_naive_loop(rows: list[tuple[str | None, int | None]]) -> None:
    batch = pa.record_batch(
        {"t": pa.array([r[0] for r in rows], pa.string()), "n": pa.array([r[1] for r in rows], pa.int64())}
    )
    made = open_engine(threads=1)
    query = "SELECT STRUCT(t, n) FROM example.t, example.n WHERE n > 0"
    found = slices(listed(batch), [query], made)
    made.close()
    assert found == [[f"t_{t}_n_{n}"] if t is not None and n else [] for t, n in rows]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT gender FROM example.gender", r"does not begin with SELECT STRUCT\("),
        ("SELECT STRUCT(gender", "a parenthesis is not closed"),
        ("SELECT STRUCT()", "has no part"),
        ("SELECT STRUCT(gender)", "'gender' is a list .*FROM example.gender opens it"),
        ("SELECT STRUCT(nope) FROM example.nope", "nope"),
        ("SELECT STRUCT(picture) FROM example.picture", "'picture' has bytes that are not UTF-8"),
        ("", "does not begin"),
        (
            "SELECT STRUCT(x) FROM read_text('/etc/hosts') AS t(x)",
            "FROM read_text: there are only the features",
        ),
        ("SELECT STRUCT(x) FROM example.age, '/etc/hosts'", "FROM '/etc/hosts': there are only"),
        ("SELECT STRUCT(1 AS x) FROM example.age WHERE 1 IN (SELECT 1 FROM t)", "FROM t: there are only"),
    ],
)
def test_a_query_that_cannot_be_run_is_refused(query: str, why: str, engine: Engine) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        slices(BATCH, [query], engine)
    assert caught.value.code == "bad-slice"  # type: ignore[attr-defined]
    assert repr(query) in str(caught.value)


def test_features_may_be_called_as_words_of_the_engine(engine: Engine) -> None:
    rows = listed(pa.record_batch({"at": ["a", "b"], "offset": [1, 2], "if": ["x", "y"]}))
    query = "SELECT STRUCT(at, if(offset > 1, 'much', 'few') AS n, if) FROM example.at, example.offset, example.if"
    assert slices(rows, [query], engine) == [["at_a_n_few_if_x"], ["at_b_n_much_if_y"]]


def test_in_the_options_and_in_a_slicing_config(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("pay,n\ncash,1\ncard,2\ncash,\n")
    query = "SELECT STRUCT(pay) FROM example.pay"

    class Spec:
        feature_keys = ()
        feature_values: dict[str, str] = {}  # noqa: RUF012 - as the proto has it
        slice_keys_sql = query

    class Config:
        slicing_specs = (Spec,)

    for options in (
        tfdv.StatsOptions(experimental_slice_sqls=[query], semantic_domain_stats_sample_rate=0.5),
        tfdv.StatsOptions(slicing_config=Config()),
    ):
        made = tfdv.generate_statistics_from_csv(str(file), stats_options=options)
        assert [(d.name, d.num_examples) for d in made.datasets] == [
            ("All Examples", 3),
            ("pay_card", 1),
            ("pay_cash", 2),
        ]
    with pytest.raises(
        ValueError, match="give one of experimental_slice_functions and experimental_slice_sqls"
    ):
        tfdv.StatsOptions(experimental_slice_sqls=[query], slice_functions=[lambda _: []])
    Spec.feature_keys = ("pay",)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="by features or by SQL, not both"):
        tfdv.generate_statistics_from_csv(str(file), stats_options=tfdv.StatsOptions(slicing_config=Config()))
