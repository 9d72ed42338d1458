"""What a command prints: one JSON value, or text for a person; errors in one shape."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from whence.drawing import text_table
from whence.errors import WhenceError


def jsonable(value: object) -> object:
    """`value` as JSON can say it: times as ISO text, numbers that are none as null.

    Example:
        >>> jsonable({"a": (1.5, float("nan")), "b": date(2013, 4, 1)})
        {'a': [1.5, None], 'b': '2013-04-01'}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    return _jsonable_object(value)


def _jsonable_object(value: object) -> object:
    for method in ("to_dict", "to_pylist", "item"):  # our values, Arrow columns, NumPy scalars
        convert = getattr(value, method, None)
        if callable(convert):
            return jsonable(convert())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Sequence | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [jsonable(v) for v in items]
    return str(value)


def print_json(value: object) -> None:
    """Print `value` as the one JSON value of this command."""
    print_text(json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_text(text: str) -> None:
    """Print `text` to standard output."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str = "nothing") -> None:
    """Print a listing: an array of objects, or an aligned table whose columns are the keys of the first row."""
    if as_json:
        print_json(list(rows))
    elif not rows:
        print_text(empty)
    else:
        columns = list(rows[0])
        print_text(text_table(columns, [[_cell(row.get(c)) for c in columns] for row in rows]))


def print_facts(facts: Mapping[str, object], *, as_json: bool) -> None:
    """Print one object: JSON, or a line for each fact."""
    if as_json:
        print_json(facts)
        return
    width = max((len(k) for k in facts), default=0)
    print_text("\n".join(f"{k:<{width}}  {_cell(v)}" for k, v in facts.items()))


def _cell(value: object) -> str:
    plain = jsonable(value)
    if plain is None:
        return ""
    if isinstance(plain, float):
        return f"{plain:.6g}"
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def print_error(error: WhenceError, *, as_json: bool) -> None:
    """One red line on standard error; with ``--json`` also the one error object on standard output."""
    if as_json:
        print_json(error.to_dict())
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), (str(error), "red" if sys.stderr.isatty() else ""))
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)
