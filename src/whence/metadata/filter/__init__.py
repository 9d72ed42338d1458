"""The language in which nodes of the graph are asked for: read, bound to a kind of node, answered."""

from whence.metadata.filter.bind import bind_filter, read_filter
from whence.metadata.filter.bound import Scope
from whence.metadata.filter.evaluate import Evaluator, Graph, evaluate
from whence.metadata.filter.syntax import parse_filter
from whence.metadata.filter.text import format_filter, quoted
from whence.metadata.filter.types import Filter, Span

__all__ = [
    "Evaluator",
    "Filter",
    "Graph",
    "Scope",
    "Span",
    "bind_filter",
    "evaluate",
    "format_filter",
    "parse_filter",
    "quoted",
    "read_filter",
]
