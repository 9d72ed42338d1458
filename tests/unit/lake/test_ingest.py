"""Files into tables: every format, once, with file and line named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence._base.arrow import TS
from whence.errors import ConflictError, DataRejectedError, NotFoundError, UsageError
from whence.lake import Lake, Table
from whence.lake.sources import Batch, read_batch

START = datetime(2013, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    {
        "id": pa.int64(), "word": pa.string(), "x": pa.float64(), "at": TS, "day": pa.date32(),
        "eur": pa.decimal128(9, 2), "ok": pa.bool_(),
    }
)  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"id": 1, "word": "a, b", "x": 1.5, "at": START, "day": date(2013, 1, 1), "eur": Decimal("1.50"), "ok": True},
    {"id": 2, "word": "NA", "x": None, "at": None, "day": None, "eur": None, "ok": None},
    {"id": 3, "word": "two\nlines", "x": -1.0, "at": START, "day": date(1999, 12, 31), "eur": Decimal(7), "ok": False},
]  # fmt: skip


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.create("t", SCHEMA, key=["id"])


def write(path: Path, kind: str) -> Path:
    data = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    if kind == "csv":
        pyarrow.csv.write_csv(data, path)
    elif kind == "parquet":
        pyarrow.parquet.write_table(data, path)
    elif kind == "arrow":
        with pa.ipc.new_file(str(path), SCHEMA) as writer:
            writer.write_table(data)
    elif kind == "arrows":
        with pa.ipc.new_stream(str(path), SCHEMA) as writer:
            writer.write_table(data)
    else:
        plain = [json.loads(json.dumps(row, default=str)) for row in ROWS]
        text = json.dumps(plain) if kind == "json" else "\n".join(map(json.dumps, plain)) + "\n"
        path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "parquet", "arrow", "arrows"])
@pytest.mark.parametrize("on_error", ["reject", "quarantine"])
def test_every_format_gives_the_same_rows(table: Table, tmp_path: Path, kind: str, on_error: Any) -> None:
    file = write(tmp_path / f"rows.{kind}", kind)
    commit = table.ingest(file, on_error=on_error)
    assert (commit.version, commit.n_rows, commit.n_quarantined) == (1, 3, 0)
    assert sorted(table.arrow().to_pylist(), key=lambda r: r["id"]) == ROWS
    assert table.ingest(file, on_error=on_error).duplicate
    assert table.head().n_rows == 3


def test_the_same_bytes_enter_once_and_a_transaction_may_say_otherwise(table: Table, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "csv")
    second = write(tmp_path / "b.csv", "csv")
    assert not table.ingest(first).duplicate
    assert table.ingest(second).duplicate
    assert not table.ingest(second, transaction=("feed", 1)).duplicate
    assert table.ingest(first, transaction=("feed", 1)).duplicate
    assert table.head().n_rows == 6


BAD_CSV = b"""id,word,x,at,day,eur,ok
1,a,1.5,2013-01-01T00:00:00Z,2013-01-01,1.50,true
2,"two
lines",abc,2013-01-01T00:00:00Z,,,

3,short
4,\xff,1.5,,,,
5,fine,,,,,maybe
6,good,,2013-01-01T01:00:00+01:00,,,0
7,a,b,c,d,e,f,g
8,z,,2013-01-01T00:00:00,,1.505,
"""
BAD_LINES = [
    (3, "x: have text 'abc', want double"),
    (6, "has 2 fields, 7 are wanted"),
    (7, "word: have bytes that are no UTF-8, want string"),
    (8, "ok: have text 'maybe', want bool"),
    (10, "has 8 fields, 7 are wanted"),
    (11, "at: have text '2013-01-01T00:00:00', want timestamp[us, tz=UTC]"),
]


def test_bad_lines_of_csv_are_named(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(BAD_CSV)
    with pytest.raises(DataRejectedError) as caught:
        table.ingest(file)
    assert caught.value.message == (
        "6 of 8 rows may not enter table 't'; bad.csv:3: x: have text 'abc', want double"
    )
    named: Any = caught.value.details["anomalies"]
    assert [(n["line"], n["reason"].split("; ")[0]) for n in named] == BAD_LINES
    assert table.head().version == 0


def test_bad_lines_of_csv_are_set_aside(lake: Lake, table: Table, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(BAD_CSV)
    commit = table.ingest(file, on_error="quarantine")
    assert (commit.n_rows, commit.n_quarantined) == (2, 6)
    assert sorted(r["id"] for r in table.arrow().to_pylist()) == [1, 6]
    waiting = lake.quarantine("t").list()
    assert [(r.source, r.position, r.reasons[0]) for r in waiting] == [("bad.csv", *bad) for bad in BAD_LINES]
    assert waiting[1].row == {"line": "3,short"}

    def read(rows: pa.Table) -> pa.Table:
        if "line" not in rows.column_names:
            return rows
        parts = [str(line).split(",") for line in rows.column("line").to_pylist()]
        ids = [int(part[0]) for part in parts]
        return pa.Table.from_pylist([{"id": i} for i in ids], schema=SCHEMA)

    assert lake.quarantine("t").correct(read) == 2
    assert lake.quarantine("t").replay().n_rows == 2
    assert sorted(r["id"] for r in table.arrow().to_pylist()) == [1, 3, 6, 7]


def test_bad_lines_of_ndjson(lake: Lake, table: Table, tmp_path: Path) -> None:
    file = tmp_path / "bad.ndjson"
    good = (
        '{"id": 1, "word": "w", "x": 3, "at": "2013-01-01T00:00:00Z", "day": null, "eur": "1.5", "ok": true}'
    )
    file.write_text(f'{good}\n{{"id":\n\n[1]\n7\n{{"id": 1.5, "at": "noon"}}\n')
    with pytest.raises(DataRejectedError, match=r"bad\.ndjson:2: is no JSON"):
        table.ingest(file)
    assert table.ingest(file, on_error="quarantine").n_quarantined == 4
    assert [(r.position, r.reasons) for r in lake.quarantine("t").list()] == [
        (2, ("is no JSON: Expecting value",)),
        (4, ("is a JSON array, not an object",)),
        (5, ("is a JSON number, not an object",)),
        (6, ("id: have double, want int64", "at: have text 'noon', want timestamp[us, tz=UTC]")),
    ]
    assert table.arrow().to_pylist()[0]["eur"] == Decimal("1.50")


def test_json_that_is_none_has_a_line(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('[{"id": 1},\n {"id": }]')
    with pytest.raises(UsageError) as caught:
        table.ingest(file, on_error="quarantine")
    assert (caught.value.code, caught.value.message) == (
        "bad-file",
        "bad.json:2: is no JSON: Expecting value",
    )
    file.write_text('[{"id": 1}, 3]')
    assert table.ingest(file, on_error="quarantine").n_quarantined == 2  # the first has no other columns


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"id\n1\n", "bad-format"),
        ("a.csv", b"", "bad-file"),
        ("a.csv", b"id,id\n1,2\n", "duplicate-column"),
        ("a.parquet", b"no parquet", "bad-file"),
        ("a.arrow", b"no arrow", "bad-file"),
        ("a.csv", b'id,word\n1,"open\n', "bad-file"),
    ],
)
def test_files_that_cannot_be_read(lake: Lake, tmp_path: Path, name: str, content: bytes, code: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    for on_error in ("reject", "quarantine"):
        mode: Any = on_error
        with pytest.raises(UsageError) as caught:
            lake.create("t", SCHEMA).ingest(file, on_error=mode)
        assert caught.value.code == code
    with pytest.raises(NotFoundError):
        lake.table("t").ingest(tmp_path / "none.csv")
    with pytest.raises(UsageError) as caught:
        lake.table("t").ingest(file, format="xml")
    assert caught.value.code == "bad-format"


def test_a_column_without_a_name_is_refused(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "index.csv"
    file.write_bytes(b",id\n0,7\n")
    with pytest.raises(UsageError, match=r"column 1 of table 'indexed' has no name \(nameless-column\)"):
        lake.create_from("indexed", file)
    with pytest.raises(UsageError, match="column 2 of table 'named' has no name"):
        lake.table("named").append(pa.table({"id": [1], "": [2]}))
    lake.table("named").append(pa.table({"id": [1]}))
    with pytest.raises(UsageError, match="column 2 of table 'named' has no name"):
        lake.table("named").append(pa.table({"id": [1], "": [2]}), evolve=True)
    assert lake.table("named").head().version == 0


def test_a_table_is_made_from_a_file(lake: Lake, tmp_path: Path) -> None:
    for kind in ("csv", "ndjson", "parquet"):
        file = write(tmp_path / f"rows.{kind}", kind)
        table = lake.create_from(kind, file, key=["id"], known_at="at")
        assert (table.declaration.key, table.declaration.known_at) == (("id",), "at")
        assert (table.schema.field("id").type, table.schema.field("at").type) == (pa.int64(), TS)
        commit = table.ingest(file, on_error="quarantine")
        assert (commit.n_rows, commit.n_quarantined) == (2, 1)
        again = lake.create_from(kind, write(tmp_path / "other.csv", "csv"), key=["id"], known_at="at")
        assert again.versions() == [0, 1]
        with pytest.raises(ConflictError):
            lake.create_from(kind, file, key=["word"])


def test_a_quote_inside_a_field_is_a_character(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "pipes.csv"
    file.write_bytes(b'id,word\n1,5" pipe\n2,"6"" pipe"\n\nx,"a,\n""b"""\n3,""\n4,\n')
    table = lake.create("t", pa.schema({"id": pa.int64(), "word": pa.string()}))
    assert table.ingest(file, on_error="quarantine").n_quarantined == 1
    words = {r["id"]: r["word"] for r in table.arrow().to_pylist()}
    assert words == {1: '5" pipe', 2: '6" pipe', 3: "", 4: None}
    [waiting] = lake.quarantine("t").list()
    assert (waiting.position, waiting.row) == (5, {"id": "x", "word": 'a,\n"b"'})


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=4)


@given(cells=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_record_knows_its_line(cells: list[tuple[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "any.csv"
    lines, at = ["a,b"], []
    for pair in cells:
        at.append(sum(part.count("\n") + 1 for part in lines) + 1)
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in pair))
    file.write_bytes("\n".join(lines).encode())
    want = pa.schema({"a": pa.string(), "b": pa.string()})
    batch = read_batch(file, want)
    assert isinstance(batch, Batch)
    assert (list(batch.lines), list(batch.broken)) == (at, [])
    read = [[v.decode() for v in batch.columns[c].to_pylist()] for c in "ab"]
    assert list(zip(*read, strict=True)) == cells
