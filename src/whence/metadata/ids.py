"""Ids of nodes: the number a client of ML Metadata sees, and the kind of the node in the two lowest bits.

``id = 4 * n + code``, code 1 for artifacts, 2 for executions, 3 for contexts. *n* is counted over all kinds, so ids of
one store grow in the order in which nodes were made; an imported database keeps its ids, though its kinds count apart.
"""

from __future__ import annotations

from typing import Final

from whence.metadata.types import NodeKind

CODES: Final[dict[NodeKind, int]] = {"artifact": 1, "execution": 2, "context": 3}
MAX_N: Final = 2**60
"""The greatest number of a node: the ids of as many more have 64 bits."""
KIND_OF_CODE: Final[dict[int, NodeKind]] = {code: kind for kind, code in CODES.items()}


def node_id(n: int, kind: NodeKind) -> int:
    """The id of the n-th node.

    Example:
        >>> node_id(7, "execution")
        30
    """
    return 4 * n + CODES[kind]


def kind_of_id(id_: int) -> NodeKind:
    """The kind of the node that has this id; KeyError for what is no id.

    Example:
        >>> kind_of_id(30)
        'execution'
    """
    return KIND_OF_CODE[id_ & 3]


def wire_id(id_: int) -> int:
    """The number of a node: its id on the wire of ML Metadata.

    Example:
        >>> wire_id(30)
        7
    """
    return id_ >> 2
