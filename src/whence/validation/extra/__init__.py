"""Optional statistics: correlation, lift, mutual information, sparse and weighted features, meanings."""

from whence.validation.extra.correlation import Correlation
from whence.validation.extra.edges import quantile_edges
from whence.validation.extra.empty import EmptyValues
from whence.validation.extra.filled import FilledValues
from whence.validation.extra.information import MutualInformation
from whence.validation.extra.lengths import SparseFeatures, WeightedFeatures
from whence.validation.extra.lift import Lift
from whence.validation.extra.meanings import Meanings
from whence.validation.extra.tokens import TokenStatistics

__all__ = [
    "Correlation",
    "EmptyValues",
    "FilledValues",
    "Lift",
    "Meanings",
    "MutualInformation",
    "SparseFeatures",
    "TokenStatistics",
    "WeightedFeatures",
    "quantile_edges",
]
