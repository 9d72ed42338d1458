"""Runs: executions with params, metrics, tags and files, searched and put side by side."""

from whence.tracking.ambient import (
    current_run,
    log_artifact,
    log_metric,
    log_metrics,
    log_param,
    log_params,
    set_tag,
)
from whence.tracking.base import MetricStore
from whence.tracking.compare import Comparison, Row
from whence.tracking.datasets import Dataset, list_readers
from whence.tracking.open import open_metrics
from whence.tracking.run import Run, RunArtifact
from whence.tracking.runs import Runs
from whence.tracking.types import Metric, ParamValue

__all__ = [
    "Comparison",
    "Dataset",
    "Metric",
    "MetricStore",
    "ParamValue",
    "Row",
    "Run",
    "RunArtifact",
    "Runs",
    "current_run",
    "list_readers",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "open_metrics",
    "set_tag",
]
