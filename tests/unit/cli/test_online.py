"""``whence features materialize`` and ``whence features get``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import whence as w
from whence.cli import main

START = datetime(2025, 1, 1, tzinfo=UTC)
MOMENT = pa.timestamp("us", tz="UTC")

Ask = Callable[..., Any]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a table keyed by a number and two views."""
    folder = tmp_path_factory.mktemp("cli") / "bank.whence"
    payments = [
        {"payment": n, "account": n % 2, "cents": 100 * n, "paid_at": START + timedelta(hours=n)}
        for n in range(30)
    ]
    with w.connect(folder) as ws:
        columns = [
            ("payment", pa.int64()),
            ("account", pa.int64()),
            ("cents", pa.int64()),
            ("paid_at", MOMENT),
        ]
        ws.lake.create("payments", pa.schema(columns), key=["payment"], event_time="paid_at")
        ws.table("payments").append(payments, watermark=START + timedelta(days=3))
        account = w.Entity("account", ["account"])
        spending = w.FeatureView(
            "spending", entity=account, source="payments", timestamp="paid_at", ttl="1d",
            features=[w.sum("cents", over="3h"), w.last("cents")],
        )  # fmt: skip
        ws.apply(spending, w.calendar("at", tz="UTC", parts=["hour"]))
        assert not (folder / "online.db").exists()  # nothing is opened that is not used
    return folder


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str, code: int = 0, text: bool = False) -> Any:
        capsys.readouterr()
        got = main(["features", *words, "-w", str(folder), *([] if text else ["--json"])])
        out = capsys.readouterr().out
        assert got == code, out
        return out if text else json.loads(out)

    return run


def test_rows_are_brought_in_and_a_key_is_answered(ask: Ask, folder: Path) -> None:
    (first,) = ask("materialize", "spending", "--upto", "payments@1")
    assert first == {
        "source": "payments", "timestamp": "paid_at", "keys": ["account"], "before": None, "version": 1,
        "n_rows": 30, "complete_to": "2025-01-04T00:00:00+00:00",
    }  # fmt: skip
    assert (folder / "online.db").exists()
    (again,) = ask("materialize")
    assert (again["before"], again["n_rows"]) == (1, 0)
    assert "payments" in ask("materialize", text=True)
    got = ask("get", "spending", "--key", "account=1", "--at", "2025-01-01T05:30:00Z")
    assert got["features"] == {
        "spending__sum_cents_3h": {"value": 800, "status": "PRESENT"},
        "spending__cents": {"value": 500, "status": "PRESENT"},
    }
    assert got["at"] == "2025-01-01T05:30:00+00:00"
    assert got["versions"] == {"payments": 1}
    shown = ask("get", "spending", "--key", "account=7", text=True)
    assert [line.split() for line in shown.splitlines()][-1] == ["spending__cents", "NOT_FOUND"]
    (anew,) = ask("materialize", "--rebuild")
    assert anew["n_rows"] == 30
    (near,) = ask("materialize", "--rebuild", "--since", "2025-01-02T05:00:00Z")
    assert near["n_rows"] == 25


def test_columns_for_the_calendar_are_read_as_instants(ask: Ask) -> None:
    got = ask("get", "calendar", "--key", "at=2025-01-01T05:30:00Z")
    assert got["features"]["calendar__hour"] == {"value": 5, "status": "PRESENT"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["get", "spending", "--key", "account"], "bad-command"),
        (["get", "spending", "--key", "account=x"], "bad-key-type"),
        (["get", "spending"], "missing-key"),
        (["get", "spending", "--key", "account=1", "--at", "noon"], "bad-timestamp"),
        (["get", "spendings", "--key", "account=1"], "feature-view-not-found"),
        (["materialize", "spending", "--upto", "payments"], "bad-reference"),
        (["materialize", "spending", "--upto", "payments@99"], "table-version-not-found"),
    ],
)
def test_what_cannot_be_is_refused_with_a_code(ask: Ask, words: list[str], code: str) -> None:
    ask("materialize")
    assert ask(*words, code=2)["error"]["code"] == code
