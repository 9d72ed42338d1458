"""Names and texts as SQL writes them, the same for every engine: nothing a caller gives leaves its quotes."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name of a column or a relation.

    Example:
        >>> print(quoted('a"b'))
        "a""b"
    """
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A text.

    Example:
        >>> print(text_literal("it's"))
        'it''s'
    """
    return "'" + text.replace("'", "''") + "'"
