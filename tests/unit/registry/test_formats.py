"""Canonical skops: equal models are equal bytes, and come back predicting the same."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from tests.unit.registry.sample_models import KINDS, fit, make, rows, with_categories
from whence._base.digest import sha256_bytes
from whence.errors import DeniedError, UnsupportedError, UsageError
from whence.registry.formats import (
    canonical_skops,
    get_format,
    list_formats,
    load_skops,
    refuse_pickle,
    sniff_format,
    type_names,
)

ROOT = Path(__file__).parents[3]


def answers(model: Any) -> np.ndarray[Any, Any]:
    x = with_categories(rows(50, seed=1))
    if isinstance(model, IsotonicRegression):
        x = x[:, 0]
    ask = getattr(model, "predict_proba", None) or getattr(model, "decision_function", None) or model.predict
    found = np.asarray(ask(x))
    assert found.size > 0
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_predicts_the_same_to_the_bit(kind: str) -> None:
    model = make(kind)
    loaded: Any = load_skops(canonical_skops(model))
    assert type(loaded) is type(model)
    assert answers(loaded).tobytes() == answers(model).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_models_are_equal_bytes(kind: str) -> None:
    data = canonical_skops(fit(kind))
    assert canonical_skops(fit(kind)) == data
    assert canonical_skops(load_skops(data)) == data
    assert get_format("skops").canonical(data) == data


def test_another_process_thread_count_and_hash_seed_give_the_same_digests() -> None:
    kinds = ["logistic", "histogram", "histogram-categories", "forest", "pipeline"]
    code = (
        "from whence._base.digest import sha256_bytes\n"
        "from whence.registry.formats import canonical_skops\n"
        "from tests.unit.registry.sample_models import fit\n"
        f"for kind in {kinds}: print(kind, sha256_bytes(canonical_skops(fit(kind))))\n"
    )
    here = {kind: sha256_bytes(canonical_skops(fit(kind))) for kind in kinds}
    # This process has one thread (see conftest), no fixed hash seed, and the machine's zone.
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == here


def test_the_canonical_file_is_a_skops_file() -> None:
    model = make("logistic")
    loaded = skops.io.loads(canonical_skops(model))
    assert answers(loaded).tobytes() == answers(model).tobytes()


def test_the_file_is_stored_with_a_fixed_date_and_names() -> None:
    with zipfile.ZipFile(io.BytesIO(canonical_skops(make("histogram")))) as archive:
        infos = archive.infolist()
        text = archive.read("schema.json").decode()
    assert infos[0].filename == "schema.json"
    assert [i.filename for i in infos[1:]] == [f"{n}.npy" for n in range(len(infos) - 1)]
    assert {(i.date_time, i.compress_type, i.create_system) for i in infos} == {((1980, 1, 1, 0, 0, 0), 0, 3)}
    assert "_skops_version" not in text


def test_a_file_as_skops_writes_it_has_the_same_canonical_form() -> None:
    model = make("forest")
    skops_format = get_format("skops")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raw = skops.io.dumps(model, compression=compression)
        assert raw != canonical_skops(model)
        assert skops_format.canonical(raw) == canonical_skops(model)


def test_what_is_one_object_stays_one_object() -> None:
    class Twins(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        pass

    inner = make("logistic")
    pair = FunctionTransformer(kw_args={"a": inner, "b": inner, "c": make("logistic")})
    loaded: Any = load_skops(canonical_skops(pair))
    assert loaded.kw_args["a"] is loaded.kw_args["b"]
    assert loaded.kw_args["a"] is not loaded.kw_args["c"]
    assert loaded.kw_args["a"].coef_ is not loaded.kw_args["c"].coef_
    separate = FunctionTransformer(kw_args={"a": inner, "b": make("logistic"), "c": make("logistic")})
    assert canonical_skops(separate) != canonical_skops(pair)


def test_equal_values_do_not_depend_on_which_object_they_are() -> None:
    text = "".join(chr(n) for n in (114, 101, 100))
    one = FunctionTransformer(kw_args={"a": 1000.5, "b": 1000.5, "c": "red", "d": "red", "e": (1, 2)})
    number, again = float("1000.5"), float("1000.5")
    two = FunctionTransformer(kw_args={"a": number, "b": again, "c": text, "d": "red", "e": tuple([1, 2])})  # noqa: C409
    assert canonical_skops(one) == canonical_skops(two)


@given(st.sets(st.one_of(st.text(max_size=5), st.integers(-5, 5)), max_size=8), st.randoms())
@settings(max_examples=25)
def test_the_order_of_a_set_does_not_matter(elements: set[str | int], random: Any) -> None:
    shuffled = list(elements)
    random.shuffle(shuffled)
    one = canonical_skops(FunctionTransformer(kw_args={"s": elements}))
    assert canonical_skops(FunctionTransformer(kw_args={"s": set(shuffled)})) == one
    loaded: Any = load_skops(one)
    assert loaded.kw_args == {"s": elements}


def test_the_order_of_attributes_does_not_matter_and_that_of_a_dictionary_does() -> None:
    one, two = make("logistic"), make("logistic")
    two.__dict__ = dict(reversed(list(two.__dict__.items())))
    assert canonical_skops(one) == canonical_skops(two)
    a = FunctionTransformer(kw_args={"x": 1, "y": 2})
    b = FunctionTransformer(kw_args={"y": 2, "x": 1})
    assert canonical_skops(a) != canonical_skops(b)


def test_a_dictionary_may_have_the_keys_of_the_format() -> None:
    hard = {"__loader__": 1, "__id__": 2, "content": {"file": "x.npy"}, "file": [3]}
    loaded: Any = load_skops(canonical_skops(FunctionTransformer(kw_args=hard)))
    assert loaded.kw_args == hard


def test_threads_of_the_machine_are_not_part_of_the_model() -> None:
    x = rows()
    one, two = (KMeans(2, random_state=0, n_init=1).fit(x) for _ in range(2))
    two._n_threads = one._n_threads + 5
    data = canonical_skops(one)
    assert canonical_skops(two) == data
    loaded: Any = load_skops(data)
    assert loaded._n_threads == one._n_threads
    assert two._n_threads == one._n_threads + 5


def test_padding_between_fields_is_not_part_of_the_model() -> None:
    from whence.registry.backends.canonical import _without_padding

    dtype = np.dtype([("a", "u1"), ("b", "<f8"), ("c", [("d", "u1"), ("e", "<i4")])], align=True)
    noisy = np.frombuffer(os.urandom(dtype.itemsize * 5), dtype=dtype)
    quiet = _without_padding(noisy)
    assert quiet["a"].tolist() == noisy["a"].tolist()
    assert quiet["b"].tobytes() == noisy["b"].tobytes()
    assert quiet["c"]["e"].tolist() == noisy["c"]["e"].tolist()
    again = np.zeros(5, dtype=dtype)
    for name in ("a", "b"):
        again[name] = noisy[name]
    again["c"]["d"], again["c"]["e"] = noisy["c"]["d"], noisy["c"]["e"]
    assert quiet.tobytes() == again.tobytes()


def test_what_does_not_come_back_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        canonical_skops(FunctionTransformer(kw_args={"flags": {True: 1, False: 0}}))
    assert caught.value.code == "model-does-not-round-trip"


def test_what_skops_cannot_hold_is_refused() -> None:
    for thing in (lambda: 1, open(os.devnull), iter([1])):  # noqa: SIM115, PTH123
        with pytest.raises((UsageError, DeniedError)) as caught:
            canonical_skops(FunctionTransformer(kw_args={"thing": thing}))
        assert caught.value.code in ("model-unsupported", "untrusted-model-type")
        if hasattr(thing, "close"):
            thing.close()


class Mine(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


def test_a_type_nobody_told_to_trust_is_refused_at_save_and_at_load() -> None:
    name = f"{Mine.__module__}.Mine"
    with pytest.raises(DeniedError) as caught:
        canonical_skops(Mine(3))
    assert caught.value.code == "untrusted-model-type"
    assert caught.value.details == {"types": [name]}
    assert f"trust=['{name}']" in str(caught.value)
    data = canonical_skops(Mine(3), trust=[Mine])
    assert data == canonical_skops(Mine(3), trust=[name])
    with pytest.raises(DeniedError):
        load_skops(data)
    loaded: Any = load_skops(data, trust=[name])
    assert loaded.depth == 3


def test_neighbours_must_be_trusted_by_name() -> None:
    model = KNeighborsClassifier(3).fit(rows(), np.arange(80) % 2)
    with pytest.raises(DeniedError) as caught:
        canonical_skops(model)
    types = caught.value.details["types"]
    assert types == ["sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree"]
    assert isinstance(types, list)
    assert (
        answers(load_skops(canonical_skops(model, trust=types), trust=types)).tobytes()
        == answers(model).tobytes()
    )


@pytest.mark.parametrize("trust", ["mine.Model", True, 7, ["Model"], ["mine.*"], [7], [""], None])
def test_trust_is_by_full_name(trust: object) -> None:
    with pytest.raises(UsageError) as caught:
        type_names(trust)
    assert caught.value.code == "bad-trust"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_refused(protocol: int) -> None:
    for thing in (make("logistic"), {"a": 1}, [1], (1, 2)):
        with pytest.raises(DeniedError) as caught:
            sniff_format(pickle.dumps(thing, protocol=protocol))
        assert caught.value.code == "pickle-refused"
        with pytest.raises(DeniedError):
            load_skops(pickle.dumps(thing, protocol=protocol))


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma"])
def test_joblib_files_are_refused(tmp_path: Path, compress: int | str) -> None:
    joblib.dump(make("logistic"), tmp_path / "model.joblib", compress=compress)
    with pytest.raises(DeniedError) as caught:
        sniff_format((tmp_path / "model.joblib").read_bytes())
    assert caught.value.code == "pickle-refused"


def test_a_torch_archive_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(DeniedError):
        sniff_format(buffer.getvalue())


def test_formats() -> None:
    assert list_formats() == ["skops"]
    assert sniff_format(canonical_skops(make("logistic"))).name == "skops"
    for name in ("onnx", "pickle"):
        with pytest.raises(UnsupportedError) as caught:
            get_format(name)
        assert caught.value.code == "unknown-format"
    for data in (b"", b"hello", b"PK\x03\x04 broken"):
        with pytest.raises(UsageError) as unknown:
            sniff_format(data)
        assert unknown.value.code == "unknown-model-file"
    refuse_pickle(b"")


def test_a_regression_is_saved_by_its_values(tmp_path: Path) -> None:
    x = rows()
    model = LogisticRegression().fit(x, x[:, 0] > 0.5)
    other = LogisticRegression(C=2.0).fit(x, x[:, 0] > 0.5)
    assert canonical_skops(model) != canonical_skops(other)
