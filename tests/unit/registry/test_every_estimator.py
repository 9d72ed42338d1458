"""Every estimator of scikit-learn either is saved and comes back the same, or is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from whence.errors import WhenceError
from whence.registry.formats import canonical_skops, load_skops

# What nothing here can check (see whence.registry.backends.reviewed), and what skops cannot hold.
REFUSED = {
    "Birch": "model-unsupported",
    "BisectingKMeans": "untrusted-model-type",
    "Isomap": "untrusted-model-type",
    "KNeighborsClassifier": "untrusted-model-type",
    "KNeighborsRegressor": "untrusted-model-type",
    "KNeighborsTransformer": "untrusted-model-type",
    "KernelDensity": "untrusted-model-type",
    "LocalOutlierFactor": "untrusted-model-type",
    "LocallyLinearEmbedding": "untrusted-model-type",
    "NearestNeighbors": "untrusted-model-type",
    "RadiusNeighborsClassifier": "untrusted-model-type",
    "RadiusNeighborsRegressor": "untrusted-model-type",
    "RadiusNeighborsTransformer": "untrusted-model-type",
    "SplineTransformer": "untrusted-model-type",
    "TunedThresholdClassifierCV": "untrusted-model-type",
}
# Their answers are drawn anew at each call.
RANDOM = {"DummyClassifier"}


def fitted() -> Iterator[tuple[str, Any]]:
    """One fitted estimator a class, of those that fit on plain numbers."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 4))
    y = (x[:, 0] > 0.5).astype(int)
    for name, kind in all_estimators():
        try:
            estimator = next(iter(_construct_instances(kind)))
            yield name, estimator.fit(x, y)
        except Exception:  # noqa: BLE001  # it wants other data
            continue


@pytest.mark.slow
def test_every_estimator() -> None:
    x = np.random.default_rng(1).random((30, 4))
    n_saved, wrong = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, estimator in fitted():
            try:
                data = canonical_skops(estimator)
            except WhenceError as error:
                if REFUSED.get(name) != error.code:
                    wrong.append((name, str(error)))
                continue
            n_saved += 1
            if name in REFUSED or not (name in RANDOM or same_answers(estimator, load_skops(data), x)):
                wrong.append((name, "answers"))
    assert wrong == []
    assert n_saved > 150


def same_answers(one: Any, two: Any, x: Any) -> bool:
    for ask in ("predict", "predict_proba", "decision_function", "transform"):
        try:
            first = getattr(one, ask)(x)
        except Exception:  # noqa: BLE001  # it does not answer this
            continue
        second = getattr(two, ask)(x)
        if hasattr(first, "toarray"):
            first, second = first.toarray(), second.toarray()
        if not np.array_equal(
            np.asarray(first), np.asarray(second), equal_nan=np.asarray(first).dtype.kind == "f"
        ):
            return False
    return True
