"""Registered models: versions by number, digest and alias, stored as canonical files that run no code."""

from whence.registry.formats import canonical_skops, list_formats, load_skops
from whence.registry.models import Models
from whence.registry.promote import Promotion, Rule, promote
from whence.registry.signature import infer_signature, list_differences, require_signature
from whence.registry.types import AliasMove, Column, ModelVersion, Signature

__all__ = [
    "AliasMove",
    "Column",
    "ModelVersion",
    "Models",
    "Promotion",
    "Rule",
    "Signature",
    "canonical_skops",
    "infer_signature",
    "list_differences",
    "list_formats",
    "load_skops",
    "promote",
    "require_signature",
]
