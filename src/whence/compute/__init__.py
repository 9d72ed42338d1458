"""Compute: SQL over Arrow data and files, by an engine chosen by URL."""

from whence.compute.base import Engine, Files, Relation, Streamed
from whence.compute.locate import open_engine
from whence.compute.sql import quoted, text_literal

__all__ = ["Engine", "Files", "Relation", "Streamed", "open_engine", "quoted", "text_literal"]
