"""whence: for any prediction, whence did this come, down to the rows.

Layout, bottom to top; a room knows where its data comes from, never where it goes::

    errors · _base                       the ground
    stats | drawing                      pure workshops
    database | compute | blobs           workshops with machines
    metadata                             the provenance graph
    lake → validation → features → tracking → registry → serving → pipelines → trace
    config · workspace                   where the whole is put together
    testing · journeys · cli             the doors

The names below are loaded when they are first used: ``import whence`` itself is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from whence._version import __version__

if TYPE_CHECKING:
    from whence._base.clock import ReplayClock, WallClock
    from whence.errors import (
        BackendError,
        ConflictError,
        DataRejectedError,
        DeniedError,
        IntegrityError,
        NotFoundError,
        UnsupportedError,
        UsageError,
        WhenceError,
    )
    from whence.features import (
        Entity,
        FeatureView,
        calendar,
        category,
        count,
        first,
        given,
        last,
        max,  # noqa: A004 - the word of the field; used as w.max
        mean,
        min,  # noqa: A004
        std,
        sum,  # noqa: A004
    )
    from whence.pipelines import (
        Metrics,
        Model,
        Report,
        Table,
        current,
        every,
        latest,
        model,
        on_alert,
        on_taint,
        pipeline,
        step,
    )
    from whence.tracking import log_metric, log_metrics, log_param, log_params
    from whence.workspace import Workspace, connect

_HOMES = {
    "whence._base.clock": "ReplayClock WallClock",
    "whence.errors": "BackendError ConflictError DataRejectedError DeniedError IntegrityError NotFoundError"
    " UnsupportedError UsageError WhenceError",
    "whence.features": "Entity FeatureView calendar category count first given last max mean min std sum",
    "whence.pipelines": "Metrics Model Report Table current every latest model on_alert on_taint pipeline step",
    "whence.tracking": "log_metric log_metrics log_param log_params",
    "whence.workspace": "Workspace connect",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "BackendError",
    "ConflictError",
    "DataRejectedError",
    "DeniedError",
    "Entity",
    "FeatureView",
    "IntegrityError",
    "Metrics",
    "Model",
    "NotFoundError",
    "ReplayClock",
    "Report",
    "Table",
    "UnsupportedError",
    "UsageError",
    "WallClock",
    "WhenceError",
    "Workspace",
    "__version__",
    "calendar",
    "category",
    "connect",
    "count",
    "current",
    "every",
    "first",
    "given",
    "last",
    "latest",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "max",
    "mean",
    "min",
    "model",
    "on_alert",
    "on_taint",
    "pipeline",
    "std",
    "step",
    "sum",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
