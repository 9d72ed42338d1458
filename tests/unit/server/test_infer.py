"""The Open Inference Protocol: what a body may look like, what it becomes, and what is said of a bad one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence._base.arrow import TS
from whence.errors import BackendError, ConflictError, IntegrityError, NotFoundError, UsageError, WhenceError
from whence.registry import Column, ModelVersion, Signature
from whence.server.guards import LARGE_BYTES, Refused
from whence.server.infer import (
    MAX_ROWS,
    ask_of,
    make_ask,
    metadata,
    quick_ask,
    read_request,
    refusal_of,
    write_answer,
)
from whence.serving import Answer, Ask, Line
from whence.serving.answers import Facts

Rows = list[list[Any]]


def make_line(*columns: tuple[str, str], keys: pa.Schema | None = None) -> Line:
    signature = Signature(tuple(Column(name, kind) for name, kind in columns))
    version = ModelVersion("late", 3, "sha256:00", "skops", 1, "uid", signature=signature)
    facts = Facts("late", "late_requests", "late@3", "sha256:00", "uid", {}, {}, columns)
    scorer: Any = SimpleNamespace(version=version)
    return Line(version, scorer, columns, facts, keys or pa.schema([]))


LINE = make_line(("n", "int64"), ("x", "double"))
MIXED = make_line(("b", "bool"), ("t", "string"), ("f", "float"), ("s", "int8"))


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "data": data, "shape": shape or [len(data)]}


def body(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def rows_of(ask: Ask) -> Rows:
    if ask.matrix is not None:
        return [[None if v != v else v for v in row] for row in ask.matrix.tolist()]
    assert ask.table is not None
    return [list(row.values()) for row in ask.table.to_pylist()]


N, X = tensor("n", "INT64", [1, 2]), tensor("x", "FP64", [0.5, -1])


def test_columns_become_a_matrix_in_the_models_order() -> None:
    ask = ask_of(LINE, body(N, X, id="a"))
    assert (ask.id, ask.n_rows, ask.kind, rows_of(ask)) == ("a", 2, "matrix", [[1, 0.5], [2, -1]])
    assert rows_of(ask_of(LINE, body(X, N))) == [[1, 0.5], [2, -1]]


@pytest.mark.parametrize(
    "tensors",
    [
        [tensor("n", "INT64", [[1], [2]], [2, 1]), X],
        [tensor("n", "UINT8", [1, 2]), tensor("x", "FP32", [0.5, -1.0])],
        [N, tensor("x", "FP64", [0.5, -1], [2, 1])],
        [tensor("anything", "FP64", [1, 0.5, 2, -1], [2, 2])],
        [tensor("anything", "FP32", [[1, 0.5], [2, -1]], [2, 2])],
    ],
)
def test_other_ways_to_say_the_same(tensors: list[dict[str, Any]]) -> None:
    assert rows_of(ask_of(LINE, body(*tensors))) == [[1, 0.5], [2, -1]]


def test_null_is_a_missing_value() -> None:
    ask = ask_of(LINE, body(tensor("n", "INT64", [None, 2]), tensor("x", "FP64", [0.5, None])))
    assert rows_of(ask) == [[None, 0.5], [2, None]]


def test_integers_that_no_float_holds_stay_whole() -> None:
    big = 2**53 + 1
    ask = ask_of(LINE, body(tensor("n", "INT64", [big, -big]), X))
    assert (ask.kind, rows_of(ask)) == ("table", [[big, 0.5], [-big, -1.0]])


def test_text_booleans_and_small_types() -> None:
    tensors = (
        tensor("b", "BOOL", [True, None]), tensor("t", "BYTES", ["é", None]),
        tensor("f", "FP32", [0.1, None]), tensor("s", "INT8", [-128, 127]),
    )  # fmt: skip
    assert rows_of(ask_of(MIXED, body(*tensors))) == [
        [True, "é", float(np.float32(0.1)), -128],
        [None, None, None, 127],
    ]


finite = st.floats(allow_nan=False, allow_infinity=False) | st.none()
whole = st.integers(-(2**63), 2**63 - 1) | st.none()


@given(st.lists(st.tuples(whole, finite), min_size=1, max_size=4))
def test_the_quick_way_gives_what_the_long_one_gives(rows: list[tuple[int | None, float | None]]) -> None:
    image = body(tensor("n", "INT64", [n for n, _ in rows]), tensor("x", "FP64", [x for _, x in rows]))
    quick, long = quick_ask(LINE, image), make_ask(LINE, read_request(image))
    assert rows_of(long) == [[n, x] for n, x in rows]
    if quick is not None:
        assert rows_of(quick) == rows_of(long)
    assert (quick is None) is any(n is not None and abs(n) >= 2**53 for n, _ in rows)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_other_body_is_refused_and_not_a_fault(image: bytes) -> None:
    with pytest.raises(Refused) as raised:
        ask_of(LINE, image)
    assert raised.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.lists(st.integers(-2, 3), max_size=3), st.sampled_from(["FP64", "INT64", "BOOL", "?"]))
def test_tensors_of_any_form_are_taken_or_refused(data: Any, shape: list[int], datatype: str) -> None:
    image = body({"name": "n", "shape": shape, "datatype": datatype, "data": data}, X)
    try:
        ask = ask_of(LINE, image)
    except (Refused, UsageError):
        return
    assert (datatype, ask.n_rows) == ("INT64", 2)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"{", "no JSON"),
        (b'{"inputs": 3}', "Expected `array`"),
        (b'{"inputs": []}', "has inputs"),
        (body({"name": "n"}), "missing required field"),
        (body(N), "x: missing"),
        (body(N, X, tensor("y", "FP64", [1, 2])), "y: extra"),
        (body(N, N, X), "n: given twice"),
        (body(tensor("n", "FP64", [1, 2]), X), "is FP64, the column is INT64"),
        (body(tensor("n", "INT64", [1.5, 2]), X), "is not INT64"),
        (body(tensor("n", "INT64", [2**63, 2]), X), "that no INT64 holds"),
        (body(N, tensor("x", "FP64", [True, 1])), "is not FP64"),
        (body(N, tensor("x", "FP64", ["1", 1])), "is not FP64"),
        (body(N, tensor("x", "INT64", [2**53 + 1, 1])), "no FP64 holds"),
        (body(N, tensor("x", "FP16", [1, 2])), "has datatype 'FP16'; known are"),
        (body(N, tensor("x", "FP64", [1, 2, 3])), "has 3 rows, others have 2"),
        (body(N, tensor("x", "FP64", [1, 2, 3], [2])), "has 3 values, its shape [2] says 2"),
        (body(N, tensor("x", "FP64", [[1, 2], [3, 4]], [2, 2])), "has shape [2, 2], want [2]"),
        (body(N, tensor("x", "FP64", [1, 2], [1, 1, 2])), "want [n] or [n, k]"),
        (body(tensor("all", "FP64", [1, 2, 3], [1, 3])), "is no column of model:late@3, nor all of them"),
        (body(tensor("all", "FP64", [1.5, 2], [1, 2])), "a value for 'n' that no INT64 holds"),
        (body(tensor("all", "FP64", [[1, 2], [3]], [2, 2])), "rows of other lengths"),
        (body(N, X, outputs=[{"name": "other"}]), "there is no output 'other'"),
        (body(N, X, id="a b"), "is no id for a request"),
        (body(N, X, parameters={"keys_only": True}), "has no feature views to look up"),
        (body(N, X, parameters={"keys_only": 1}), "Expected `bool`"),
        (body(tensor("n", "INT8", [999, 1]), X), "a value that no INT8 holds"),
        (body(tensor("n", "UINT8", [-9, None]), X), "a value that no UINT8 holds"),
        (body(N, tensor("x", "UINT32", [2**32, 0])), "a value that no UINT32 holds"),
        (body(N, tensor("x", "FP32", [1e39, 0])), "a value that no FP32 holds"),
        (body(tensor("all", "INT16", [1, 2**15], [1, 2])), "a value that no INT16 holds"),
        (body(tensor("all", "INT64", [10**400, 2], [1, 2])), "a value that no INT64 holds"),
        (body(tensor("all", "FP64", [10**400, 2], [1, 2])), "out of range"),
        (body(tensor("n", "INT64", [1], [10**18]), X), "a shape that no body can hold"),
        (body(tensor("n", "INT64", [1], [1, 10**400, 2, 3, 4]), X), "has shape [1, ?, 2, 3, …]"),
        (body(*[tensor(f"y{i}", "FP64", [1]) for i in range(30)]), "y17: extra; and 12 more"),
        (b'{"x":' * 50_000 + b"1" + b"}" * 50_000, "no JSON"),
        (b'{"parameters": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b'}, "inputs": []}', "no JSON"),
        (body(N, {**X, "datatype": "BYTES", "data": 7}), "is BYTES, the column is FP64"),
        (b'{"inputs": [{"name": "n", "shape": [1], "datatype": "FP64", "data": ' + b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_wrong_is_said(image: bytes, said: str) -> None:
    with pytest.raises((Refused, UsageError)) as raised:
        ask_of(LINE, image)
    refused = refusal_of(raised.value)
    assert refused.status == 400
    assert said in refused.message


def test_the_greatest_float32_as_most_write_it_is_one() -> None:
    ask = ask_of(LINE, body(N, tensor("x", "FP32", [3.4028235e38, -3.4028235e38])))
    assert [row[1] for row in rows_of(ask)] == [np.finfo(np.float32).max, np.finfo(np.float32).min]


def test_more_rows_than_are_taken_are_refused_by_their_shape() -> None:
    """Before they are decoded: the data need not even be there."""
    for image in (
        body(N, X),
        body(tensor("n", "INT64", "not looked at", [2]), tensor("x", "FP64", "nor this", [2])),
        body(tensor("all", "FP64", "nor this", [2, 2])),
        body(N, X, parameters={"keys_only": True}),
    ):
        with pytest.raises(UsageError, match="at most 1 rows") as raised:
            ask_of(LINE, image, max_rows=1)
        assert (raised.value.code, refusal_of(raised.value).status) == ("too-many-rows", 413)
    assert ask_of(LINE, body(N, X), max_rows=2).n_rows == 2


@pytest.mark.parametrize("shape", [[2], [2, 1], [2, 0], [0]])
@pytest.mark.parametrize("one", [1, [1]])
def test_more_values_than_the_shape_says_are_not_decoded(shape: list[int], one: Any) -> None:
    """Two bytes of a body become up to thirty-two of a list. Decoded, it would be seen that one is no number."""
    image = body({**N, "data": [one] * LARGE_BYTES + ["x"], "shape": shape}, {**X, "shape": shape[:1]})
    with pytest.raises(Refused, match=r"more values than its shape|want \["):
        ask_of(LINE, image)


def test_a_large_body_is_read_as_a_small_one() -> None:
    rows = [[i, i / 4] for i in range(MAX_ROWS)]
    tensors = (tensor("n", "INT64", [n for n, _ in rows]), tensor("x", "FP64", [x for _, x in rows]))
    assert len(body(*tensors)) > LARGE_BYTES
    assert rows_of(ask_of(LINE, body(*tensors))) == rows
    nested = tensor("all", "FP64", rows, [MAX_ROWS, 2])
    assert rows_of(ask_of(LINE, body(nested))) == rows


def test_keys_come_in_the_types_of_the_spine() -> None:
    keys = pa.schema([("carrier", pa.string()), ("leaves", TS), ("day", pa.date32()), ("x", pa.float64())])
    line = make_line(("x", "double"), keys=keys)
    tensors = [
        tensor("carrier", "BYTES", ["B6"]), tensor("leaves", "BYTES", ["2013-07-01T10:00:00+02:00"]),
        tensor("day", "BYTES", ["2013-07-01"]), tensor("x", "FP64", [2]),
    ]  # fmt: skip
    ask = ask_of(line, body(*tensors, parameters={"keys_only": True}))
    assert ask.kind == "keys"
    assert ask.keys is not None
    assert ask.keys.schema.equals(keys)
    assert ask.keys.column("leaves").to_pylist() == [datetime(2013, 7, 1, 8, tzinfo=UTC)]
    for text, said in (
        ("2013-07-01T10:00:00", "names no zone"),
        ("soon", "want a moment"),
        ("0001-01-01T00:00:00+01:00", "no moment in UTC"),
    ):
        bad = [t if t["name"] != "leaves" else tensor("leaves", "BYTES", [text]) for t in tensors]
        with pytest.raises(Refused, match=said):
            ask_of(line, body(*bad, parameters={"keys_only": True}))
    with pytest.raises(UsageError, match="schema-mismatch"):
        ask_of(line, body(*tensors[:2], parameters={"keys_only": True}))
    with pytest.raises(Refused, match=r"'other' has shape \[1, 2\], want \[1\]"):
        ask_of(line, body(*tensors, tensor("other", "FP64", [1, 2], [1, 2]), parameters={"keys_only": True}))


def test_an_answer_has_the_protocols_shape() -> None:
    moment = datetime(2013, 7, 1, tzinfo=UTC)
    answer = Answer("a", [0.25, 0.5], "late@3", 3, moment, "late_requests", repeated=True)
    assert json.loads(write_answer("late", answer)) == {
        "model_name": "late",
        "model_version": "3",
        "id": "a",
        "parameters": {"into": "late_requests", "moment": "2013-07-01T00:00:00Z", "repeated": True},
        "outputs": [{"name": "score", "shape": [2], "datatype": "FP64", "data": [0.25, 0.5]}],
    }


def test_metadata_names_columns_and_keys() -> None:
    line = make_line(("n", "int64"), ("x", "double"), keys=pa.schema([("carrier", pa.string()), ("at", TS)]))
    found = metadata("late", [3], line)
    assert found["inputs"] == [
        {"name": "n", "datatype": "INT64", "shape": [-1]},
        {"name": "x", "datatype": "FP64", "shape": [-1]},
    ]
    assert (found["platform"], found["versions"]) == ("whence_skops", ["3"])
    assert found["parameters"] == {
        "model": "late@3", "digest": "sha256:00", "into": "late_requests",
        "keys_only": {"carrier": "BYTES", "at": "BYTES"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status", "later"),
    [
        (NotFoundError("model", "lat", near=["late"]), 404, False),
        (UsageError("x"), 400, False),
        (ConflictError("x", code="request-id-reused"), 409, False),
        (ConflictError("x", code="answerer-closed"), 503, True),
        (BackendError("x", code="requests-busy", retryable=True), 503, True),
        (BackendError("x"), 503, False),
        (IntegrityError("x"), 500, False),
        (ValueError("secret"), 500, False),
    ],
)
def test_the_status_says_what_the_caller_can_do(error: BaseException, status: int, later: bool) -> None:
    refused = refusal_of(error)
    assert (refused.status, bool(refused.headers)) == (status, later)
    assert refused.code == (error.code if isinstance(error, WhenceError) else "internal")
    assert "secret" not in refused.message
