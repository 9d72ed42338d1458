"""Steps and pipelines: run, cached, resumed, explained and made again."""

from whence.pipelines.ambient import current
from whence.pipelines.bisection import Bisection, Ingredient
from whence.pipelines.pipeline import Graph, Pipeline, pipeline
from whence.pipelines.promise import Promise
from whence.pipelines.room import Pipelines
from whence.pipelines.scheduler import Due
from whence.pipelines.step import Step, latest, step
from whence.pipelines.triggers import (
    AlertLike,
    AlertSource,
    Every,
    OnAlert,
    OnTaint,
    Trigger,
    every,
    on_alert,
    on_taint,
)
from whence.pipelines.types import (
    Decision,
    Difference,
    Metrics,
    Model,
    ModelOutput,
    OutputComparison,
    PipelineRun,
    Reason,
    Report,
    StepRun,
    Table,
    Verdict,
    model,
)
from whence.pipelines.verify import Check, Verification, verify_promotion

__all__ = [
    "AlertLike",
    "AlertSource",
    "Bisection",
    "Check",
    "Decision",
    "Difference",
    "Due",
    "Every",
    "Graph",
    "Ingredient",
    "Metrics",
    "Model",
    "ModelOutput",
    "OnAlert",
    "OnTaint",
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
    "Trigger",
    "Verdict",
    "Verification",
    "current",
    "every",
    "latest",
    "model",
    "on_alert",
    "on_taint",
    "pipeline",
    "step",
    "verify_promotion",
]
