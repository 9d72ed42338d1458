"""Rows that come with their digest are rows like others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from whence.lake import Digested, Lake

T0 = datetime(2013, 4, 1, tzinfo=UTC)
TS = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("known_at", TS)])


def some(*ids: int, known: datetime = T0) -> pa.Table:
    return pa.table({"id": ids, "x": [i / 2 for i in ids], "known_at": [known] * len(ids)}, schema=SCHEMA)


@pytest.mark.parametrize(
    "rows",
    [
        some(1, 2),
        some(),
        some(1).select(["known_at", "x", "id"]),
        some(1).set_column(1, "x", pa.array([0.5], pa.float32())),
        some(1).append_column("new", pa.array(["y"])),
        some(1, known=T0 - timedelta(days=1)),
    ],
    ids=["same", "none", "order", "narrower", "column", "late"],
)
def test_the_version_has_the_digest_of_its_rows(lake: Lake, rows: pa.Table) -> None:
    for name in ("plain", "digested"):
        lake.create(name, SCHEMA, known_at="known_at").append(some(7), watermark=T0)
    plain = lake.table("plain").append(rows, evolve=True)
    digested = lake.table("digested").append(Digested.of(rows), evolve=True)
    assert (digested.digest, digested.n_late) == (plain.digest, plain.n_late)
    assert lake.table("digested").head().verify() == plain.digest


def test_a_digest_of_other_rows_is_not_taken() -> None:
    rows = Digested.of(some(1, 2))
    assert rows.holds(some(1, 2).append_column("new", pa.nulls(2, pa.string())))
    assert not rows.holds(some(1))
    assert not rows.holds(some(1, 2).select(["id", "x"]))
    assert not rows.holds(some(1, 2).set_column(1, "x", pa.array([1, 2])))
    assert not rows.holds(some(1, 2).append_column("new", pa.array(["y", "y"])))


def test_rows_are_set_aside_as_ever(lake: Lake) -> None:
    table = lake.create("t", SCHEMA, key=["id"])
    bad = pa.concat_tables([some(1), some(1).set_column(0, SCHEMA.field("id"), pa.nulls(1, pa.int64()))])
    assert table.append(Digested.of(bad), on_error="quarantine").n_quarantined == 1
    assert table.head().verify() == table.digest()
