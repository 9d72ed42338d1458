"""CSV files are read as TFDV reads them, and what is no CSV file is named with its line."""

from __future__ import annotations

import bz2
import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.integrations.tfdv import generate_statistics_from_csv
from whence.integrations.tfdv.csv_rows import CsvRows, value_kind

CELLS = (
    st.sampled_from(
        ["", "0x1F", "nan", "inf", "-Infinity", "1_000", " 7 ", "+3", "1e5", ".5", "5.", "nan(1)", "²", "٣"]
    )
    | st.integers(-(2**70), 2**70).map(str)
    | st.floats().map(repr)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=5)
)
ORDER = ["UNKNOWN", "INT", "FLOAT", "STRING"]


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_types_are_those_of_pythons_numbers(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    rows = [row for row in rows if any(row)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b"), *rows])
    found = CsvRows(str(path))
    kinds = found.kinds()
    for i, name in enumerate("ab"):
        cells = [row[i] for row in rows]
        assert kinds[name] == max((value_kind(c) for c in cells), key=ORDER.index, default="UNKNOWN")
    schema, batches = found.batches(kinds)
    table = pa.Table.from_batches(list(batches), schema=schema)
    assert table.num_rows == len(rows)
    for i, name in enumerate("ab"):
        if kinds[name] == "INT":
            assert table[name].to_pylist() == [int(r[i]) if r[i] else None for r in rows]
        if kinds[name] == "STRING":
            assert table[name].to_pylist() == [r[i].encode() if r[i] else None for r in rows]


def write(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: it has no header line"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells where the header has 2: '1,2,3'"),
        ('a,b\n"x\ny",2\n1\n', "line 4: 1 cells where the header has 2"),
        ('a,b\n"1,2\n', "line 2: 1 cells where the header has 2"),
        (bytes(range(256)) * 10, "its first line is no text"),
        ("a,a\n1,2\n", "has the column 'a' twice"),
    ],
)
def test_what_is_no_csv_file_is_named_with_its_line(text: str | bytes, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, "bad.csv", text)
    with pytest.raises(UsageError) as caught:
        generate_statistics_from_csv(path)
    assert caught.value.code == "bad-csv"
    assert path in caught.value.message
    assert said in caught.value.message


def test_files_by_pattern_have_one_header(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path, f"part-{i}.csv", f"a,b\n{i},x\n")
    assert generate_statistics_from_csv(str(tmp_path / "part-*.csv")).datasets[0].num_examples == 3
    write(tmp_path, "part-3.csv", "b,a\nx,1\n")
    with pytest.raises(UsageError, match="different headers"):
        CsvRows(str(tmp_path / "part-*.csv"))
    with pytest.raises(NotFoundError) as caught:
        CsvRows(str(tmp_path / "part-9.csv"))
    assert isinstance(caught.value, ValueError)


def test_zipped_files_names_and_delimiters(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a;b\n1;2\n"))
    (tmp_path / "b.csv.bz2").write_bytes(bz2.compress(b"a;b\n1;2\n"))
    for name in ("a.csv.gz", "b.csv.bz2"):
        rows = CsvRows(str(tmp_path / name), delimiter=";")
        assert rows.kinds() == {"a": "INT", "b": "INT"}
    bare = write(tmp_path, "bare.csv", "1|x\n2|y\n")
    assert CsvRows(bare, column_names=["n", "t"], delimiter="|").kinds() == {"n": "INT", "t": "STRING"}
    with pytest.raises(UsageError, match="compression 'zip' is unknown"):
        CsvRows(bare, compression="zip")


def test_a_header_alone_is_no_row(tmp_path: Path) -> None:
    proto = generate_statistics_from_csv(write(tmp_path, "head.csv", "a,b\n"))
    assert proto.datasets[0].num_examples == 0
    assert [f.path.step[0] for f in proto.datasets[0].features] == ["a", "b"]


def test_cells_may_span_lines_and_need_not_be_text(tmp_path: Path) -> None:
    proto = generate_statistics_from_csv(write(tmp_path, "x.csv", b'a,b\n"one\ntwo",1.5\n\n\xff\xfe,2\n'))
    a, b = proto.datasets[0].features
    assert [v.value for v in a.string_stats.top_values] == ["__BYTES_VALUE__", "one\ntwo"]
    assert a.string_stats.invalid_utf8_count == 1
    assert b.num_stats.mean == 1.75


def test_floats_are_single_precision_as_in_tfdv(tmp_path: Path) -> None:
    stats = generate_statistics_from_csv(write(tmp_path, "f.csv", "x\n0.1\n"))
    assert stats.datasets[0].features[0].num_stats.max == 0.10000000149011612


@pytest.mark.parametrize("stray", ["", '9,6" pipe\n'])
def test_a_mark_that_is_never_closed_takes_no_rows_away_in_silence(tmp_path: Path, stray: str) -> None:
    path = write(tmp_path, "open.csv", "a,b\n1,x\n" + stray + '2,"oops\n3,y\n4,z\n')
    line = 3 + bool(stray)
    with pytest.raises(
        ValueError, match=rf"open\.csv, line {line}: a quotation mark is opened and never"
    ) as caught:
        generate_statistics_from_csv(path)
    assert isinstance(caught.value, UsageError)
    assert caught.value.code == "bad-csv"
    closed = write(tmp_path, "closed.csv", 'a,b\n9,6" pipe\n2,"one\ntwo\n"\n')
    assert generate_statistics_from_csv(closed).datasets[0].num_examples == 2


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder") as caught:
        CsvRows(str(tmp_path))
    assert isinstance(caught.value, UsageError)
    assert caught.value.hint == f"a pattern: {tmp_path}/*.csv"
