"""SEARCH in SQL: the database gives what may have the words, their own reader says which have.

A word of letters A to Z may also be written in others (a ligature, full-width letters) that only reading folds, so
every text with such letters is looked at; of plain texts the database finds those that contain the word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select

from whence.database import Database, Session
from whence.metadata.backends.compile import Searched
from whence.metadata.backends.spelling import Spelling, number, spelling_of
from whence.metadata.backends.tables import NODE, code_of
from whence.metadata.codes import KIND_CODES
from whence.metadata.encode import decode
from whence.metadata.filter.patterns import ANY_MANY
from whence.metadata.filter.words import words_of_texts

_TEXTS = (NODE.c.name, NODE.c.external_id, NODE.c.uri, NODE.c.properties)


def found(session: Session, database: Database, searched: Mapping[str, Searched]) -> dict[str, object]:
    """For each name that a compiled filter searches under, the packed ids of the nodes that have its words."""
    return {name: database.pack(_ids(session, database, one)) for name, one in searched.items()}


def _ids(session: Session, database: Database, searched: Searched) -> list[int]:
    spelling = spelling_of(database.abilities.json, database.abilities.dialect)
    statement = database.prepare(_candidates(searched, spelling))
    wanted = frozenset(searched.words)
    ids: list[int] = []
    for id_, name, external_id, uri, properties in statement.stream(session):
        typed, custom = decode(properties)
        if wanted <= words_of_texts(name, external_id, uri, *typed.values(), *custom.values()):
            ids.append(id_)
    return ids


def _candidates(searched: Searched, spelling: Spelling) -> Select[Any]:
    codes = [number(KIND_CODES[kind]) for kind in searched.kinds]
    other = or_(*(spelling.size_bytes(text) > spelling.length(text) for text in _TEXTS))
    words: list[ColumnElement[bool]] = []
    for i, word in enumerate(searched.words):
        if word.isascii():
            pattern: ColumnElement[Any] = bindparam(
                f"word_{i}", spelling.constant((ANY_MANY, *word, ANY_MANY), "pattern")
            )
            words.append(or_(*(spelling.matches(spelling.lower(text), pattern) for text in _TEXTS)))
    plain = [or_(other, and_(*words))] if len(words) == len(searched.words) else [other]
    return select(NODE.c.id, *_TEXTS).where(code_of(NODE).in_(codes), NODE.c.removed_us.is_(None), *plain)
