"""The language of searches: what it reads, what it refuses, and that SQL means the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence.database import Database, sqlite_url
from whence.errors import UsageError
from whence.testing.tracking import START, metric
from whence.tracking.base import MetricStore
from whence.tracking.filter import (
    All,
    Condition,
    Field,
    Not,
    Order,
    Predicate,
    Some,
    parse_filter,
    parse_order,
)
from whence.tracking.open import open_metrics
from whence.tracking.types import Batch, RunInfo

AUC = Field("metric", "auc")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("metrics.auc > 0.7", Predicate(AUC, ">", (0.7,))),
        ("metric.auc == -1e-3", Predicate(AUC, "=", (-0.001,))),
        ("metrics.auc <> .5", Predicate(AUC, "!=", (0.5,))),
        ("METRICS.auc > 1", None),
        ('metrics."val loss" <= 3', Predicate(Field("metric", "val loss"), "<=", (3.0,))),
        ("metrics.`val.loss` < 3", Predicate(Field("metric", "val.loss"), "<", (3.0,))),
        ("metrics.val/loss.total < 3", Predicate(Field("metric", "val/loss.total"), "<", (3.0,))),
        ("params.name = 'it''s'", Predicate(Field("param", "name"), "=", ("it's",))),
        ("tags.a IN ('x','y')", Predicate(Field("tag", "a"), "IN", ("x", "y"))),
        ("name LIKE 'a%'", Predicate(Field("attribute", "name"), "LIKE", ("a%",))),
        ("attributes.state = 'FAILED'", Predicate(Field("attribute", "state"), "=", ("FAILED",))),
        (
            "metrics.auc > 1 and params.d = '6' or not name is null",
            Some(
                (
                    All((Predicate(AUC, ">", (1.0,)), Predicate(Field("param", "d"), "=", ("6",)))),
                    Not(Predicate(Field("attribute", "name"), "IS NULL")),
                )
            ),
        ),
    ],
)
def test_what_is_read(text: str, want: Condition | None) -> None:
    if want is None:
        with pytest.raises(UsageError):
            parse_filter(text)
    else:
        assert parse_filter(text) == want


@pytest.mark.parametrize(
    "text",
    [
        "metrics.auc", "metrics.auc >", "metrics.auc > 'x'", "> 1", "metrics.auc > 1 and", "(metrics.auc > 1",
        "metrics.auc > 1)", "metrics.auc ~ 1", "metrics.auc > 1 metrics.b > 2", "stat = 'x'", "foo.bar = 1",
        "tags.a = 1", "params.a LIKE 1", "params.a IN ()", "params.a IN ('x'", "params.a IS 1", "params.a NOT 1",
        "started_at > 'yesterday'", "started_at > '2013-01-01'", "name = 'x", "metrics. > 1", "metrics.auc > nan",
        "metrics.auc > 1; DROP TABLE tracking_run", "1 = 1", "'a' = 'a'",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert caught.value.code in ("bad-filter", "naive-time")


def test_the_message_says_where() -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter("metrics.auc > 0.7 and params.depth")
    assert caught.value.message == (
        "in 'metrics.auc > 0.7 and params.depth' at 34: =, !=, <, <=, >, >=, LIKE, IN or IS is wanted, found the end"
    )
    with pytest.raises(UsageError) as near:
        parse_filter("stat = 'FAILED'")
    assert near.value.near == ["state"]


def test_nothing_is_no_condition() -> None:
    assert parse_filter(None) is None
    assert parse_filter("  ") is None
    assert parse_order("name").descending is False
    with pytest.raises(UsageError):
        parse_order("name DOWN")


# -- SQL means what `holds` means ----------------------------------------------------------------

NUMBERS = st.sampled_from([0.0, 1.0, 6.0, 0.5, -1.0, math.inf, -math.inf, math.nan])
TEXTS = st.sampled_from(["", "6", "6.0", "a", "A", "ab", "*", "?", "[a]", "%", "_", "ä", "10"])
KEYS = st.sampled_from(["a", "b"])
PARAMS = st.one_of(TEXTS, st.integers(-1, 10), st.booleans(), st.none(), st.sampled_from([0.5, 6.0]))
RUNS = st.lists(
    st.tuples(
        st.dictionaries(KEYS, st.lists(st.tuples(st.integers(-1, 1), NUMBERS), max_size=3), max_size=2),
        st.dictionaries(KEYS, PARAMS, max_size=2),
        st.dictionaries(KEYS, TEXTS, max_size=2),
        st.sampled_from([None, "a", "b"]),
    ),
    max_size=6,
)
FINITE = st.sampled_from([0.0, 1.0, 6.0, 0.5, -1.0])
COMPARING = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
PREDICATES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(lambda k, o, v: Predicate(Field("metric", k), o, (v,)), KEYS, COMPARING, FINITE),
    st.builds(
        lambda k, o, v: Predicate(Field("param", k), o, (v,)), KEYS, COMPARING, st.one_of(FINITE, TEXTS)
    ),
    st.builds(lambda k, o, v: Predicate(Field("tag", k), o, (v,)), KEYS, COMPARING, TEXTS),
    st.builds(lambda o, v: Predicate(Field("attribute", "name"), o, (v,)), COMPARING, TEXTS),
    st.builds(
        lambda k, v: Predicate(Field("param", k), "IN", tuple(v)),
        KEYS,
        st.lists(st.one_of(FINITE, TEXTS), min_size=1),
    ),
    st.builds(
        lambda f, k, v: Predicate(Field(f, k), "LIKE", (v,)), st.sampled_from(["param", "tag"]), KEYS, TEXTS
    ),
    st.builds(
        lambda f, k: Predicate(Field(f, k), "IS NULL"), st.sampled_from(["metric", "param", "tag"]), KEYS
    ),
    st.just(Predicate(Field("attribute", "name"), "IS NULL")),
)
CONDITIONS = st.recursive(
    PREDICATES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: All(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda parts: Some(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=4,
)
ORDERS = st.lists(
    st.builds(
        Order,
        st.one_of(
            st.builds(Field, st.sampled_from(["metric", "param", "tag"]), KEYS),
            st.sampled_from([Field("attribute", "name"), Field("attribute", "started_at")]),
        ),
        st.booleans(),
    ),
    max_size=2,
)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Database]]:
    opened: list[Database] = []

    def fresh() -> Iterator[Database]:
        folder = tmp_path_factory.mktemp("filters")
        for n in range(10**6):
            opened.append(Database.from_url(sqlite_url(Path(folder) / f"{n}.db"), synchronous="OFF"))
            yield opened[-1]

    yield fresh()
    for database in opened:
        database.close()


@given(RUNS, st.lists(st.tuples(CONDITIONS, ORDERS), min_size=1, max_size=5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_sql_and_memory_find_the_same(
    databases: Iterator[Database],
    given_runs: list[tuple[dict[str, list[tuple[int, float]]], dict[str, str], dict[str, str], str | None]],
    searches: list[tuple[Condition, list[Order]]],
) -> None:
    stores: list[MetricStore] = [open_metrics(), open_metrics(next(databases))]
    for n, (metrics, params, tags, name) in enumerate(given_runs):
        info = RunInfo(f"r{n}", "run", name, "x", "COMPLETE", START + timedelta(seconds=n % 3))
        logged = [metric(key, value, step) for key, values in metrics.items() for step, value in values]
        for store in stores:
            store.write(info.uid, Batch(logged, params, tags), info=info)
    for where, orders in searches:
        memory, sql = (store.find(where, order_by=orders) for store in stores)
        assert sql == memory
    uids = [f"r{n}" for n in range(len(given_runs))]
    assert repr(stores[0].latest(uids)) == repr(stores[1].latest(uids))
    assert stores[0].params(uids) == stores[1].params(uids)
