"""Compute: SQL over Arrow data and files, by an engine chosen by URL."""

from whence.compute.base import Engine, Files, Relation
from whence.compute.locate import open_engine

__all__ = ["Engine", "Files", "Relation", "open_engine"]
