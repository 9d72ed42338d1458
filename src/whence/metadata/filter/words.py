"""The words of a text and of a node, the same on every backend."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from whence.metadata.types import AnyNode, Artifact, Properties

_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text: letters, digits and ``_`` in a row, folded (NFKC, without case).

    Example:
        >>> words_of("Flights-2013, STRASSE ﬁne")
        ['flights', '2013', 'strasse', 'fine']
    """
    # Folding may make what NFKC would compose, so it is normal form on both sides of it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(folded)


def words_of_node(node: AnyNode) -> frozenset[str]:
    """The words of a node's name, external id, uri and text properties, typed and custom.

    Example:
        >>> sorted(words_of_node(Artifact(type="Model", name="late@7", custom={"note": "Too late", "n": 3})))
        ['7', 'late', 'too']
    """
    return frozenset(word for text in _texts(node) for word in words_of(text))


def _texts(node: AnyNode) -> Iterator[str]:
    uri = node.uri if isinstance(node, Artifact) else None
    yield from (text for text in (node.name, node.external_id, uri) if text is not None)
    for properties in (node.properties, node.custom):
        yield from _values(properties)


def _values(properties: Properties) -> Iterator[str]:
    return (value for value in properties.values() if isinstance(value, str))
