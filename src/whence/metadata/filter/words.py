"""The words of a text and of a node, the same on every backend."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from whence.metadata.types import AnyNode, Artifact, Value

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
    """The words of a node's name, external id, uri and text properties, typed and custom; a tombstone has none.

    Example:
        >>> sorted(words_of_node(Artifact(type="Model", name="late@7", custom={"note": "Too late", "n": 3})))
        ['7', 'late', 'too']
    """
    if node.removed_at is not None:
        return frozenset()
    uri = node.uri if isinstance(node, Artifact) else None
    return words_of_texts(node.name, node.external_id, uri, *node.properties.values(), *node.custom.values())


def words_of_texts(*values: Value) -> frozenset[str]:
    """The words of those values that are text; text with a NUL character has none.

    Example:
        >>> sorted(words_of_texts("late@7", None, 3))
        ['7', 'late']
    """
    texts = (value for value in values if isinstance(value, str) and "\0" not in value)
    return frozenset(word for text in texts for word in words_of(text))
