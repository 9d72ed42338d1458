"""Registered models: versions by number, digest and alias, stored as canonical files that run no code."""

from whence.registry.formats import canonical_skops, list_formats, load_skops
from whence.registry.models import Models
from whence.registry.paired import Judgement, PairedRule
from whence.registry.promote import AnyRule, Promotion, Rule, promote, promote_paired
from whence.registry.signature import infer_signature, list_differences, require_signature
from whence.registry.training import hold_reason, hold_training, missing_holds, training_tables
from whence.registry.types import AliasMove, Column, ModelVersion, Signature

__all__ = [
    "AliasMove",
    "AnyRule",
    "Column",
    "Judgement",
    "ModelVersion",
    "Models",
    "PairedRule",
    "Promotion",
    "Rule",
    "Signature",
    "canonical_skops",
    "hold_reason",
    "hold_training",
    "infer_signature",
    "list_differences",
    "list_formats",
    "load_skops",
    "missing_holds",
    "promote",
    "promote_paired",
    "require_signature",
    "training_tables",
]
