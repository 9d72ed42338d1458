"""The types a store knows, by id and by name, and what happens when one is put again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final, get_args

from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata.simple import SIMPLE_TYPES
from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, NodeKind, PropertyType, Type

PROPERTY_TYPES: Final = get_args(PropertyType)
SIMPLE_NAMES: Final = {t.name: t.kind for t in SIMPLE_TYPES}


class TypeTable:
    """Types by id and by (kind, name, version)."""

    def __init__(self, types: Iterable[Type] = ()) -> None:
        self._by_id: dict[int, Type] = {}
        self._by_key: dict[tuple[str, str, str | None], Type] = {}
        for type_ in types:
            self.add(type_)

    def add(self, type_: Type) -> None:
        """Know a stored type."""
        assert type_.id is not None
        self._by_id[type_.id] = type_
        self._by_key[type_.kind, type_.name, type_.version] = type_

    def all(self) -> list[Type]:
        """All types, by id."""
        return [self._by_id[i] for i in sorted(self._by_id)]

    def by_id(self, id_: int) -> Type:
        """The type with this id; KeyError when it is not known yet."""
        return self._by_id[id_]

    def knows(self, ids: Iterable[int]) -> bool:
        """Whether every one of these ids is known."""
        return all(i in self._by_id for i in ids)

    def find(self, kind: NodeKind, name: str, version: str | None) -> Type | None:
        """The type, or None."""
        return self._by_key.get((kind, name, version))

    def get(self, kind: NodeKind, name: str, version: str | None) -> Type:
        """The type.

        Raises:
            NotFoundError: ``artifact-type-not-found``, ``execution-type-not-found``, ``context-type-not-found``.
        """
        found = self.find(kind, name, version)
        if found is None:
            label = name if version is None else f"{name}@{version}"
            near = [n for k, n, _ in self._by_key if k == kind]
            raise NotFoundError(f"{kind} type", label, near=near, hint="declare it with put_type first")
        return found

    def named(self, kind: NodeKind, names: Iterable[str]) -> list[int]:
        """The ids of all versions of the types with these names."""
        wanted = set(names)
        return [i for i, t in self._by_id.items() if t.kind == kind and t.name in wanted]


def merge_type(table: TypeTable, given: Type, *, extend: bool, omit: bool = True) -> Type:
    """The type to store: a new one without an id, a stored one as it stands, or with what it lacked.

    Unless `omit` is off, a stored type may have properties that `given` leaves out: the program that extended it is
    newer. A base is added where there is none, an external id replaces the stored one; what else says something
    about the type stays as it was first stored.

    Raises:
        ConflictError: It is stored with other properties, or another base (``type-conflict``); the external id is
            another type's (``name-taken``).
        UsageError: A property's type or the base is unknown, or a text does not fit (``bad-type``).
    """
    _check_type(given)
    stored = table.find(given.kind, given.name, given.version)
    _check_external(table, given, stored)
    if stored is None:
        return dataclasses.replace(given, id=None, properties=dict(given.properties))
    if given.base is not None and stored.base is not None and given.base != stored.base:
        raise ConflictError(
            f"{given.kind} type {given.name!r} is stored with base {stored.base!r}, not {given.base!r}",
            code="type-conflict",
        )
    _check_properties(given, stored, extend=extend, omit=omit)
    return dataclasses.replace(
        stored,
        properties={**stored.properties, **given.properties},
        base=stored.base or given.base,
        external_id=given.external_id or stored.external_id,
    )


def adds_nothing(given: Type, stored: Type) -> bool:
    """Whether `merge_type` would give a stored type back as it is, and find nothing wrong: the usual case, at once."""
    return (
        given.properties.items() <= stored.properties.items()
        and given.base in (None, stored.base)
        and given.external_id is None
        and given.description in (None, stored.description)
        and given.input_type in (None, stored.input_type)
        and given.output_type in (None, stored.output_type)
    )


def _check_properties(given: Type, stored: Type, *, extend: bool, omit: bool) -> None:
    for name, want in given.properties.items():
        have = stored.properties.get(name)
        if have is None and not extend:
            raise ConflictError(
                f"{given.kind} type {given.name!r} is stored without property {name!r}",
                code="type-conflict",
                hint="put it with extend=True to add properties",
            )
        if have is not None and have != want:
            raise ConflictError(
                f"property {name!r} of {given.kind} type {given.name!r} is stored as {have}, not {want}",
                code="type-conflict",
                hint="a stored property keeps its type; give the type another version",
            )
    left_out = [name for name in stored.properties if name not in given.properties]
    if left_out and not omit:
        raise ConflictError(
            f"{given.kind} type {given.name!r} is stored with property {left_out[0]!r}, which is left out",
            code="type-conflict",
            hint="give every property, or put it with omit=True",
        )


def _check_external(table: TypeTable, given: Type, stored: Type | None) -> None:
    if not given.external_id:
        return
    for other in table.all():
        if (other.kind, other.external_id) == (given.kind, given.external_id) and other is not stored:
            raise ConflictError(
                f"external id {given.external_id!r} is {other.kind} type {other.name!r}'s",
                code="name-taken",
                hint="give another external id",
            )


def _check_type(given: Type) -> None:
    if not given.name or len(given.name) > 255:
        raise UsageError(f"a type's name has 1 to 255 characters, got {given.name!r:.80}", code="bad-type")
    for what, text in (("version", given.version), ("external id", given.external_id)):
        if text is not None and len(text) > 255:
            raise UsageError(
                f"the {what} of a type has at most 255 characters, got {text!r:.80}", code="bad-type"
            )
    texts = (
        given.name,
        given.version,
        given.external_id,
        given.description,
        given.input_type,
        given.output_type,
    )
    for text in (*texts, *given.properties):
        if text is not None and not is_storable(text):
            raise UsageError(
                f"{text!r:.80} of type {given.name!r:.80} has a NUL or no Unicode", code="invalid-text"
            )
    for name, want in given.properties.items():
        if want not in PROPERTY_TYPES:
            raise UsageError(
                f"property {name!r} of {given.name!r}: {want!r} is not a property type",
                code="bad-type",
                hint="one of " + ", ".join(PROPERTY_TYPES),
            )
    if given.base is not None and SIMPLE_NAMES.get(given.base) != given.kind:
        raise UsageError(
            f"base {given.base!r} of {given.name!r} is not a simple {given.kind} type",
            code="bad-type",
            near=[n for n, k in SIMPLE_NAMES.items() if k == given.kind],
        )


def is_storable(text: str) -> bool:
    """Whether every backend can keep a text: it is Unicode and has no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


_READS: Final = INPUT_KINDS
_WRITES: Final = OUTPUT_KINDS
_ALL_READS: Final = INPUT_KINDS | {"INTERNAL_INPUT"}
_ALL_WRITES: Final = OUTPUT_KINDS | {"INTERNAL_OUTPUT"}


def followed(*, internal: bool) -> tuple[frozenset[str], frozenset[str]]:
    """The kinds of events that lineage follows: those that read, those that write."""
    return (_ALL_READS, _ALL_WRITES) if internal else (_READS, _WRITES)
