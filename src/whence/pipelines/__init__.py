"""Steps and pipelines: run, cached, resumed, explained and made again."""

from whence.pipelines.ambient import current
from whence.pipelines.pipeline import Graph, Pipeline, pipeline
from whence.pipelines.promise import Promise
from whence.pipelines.room import Pipelines
from whence.pipelines.step import Step, latest, step
from whence.pipelines.types import (
    Decision,
    Difference,
    Every,
    Metrics,
    Model,
    ModelOutput,
    OnAlert,
    OutputComparison,
    PipelineRun,
    Reason,
    Report,
    StepRun,
    Table,
    Verdict,
    every,
    model,
    on_alert,
)

__all__ = [
    "Decision",
    "Difference",
    "Every",
    "Graph",
    "Metrics",
    "Model",
    "ModelOutput",
    "OnAlert",
    "OutputComparison",
    "Pipeline",
    "PipelineRun",
    "Pipelines",
    "Promise",
    "Reason",
    "Report",
    "Step",
    "StepRun",
    "Table",
    "Verdict",
    "current",
    "every",
    "latest",
    "model",
    "on_alert",
    "pipeline",
    "step",
]
