"""Where a value stands in a row: the steps through columns and the fields of structs, and their text.

The text of a path is the name of a feature. A column is called what it is called, whatever its name
holds; a field of a struct is said with dots: ``trip.stops.at``. A step that itself holds a dot or a
quotation mark stands in quotation marks there, doubled inside: ``trip."a.b"``. Lists are no step.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from whence.errors import UsageError

Path: TypeAlias = tuple[str, ...]
"""The steps from a row to a value: the column, then fields of structs."""


def path_text(steps: Path, columns: Collection[str] = ()) -> str:
    """The name of the feature at a path.

    Args:
        steps: The column and the fields below it.
        columns: The top-level columns. When one of them is called like the path (a column ``a.b``
            beside a field ``b`` of ``a``), every step of the path is quoted, so that names stay apart.

    Raises:
        UsageError: There is no step (``bad-path``).

    Example:
        >>> path_text(("a.b",)), path_text(("trip", "stops")), path_text(("trip", "a.b"))
        ('a.b', 'trip.stops', 'trip."a.b"')
        >>> path_text(("a", "b"), columns=["a", "a.b"])
        '"a"."b"'
    """
    if not steps:
        raise UsageError("a path has at least one step", code="bad-path")
    if len(steps) == 1:
        return steps[0]
    text = ".".join(_quoted(s) if _needs_quotes(s) else s for s in steps)
    return ".".join(map(_quoted, steps)) if text in columns else text


def path_steps(text: str, columns: Collection[str] | None = None) -> Path:
    """The steps a name stands for: the inverse of `path_text`.

    Args:
        text: The name of a feature.
        columns: The top-level columns: a name among them is one step. Without them, a dot outside of
            quotation marks always separates steps.

    Raises:
        UsageError: A step is empty or a quotation mark is not closed (``bad-path``).

    Example:
        >>> path_steps('trip."a.b"'), path_steps("a.b"), path_steps("a.b", columns=["a.b"])
        (('trip', 'a.b'), ('a', 'b'), ('a.b',))
    """
    if columns is not None and text in columns:
        return (text,)
    steps = []
    rest = text
    while True:
        step, rest = _first(rest, text)
        steps.append(step)
        if not rest:
            return tuple(steps)
        rest = rest[1:]


def _needs_quotes(step: str) -> bool:
    return not step or "." in step or '"' in step


def _quoted(step: str) -> str:
    return '"' + step.replace('"', '""') + '"'


def _first(text: str, whole: str) -> tuple[str, str]:
    """The first step of a text and what follows it: nothing, or a dot and more."""
    if not text.startswith('"'):
        step, dot, rest = text.partition(".")
        if not step or '"' in step:
            raise _bad(whole, "a step is empty or holds a quotation mark that is not at its ends")
        return step, dot + rest
    end = 1
    while (end := text.find('"', end)) >= 0:
        if text[end : end + 2] != '""':
            break
        end += 2
    if end < 0:
        raise _bad(whole, "a quotation mark is not closed")
    rest = text[end + 1 :]
    if rest and not rest.startswith("."):
        raise _bad(whole, "a quoted step is followed by a dot")
    return text[1:end].replace('""', '"'), rest


def _bad(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} is not a path: {why}", code="bad-path", hint="such as trip.stops.at")
