"""Alerts are read from where the last reading stopped, and are the same as read from the beginning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from whence.lake import Lake, Table, open_lake
from whence.metadata import Recorder, open_store
from whence.monitoring.alertlog import FEW, AlertLog
from whence.monitoring.store import Rows, open_table
from whence.monitoring.types import Alert

START = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture
def table() -> Table:
    lake: Lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
    return open_table(lake, "monitor.late")


def alert(n: int, *, closed: bool = False) -> Alert:
    start = START + timedelta(days=n)
    return Alert(
        f"a{n}", "late", "rows", None, "weather", "day", start, start + timedelta(days=1), 2.0, 1.0, False, start,
        closed=start + timedelta(days=2) if closed else None,
    )  # fmt: skip


def run(table: Table, day: int, *alerts: Alert) -> None:
    """What a run commits: a measure, and the alerts that opened or closed."""
    rows = Rows()
    rows.add("measure", "rows", table="weather", start=START, value=1.0)
    for found in alerts:
        rows.alert(found)
    table.append(rows.to_arrow(START + timedelta(days=day)))


def test_what_came_is_added_to_what_was_read(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AlertLog()
    run(table, 1, alert(1))
    assert log.alerts(table) == [alert(1)]
    with monkeypatch.context() as forbidden:
        forbidden.setattr(
            "whence.monitoring.alertlog._all", lambda *_: pytest.fail("read from the beginning")
        )
        assert log.alerts(table) == [alert(1)]
        run(table, 2)
        run(table, 3, alert(2), alert(1, closed=True))
        table.compact()
        assert log.alerts(table) == [alert(1, closed=True), alert(2)]


def test_a_log_that_stayed_away_for_long_reads_once(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AlertLog()
    run(table, 0, alert(0))
    assert log.alerts(table) == [alert(0)]
    for n in range(1, FEW + 2):
        run(table, n, alert(n))
    monkeypatch.setattr("whence.monitoring.alertlog._since", lambda *_: pytest.fail("read one by one"))
    assert log.alerts(table) == [alert(n) for n in range(FEW + 2)]


def test_rows_that_were_removed_are_forgotten(table: Table) -> None:
    log = AlertLog()
    run(table, 1, alert(1), alert(2))
    assert log.alerts(table) == [alert(1), alert(2)]
    table.delete("alert = 'a1'")
    assert log.alerts(table) == [alert(2)]


def test_tables_do_not_mix(table: Table) -> None:
    lake: Lake = open_lake("memory://", recorder=Recorder(open_store("memory://")))
    other = open_table(lake, "monitor.other")
    log = AlertLog()
    run(table, 1, alert(1))
    run(other, 1, alert(5))
    assert (log.alerts(table), log.alerts(other)) == ([alert(1)], [alert(5)])
