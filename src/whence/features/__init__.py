"""Features: declared once, compiled to SQL, exact at every moment."""

from whence.features.base import OnlineStore
from whence.features.explain import Explanation, recompute
from whence.features.leaks import LeakColumn, LeakReport
from whence.features.pointintime import Reconciliation, join_features, provenance_of
from whence.features.source import Source
from whence.features.spec import (
    calendar,
    category,
    count,
    first,
    given,
    last,
    max,  # noqa: A004 - the word of the field, used as w.max
    mean,
    min,  # noqa: A004
    std,
    sum,  # noqa: A004
)
from whence.features.store import Features
from whence.features.types import (
    Aggregation,
    AnyView,
    Calendar,
    Category,
    Entity,
    FeatureView,
    Given,
    RowFeatures,
    definition_digest,
    feature_columns,
    view_from_dict,
)

__all__ = [
    "Aggregation",
    "AnyView",
    "Calendar",
    "Category",
    "Entity",
    "Explanation",
    "FeatureView",
    "Features",
    "Given",
    "LeakColumn",
    "LeakReport",
    "OnlineStore",
    "Reconciliation",
    "RowFeatures",
    "Source",
    "calendar",
    "category",
    "count",
    "definition_digest",
    "feature_columns",
    "first",
    "given",
    "join_features",
    "last",
    "max",
    "mean",
    "min",
    "provenance_of",
    "recompute",
    "std",
    "sum",
    "view_from_dict",
]
