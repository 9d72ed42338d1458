"""Lists in pages: options, their defaults and limits, and the token of the next page.

A token is base64 of ``ListOperationNextPageToken``, as ML Metadata's own: the place (id and, for times, the time in
milliseconds), and the options of the first call, whose own token field carries the cursor of the graph. An answer is
cut before it reaches the 4 MB that a client's channel takes, also when no options were given.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Final, cast

from whence.integrations.mlmd.convert import node_to, to_ms
from whence.integrations.mlmd.errors import invalid
from whence.integrations.mlmd.filters import read_filter
from whence.integrations.mlmd.graph import Graph, Order, Wanted
from whence.integrations.mlmd.messages import DecodeError, metadata_store_pb2
from whence.integrations.mlmd.wire import Message
from whence.metadata import AnyNode, NodeKind

MAX_ANSWER_BYTES: Final = 3_500_000
"""Half a megabyte below the 4 MiB that gRPC's channels take when nobody says otherwise."""

_PAGE: Final = 500
_pb: Final = metadata_store_pb2
_ORDERS: Final[dict[int, Order]] = {
    _pb.ListOperationOptions.OrderByField.FIELD_UNSPECIFIED: "id",
    _pb.ListOperationOptions.OrderByField.CREATE_TIME: "created_at",
    _pb.ListOperationOptions.OrderByField.LAST_UPDATE_TIME: "updated_at",
    _pb.ListOperationOptions.OrderByField.ID: "id",
}


def fill_page(
    graph: Graph,
    kind: NodeKind,
    request: Message,
    into: Message,
    response: Message,
    *,
    wanted: Wanted | None = None,
    whole: bool = False,
) -> None:
    """Write the next nodes of a list into a response, and the token when there are more.

    Args:
        graph: The graph.
        kind: The kind of node.
        request: A request with the field ``options``.
        into: The response's repeated field.
        response: The response, for its ``next_page_token``.
        wanted: What the method itself asks for.
        whole: Without options give all nodes, however large: for methods whose clients do not follow tokens.

    Raises:
        StatusError: INVALID_ARGUMENT: the size is not positive, the token is none or belongs to other options, or the
            filter query is none.
    """
    options = request.options
    given = request.HasField("options")
    cursor, first = _read_token(options.next_page_token) if options.next_page_token else (None, None)
    if first is not None and _without_place(first) != _without_place(options):
        raise invalid("ListOperationOptions mismatch between calls.")
    limit = _limit(options, given=given, first=first)
    matching = read_filter(options.filter_query, kind)
    conditions = dataclasses.replace(wanted or Wanted(), matching=matching)
    order = _ORDERS[options.order_by_field.field]
    descending = not options.order_by_field.is_asc
    total = 0
    step = _PAGE
    while limit is None or len(into) < limit:
        size = step if limit is None else min(step, limit - len(into))
        nodes, after = graph.page(
            kind, conditions, limit=size, order=order, descending=descending, cursor=cursor
        )
        messages = [node_to(n, id_=graph.wire_id(n), type_id=graph.type_id(n, kind)) for n in nodes]
        added = sum(m.ByteSize() for m in messages)
        if not (whole and not given) and total + added > MAX_ANSWER_BYTES:
            if len(nodes) > 1:
                step = len(nodes) // 2
                continue
            if len(into):
                break
        into.extend(messages)
        total += added
        if nodes:
            last = nodes[-1]
        cursor = after
        if cursor is None:
            break
    if cursor is not None and len(into):
        response.next_page_token = _token(options, cursor, last, order, graph, limited=limit is not None)


def _limit(options: Message, *, given: bool, first: Message | None) -> int | None:
    """How many nodes a page has; None is no limit but the answer's bytes."""
    unlimited = first is not None and not first.HasField("max_result_size")
    if not given or (unlimited and not options.HasField("max_result_size")):
        return None
    size = cast("int", options.max_result_size)
    if size <= 0:
        raise invalid(
            "max_result_size field value is required to be greater than 0 and less than or equal to 100. "
            f"Set value:{size}"
        )
    return size


def _without_place(options: Message) -> Message:
    """The options that must be the same on every page: the last one may ask for fewer."""
    out = _pb.ListOperationOptions()
    out.CopyFrom(options)
    out.ClearField("next_page_token")
    out.ClearField("max_result_size")
    return out


def _token(options: Message, cursor: str, last: AnyNode, order: Order, graph: Graph, *, limited: bool) -> str:
    token = _pb.ListOperationNextPageToken(id_offset=graph.wire_id(last))
    moment = last.created_at if order == "created_at" else last.updated_at
    assert moment is not None
    token.field_offset = graph.wire_id(last) if order == "id" else to_ms(moment)
    token.set_options.CopyFrom(options)
    if limited:
        token.set_options.max_result_size = options.max_result_size  # said even when it is the default
    token.set_options.next_page_token = cursor
    return base64.b64encode(token.SerializeToString()).decode()


def _read_token(text: str) -> tuple[str, Message]:
    try:
        token = _pb.ListOperationNextPageToken.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, DecodeError, ValueError) as error:
        raise invalid("Failed to parse the given next_page_token.") from error
    if not token.set_options.next_page_token:
        raise invalid("The given next_page_token is none of this server's.")
    return token.set_options.next_page_token, token.set_options
