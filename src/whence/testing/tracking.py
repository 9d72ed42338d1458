"""The suite of the metric port: subclass `MetricSuite` in a test module and give it a fixture ``metrics``."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta

import pytest

from whence.errors import ConflictError, NotFoundError, UnsupportedError
from whence.tracking.base import MetricStore
from whence.tracking.filter import parse_filter, parse_order
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo

START = datetime(2013, 1, 1, 5, 15, 0, 123456, tzinfo=UTC)


def run(uid: str, n: int = 0, *, state: str = "COMPLETE", **more: str) -> RunInfo:
    """A run that started `n` minutes after `START`."""
    given = {"type": "run", "name": uid, "experiment": "default", **more}
    return RunInfo(
        uid, given["type"], given["name"], given["experiment"], state, START + timedelta(minutes=n)
    )


def metric(key: str, value: float, step: int = 0, us: int = 0) -> Metric:
    """A metric `us` microseconds after `START`."""
    return Metric(key, value, step, START + timedelta(microseconds=us))


class MetricSuite:
    """What every metric store does. The fixture ``metrics`` gives an empty one.

    Attributes:
        keeps_infinities: Whether infinite values are kept; else they are refused (``unsupported``).
    """

    keeps_infinities = True

    def test_a_run_is_as_it_was_put(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a", state="RUNNING")])
        metrics.put_runs([run("b", 1)])
        assert metrics.get_runs(["b", "x", "a"]) == [run("b", 1), run("a", state="RUNNING")]
        assert metrics.list_open() == ["a"]
        metrics.put_runs([run("a", state="FAILED")])
        assert metrics.get_runs(["a"])[0].state == "FAILED"
        assert metrics.list_open() == []

    def test_a_run_put_again_keeps_what_was_logged(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a", state="RUNNING")])
        metrics.write("a", Batch([metric("m", 1.0)], {"p": 1}, {"t": "x"}))
        metrics.put_runs([run("a")])
        assert metrics.params(["a"]) == {"a": {"p": 1}}
        assert metrics.tags(["a"]) == {"a": {"t": "x"}}
        assert metrics.history("a", "m") == [metric("m", 1.0)]

    def test_a_run_and_its_first_batch_are_one_write(self, metrics: MetricStore) -> None:
        metrics.write("a", Batch(params={"p": 1}), info=run("a", state="RUNNING"))
        assert metrics.get_runs(["a"]) == [run("a", state="RUNNING")]
        with pytest.raises(ConflictError):
            metrics.write("a", Batch(params={"p": 2}), info=run("a"))
        assert metrics.get_runs(["a"])[0].state == "RUNNING"
        metrics.put_runs([])
        metrics.put_runs([run("a"), run("b")])
        assert metrics.list_open() == []

    def test_unknown_runs(self, metrics: MetricStore) -> None:
        for call in (
            lambda: metrics.write("x", Batch([metric("m", 1.0)])),
            lambda: metrics.history("x", "m"),
        ):
            with pytest.raises(NotFoundError) as caught:
                call()
            assert caught.value.code == "run-not-found"
        assert metrics.get_runs(["x"]) == []
        assert metrics.find() == []

    def test_history_is_by_step_then_time_then_logging(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        given = [
            metric("m", 1.0, 2, 0),
            metric("m", 2.0, 1, 9),
            metric("m", 3.0, 1, 5),
            metric("m", 4.0, 1, 5),
        ]
        metrics.write("a", Batch(given[:2]))
        metrics.write("a", Batch(given[2:]))
        assert metrics.history("a", "m") == [given[2], given[3], given[1], given[0]]
        assert metrics.history("a", "other") == []

    def test_latest_is_the_largest_step_then_time_then_the_last_logged(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        metrics.write("a", Batch([metric("m", 1.0, 5, 0), metric("m", 2.0, 4, 9), metric("k", 7.0)]))
        assert metrics.latest(["a"])["a"]["m"] == metric("m", 1.0, 5, 0)
        metrics.write("a", Batch([metric("m", 3.0, 5, 2), metric("m", 4.0, 5, 1)]))
        assert metrics.latest(["a"])["a"]["m"] == metric("m", 3.0, 5, 2)
        metrics.write("a", Batch([metric("m", 5.0, 5, 2)]))
        assert metrics.latest(["a"])["a"] == {"k": metric("k", 7.0), "m": metric("m", 5.0, 5, 2)}
        metrics.write("a", Batch([metric("m", 6.0, -1, 99)]))
        assert metrics.latest(["a"])["a"]["m"].value == 5.0

    @pytest.mark.parametrize("value", [math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 2.0**53])
    def test_values_come_back_to_the_bit(self, metrics: MetricStore, value: float) -> None:
        metrics.put_runs([run("a")])
        if math.isinf(value) and not self.keeps_infinities:
            with pytest.raises(UnsupportedError, match="infinity"):
                metrics.write("a", Batch([metric("m", value)]))
            assert metrics.history("a", "m") == []
            return
        metrics.write("a", Batch([metric("m", value)]))
        got = metrics.history("a", "m")[0].value
        assert (got, math.copysign(1, got)) == (value, math.copysign(1, value))
        assert metrics.latest(["a"])["a"]["m"].value == value

    def test_nan_is_kept(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        metrics.write("a", Batch([metric("m", 1.0), metric("m", math.nan, 1)]))
        assert math.isnan(metrics.latest(["a"])["a"]["m"].value)
        assert [math.isnan(m.value) for m in metrics.history("a", "m")] == [False, True]

    def test_steps_of_64_bits(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        metrics.write("a", Batch([metric("m", 1.0, 2**63 - 1), metric("m", 2.0, -(2**63))]))
        assert [m.step for m in metrics.history("a", "m")] == [-(2**63), 2**63 - 1]
        assert metrics.latest(["a"])["a"]["m"].value == 1.0

    def test_params_come_back_as_they_were(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        params: dict[str, ParamValue] = {
            "depth": 6, "rate": 0.1, "text": "6", "flag": True, "none": None, "list": [1, "a"], "map": {"k": [None]},
            "größe": "ø", "huge": 10**30,
        }  # fmt: skip
        metrics.write("a", Batch(params=params))
        assert metrics.params(["a"]) == {"a": dict(sorted(params.items()))}
        assert list(metrics.params(["a"])["a"]) == sorted(params)

    def test_a_param_does_not_change(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        metrics.write("a", Batch(params={"depth": 6}))
        metrics.write("a", Batch(params={"depth": 6, "rate": 0.1}))
        with pytest.raises(ConflictError) as caught:
            metrics.write("a", Batch([metric("m", 1.0)], {"new": 1, "depth": 7}, {"t": "x"}))
        assert caught.value.code == "param-changed"
        assert caught.value.details == {"key": "depth", "have": 6, "want": 7}
        # All or nothing.
        assert metrics.params(["a"])["a"] == {"depth": 6, "rate": 0.1}
        assert metrics.latest(["a"])["a"] == {}
        assert metrics.tags(["a"])["a"] == {}

    def test_tags_change_and_go(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        metrics.write("a", Batch(tags={"b": "1", "a": "x"}))
        metrics.write("a", Batch(tags={"b": "2", "a": None, "absent": None}))
        assert metrics.tags(["a"]) == {"a": {"b": "2"}}

    def test_many_writers_lose_nothing(self, metrics: MetricStore) -> None:
        metrics.put_runs([run("a")])
        failures: list[BaseException] = []

        def work(n: int) -> None:
            try:
                for step in range(25):
                    metrics.write(
                        "a", Batch([metric("m", float(n), step), metric(f"own-{n}", float(step), step)])
                    )
            except BaseException as error:  # noqa: BLE001  # reported by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(metrics.history("a", "m")) == 100
        assert sorted(metrics.latest(["a"])["a"]) == ["m", "own-0", "own-1", "own-2", "own-3"]

    @pytest.fixture
    def searched(self, metrics: MetricStore) -> MetricStore:
        metrics.put_runs([run("a", 0, experiment="x")])
        metrics.write("a", Batch([metric("auc", 0.7)], {"depth": 6, "loss": "log"}, {"team": "ops"}))
        metrics.put_runs([run("b", 1, experiment="y", state="FAILED")])
        metrics.write(
            "b", Batch([metric("auc", 0.9), metric("auc", 0.8, 1)], {"depth": "6"}, {"team": "Ops"})
        )
        metrics.put_runs([run("c", 2, type="step", name="train")])
        metrics.write("c", Batch([metric("auc", math.nan)], {"depth": 10, "loss": "50%*[x]?"}))
        metrics.put_runs([run("d", 3, experiment="x", state="RUNNING")])
        metrics.write("d", Batch([metric("auc", math.inf if self.keeps_infinities else 1e308)]))
        return metrics

    @pytest.mark.parametrize(
        ("text", "want"),
        [
            ("", "dcba"),
            ("metrics.auc > 0.7", "db"),
            ("metrics.auc >= 0.7", "dba"),
            ("metrics.auc = 0.8", "b"),
            ("metrics.auc != 0.8", "da"),
            ("metrics.auc < 1", "ba"),
            ("metrics.none > 0", ""),
            ("NOT metrics.auc > 0.7", "ca"),
            ("metrics.none IS NULL", "dcba"),
            ("metrics.auc IS NULL", ""),
            ("params.depth IS NOT NULL", "cba"),
            ("params.depth = '6'", "ba"),
            ("params.depth = 6", "a"),
            ("params.depth > 6", "c"),
            ("params.depth < '7'", "cba"),
            ("params.depth != '6'", "c"),
            ("params.depth IN (6, 10)", "ca"),
            ("params.depth IN ('6', '10')", "cba"),
            ("params.depth NOT IN ('6')", "dc"),
            ("params.loss LIKE 'l%'", "a"),
            ("params.loss LIKE 'L%'", ""),
            ("params.loss LIKE '_og'", "a"),
            ("params.loss LIKE '50_*[x]?'", "c"),
            ("tags.team = 'ops'", "a"),
            ("tags.team LIKE '%ps'", "ba"),
            ("metrics.auc > 0.7 and params.depth = '6'", "b"),
            ("metrics.auc > 0.85 or params.depth = 6", "da"),
            ("(metrics.auc > 0.85 or params.depth = 6) and experiment = 'x'", "da"),
            ("not (state = 'COMPLETE' or state = 'FAILED')", "d"),
            ("state IN ('COMPLETE', 'RUNNING') and type = 'run'", "da"),
            ("attributes.name = 'train'", "c"),
            ("started_at >= '2013-01-01T05:17:00.123456+00:00'", "dc"),
            ("uid = 'a'", "a"),
        ],
    )
    def test_conditions(self, searched: MetricStore, text: str, want: str) -> None:
        assert "".join(searched.find(parse_filter(text))) == want

    @pytest.mark.parametrize(
        ("orders", "want"),
        [
            (["metrics.auc DESC"], "dbac"),
            (["metrics.auc"], "abdc"),
            (["params.depth"], "acbd"),
            (["params.depth DESC"], "cabd"),
            (["tags.team"], "badc"),
            (["started_at"], "abcd"),
            (["experiment", "name DESC"], "cdab"),
        ],
    )
    def test_orders(self, searched: MetricStore, orders: list[str], want: str) -> None:
        assert "".join(searched.find(order_by=[parse_order(o) for o in orders])) == want

    def test_pages(self, searched: MetricStore) -> None:
        assert searched.find(limit=3) == ["d", "c", "b"]
        assert searched.find(limit=3, offset=3) == ["a"]
        assert searched.find(limit=3, offset=9) == []
