"""Whence a thing came, down to the rows, and where it went."""

from whence.trace.diff import Diff, Difference, DifferingPair
from whence.trace.explain import Explained, Explainer
from whence.trace.node import Agreement, FeatureValue, TraceNode
from whence.trace.tracer import Tracer
from whence.trace.types import Impact, ImpactItem, Trace

__all__ = [
    "Agreement",
    "Diff",
    "Difference",
    "DifferingPair",
    "Explained",
    "Explainer",
    "FeatureValue",
    "Impact",
    "ImpactItem",
    "Trace",
    "TraceNode",
    "Tracer",
]
