"""What whence trusts in a model file without being told, and what it checks because of that.

Trust is by type. skops trusts scikit-learn's estimators, their losses and links, numpy's arrays,
scalars, random generators and ufuncs. `REVIEWED` adds types that scikit-learn's own estimators need,
each read for what its construction does: none runs code of the file, opens anything or imports more.

A type says nothing of its contents. Trees hold indices that scikit-learn follows without looking
(a crafted file reads foreign memory, writes it, or never ends), so `check_contents` looks, before
anybody predicts. Not trusted for this reason, because nothing here can check them: ``KDTree``,
``BallTree`` and the distances of the neighbours estimators, and ``BSpline``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from sklearn.utils.validation import check_array

from whence.registry.backends.archive import malformed
from whence.registry.backends.canonical import MACHINE_THREADS

REVIEWED: Final = frozenset(
    {
        # Arrays of nodes; their contents are checked below.
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        # Sparse matrices; their indices are checked below.
        "scipy.sparse._csr.csr_matrix",
        "scipy.sparse._csr.csr_array",
        "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._csc.csc_array",
        # Plain records of numbers, strings and estimators.
        "numpy.dtype",
        "sklearn.utils._bunch.Bunch",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.TimeSeriesSplit",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
        # Kernels are sums and products of closed formulas.
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        # A function of this list with some arguments given; whatever it wraps must be trusted too.
        "functools.partial",
        # Pure functions of arrays.
        "numpy.mean",
        "sklearn.utils.validation.check_array",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
    }
)

_LEAF: Final = -1
_BITSET_WORDS: Final = 8  # of 32 bits each: one for each of the 256 bins


def check_contents(model: object) -> None:
    """Refuse a model whose arrays would lead scikit-learn out of bounds, and fit it to this machine.

    Raises:
        IntegrityError: A tree or matrix points outside itself or the features (``model-malformed``).
    """
    n_threads = _openmp_effective_n_threads()
    for part in _parts(model):
        try:
            _check(part)
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise malformed(f"a {type(part).__name__} cannot be checked ({error})") from error
        for owner, attribute in MACHINE_THREADS:
            if _type_name(part) == owner and attribute in vars(part):
                setattr(part, attribute, n_threads)


def _check(part: Any) -> None:
    if isinstance(part, Tree):
        _check_tree(part)
    elif isinstance(part, BaseHistGradientBoosting):
        _check_histogram_boosting(part)
    elif isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
        _require(
            part.tree_.n_features == part.n_features_in_, "a tree is of other features than its estimator"
        )
    elif isinstance(part, BaseForest) and hasattr(part, "estimators_"):
        _check_members(part, part.estimators_)
    elif isinstance(part, BaseGradientBoosting) and hasattr(part, "estimators_"):
        _check_boosting(part)
    elif isinstance(part, IsolationForest) and hasattr(part, "estimators_"):
        _check_isolation(part)
    elif sparse.issparse(part) and part.format in ("csr", "csc"):
        part.check_format(full_check=True)


def _check_tree(tree: Any) -> None:
    n = tree.node_count
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    _require(n >= 1 and len(left) == n, "a tree has no nodes")
    _require(tree.n_outputs >= 1 and tree.max_n_classes >= 1, "a tree has no outputs")
    inner = left != _LEAF
    _require_descending(np.arange(n)[inner], left[inner], right[inner], n)
    _require(
        bool(((feature[inner] >= 0) & (feature[inner] < tree.n_features)).all()),
        "a tree asks for a feature it has not",
    )


def _require_descending(at: Any, left: Any, right: Any, n: int) -> None:
    # scikit-learn numbers parents before children, so a walk that only goes up in number ends.
    for child in (left.astype(np.int64), right.astype(np.int64)):
        _require(bool(((child > at) & (child < n)).all()), "a tree's node points outside the tree or back")


def _check_members(owner: Any, members: Any) -> None:
    for member in members:
        _require(isinstance(member, BaseDecisionTree), "a forest holds something that is no tree")
        _require(
            member.tree_.n_features == owner.n_features_in_, "a tree is of other features than its forest"
        )
        _require(member.tree_.n_outputs == owner.n_outputs_, "a tree is of other outputs than its forest")


def _check_boosting(model: Any) -> None:
    trees = model.estimators_
    _require(isinstance(trees, np.ndarray) and trees.ndim == 2, "the trees of a boosting model are no table")
    _require(trees.shape[1] == model.n_trees_per_iteration_, "a boosting model has other outputs than trees")
    for tree in trees.ravel():
        _require(isinstance(tree, BaseDecisionTree), "a boosting model holds something that is no tree")
        _require(tree.tree_.n_features == model.n_features_in_, "a tree is of other features than its model")
        _require(
            tree.tree_.n_outputs == 1 == tree.tree_.max_n_classes, "a boosted tree has more than one value"
        )


def _check_isolation(model: Any) -> None:
    n = model.n_features_in_
    _require(len(model.estimators_) == len(model.estimators_features_), "an isolation forest misses features")
    for tree, columns in zip(model.estimators_, model.estimators_features_, strict=True):
        n_seen = n if model._max_features == n else len(columns)  # noqa: SLF001  # what its predict looks at
        _require(isinstance(tree, BaseDecisionTree), "an isolation forest holds something that is no tree")
        _require(tree.tree_.n_features == n_seen, "a tree is of other features than its forest")


def _check_histogram_boosting(model: Any) -> None:
    if "_predictors" not in vars(model):
        return
    n = model.n_features_in_
    mapper = model._bin_mapper  # noqa: SLF001  # what its predict looks at
    _require(isinstance(mapper, _BinMapper), "its bins are not bins")
    categorical = np.asarray(mapper.is_categorical_, dtype=bool)
    _require(categorical.shape == (n,), "its bins are of other features than the model")
    _check_preprocessor(model._preprocessor, n)  # noqa: SLF001  # the same
    for iteration in model._predictors:  # noqa: SLF001  # the same
        for predictor in iteration:
            _require(type(predictor) is TreePredictor, "it holds something that is no tree")
            _check_predictor(predictor, categorical)


def _check_predictor(predictor: Any, categorical: Any) -> None:
    nodes = predictor.nodes
    n = len(nodes)
    _require(nodes.ndim == 1 and n >= 1, "a tree has no nodes")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _require_descending(inner, nodes["left"][inner], nodes["right"][inner], n)
    feature = nodes["feature_idx"][inner]
    _require(
        bool(((feature >= 0) & (feature < len(categorical))).all()), "a tree asks for a feature it has not"
    )
    by_category = inner[nodes["is_categorical"][inner] != 0]
    _require(bool(categorical[nodes["feature_idx"][by_category]].all()), "a tree splits numbers by category")
    for bitsets in (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets):
        _require(bitsets.dtype == np.uint32 and bitsets.ndim == 2, "a tree's categories are no bits")
        _require(bitsets.shape[1] == _BITSET_WORDS, "a tree's categories are no bits")
        _require(bool((nodes["bitset_idx"][by_category] < len(bitsets)).all()), "a tree misses categories")


def _check_preprocessor(preprocessor: Any, n_features: int) -> None:
    """The encoder before a model with categories must give as many columns as it takes."""
    if preprocessor is None:
        return
    _require(type(preprocessor) is ColumnTransformer, "its preprocessor is none of scikit-learn's")
    _require(preprocessor.n_features_in_ == n_features, "its preprocessor is of other features")
    columns: list[int] = []
    for _, step, selected in preprocessor.transformers_:
        index = np.asarray(selected)
        index = np.flatnonzero(index) if index.dtype == bool else index
        if len(index):
            _require(type(step) is OrdinalEncoder or _passes(step), "its preprocessor does more than encode")
        columns += index.tolist()
    _require(sorted(columns) == list(range(n_features)), "its preprocessor drops or doubles columns")


def _passes(step: Any) -> bool:
    """Whether a step hands its columns on as they are, apart from checking them."""
    if type(step) is not FunctionTransformer:
        return False
    func = step.func
    return func is None or (isinstance(func, partial) and func.func is check_array and not func.args)


def _require(holds: bool, why: str) -> None:  # it is the condition
    if not holds:
        raise malformed(why)


def _parts(model: object) -> Iterator[Any]:
    """Every object a model is made of, once."""
    seen: dict[int, object] = {}
    stack: list[object] = [model]
    while stack:
        part = stack.pop()
        if isinstance(part, str | bytes | int | float | bool | type(None)) or id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            stack.extend(part)
        elif isinstance(part, np.ndarray):
            stack.extend(part.ravel().tolist() if part.dtype == object else ())
        else:
            yield part
        if isinstance(part, BaseEstimator) or hasattr(part, "__dict__"):
            stack.extend(vars(part).values())


def _type_name(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
