from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import IntegrityError, NotFoundError, UsageError, WhenceError
from whence.validation import Statistics, StatisticsOptions, csv, describe
from whence.validation.csv import CsvFormat
from whence.validation.features import FeatureStatistics
from whence.validation.options import Slice
from whence.validation.sources import describe_file, frame_rows, is_path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


def described(file: Path, data: bytes, format_: CsvFormat | None = None) -> Statistics:
    file.write_bytes(data)
    return describe_file(file, csv=format_)


def types(s: Statistics) -> dict[str, str]:
    return {f.name: f.type for f in s}


class TestTypes:
    def test_what_all_values_read_as(self, file: Path) -> None:
        s = described(file, b"i,f,t,b,d,s,n\n1,1.5,x,true,2013-01-01,2013-01-01 00:00:01,\n2,2,NA,false,,,\n")
        assert types(s) == {
            "i": "INT", "f": "FLOAT", "t": "STRING", "b": "BOOL", "d": "DATE", "s": "TIMESTAMP", "n": "STRING",
        }  # fmt: skip
        assert (s["t"].num_missing, s["n"].num_missing, s.name) == (1, 2, "x.csv")

    def test_plain_is_as_in_tfdv(self, file: Path) -> None:
        s = described(file, b"i,b,d\n1,True,2013-01-01\n", CsvFormat(plain=True))
        assert types(s) == {"i": "INT", "b": "STRING", "d": "STRING"}
        assert s["b"].top_values() == [("True", 1)]

    @pytest.mark.parametrize(
        ("first", "later", "want"),
        [
            ("1", "1.5", "FLOAT"),
            ("1", "x", "STRING"),
            ("1.5", "x", "STRING"),
            ("", "7", "INT"),
            ("", "2013-01-01", "DATE"),
            ("true", "maybe", "STRING"),
            ("2013-01-01", "2013-01-01 10:00:00", "TIMESTAMP"),
            ("2013-01-01 10:00:00", "2013-01-01 10:00:00.5", "TIMESTAMP"),
            ("2013-01-01", "soon", "STRING"),
            ("2013-01-01 10:00:00", "2013-01-01T10:00:00Z", "STRING"),
        ],
    )
    def test_a_later_value_widens(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, first: str, later: str, want: str
    ) -> None:
        monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
        lines = ["k,v", *(f"{i},{first}" for i in range(2_000)), f"7,{later}"]
        file.write_text("\n".join(lines))
        n: list[int] = []
        s = describe_file(file, progress=n.append)
        assert (s["v"].type, s.n_rows, sum(n)) == (want, 2_001, 2_001)
        assert s["v"].num_non_missing == (2_001 if first else 1)

    def test_types_asked_for_keep_leading_zeros(self, file: Path) -> None:
        file.write_text("zip,n\n007,1\n010,2\n")
        s = describe_file(file, options=StatisticsOptions(types={"zip": "STRING"}))
        assert s["zip"].top_values() == [("007", 1), ("010", 1)]
        with pytest.raises(
            UsageError, match=r"x\.csv, row 3: column 'zip' is int64, '1x' is not \(bad-csv\)"
        ):
            described(file, b"zip\n1\n1x\n", CsvFormat(types={"zip": pa.int64()}))

    def test_whole_numbers_beyond_64_bits_are_text(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("whence.validation.csv.BLOCK_BYTES", 1_000)
        ids = [f"{10**19 + i},{i},{i}e30" for i in range(300)]
        for lines in (ids, ["1,2,3", *ids], [*(f"{i},{i},{i}" for i in range(300)), *ids]):
            file.write_text("\n".join(["id,n,f", *lines]))
            s = describe_file(file)
            assert (s["id"].type, s["id"].num_unique) == (
                "STRING",
                len({line.split(",")[0] for line in lines}),
            )
            assert (s["n"].type, s["f"].type) == ("INT", "FLOAT")
        asked = describe_file(file, options=StatisticsOptions(types={"id": "FLOAT"}))
        assert asked["id"].type == "FLOAT"

    def test_whole_numbers_that_no_double_is_are_told_beside_fractions(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.validation.csv.BLOCK_BYTES", 100)
        lines = [*(f"{2**53 + i},a" for i in range(1, 11)), "nan,b", "1e300,b", "0.5,b"]
        options = StatisticsOptions().with_slices(["g"])
        for written in (lines, lines[::-1]):
            file.write_text("\n".join(["x,g", *written]))
            for asked in (options, replace(options, types={"x": "FLOAT"})):
                s = describe_file(file, options=asked)
                x, apart, rest = s["x"], s.slices["g=a"]["x"], s.slices["g=b"]["x"]
                assert isinstance(x, FeatureStatistics)
                assert (x.type, x.num_nan, x.max, x.num_rounded) == ("FLOAT", 1, 1e300, 5)
                assert (x.unique_is_exact, apart.unique_is_exact, rest.unique_is_exact) == (
                    False,
                    False,
                    True,
                )
        file.write_text("\n".join(["x,g", *lines[:2], "0.5,b", "soon,c"]))
        assert describe_file(file)["x"].type == "STRING"
        file.write_text(f"x\n{2**53 + 2}\n0.5\n{2**54}\n")
        assert describe_file(file)["x"].unique_is_exact
        file.write_text(f"x\n0.5\n{2**53 + 1}\n{2**64}\n")
        assert describe_file(file)["x"].type == "STRING"

    def test_text_that_is_not_utf8_is_counted(self, file: Path) -> None:
        s = described(file, b"a,b\n1,x\n2,\xff\xfe\n")
        assert (s["b"].type, s["b"].num_invalid_utf8, s["b"].num_unique) == ("STRING", 1, 2)


class TestForms:
    def test_quotes_line_ends_and_marks(self, file: Path) -> None:
        assert described(file, b'a,b\n1,6" pipe\n"2\n""",5"\n\n3,y\n').n_rows == 3
        s = described(file, b'\xef\xbb\xbfa,b\r\n1,"x,\r\n""y"""\r\n\r\n2,""\r\n')
        assert list(s.features) == ["a", "b"]
        assert s["b"].value_counts() == {'x,\r\n"y"': 1, "": 1}

    def test_a_format_of_its_own(self, file: Path) -> None:
        format_ = CsvFormat(
            delimiter=";", quote=None, column_names=("a", "b"), skip_lines=1, null_values=("?",)
        )
        s = described(file, b'made by hand\n1;"x\n2;?\n', format_)
        assert s["b"].value_counts() == {'"x': 1}
        assert s["b"].num_missing == 1

    def test_compressed_and_several_files(self, tmp_path: Path) -> None:
        (tmp_path / "b.csv").write_text("a\n3.5\n")
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n2\n"))
        s = describe_file(str(tmp_path / "*.csv*"))
        assert (s.name, s.n_rows, s["a"].type, s["a"].max) == ("a.csv.gz and 1 more", 3, "FLOAT", 3.5)
        assert describe_file([tmp_path / "b.csv", tmp_path / "b.csv"]).n_rows == 2
        (tmp_path / "c.csv").write_text("other\n1\n")
        with pytest.raises(UsageError, match=r"c\.csv has the columns other; b\.csv has a \(bad-csv\)"):
            describe_file([tmp_path / "b.csv", tmp_path / "c.csv"])

    def test_a_row_larger_than_a_block(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(csv, "BLOCK_BYTES", 16)
        s = described(file, b"a,b\n1,x\n2," + b"y" * 5_000 + b"\n")
        assert (s.n_rows, s["b"].max_length) == (2, 5_000)

    def test_a_header_line_that_does_not_end(self, file: Path) -> None:
        file.write_bytes(b"a,b")
        without = describe_file(file)
        file.write_bytes(b"a,b\n")
        assert without.to_bytes() == describe_file(file).to_bytes()
        assert list(without.features) == ["a", "b"]

    def test_no_rows(self, file: Path) -> None:
        s = described(file, b"a,b\n")
        assert (s.n_rows, types(s)) == (0, {"a": "STRING", "b": "STRING"})

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(), st.text('ab,"\n;é ', max_size=4)), max_size=6))
    def test_what_was_written_is_read(self, data: list[tuple[int, str]]) -> None:
        import csv as writer
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="", encoding="utf-8") as out:
            lines = writer.writer(out, quoting=writer.QUOTE_ALL)
            lines.writerows([("n", "t"), *data])
            out.flush()
            s = describe_file(out.name, csv=CsvFormat(types={"t": pa.string(), "n": pa.string()}))
        assert s.n_rows == len(data)
        assert s["t"].value_counts() == {t: [x for _, x in data].count(t) for t in {x for _, x in data}}


class TestBad:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (
                b"a,b\n1,2\n3\n4,5\n",
                "x.csv, line 3 has 1 field, the header has 2: '3' (bad-csv). Hint: repair the line",
            ),
            (b'a,b\n1,"x\ny"\n1,2,3\n', "x.csv, line 4 has 3 fields, the header has 2: '1,2,3' (bad-csv)"),
            (b'a,b\n1,"x\n2,y\n', "x.csv, line 2: a quotation mark is opened and never closed (bad-csv)"),
            (b'a,b\n1,6" pipe\n2,"x\n3,y\n', "x.csv, line 3: a quotation mark is opened and never closed"),
            (b'a,b\n"1\n""",5" \n3,"x\n4,y\n', "x.csv, line 4: a quotation mark is opened and never"),
            (
                b"PAR1\x00\x01",
                "x.csv is not a CSV file but looks like a Parquet file; name it .parquet (bad-csv)",
            ),
            (b"\xff\xfea\x00", "x.csv is not a CSV file but looks like UTF-16; save it as UTF-8 (bad-csv)"),
            (b"a\x00b\n", "x.csv is not a CSV file but looks like a binary file (bad-csv)"),
            (b"", "x.csv is empty (bad-csv)"),
            (b" \n", "x.csv is empty (bad-csv)"),
            (
                b"a;b\n1;2\n",
                "x.csv has one column, 'a;b': it seems to be separated by ';' (bad-csv). Hint: CsvFormat",
            ),
            (b"a,a\n1,2\n", "x.csv has two columns 'a' (duplicate-column)"),
            (
                b"a,caf\xe9\n1,2\n",
                "x.csv, line 1: the name of column 2, b'caf\\xe9', is not UTF-8 (bad-csv). Hint: save the file",
            ),
        ],
    )
    def test_an_error_names_the_line_and_the_way_out(self, file: Path, data: bytes, message: str) -> None:
        with pytest.raises(UsageError) as caught:
            described(file, data)
        assert str(caught.value).startswith(message)

    def test_a_header_that_is_not_utf8_and_its_ways_out(self, file: Path) -> None:
        data = b"# made at caf\xe9\ncaf\xe9,b\n1,2\n3,4\n"
        with pytest.raises(UsageError, match=r"x\.csv, line 2: the name of column 1") as caught:
            described(file, data, CsvFormat(skip_lines=1))
        assert caught.value.details == {"line": 2, "column": 1}
        assert "CsvFormat(column_names=(...), skip_lines=2)" in str(caught.value)
        for s in (
            described(file, data, CsvFormat(skip_lines=2, column_names=("a", "b"))),
            described(file, data.decode("latin-1").encode("utf-8"), CsvFormat(skip_lines=1)),
        ):
            assert (s.n_rows, len(s)) == (2, 2)

    def test_a_line_far_down(self, file: Path) -> None:
        with pytest.raises(UsageError, match="line 100002 has 1 field") as caught:
            described(file, b"a,b\n" + b"1,2\n" * 100_000 + b"3\n")
        assert caught.value.details == {"line": 100_002, "n_fields": 1, "n_columns": 2}

    def test_files(self, tmp_path: Path) -> None:
        for path, error in (
            ("gone.csv", NotFoundError),
            ("*.csv", NotFoundError),
            ("gone.parquet", NotFoundError),
        ):
            with pytest.raises(error):
                describe_file(tmp_path / path)
        (tmp_path / "x.parquet").write_bytes(b"not parquet")
        with pytest.raises(
            IntegrityError, match=r"x\.parquet cannot be read as Parquet: .*\(file-corrupted\)"
        ):
            describe_file(tmp_path / "x.parquet")
        (tmp_path / "x.csv").write_text("a\n1\n")
        with pytest.raises(UsageError, match="CSV and Parquet files cannot be described together"):
            describe_file([tmp_path / "x.csv", tmp_path / "x.parquet"])
        with pytest.raises(NotFoundError, match=r"column 'b' not found"):
            describe_file(tmp_path / "x.csv", options=StatisticsOptions(columns=("b",)))
        with pytest.raises(UsageError, match="the delimiter is one character"):
            CsvFormat(delimiter="::")


def test_parquet_is_streamed(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(3_000)), "s": [{"x": i % 3} for i in range(3_000)], "z": ["q"] * 3_000})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=500)
    n: list[int] = []
    s = describe_file(tmp_path / "t.parquet", name="t", progress=n.append)
    assert s.to_bytes() == describe(table, name="t").to_bytes()
    assert sum(n) == 3_000
    narrow = describe_file(tmp_path / "t.parquet", options=StatisticsOptions(columns=("s",), slices=("z",)))  # type: ignore[arg-type]
    assert list(narrow.features) == ["s", "s.x"]
    assert narrow.slices["z=q"].n_rows == 3_000


def test_parquet_files_have_the_same_columns(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    for path, columns in zip(paths, ({"x": [1], "y": [2]}, {"y": [1], "x": [2]}, {"x": [1.5]}), strict=True):
        pq.write_table(pa.table(columns), path)
    assert describe_file(paths[:2])["x"].max == 2
    with pytest.raises(UsageError, match=r"'y' is absent in c\.parquet"):
        describe_file(paths)
    assert describe_file(paths, options=StatisticsOptions(columns=("x",)))["x"].max == 2.0


def test_parquet_files_of_two_types(tmp_path: Path) -> None:
    def file(name: str, values: pa.Array) -> Path:
        pq.write_table(pa.table({"x": values, "g": ["a"] * len(values)}), tmp_path / name)
        return tmp_path / name

    whole = file("a.parquet", pa.array([1, 2**53 + 1, 2**53 + 2, None]))
    parts, none = file("b.parquet", pa.array([0.5, 1.0])), file("c.parquet", pa.nulls(2))
    options = StatisticsOptions().with_slices(["g", Slice("q", query="SELECT * FROM rows WHERE x > 1")])
    for paths in ([whole, parts, none], [none, parts, whole]):
        made = describe_file(paths, options=options)
        for s, unique in ((made, 4), (made.slices["g=a"], 4), (made.slices["q"], 2)):
            x = s["x"]
            assert isinstance(x, FeatureStatistics)
            assert (x.type, x.max, x.num_unique) == ("FLOAT", 2.0**53 + 2, unique)
            assert (x.num_rounded, x.unique_is_exact, x.value_counts()) == (1, False, None)
            assert list(s.features) == ["x", "g"]
    small = describe_file([file("d.parquet", pa.array([1, 2], pa.int32())), parts])["x"]
    assert (small.type, small.unique_is_exact, small.top_values(1)) == ("FLOAT", True, [(1.0, 2)])
    lists = [file("e.parquet", pa.array([[1]])), file("f.parquet", pa.array([[0.5]]))]
    assert describe_file(lists)["x"].max == 1.0
    with pytest.raises(
        UsageError,
        match=r"'x' is string in g\.parquet and int64 in a\.parquet \(mixed-types\)\. Hint: .*leave the column out",
    ):
        describe_file([none, whole, file("g.parquet", pa.array(["1"]))])
    with pytest.raises(UsageError, match=r"column 'x' of h\.parquet does not read as list<.*\(mixed-types\)"):
        describe_file([lists[1], file("h.parquet", pa.array([[2**53 + 1]]))])


def test_parquet_files_let_go_of_what_was_read(tmp_path: Path) -> None:
    table = pa.table({f"c{i}": np.random.default_rng(i).random(100_000) for i in range(4)})
    pq.write_table(table, tmp_path / "0.parquet", row_group_size=50_000)

    def most(n: int) -> int:
        """The most bytes that Arrow holds while a file is read n times over."""
        held: list[int] = []
        before = pa.total_allocated_bytes()
        look = lambda _: held.append(pa.total_allocated_bytes() - before)  # noqa: E731
        describe_file([tmp_path / "0.parquet"] * n, progress=look)
        return max(held)

    assert most(6) < 1.5 * most(1)


class TestFrames:
    def test_pandas_and_polars(self) -> None:
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"t": pd.to_datetime(["2013-01-01", None]), "c": pd.Categorical(["a", "b"])})
        s = describe(frame_rows(frame).reader())
        assert types(s) == {
            "t": "TIMESTAMP",
            "c": "STRING",
        }  # a time without a zone is described, not refused
        pl = pytest.importorskip("polars")
        lazy = pl.LazyFrame({"a": ["x", None, "x"], "l": [[1], [], None]})
        s = describe(frame_rows(lazy).reader())
        assert (s["a"].top_values(), s["l"].max_num_values) == ([("x", 2)], 1)

    def test_extension_types_are_what_they_are_stored_as(self) -> None:
        uuids = pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([b"0" * 16, b"1" * 16, None], pa.binary(16))
        )
        documents = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", "[]", "{}"]))
        s = describe(pa.table({"u": uuids, "j": documents}))
        assert (s["u"].type, s["u"].num_unique, s["u"].num_missing) == ("BYTES", 2, 1)
        assert s["j"].value_counts() == {"{}": 2, "[]": 1}

    def test_polars_categories(self) -> None:
        pl = pytest.importorskip("polars")
        series = pl.Series(["a", "b", None, "a"], dtype=pl.Categorical)
        enum = pl.Series(["u", "v", "u", None], dtype=pl.Enum(["u", "v"]))
        frame = pl.DataFrame({"c": series, "e": enum, "l": [["a"], ["b", None], None, []]})
        s = describe(frame, slices=["c"])
        assert s["c"].value_counts() == {"a": 2, "b": 1}
        assert s["e"].value_counts() == {"u": 2, "v": 1}
        assert s.slices["c=a"].n_rows == 2
        with pytest.raises(UsageError, match=r"cannot be read as Arrow: .*\(bad-data\)"):
            describe(pl.DataFrame({"x": pl.Series([1], dtype=pl.Int128)}))

    def test_what_is_no_frame(self) -> None:
        pd = pytest.importorskip("pandas")
        for bad in (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            pd.DataFrame({"a": [2**70, None]}, dtype=object),
        ):
            with pytest.raises(UsageError):
                frame_rows(bad)
        for data in (3, {"a": [1, "x"]}):
            with pytest.raises(WhenceError):
                frame_rows(data)

    def test_paths_are_told_from_names(self) -> None:
        assert [is_path(p) for p in ("a.csv", Path("a"), "flights@12", "A.PARQUET", 3)] == [
            True, True, False, True, False,
        ]  # fmt: skip
