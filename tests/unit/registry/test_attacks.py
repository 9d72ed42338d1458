"""Model files by dishonest writers: refused before anything of them runs or is followed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import FunctionTransformer

from tests.unit.registry.sample_models import labels, make, rows
from whence.errors import DeniedError, IntegrityError, UsageError, WhenceError
from whence.registry.backends import archive as archives
from whence.registry.backends.archive import check_npy, read_archive
from whence.registry.formats import canonical_skops, get_format, load_skops

Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


def edited(data: bytes, edit: Edit) -> bytes:
    """The file after `edit` had its way with the schema and the members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    edit(schema, members)
    return packed({"schema.json": json.dumps(schema).encode(), **members})


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def refused(data: bytes, code: str) -> WhenceError:
    with pytest.raises((IntegrityError, DeniedError)) as caught:
        load_skops(data)
    assert caught.value.code == code
    return caught.value


# -- types --------------------------------------------------------------------------------------


def test_a_command_is_not_run(tmp_path: Any) -> None:
    marker = tmp_path / "ran"

    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        attributes = schema["content"]["content"]
        attributes["func"] = {
            "__class__": "system", "__module__": "os", "__loader__": "FunctionNode",
        }  # fmt: skip
        attributes["kw_args"] = {
            "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": f'"touch {marker}"',
        }  # fmt: skip

    error = refused(edited(canonical_skops(FunctionTransformer()), edit), "untrusted-model-type")
    assert error.details == {"types": ["os.system"]}
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("subprocess", "Popen"), ("numpy", "load"), ("pickle", "loads")],
)
def test_functions_and_types_are_named(module: str, name: str) -> None:
    for loader in ("FunctionNode", "TypeNode", "ObjectNode"):

        def edit(schema: dict[str, Any], members: dict[str, bytes], loader: str = loader) -> None:
            node = {"__class__": name, "__module__": module, "__loader__": loader}
            schema["content"]["content"]["func"] = node

        error = refused(edited(canonical_skops(FunctionTransformer()), edit), "untrusted-model-type")
        assert error.details == {"types": [f"{module}.{name}"]}


def test_an_older_protocol_does_not_open_a_door() -> None:
    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        schema["protocol"] = 0
        schema["content"]["content"]["func"] = {
            "__class__": "x", "__module__": "y", "__loader__": "FunctionNode",
            "content": {"module_path": "os", "function": "system"},
        }  # fmt: skip

    error = refused(edited(canonical_skops(FunctionTransformer()), edit), "untrusted-model-type")
    assert error.details == {"types": ["os.system"]}


@pytest.mark.parametrize("protocol", [None, -1, 99, "2", True])
def test_protocols_that_do_not_exist(protocol: object) -> None:
    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        schema["protocol"] = protocol

    refused(edited(canonical_skops(FunctionTransformer()), edit), "model-malformed")


# -- contents -----------------------------------------------------------------------------------


def with_nodes(kind: str, change: Callable[[Any], None]) -> bytes:
    """A fitted model whose first tree's nodes were changed after training."""
    model = make(kind)
    if kind.startswith("histogram"):
        predictor = model._predictors[0][0]
        predictor.nodes = predictor.nodes.copy()
        change(predictor.nodes)
    else:
        tree = {"tree": lambda: model.tree_, "forest": lambda: model.estimators_[0].tree_}.get(
            kind, lambda: model.estimators_[0, 0].tree_ if kind == "boosting" else model.estimators_[0].tree_
        )()
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        change(state["nodes"])
        tree.__setstate__(state)
    return get_format("skops").canonical(skops.io.dumps(model))


def set_root(**values: int) -> Callable[[Any], None]:
    def change(nodes: Any) -> None:
        for name, value in values.items():
            nodes[name][0] = value

    return change


@pytest.mark.parametrize("kind", ["tree", "forest", "boosting", "isolation"])
@pytest.mark.parametrize(
    "values",
    [
        {"left_child": 10**9},
        {"right_child": 10**9},
        {"left_child": 0},
        {"right_child": -7},
        {"feature": 4},
        {"feature": -3},
        {"feature": 10**12},
    ],
)
def test_trees_that_point_outside(kind: str, values: dict[str, int]) -> None:
    refused(with_nodes(kind, set_root(**values)), "model-malformed")


@pytest.mark.parametrize(
    "values",
    [
        {"left": 2**31},
        {"right": 2**32 - 1},
        {"left": 0},
        {"feature_idx": 4},
        {"feature_idx": -1},
        {"is_categorical": 1},
        {"is_categorical": 1, "feature_idx": 2, "bitset_idx": 2**31},
    ],
)
def test_histogram_trees_that_point_outside(values: dict[str, int]) -> None:
    kind = "histogram-categories" if "bitset_idx" in values else "histogram"
    refused(with_nodes(kind, set_root(**values)), "model-malformed")


def attribute(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("tree", attribute("n_features_in_", 2)),
        ("forest", attribute("n_features_in_", 2)),
        ("forest", lambda model: delattr(model, "n_features_in_")),
        ("boosting", attribute("n_features_in_", 2)),
        ("boosting", attribute("n_trees_per_iteration_", 7)),
        ("boosting", lambda model: setattr(model, "estimators_", model.estimators_.ravel())),
        (
            "isolation",
            lambda model: model.__dict__.update(_max_features=2, estimators_features_=[np.arange(2)] * 5),
        ),
        ("isolation", lambda model: model.__dict__.update(_max_features=2, n_features_in_=2)),
        ("isolation", attribute("estimators_features_", [])),
        ("histogram", attribute("n_features_in_", 2)),
        ("histogram", lambda model: setattr(model._bin_mapper, "is_categorical_", np.zeros(2, np.uint8))),
        ("histogram", attribute("_preprocessor", FunctionTransformer())),
        ("histogram", attribute("_predictors", [[FunctionTransformer()]])),
        (
            "histogram-categories",
            lambda model: setattr(
                model._predictors[0][0], "raw_left_cat_bitsets", np.zeros((0, 8), np.uint32)
            ),
        ),
        ("histogram-categories", lambda model: model._preprocessor.transformers_.pop(1)),
        ("histogram-categories", lambda model: setattr(model._preprocessor, "n_features_in_", 9)),
    ],
)
def test_estimators_that_do_not_fit_their_trees(kind: str, change: Callable[[Any], None]) -> None:
    model = make(kind)
    change(model)
    refused(get_format("skops").canonical(skops.io.dumps(model)), "model-malformed")


def test_a_sparse_matrix_that_points_outside() -> None:
    matrix = sparse.csr_matrix(np.eye(3))
    matrix.indices[:] = [0, 1, 10**6]
    refused(skops.io.dumps(FunctionTransformer(kw_args={"m": matrix})), "model-malformed")
    good = FunctionTransformer(kw_args={"m": sparse.csr_matrix(np.eye(3))})
    loaded: Any = load_skops(canonical_skops(good))
    assert loaded.kw_args["m"].toarray().tolist() == np.eye(3).tolist()


# -- the archive --------------------------------------------------------------------------------


def test_a_zip_bomb_is_not_unpacked() -> None:
    data = packed({"schema.json": b" " * (100 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(data) < 200_000
    error = refused(data, "model-oversized")
    assert "schema.json" in str(error)


def test_sizes_and_numbers_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = canonical_skops(make("forest"))
    with pytest.raises(IntegrityError) as caught:
        read_archive(data, max_size_bytes=1000)
    assert caught.value.code == "model-oversized"
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    refused(data, "model-oversized")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 300)
    monkeypatch.setattr(archives, "MAX_SCHEMA_BYTES", 300)
    refused(data, "model-oversized")


def test_a_size_that_lies_is_found() -> None:
    data = bytearray(packed({"schema.json": b"{}" + b" " * 998}))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (5).to_bytes(4, "little")  # the table of contents says 5 bytes
    refused(bytes(data), "model-malformed")


@pytest.mark.parametrize(
    "members",
    [
        {"other.json": b"{}"},
        {"schema.json": b"[]"},
        {"schema.json": b"{"},
        {"schema.json": b"[" * 200_000},
        {"schema.json": b'{"__class__": "x"}', "a/b.npy": b""},
        {"schema.json": b'{"__class__": "x"}', "a.pkl": b"\x80\x04."},
        {"schema.json": b'{"__class__": "x"}', "a.npy": b"nonsense"},
        {"schema.json": b'{"__class__": "x"}', "a.npz": b"nonsense"},
        {"schema.json": b"{}"},
        {"schema.json": b'{"protocol": 2}'},
        {"schema.json": b'{"__class__": "x", "__module__": "y", "__loader__": "NoNode", "protocol": 2}'},
        {
            "schema.json": b'{"__class__": 7, "__module__": [], "__loader__": "ListNode", "content": 3, "protocol": 2}'
        },
    ],
)
def test_archives_nobody_writes(members: dict[str, bytes]) -> None:
    refused(packed(members), "model-malformed")


def test_deep_nesting_is_refused() -> None:
    node = '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":['
    refused(packed({"schema.json": (node * 5_000 + "]}" * 5_000).encode()}), "model-malformed")
    deep = node * 300 + "]}" * 300
    text = deep[:-1] + ',"protocol":2}'
    with pytest.raises(WhenceError) as caught:
        load_skops(packed({"schema.json": text.encode()}))
    assert caught.value.code == "model-malformed"


def test_a_doubled_member_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("schema.json", b"{}")
    refused(buffer.getvalue(), "model-malformed")


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"\0" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"\0" * 9),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N."),
        npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", b"\0" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        npy("__import__('os').system('true')"),
        b"\x93NUMPY\x09\x00" + b"\0" * 100,
        b"",
    ],
)
def test_arrays_that_lie(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        check_npy(data, "x.npy")
    assert caught.value.code == "model-malformed"


_HONEST = canonical_skops(
    HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=4).fit(rows(), labels(rows()))
)


@given(st.integers(0, len(_HONEST) - 1), st.integers(1, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_changed_byte_is_refused_or_harmless(at: int, by: int) -> None:
    data = bytearray(_HONEST)
    data[at] ^= by
    try:
        model: Any = load_skops(bytes(data))
    except (IntegrityError, DeniedError, UsageError):
        return
    model.predict(rows())  # what loads does not crash


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_changed_array_is_refused_or_harmless(data: st.DataObject) -> None:
    with zipfile.ZipFile(io.BytesIO(_HONEST)) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(name for name in members if name.endswith(".npy"))))
    content = members[name]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(128, max(128, len(content) - 1))) % len(content)] = data.draw(
            st.integers(0, 255)
        )
    try:
        model: Any = load_skops(packed({name: bytes(content) for name, content in members.items()}))
    except (IntegrityError, DeniedError, UsageError):
        return
    with np.errstate(all="ignore"):
        try:
            model.predict(rows())
        except (ValueError, IndexError, TypeError, OverflowError):
            return  # an error is an answer; a crash would end the test run
    assert os.getpid() > 0
