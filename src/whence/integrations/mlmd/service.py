"""ML Metadata's service on a graph: one function a method, from a request to a response."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from whence.errors import WhenceError
from whence.integrations.mlmd.edges_rpc import EDGE_METHODS
from whence.integrations.mlmd.errors import from_whence, invalid, unimplemented
from whence.integrations.mlmd.graph import Graph
from whence.integrations.mlmd.lineage_rpc import LINEAGE_METHODS
from whence.integrations.mlmd.messages import METHODS, find_bad_text, response_class
from whence.integrations.mlmd.nodes_rpc import NODE_METHODS
from whence.integrations.mlmd.transactions_rpc import TRANSACTION_METHODS
from whence.integrations.mlmd.types_rpc import TYPE_METHODS, Method
from whence.integrations.mlmd.wire import Message
from whence.metadata import MetadataStore

log = logging.getLogger(__name__)

_ALL: Final[dict[str, Method]] = {
    **TYPE_METHODS,
    **NODE_METHODS,
    **EDGE_METHODS,
    **TRANSACTION_METHODS,
    **LINEAGE_METHODS,
}


class MlmdService:
    """What a client of ML Metadata may call, on any store of the graph.

    Args:
        store: The graph.
        refuse_writes: Raises when a method that writes is called, for a store that must not change.

    Example:
        >>> from whence.integrations.mlmd.messages import request_class
        >>> from whence.metadata import open_store
        >>> service = MlmdService(open_store("memory://"))
        >>> request = request_class("PutArtifactType")(artifact_type={"name": "Data"})
        >>> service.call("PutArtifactType", request).type_id
        10
    """

    def __init__(self, store: MetadataStore, *, refuse_writes: Callable[[], None] | None = None) -> None:
        self._graph = Graph(store)
        self._refuse_writes = refuse_writes

    def call(self, method: str, request: Message) -> Message:
        """The response of a method.

        Raises:
            StatusError: As ML Metadata answers; an error of whence carries its own code in the message.
        """
        run = _ALL.get(method)
        if run is None:
            raise unimplemented(f"{method} is no method of this service.")
        wrong = find_bad_text(request)
        if wrong is not None:
            raise invalid(f"The text of {wrong} is not UTF-8.")
        try:
            if not method.startswith("Put"):
                return self._run(run, method, request)
            if self._refuse_writes is not None:
                self._refuse_writes()
            with self._graph.turn:
                return self._run(run, method, request)
        except WhenceError as error:
            log.debug("mlmd call refused", extra={"method": method, "code": error.code})
            raise from_whence(error) from error

    def _run(self, run: Method, method: str, request: Message) -> Message:
        response = response_class(method)()
        run(self._graph, request, response)
        return response


def methods() -> list[str]:
    """The methods of the published service, all of which are answered."""
    return [name for name in METHODS if name in _ALL]
