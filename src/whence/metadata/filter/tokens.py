"""The words of a filter, each with its place, and errors that show the place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whence.errors import UsageError
from whence.metadata.filter.types import Span

TokenKind: TypeAlias = Literal["number", "text", "name", "word", "mark", "end"]

MAX_BYTES: Final = 64 * 1024

# How much of a long line an error shows.
SHOWN: Final = 100

_SPACE: Final = re.compile(r"(?:\s+|--[^\n]*|\#[^\n]*|/\*.*?\*/)+", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
    | (?P<text>'(?:[^'\\\n]|''|\\.)*'|"(?:[^"\\\n]|""|\\.)*")
    | (?P<name>`(?:[^`\n]|``)*`)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark><=|>=|<>|!=|==|[=<>()+\-*/,.])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)|''|\"\"", re.DOTALL)
_ESCAPES: Final = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the text. `value` is what it says: without quotes and escapes."""

    kind: TokenKind
    value: str
    span: Span


def bad_filter(
    text: str, span: Span, problem: str, *, hint: str | None = None, near: Sequence[str] = ()
) -> UsageError:
    """The error ``bad-filter``: what is wrong, where, and the line with a mark under it.

    Example:
        >>> print(bad_filter("name = ", Span(7, 0), "expected a value, found the end").message)
        line 1, column 8: expected a value, found the end
          name =
                 ^
    """
    before = text[: span.offset]
    line = before.count("\n") + 1
    begin = before.rfind("\n") + 1
    column = span.offset - begin + 1
    whole = text[begin:].split("\n", 1)[0]
    first = max(0, span.offset - begin - SHOWN // 2)
    shown = whole[first : first + SHOWN]
    # What is not printed one column wide would shift the mark.
    shown = "".join(c if c.isprintable() else " " for c in shown)
    mark = " " * (span.offset - begin - first) + "^"
    return UsageError(
        f"line {line}, column {column}: {problem}\n  {shown.rstrip()}\n  {mark}",
        code="bad-filter",
        hint=hint,
        near=near,
        details={"offset": span.offset, "length": span.length, "line": line, "column": column},
    )


def read_tokens(text: str) -> list[Token]:
    """The words of a filter, and the end.

    Spaces and comments (``-- …``, ``# …``, ``/* … */``) lie between words. Text stands in ' or ", a quote
    inside it is doubled or has a backslash before it; an odd name stands in backquotes.

    Raises:
        UsageError: Something is no word of the language (``bad-filter``).

    Example:
        >>> [token.value for token in read_tokens("name LIKE 'it''s%' -- a comment")]
        ['name', 'LIKE', "it's%", '']
    """
    _check_text(text)
    tokens: list[Token] = []
    at = 0
    while True:
        if space := _SPACE.match(text, at):
            at = space.end()
        if at >= len(text):
            tokens.append(Token("end", "", Span(len(text), 0)))
            return tokens
        if text.startswith("/*", at):
            raise bad_filter(text, Span(at, 2), "the comment is not closed")
        found = _TOKEN.match(text, at)
        if found is None:
            raise _no_token(text, at)
        tokens.append(_token(text, found))
        at = found.end()


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise bad_filter(text, Span(error.start, 1), "the text is not valid Unicode") from error
    if size > MAX_BYTES:
        raise UsageError(
            f"a filter has at most {MAX_BYTES:,} bytes, this one {size:,}",
            code="bad-filter",
            hint="ask in several filters",
        )
    if "\0" in text:
        raise bad_filter(text, Span(text.index("\0"), 1), "a filter has no NUL character")


def _no_token(text: str, at: int) -> UsageError:
    char = text[at]
    if char in "'\"`":
        return bad_filter(text, Span(at, 1), f"the quote {char} is not closed in this line")
    if char.isdigit() or char == ".":
        return bad_filter(text, Span(at, 1), "this is no number", hint="a name stands in backquotes")
    hint = "a name of other letters stands in backquotes" if char.isalpha() else None
    return bad_filter(text, Span(at, 1), f"{char!r} is no part of the language", hint=hint)


def _token(text: str, found: re.Match[str]) -> Token:
    kind, raw = found.lastgroup, found.group()
    span = Span(found.start(), len(raw))
    if kind == "text":
        return Token("text", _unquoted(text, raw, span.offset), span)
    if kind == "name":
        name = raw[1:-1].replace("``", "`")
        if not name:
            raise bad_filter(text, span, "a name in backquotes has at least one character")
        return Token("name", name, span)
    assert kind in ("number", "word", "mark")
    return Token(kind, raw, span)  # type: ignore[arg-type]  # one of the three


def _unquoted(text: str, raw: str, offset: int) -> str:
    quote = raw[0]

    def plain(found: re.Match[str]) -> str:
        escape = found.group(1)
        if escape is None:
            return quote if found.group()[0] == quote else found.group()
        place = Span(offset + 1 + found.start(), len(found.group()))
        if escape[0] in "xuU":
            code = int(escape[1:], 16) if len(escape) > 1 else -1
            if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                return chr(code)
        elif escape in _ESCAPES:
            return _ESCAPES[escape]
        problem = f"{found.group()} is no escape of a character"
        raise bad_filter(text, place, problem, hint="write a backslash twice")

    return _ESCAPE.sub(plain, raw[1:-1])
