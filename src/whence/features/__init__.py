"""Features: declared once, compiled to SQL, exact at every moment."""

from whence.features.answer import OnlineAnswer, Status
from whence.features.base import OnlineStore
from whence.features.explain import Explanation, recompute
from whence.features.fold import Fold
from whence.features.leaks import LeakColumn, LeakReport
from whence.features.materialize import Loaded, Materialized
from whence.features.online import list_online_schemes, open_online
from whence.features.pointintime import Reconciliation, join_features, provenance_of
from whence.features.reader import OnlineReader
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
    "Fold",
    "Given",
    "LeakColumn",
    "LeakReport",
    "Loaded",
    "Materialized",
    "OnlineAnswer",
    "OnlineReader",
    "OnlineStore",
    "Reconciliation",
    "RowFeatures",
    "Source",
    "Status",
    "calendar",
    "category",
    "count",
    "definition_digest",
    "feature_columns",
    "first",
    "given",
    "join_features",
    "last",
    "list_online_schemes",
    "max",
    "mean",
    "min",
    "open_online",
    "provenance_of",
    "recompute",
    "std",
    "sum",
    "view_from_dict",
]
