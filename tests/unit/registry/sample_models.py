"""Small fitted models, made the same way every time."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

N_FEATURES = 4


def rows(n: int = 80, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).random((n, N_FEATURES)).round(2)


def labels(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (x[:, 0] + x[:, 1] > 1).astype(np.int64)


def with_categories(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    out = x.copy()
    out[:, 2] = (out[:, 2] * 5).astype(int)
    return out


def make(kind: str) -> Any:
    """A fitted model; each call gives one of its own."""
    return copy.deepcopy(_fitted(kind))


@functools.cache
def _fitted(kind: str) -> Any:
    return fit(kind)


def fit(kind: str) -> Any:
    """A model fitted anew."""
    x = rows()
    y = labels(x)
    makers: dict[str, Any] = {
        "logistic": lambda: LogisticRegression().fit(x, y),
        "histogram": lambda: HistGradientBoostingClassifier(
            max_iter=5, random_state=7, early_stopping=False
        ).fit(x, y),
        "histogram-categories": lambda: HistGradientBoostingRegressor(
            max_iter=5, random_state=7, categorical_features=[2], min_samples_leaf=5
        ).fit(with_categories(x), with_categories(x)[:, 2] % 2 + y / 10),
        "tree": lambda: DecisionTreeClassifier(random_state=7).fit(x, y),
        "forest": lambda: RandomForestClassifier(5, random_state=7).fit(x, y),
        "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=7).fit(x, y),
        "isolation": lambda: IsolationForest(n_estimators=5, random_state=7).fit(x),
        "network": lambda: MLPClassifier((4,), max_iter=1500, random_state=7, tol=1e-2).fit(x, y),
        "isotonic": lambda: IsotonicRegression().fit(x[:, 0], y),
        "pipeline": lambda: make_pipeline(
            ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("one", OneHotEncoder(), [2])]),
            RandomForestClassifier(3, random_state=7),
        ).fit(with_categories(x), y),
    }
    return makers[kind]()


KINDS = (
    "logistic",
    "histogram",
    "histogram-categories",
    "tree",
    "forest",
    "boosting",
    "isolation",
    "network",
    "isotonic",
    "pipeline",
)
