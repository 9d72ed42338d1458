"""The graph in the tongues of others: PROV-JSON and GraphML, out and in; DOT, out."""

from whence.metadata.exchange.dot import write_dot
from whence.metadata.exchange.graphml import write_graphml
from whence.metadata.exchange.graphml_in import read_graphml
from whence.metadata.exchange.piece import Piece
from whence.metadata.exchange.prov import write_prov
from whence.metadata.exchange.prov_in import read_prov
from whence.metadata.exchange.sink import Exported, Received

__all__ = [
    "Exported",
    "Piece",
    "Received",
    "read_graphml",
    "read_prov",
    "write_dot",
    "write_graphml",
    "write_prov",
]
