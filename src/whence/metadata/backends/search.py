"""SEARCH in SQL: the database gives what may have the words, their own reader says which have.

A word of letters A to Z may also be written in others (a ligature, full-width letters) that only reading folds, so
every text with such letters is looked at; of plain texts the database finds those that contain the word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, or_, select

from whence.database import Database, Session
from whence.metadata.backends.compile import Searched
from whence.metadata.backends.spelling import Spelling, number, spelling_of
from whence.metadata.backends.tables import NODE, code_of
from whence.metadata.codes import KIND_CODES
from whence.metadata.encode import decode
from whence.metadata.filter.words import words_of_texts

_TEXTS = (NODE.c.name, NODE.c.external_id, NODE.c.uri, NODE.c.properties)


def found(session: Session, database: Database, searched: Mapping[str, Searched]) -> dict[str, object]:
    """For each name that a compiled filter searches under, the packed ids of the nodes that have its words."""
    return {name: database.pack(_ids(session, database, one)) for name, one in searched.items()}


def may_have(words: Sequence[str], spelling: Spelling) -> list[ColumnElement[bool]]:
    """Conditions on a row of the node table, without which it has not all of these words: no tombstone has any."""
    other = or_(*(spelling.size_bytes(text) > spelling.length(text) for text in _TEXTS))
    plain = [
        or_(*(spelling.contains(text, word, f"word_{i}") for text in _TEXTS))
        for i, word in enumerate(words)
        if word.isascii()
    ]
    either = or_(and_(*plain), other) if len(plain) == len(words) else other
    return [NODE.c.removed_us.is_(None), either]


def has_words(
    words: frozenset[str], name: str | None, external_id: str | None, uri: str | None, properties: str
) -> bool:
    """Whether a living node has all of these words, see `whence.metadata.filter.words`."""
    typed, custom = decode(properties)
    return words <= words_of_texts(name, external_id, uri, *typed.values(), *custom.values())


def _ids(session: Session, database: Database, searched: Searched) -> list[int]:
    spelling = spelling_of(database.abilities.json, database.abilities.dialect)
    codes = [number(KIND_CODES[kind]) for kind in searched.kinds]
    candidates = select(NODE.c.id, *_TEXTS).where(
        code_of(NODE).in_(codes), *may_have(searched.words, spelling)
    )
    wanted = frozenset(searched.words)
    rows = database.prepare(candidates).stream(session)
    return [id_ for id_, *texts in rows if has_words(wanted, *texts)]
