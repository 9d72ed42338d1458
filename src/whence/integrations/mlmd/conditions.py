"""The filter queries that can be answered by the port's own questions; everything else is refused by name.

::

    id = 3 AND type = 'Data'          id IN (1, 2)          uri = '/x' AND name = "n"

Conditions are joined by AND; columns are ``id type name uri external_id state last_known_state``. The whole language
comes with the graph's own filters.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

from whence.integrations.mlmd.errors import unimplemented
from whence.integrations.mlmd.graph import Wanted
from whence.metadata import NodeKind

_TEXT: Final = r"'[^'\\]*'|\"[^\"\\]*\""
_ONE: Final = re.compile(
    rf"""\s*(?:
        id\s*=\s*(?P<id>\d+) | id\s+IN\s*\(\s*(?P<ids>\d+(?:\s*,\s*\d+)*)\s*\)
        | (?P<column>type|name|uri|external_id)\s*=\s*(?P<text>{_TEXT})
        | (?:state|last_known_state)\s*=\s*(?P<state>[A-Z_]+)
    )\s*(?P<more>AND\b|$)""",
    re.VERBOSE | re.IGNORECASE,
)


def read_filter(text: str, kind: NodeKind, wanted: Wanted) -> Wanted:
    """What is wanted, with the conditions of a filter query.

    Raises:
        StatusError: UNIMPLEMENTED for a query in more than these words.

    Example:
        >>> read_filter("id IN (2, 1)", "artifact", Wanted()).ids == frozenset({1, 2})
        True
    """
    if not text.strip():
        return wanted
    place = 0
    while place < len(text):
        found = _ONE.match(text, place)
        if found is None or (found["more"] and found.end() == len(text)):
            raise _refused(text)
        wanted = _add(wanted, found, text)
        place = found.end()
    if wanted.state is not None and kind == "context":
        raise _refused(text)
    return wanted


def _add(wanted: Wanted, found: re.Match[str], text: str) -> Wanted:
    if found["id"] or found["ids"]:
        ids = frozenset(int(n) for n in (found["id"] or found["ids"]).split(","))
        return dataclasses.replace(wanted, ids=ids if wanted.ids is None else wanted.ids & ids)
    column = "state" if found["state"] else found["column"].lower()
    field = "type_" if column == "type" else column
    if getattr(wanted, field) is not None:
        raise _refused(text)
    value = found["state"] or found["text"][1:-1]
    if column == "type":
        # A type's name in a query means any version; only whole lists by type name one.
        return dataclasses.replace(wanted, type_=value, any_version=True)
    changes: dict[str, Any] = {field: value}  # one of the text fields
    return dataclasses.replace(wanted, **changes)


def _refused(text: str) -> Exception:
    return unimplemented(
        f"Invalid `filter_query`: only columns joined by AND are answered yet, got {text[:200]!r}"
    )
