"""The room's names, loaded when they are first used: what they need is slow to import.

Statistics need numpy and Arrow, schemas many small classes; keeping them needs the graph and its database, checks
of rows need an engine. Who uses one of these in a short-lived process should not wait for the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Final

_ROOM: Final = "whence.validation"
_HOMES: Final = {
    "whence._base.refs": "row_key",
    "whence.validation.anomalies": "validate_statistics",
    "whence.validation.blame": "AnomalyBlame",
    "whence.validation.compare": "Distance compare_statistics",
    "whence.validation.csv": "CsvFormat",
    "whence.validation.defaults": "Filled apply_defaults",
    "whence.validation.describe": "describe",
    "whence.validation.extra": "Correlation EmptyValues Lift Meanings MutualInformation SparseFeatures"
    " TokenStatistics WeightedFeatures quantile_edges",
    "whence.validation.extras": "Extra register_extra",
    "whence.validation.features": "FeatureStatistics",
    "whence.validation.incident": "Incident",
    "whence.validation.incidents": "Incidents",
    "whence.validation.infer": "Outlier infer_schema learn_ranges list_outliers robust_range",
    "whence.validation.kept_schemas": "SchemaHandle",
    "whence.validation.learn": "Thresholds learn_thresholds",
    "whence.validation.learned": "Learned",
    "whence.validation.options": "Slice StatisticsOptions",
    "whence.validation.paths": "path_steps path_text",
    "whence.validation.plan": "Plan",
    "whence.validation.report": "Report",
    "whence.validation.rows": "RowCheck",
    "whence.validation.rowtests": "Reason",
    "whence.validation.schema": "Schema SchemaChange",
    "whence.validation.skew": "FeatureSkew SkewExample SkewReport",
    "whence.validation.sources": "describe_file",
    "whence.validation.statistics": "Sample Statistics",
    "whence.validation.store": "Validation",
    "whence.validation.types": "Anomaly BoolDomain Check Comparator DatasetConstraints Expectation Feature"
    " FloatDomain FractionBounds Freshness ImageDomain IntDomain NaturalLanguageDomain Presence Rule Shape"
    " SparseFeature StringDomain StructDomain TimeDomain TimeOfDayDomain Unique UrlDomain ValueCount"
    " WeightedFeature",
    "whence.validation.update": "update_schema",
    "whence.validation.view": "FeatureView Level WeightedView",
    "whence.validation.yaml": "schema_from_yaml schema_to_yaml",
}
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names.split()}


class _Face(ModuleType):
    """The room as a module in which a name of the face is never hidden by a file of the same name.

    Whoever imports the file ``describe.py`` has Python set it as the package's ``describe``, which is the
    function; the function is set instead.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {_ROOM!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    setattr(sys.modules[_ROOM], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*vars(sys.modules[_ROOM]), *_HOME})


sys.modules[_ROOM].__class__ = _Face
