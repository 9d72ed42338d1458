"""Slices by SQL: TFDV's queries over one row and its values, run by the engine over a batch at a time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence import errors
from whence.compute import Engine, quoted, text_literal
from whence.integrations.tfdv.refusals import UsageError
from whence.integrations.tfdv.slicing_util import KEY, ROW, Sliced, SliceFunction, cut

_TOKEN: Final = re.compile(
    r"(?P<blank>\s+|(?:--|\#)[^\n]*|/\*.*?\*/)"
    r"|(?P<text>[rRbB]{0,2}(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"))"
    r"|(?P<name>`[^`]+`|[A-Za-z_]\w*)|(?P<other>\d[\w.]*|[<>=!|]+|.)",
    re.DOTALL,
)
_CLAUSES: Final = frozenset(
    ["select", "from", "where", "group", "having", "order", "limit", "on", "qualify", "window", "union"]
)
_NO_ALIAS: Final = _CLAUSES | frozenset(
    ["as", "cross", "inner", "join", "left", "right", "full", "natural", "using", "with"]
)
_HINT: Final = "SELECT STRUCT(feature [AS name], …) [FROM example.feature, … [WHERE …]]"


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of a query: as the engine writes it, and in small letters where it may be a keyword."""

    sql: str
    word: str = ""
    name: str | None = None


def sql_slicer(queries: Sequence[str], engine: Engine) -> SliceFunction:
    """A function that cuts rows by TFDV's slice queries; a row is in a slice once, whatever says so.

    A query is run for each row, ``example``: ``FROM example.feature`` opens the list of its values. A slice
    is called ``name_value``, several joined by ``_`` in the order of the query; a value that is absent is
    ``NULL``. Conditions and functions are those of the engine's SQL; text stands in either quotes, and
    ``b'…'`` is the same as text.

    Args:
        queries: ``SELECT STRUCT(feature [AS name], …) [FROM example.feature, … [WHERE …]]``.
        engine: What runs them, DuckDB.

    Raises:
        UsageError: A query has another form; the function raises it where the rows do not have what a query
            names or it cannot be run (``bad-slice``).

    Source:
        TFDV ``experimental_slice_sqls``, which is ZetaSQL. Differs: a query that does not run is refused, and
        not made a slice ``Invalid Slice`` of all rows; text and bytes can be compared; NaN is above all
        numbers.

    Example:
        >>> from whence.compute import open_engine
        >>> rows = pa.record_batch({"age": [[1], [2], [1]], "at": [["DE"], ["FR"], ["FR"]]})
        >>> query = "SELECT STRUCT(age, at) FROM example.age, example.at WHERE at = 'FR'"
        >>> [(key, part.num_rows) for key, part in sql_slicer([query], open_engine())(rows)]
        [('age_2_at_FR', 1), ('age_1_at_FR', 1)]
    """
    read = [_Query(q) for q in queries]

    def slicer(batch: pa.RecordBatch) -> Iterator[Sliced]:
        found = [pairs for q in read if (pairs := q.keys(batch, engine)) is not None]
        if found:
            once = pa.concat_tables(found).group_by([ROW, KEY]).aggregate([])
            yield from cut(batch, once.sort_by([(ROW, "ascending"), (KEY, "ascending")]))

    return slicer


class _Query:
    """One query, taken apart."""

    def __init__(self, text: str) -> None:
        self.text = text
        tokens = _quoting_features(list(_tokens(text)))
        words = [t.word for t in tokens[:3]]
        if [*words[:2], *(t.sql for t in tokens[2:3])] != ["select", "struct", "("]:
            raise self._refused("it does not begin with SELECT STRUCT(")
        end = _closing(tokens, 2)
        if end is None:
            raise self._refused("a parenthesis is not closed")
        if end == 3:
            raise self._refused("the structure has no part")
        items = [_item(part) for part in _parted(tokens[3:end])]
        self.names = [name for name, _ in items]
        values = ", ".join(f"{sql} AS k{i}" for i, (_, sql) in enumerate(items))
        try:
            rest = " ".join(_opened(tokens[end + 1 :]))
        except LookupError as error:
            raise self._refused(f"FROM {error.args[0]}: there are only the features of example") from None
        self.sql = (
            f'SELECT example."{ROW}" AS "{ROW}", found.* FROM example, '
            f"LATERAL (SELECT {values} {rest}) AS found"
        )
        self.mentioned = {(t.name or t.word).lower() for t in tokens if t.word or t.name}

    def keys(self, batch: pa.RecordBatch, engine: Engine) -> pa.Table | None:
        """The rows and the slices they are in; None where there is no row."""
        named = [n for n in batch.schema.names if n.lower() in self.mentioned]
        columns = {n: self._column(batch.column(n), n) for n in named}
        rows = pa.table({ROW: pa.array(np.arange(batch.num_rows)), **columns})
        try:
            found = engine.query(self.sql, {"example": rows})
        except errors.UsageError as error:
            raise self._refused(str(error.args[0])) from error
        if not found.num_rows:
            return None
        parts = [self._labels(found.column(i + 1), name) for i, name in enumerate(self.names)]
        key = pc.binary_join_element_wise(*parts, "_")
        return pa.table({ROW: found.column(0), KEY: key})

    def _labels(self, values: pa.ChunkedArray, name: str) -> pa.Array:
        if pa.types.is_nested(values.type):
            raise self._refused(f"{name!r} is a list", hint=f"FROM example.{name} opens it")
        coded = values.combine_chunks().dictionary_encode(null_encoding="encode")
        texts = [f"{name}_{_said(v, values.type)}" for v in coded.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(coded.indices)

    def _column(self, column: pa.Array, name: str) -> pa.Array:
        """As the engine takes it: bytes are text, and a column without any value a list of text."""
        kind = column.type
        if pa.types.is_null(kind):
            return column.cast(pa.list_(pa.string()))
        if pa.types.is_list(kind) and pa.types.is_binary(kind.value_type):
            try:
                return column.cast(pa.list_(pa.string()))
            except pa.ArrowInvalid:
                raise self._refused(f"{name!r} has bytes that are not UTF-8 and can name no slice") from None
        return column

    def _refused(self, why: str, hint: str = _HINT) -> UsageError:
        return UsageError(f"the slice query {self.text!r}: {why}", code="bad-slice", hint=hint)


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        said = found.group()
        if found["text"]:
            yield _Token(text_literal(_unquoted(said)))
        elif found["name"] and said[0] == "`":
            yield _Token(quoted(said[1:-1]), name=said[1:-1])
        elif found["name"]:
            yield _Token(said, said.lower(), said)
        elif not found["blank"]:
            yield _Token(said)


def _quoting_features(tokens: Sequence[_Token]) -> Sequence[_Token]:
    """The words with quotation marks around features, which may be called as the engine calls something."""
    features = {
        tokens[i].word
        for i in range(2, len(tokens))
        if (tokens[i - 2].word, tokens[i - 1].sql) == ("example", ".")
    }
    after = [*(t.sql for t in tokens[1:]), ""]
    return [
        replace(t, sql=quoted(t.name)) if t.name and t.word in features and then != "(" else t
        for t, then in zip(tokens, after, strict=False)
    ]


def _unquoted(text: str) -> str:
    start = min(i for i, c in enumerate(text) if c in "'\"")
    raw = "r" if "r" in text[:start].lower() else ""
    return str(ast.literal_eval(raw + text[start:]))


def _closing(tokens: Sequence[_Token], start: int) -> int | None:
    """Where the parenthesis that opens at `start` closes."""
    depth = 0
    for i in range(start, len(tokens)):
        depth += (tokens[i].sql == "(") - (tokens[i].sql == ")")
        if not depth:
            return i
    return None


def _parted(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """The parts between commas that stand in no parentheses."""
    depth = start = 0
    for i, token in enumerate(tokens):
        depth += (token.sql in ("(", "[")) - (token.sql in (")", "]"))
        if token.sql == "," and not depth:
            yield tokens[start:i]
            start = i + 1
    yield tokens[start:]


def _item(part: Sequence[_Token]) -> tuple[str, str]:
    """The name of a part of the structure, and its value; a value that is no name has none."""
    name = part[-1].name if part else None
    if len(part) > 2 and part[-2].word == "as" and name is not None:
        return name, _joined(part[:-2])
    is_path = all((t.name is not None) if i % 2 == 0 else t.sql == "." for i, t in enumerate(part))
    return (name or "" if is_path else ""), _joined(part)


def _opened(tokens: Sequence[_Token]) -> Iterator[str]:
    """The words of the rest of a query, in which sources become lists the engine opens.

    Raises:
        LookupError: A source is something else, such as a file.
    """
    clauses = [""]
    i, n_sources = 0, 0
    while i < len(tokens):
        token = tokens[i]
        before = tokens[i - 1] if i else _Token("")
        opens = clauses[-1] == "from" and (before.sql == "," or before.word in ("from", "join"))
        if opens and token.word in ("example", "unnest"):
            end = _source_end(tokens, i)
            list_, name = _joined(tokens[i:end]), tokens[end - 1].name
            if token.word == "example":
                list_ = f"unnest({list_})"
            if end < len(tokens) and tokens[end].word == "as":
                end += 1
            if end < len(tokens) and tokens[end].name is not None and tokens[end].word not in _NO_ALIAS:
                name, end = tokens[end].name, end + 1
            yield f"{list_} AS whence_{n_sources}({quoted(name)})" if name else list_
            i, n_sources = end, n_sources + 1
            continue
        if opens and token.sql != "(":
            raise LookupError(token.sql)
        if token.word in _CLAUSES:
            clauses[-1] = token.word
        elif token.sql == "(":
            clauses.append("")
        elif token.sql == ")" and len(clauses) > 1:
            clauses.pop()
        yield token.sql
        i += 1


def _source_end(tokens: Sequence[_Token], start: int) -> int:
    """Behind ``example.a.b`` or ``unnest(…)``."""
    if tokens[start].word == "unnest":
        end = _closing(tokens, start + 1)
        return len(tokens) if end is None else end + 1
    end = start + 1
    while end + 1 < len(tokens) and tokens[end].sql == ".":
        end += 2
    return end


def _joined(tokens: Iterable[_Token]) -> str:
    return " ".join(t.sql for t in tokens)


def _said(value: Any, kind: pa.DataType) -> str:
    """A value as TFDV writes it into the name of a slice: a number in as few digits as say it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        few, exact, cast = (6, 9, np.float32) if pa.types.is_float32(kind) else (15, 17, float)
        said = f"{value:.{few}g}"
        return said if cast(said) == cast(value) or value != value else f"{value:.{exact}g}"
    return str(value)
