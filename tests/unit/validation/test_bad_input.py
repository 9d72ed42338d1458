"""Bad input gets an error that names the file, the line and the way out; nothing is guessed and nothing is silent."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from whence.errors import NotFoundError, UsageError, WhenceError
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.text import read_binary, read_text
from whence.validation import Feature, Schema, describe, validate_statistics
from whence.validation.sources import describe_file
from whence.validation.yaml import schema_from_yaml

ROWS = b"a,b,c\n" + b"1,2,3\n" * 10
FAR = b"a,b,c\n" + b"1,2,3\n" * 400_000
NO_CSV = {
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "looks like a binary file"),
    "nothing": (b"", r"is empty .* a header line"),
    "parquet": (b"PAR1" + bytes(1000) + b"PAR1", "looks like a Parquet file; name it .parquet"),
    "gzip": (gzip.compress(ROWS), "looks like gzip; name it .csv.gz"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(100), "export it as CSV"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "looks like UTF-16; save it as UTF-8"),
    "a web page": (b"<!DOCTYPE html><html>\n<p>a,b,c</p>\n", "looks like a web page; export it as CSV"),
    "json lines": (b'{"a": 1, "b": [1,2]}\n{"a": 2}\n', "line 2 has 1 field, the header has 3"),
}
RAGGED = {
    "few": (ROWS + b"1,2\n1,2,3\n", "line 12 has 2 fields, the header has 3: '1,2'"),
    "many": (ROWS + b"1,2,3,4\n", "line 12 has 4 fields, the header has 3: '1,2,3,4'"),
    "far behind": (FAR + b"1,2,3,4\n1,2,3\n", "line 400002 has 4 fields, the header has 3"),
    "in quotes": (b'a,b\n"1,1",2\n"x\ny",2\n1,2,3\n', "line 5 has 3 fields, the header has 2"),
    "never closed": (b'a,b\n1,"x\n2,y\n', "line 2: a quotation mark is opened and never closed"),
    "two headers": (b"a,b,a\n1,2,3\n", "two columns 'a'"),
}


@pytest.mark.parametrize("name", NO_CSV)
def test_what_is_no_csv(tmp_path: Path, name: str) -> None:
    data, said = NO_CSV[name]
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"rows\.csv.*{said}.*") as caught:
        describe_file(path)
    assert caught.value.code == "bad-csv"


@pytest.mark.parametrize("name", RAGGED)
def test_ragged_lines_are_named(tmp_path: Path, name: str) -> None:
    data, said = RAGGED[name]
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"rows\.csv.*{said}"):
        describe_file(path)


def test_a_late_value_of_another_type_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(FAR + b"x,2.5,\n")
    s = describe_file(path)
    assert [(f.type, f.num_missing) for f in s] == [("STRING", 0), ("FLOAT", 0), ("INT", 1)]
    assert s["a"].top_values() == [("1", 400_000), ("x", 1)]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="file-not-found"):
        describe_file(tmp_path / "none.csv")
    with pytest.raises(NotFoundError, match="file-not-found"):
        describe_file(str(tmp_path / "*.csv"))
    (tmp_path / "b.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(WhenceError, match=r"b\.parquet cannot be read as Parquet.*file-corrupted"):
        describe_file(tmp_path / "b.parquet")


def test_files_of_other_columns(tmp_path: Path) -> None:
    for name, head in (("1.csv", "a,b"), ("2.csv", "b,a"), ("3.csv", "a,c")):
        (tmp_path / name).write_text(f"{head}\n1,2\n")
    for other in ("2.csv", "3.csv"):
        with pytest.raises(UsageError, match=rf"{other} has the columns"):
            describe_file([tmp_path / "1.csv", tmp_path / other])
    with pytest.raises(UsageError, match=r"is a folder .*\*\.csv names its files"):
        describe_file(tmp_path)


TYPOS = {
    "field": (
        'feature {\n  name: "x"\n  presense { min_count: 1 }\n}\n',
        r"line 3, .*no field 'presense'.*Near: 'presence'",
    ),
    "value": ('feature {\n  name: "x"\n  type: INTEGER\n}\n', r"line 3, .*no value 'INTEGER'.*Near: 'INT'"),
    "number": ('feature {\n  name: "x"\n  presence { min_count: "a" }\n}\n', "line 3, column 25"),
    "too large": ("feature {\n  presence { min_count: 99999999999999999999 }\n}\n", "line 2, .*out of range"),
    "quote": ('feature {\n  name: "x\n}\n', "line 2, column 9"),
    "brace": ('feature {\n  name: "x"\n}\n}\n', "line 4, column 1"),
    "open": ('feature {\n  name: "x"\n', r"s\.pbtxt, line 2"),
    "other message": ("datasets {\n num_examples: 3 }", r"line 1, .*no field 'datasets'.*known: .*feature"),
    "json": ('{"feature": []}', "line 1, column 1"),
}


@pytest.mark.parametrize("name", TYPOS)
def test_a_typo_in_a_pbtxt(name: str) -> None:
    text, said = TYPOS[name]
    with pytest.raises(UsageError, match=rf"s\.pbtxt, {said}|{said}") as caught:
        read_text(schema_pb2.Schema, text, name="s.pbtxt")
    assert caught.value.code == "bad-pbtxt"
    assert "s.pbtxt, line" in str(caught.value)


def test_typos_in_the_other_messages() -> None:
    text = 'anomaly_info {\n key: "x" value {\n reason { type: INT_TYPE_BIG } } }'
    with pytest.raises(
        UsageError, match=r"a\.pbtxt, line 3, .*no value 'INT_TYPE_BIG'.*Near: 'INT_TYPE_BIG_INT'"
    ):
        read_text(anomalies_pb2.Anomalies, text, name="a.pbtxt")
    with pytest.raises(UsageError, match=r"line 1, .*no field 'dataset'.*Near: 'datasets'"):
        read_text(statistics_pb2.DatasetFeatureStatisticsList, "dataset { }", name="d.pbtxt")
    with pytest.raises(UsageError, match=r"b\.pb"):
        read_binary(schema_pb2.Schema, b"\x0a\xff\xff", name="b.pb")


WRONG_YAML = {
    "kind of domain": (
        "features:\n  x:\n    domain: {kind: strin}\n",
        "line 3: a domain of kind 'strin' is unknown .*'string'",
    ),
    "key": (
        "features:\n  x:\n    type: INT\n    presense: 1.0\n",
        "line 4: feature 'x' has the unknown key 'presense'.*Near: 'presence'",
    ),
    "type": ("features:\n  x:\n    type: STRNG\n", "line 3: type of feature 'x' is 'STRNG'.*Near: 'STRING'"),
    "part": ("feature:\n  x: {}\n", "line 1: a schema has no 'feature'.*Near: 'features'"),
    "indent": ("features:\n  x:\n    type: INT\n   min: 3\n", "line 4: not YAML"),
    "twice": ("features:\n  x: {type: INT}\n  x: {type: INT}\n", "line 3: .*'x' is there twice"),
    "code": ("a: !!python/object:os.system x\n", "line 1: .*unknown"),
    "bound": (
        "features:\n  x:\n    type: INT\n    max: lots\n",
        "line 4: max of int domain must be a whole number",
    ),
}


@pytest.mark.parametrize("name", WRONG_YAML)
def test_a_fault_in_a_yaml_schema(name: str) -> None:
    text, said = WRONG_YAML[name]
    with pytest.raises(UsageError, match=rf"x\.yaml, {said}") as caught:
        schema_from_yaml(text, name="x.yaml")
    assert caught.value.code == "bad-schema"


def test_a_yaml_schema_that_names_an_unknown_domain() -> None:
    text = "features:\n  x:\n    type: STRING\n    domain: letterz\ndomains:\n  letters: [a, b]\n"
    with pytest.raises(UsageError, match=r"line 4: .*'letterz'.*Near: 'letters'"):
        schema_from_yaml(text)


def test_a_domain_that_is_not_there_is_an_anomaly_of_any_data() -> None:
    schema = Schema().add(Feature("c", "STRING", domain="letterz"))
    found, _ = validate_statistics(describe(pa.table({"c": ["a"]})), schema)
    assert [(a.feature, a.type, a.observed) for a in found] == [
        ("c", "INVALID_DOMAIN_SPECIFICATION", "letterz")
    ]


def test_a_fault_in_a_json_schema() -> None:
    with pytest.raises(UsageError, match=r"not JSON: .*line 2 column 15"):
        Schema.from_json('{"format": "whence-schema-1",\n "features": [}')
    with pytest.raises(UsageError, match=r"kind 'strin' is unknown.*'string'"):
        Schema.from_json(
            '{"format": "whence-schema-1", "features": [{"name": "x", "type": "STRING", "domain": {"kind": "strin"}}]}'
        )
