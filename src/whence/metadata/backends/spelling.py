"""How each system spells what its words differ in: properties inside JSON, patterns, letters, numbers.

All of them say the same: `whence.metadata.filter.evaluate` is what they are tested against.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Double,
    Float,
    FromClause,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine

from whence.errors import UnsupportedError
from whence.metadata.filter.bound import Flavour, Want
from whence.metadata.filter.patterns import ANY_MANY, to_glob, to_like

Sql: TypeAlias = ColumnElement[Any]  # Any: what kind a value has, the binder has checked
Name: TypeAlias = Callable[[], str]
"""Gives names that no other table of the statement has."""

# Names that a path can spell; what a caller wrote is otherwise bound, never spelled.
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.: -]+")

# Stored by `whence.metadata.encode` for a float that JSON has not.
_INFINITE: Final = {"inf": "Infinity", "-inf": "-Infinity"}


@dataclass(frozen=True, slots=True)
class Place:
    """A property in its JSON.

    Attributes:
        present: It is there, be it null.
        filled: It is there and is not null; never unknown.
        read: Its value as something; NULL when it is something else.
    """

    present: Sql
    filled: Sql
    read: Callable[[Want], Sql]


class Spelling(ABC):
    """What one system needs said in its own words."""

    #: Whole numbers and doubles are compared as they are; else a whole number becomes a double beside one.
    exact_numbers: bool = True
    lateral: bool = False
    double: TypeEngine[float] = Double()
    _types: dict[Flavour, TypeEngine[Any]] = {  # noqa: RUF012 - never changed
        "int": BigInteger(),
        "big": BigInteger(),
        "double": Double(),
        "text": String(),
        "pattern": String(),
    }

    def type_of(self, flavour: Flavour) -> TypeEngine[Any]:
        """The type a constant is bound with."""
        return self._types[flavour]

    def constant(self, value: Any, flavour: Flavour) -> object:  # Any: as its flavour says
        """A constant as the driver takes it."""
        return to_like(value) if flavour == "pattern" else value

    @abstractmethod
    def place(
        self, properties: Sql, part: str, name: str, bind: Callable[[object], Sql], fresh: Name
    ) -> Place:
        """A property of a node, typed (``p``) or custom (``c``)."""

    @abstractmethod
    def kept(self, properties: Sql, key: str) -> Sql:
        """What a tombstone keeps under a letter, see `whence.metadata.rows.Tombstone`; NULL when it has none."""

    def matches(self, value: Sql, pattern: Sql) -> Sql:
        """Whether text is like a pattern; A is not a."""
        return value.like(pattern, escape="|")

    def contains(self, value: Sql, word: str, name: str) -> Sql:
        """Whether a word of letters A to Z, figures and ``_`` stands somewhere in a text, in small letters or large.

        Args:
            value: The text.
            word: The word, in small letters.
            name: What it is bound as.
        """
        return self.lower(value).like(bindparam(name, to_like((ANY_MANY, *word, ANY_MANY))), escape="|")

    def ordered(self, value: Sql) -> Sql:
        """Text that is about to be compared by its code points."""
        return value

    def as_double(self, value: Sql) -> Sql:
        """A number as a double."""
        return cast(value, self.double)

    def without_nan(self, value: Sql) -> Sql:
        """A double that may be no number: NULL then."""
        return value

    def lower(self, value: Sql) -> Sql:
        """The letters A to Z small, no others."""
        return func.lower(value)

    def upper(self, value: Sql) -> Sql:
        """The letters a to z large, no others."""
        return func.upper(value)

    def length(self, value: Sql) -> Sql:
        """How many characters a text has."""
        return func.char_length(value)

    def size_bytes(self, value: Sql) -> Sql:
        """How many bytes a text has, in UTF-8."""
        return func.octet_length(value)

    def thousandth(self, value: Sql) -> Sql:
        """Microseconds as whole milliseconds."""
        return value.op("/", return_type=BigInteger())(literal_column("1000"))

    @abstractmethod
    def steps(self, path: Sql, fresh: Name) -> Sql:
        """The steps of an event's path with ``/`` between them."""


class SqliteSpelling(Spelling):
    """SQLite 3.40 and later: values have types, columns do not."""

    double = Float()

    def constant(self, value: Any, flavour: Flavour) -> object:  # Any: as its flavour says
        return to_glob(value) if flavour == "pattern" else value

    def place(
        self, properties: Sql, part: str, name: str, bind: Callable[[object], Sql], fresh: Name
    ) -> Place:
        if PLAIN_NAME.fullmatch(name):
            # Spelled out and not bound: only so can an index on the expression serve it.
            path = f'$.{part}."{name}"'
            kind: Sql = func.json_type(properties, spelled(path))
            value: Sql = func.json_extract(properties, spelled(path))
            special: Sql = func.json_extract(properties, spelled(f'{path}."$float"'))
        else:

            def found(what: Callable[[FromClause], Sql]) -> Sql:
                each = func.json_each(properties, spelled(f"$.{part}")).table_valued("key", "value", "type")
                one = each.alias(fresh())
                chosen = select(what(one)).where(one.c.key == bind(name))
                return chosen.correlate_except(one).scalar_subquery()

            def special_of(each: FromClause) -> Sql:
                # Not every value is JSON again.
                return case(
                    (each.c.type == spelled("object"), func.json_extract(each.c.value, spelled('$."$float"')))
                )

            kind, value = found(lambda each: each.c.type), found(lambda each: each.c.value)
            special = found(special_of)

        def read(want: Want) -> Sql:
            # No double of SQLite's grammar is infinite but one that is too large.
            infinite = case(
                (special == spelled("inf"), literal_column("9e999")),
                (special == spelled("-inf"), literal_column("-9e999")),
            )
            whens: dict[str, Sql] = {}
            if want in ("int", "number"):
                whens["integer"] = value
            if want in ("double", "number"):
                whens |= {"real": value, "object": infinite}
            if want == "text":
                whens["text"] = value
            if want == "bool":
                whens |= {"true": literal_column("1"), "false": literal_column("0")}
            return case(*((kind == spelled(word), then) for word, then in whens.items()))

        return Place(kind.is_not(None), _is_filled(kind != spelled("null")), read)

    def kept(self, properties: Sql, key: str) -> Sql:
        return func.json_extract(properties, spelled(f"$.t.{key}"), type_=String())

    def matches(self, value: Sql, pattern: Sql) -> Sql:
        # SQLite's LIKE does not tell A from a, its GLOB does.
        return value.op("GLOB", is_comparison=True)(pattern)

    def contains(self, value: Sql, word: str, name: str) -> Sql:
        # A third of the time of lower() and GLOB, and it takes the letters A to Z alike and no others.
        return value.like(bindparam(name, to_like((ANY_MANY, *word, ANY_MANY))), escape="|")

    # SQLite's lower() and upper() change the letters A to Z and no others, unless it is built with ICU.

    def length(self, value: Sql) -> Sql:
        return func.length(value)

    def size_bytes(self, value: Sql) -> Sql:
        return func.length(cast(value, LargeBinary))

    def steps(self, path: Sql, fresh: Name) -> Sql:
        steps = func.json_each(path).table_valued("value").alias(fresh())
        joined = select(func.group_concat(steps.c.value, spelled("/"))).correlate_except(steps)
        return case((path == spelled(""), spelled("")), else_=joined.scalar_subquery())


class PostgresSpelling(Spelling):
    """PostgreSQL 14 and later: numbers from JSON are of type numeric, which holds both kinds exactly."""

    lateral = True
    _types = {  # noqa: RUF012 - never changed
        "int": BigInteger(),
        "big": BigInteger(),
        "double": Numeric(),
        "text": String(),
        "pattern": String(),
    }

    def constant(self, value: Any, flavour: Flavour) -> object:  # Any: as its flavour says
        # A numeric made of a double keeps 15 digits; made of its shortest text it is that double again.
        return Decimal(repr(value)) if flavour == "double" else super().constant(value, flavour)

    def place(
        self, properties: Sql, part: str, name: str, bind: Callable[[object], Sql], fresh: Name
    ) -> Place:
        del fresh
        # json and not jsonb: that one forgets whether 1e16 was written as a double.
        whole = cast(properties, JSON())
        path = [spelled(part), spelled(name) if PLAIN_NAME.fullmatch(name) else cast(bind(name), Text())]
        kind: Sql = func.json_typeof(func.json_extract_path(whole, *path, type_=JSON()), type_=Text())
        value: Sql = func.json_extract_path_text(whole, *path, type_=Text())
        number = cast(value, Numeric())
        is_number, is_double = kind == spelled("number"), value.op("~", is_comparison=True)(spelled("[.eE]"))
        infinite = [
            (
                and_(kind == spelled("object"), value == spelled(f'{{"$float":"{word}"}}')),
                cast(spelled(text), Numeric()),
            )
            for word, text in _INFINITE.items()
        ]

        def read(want: Want) -> Sql:
            if want == "text":
                return case((kind == spelled("string"), value))
            if want == "bool":
                return case((kind == spelled("boolean"), value == spelled("true")))
            if want == "int":
                return case((is_number, case((~is_double, number))))
            if want == "double":
                return case((is_number, case((is_double, number))), *infinite)
            return case((is_number, number), *infinite)

        return Place(kind.is_not(None), _is_filled(kind != spelled("null")), read)

    def kept(self, properties: Sql, key: str) -> Sql:
        whole = cast(properties, JSON())
        return func.json_extract_path_text(whole, spelled("t"), spelled(key), type_=String()).collate("C")

    def ordered(self, value: Sql) -> Sql:
        return value.collate("C")

    def without_nan(self, value: Sql) -> Sql:
        # Here NaN equals itself.
        return func.nullif(value, cast(spelled("NaN"), Double()))

    def lower(self, value: Sql) -> Sql:
        return func.lower(value.collate("C"))

    def upper(self, value: Sql) -> Sql:
        return func.upper(value.collate("C"))

    def steps(self, path: Sql, fresh: Name) -> Sql:
        given = cast(func.nullif(path, spelled("")), JSON())
        steps = func.json_array_elements_text(given).table_valued("value").alias(fresh())
        joined = select(func.string_agg(steps.c.value, spelled("/"))).correlate_except(steps)
        return func.coalesce(joined.scalar_subquery(), spelled(""))


class MysqlSpelling(Spelling):
    """MariaDB 10.6 and later, and MySQL 8: no infinite numbers, JSON is text.

    Args:
        collation: The one that tells every text from every other, in which columns are compared too.
    """

    exact_numbers = False

    def __init__(self, collation: str) -> None:
        self._collation = collation

    def place(
        self, properties: Sql, part: str, name: str, bind: Callable[[object], Sql], fresh: Name
    ) -> Place:
        del fresh
        found, special = self._found(properties, part, name, bind)
        kind: Sql = func.json_type(found)
        value: Sql = func.json_unquote(found)
        is_whole = and_(kind == spelled("INTEGER"), func.instr(value, spelled("e")) == literal_column("0"))
        # MySQL has a third kind of number.
        is_number = kind.in_([spelled(word) for word in ("INTEGER", "DOUBLE", "DECIMAL", "UNSIGNED INTEGER")])
        infinite: list[tuple[Sql, Sql]] = [
            (special == spelled("inf"), literal_column("1.7976931348623157e308")),
            (special == spelled("-inf"), literal_column("-1.7976931348623157e308")),
        ]

        def read(want: Want) -> Sql:
            if want == "text":
                return case((kind == spelled("STRING"), self.ordered(value)))
            if want == "bool":
                return case((kind == spelled("BOOLEAN"), value == spelled("true")))
            if want == "int":
                return case((is_whole, cast(value, BigInteger())))
            if want == "double":
                return case((and_(is_number, ~is_whole), self.as_double(value)), *infinite)
            return case((is_number, self.as_double(value)), *infinite)

        return Place(found.is_not(None), _is_filled(kind != spelled("NULL")), read)

    def _found(self, properties: Sql, part: str, name: str, bind: Callable[[object], Sql]) -> tuple[Sql, Sql]:
        """A property's JSON, and the name of a float that JSON has not."""
        float_path = '"$float"'
        if name.startswith("-") or any(char < " " for char in name):
            # MariaDB's paths do not find names that begin so, nor those that JSON escapes (seen on 10.11).
            keys = self.ordered(func.json_keys(properties, spelled(f"$.{part}")))
            sought = self.ordered(bind("".join(f"|{c}" if c in "%_|" else c for c in name)))
            at = func.json_unquote(func.json_search(keys, spelled("one"), sought, spelled("|")))
            one: Sql = func.json_extract(func.json_extract(properties, spelled(f"$.{part}.*")), at)
            return one, func.json_value(one, spelled(f"$.{float_path}"))
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        path = f'$.{part}."{escaped}"'
        say = spelled if PLAIN_NAME.fullmatch(name) else bind
        return func.json_extract(properties, say(path)), func.json_value(
            properties, say(f"{path}.{float_path}")
        )

    def kept(self, properties: Sql, key: str) -> Sql:
        found = func.json_extract(properties, spelled(f"$.t.{key}"))
        return self.ordered(func.json_unquote(found, type_=String()))

    def ordered(self, value: Sql) -> Sql:
        return value.collate(self._collation)

    def as_double(self, value: Sql) -> Sql:
        # CAST(… AS DOUBLE) is younger than some systems, and adding a double makes one.
        return value.op("+", return_type=Double())(literal_column("0e0"))

    def lower(self, value: Sql) -> Sql:
        return self._letters(func.lower, value)

    def upper(self, value: Sql) -> Sql:
        return self._letters(func.upper, value)

    def _letters(self, change: Callable[[Sql], Sql], value: Sql) -> Sql:
        # Georgian has no capitals: read as that alphabet of one byte a letter, only A to Z have two cases.
        def using(text: Sql, name: str) -> Sql:
            return func.convert(text.op("USING", return_type=String())(literal_column(name)))

        changed = change(using(cast(value, LargeBinary), "geostd8"))
        return self.ordered(using(cast(changed, LargeBinary), "utf8mb4"))

    def thousandth(self, value: Sql) -> Sql:
        return value.op("DIV", return_type=BigInteger())(literal_column("1000"))

    def steps(self, path: Sql, fresh: Name) -> Sql:
        name = fresh()
        # JSON_TABLE refuses text that is no JSON.
        given = func.nullif(path, spelled(""))
        steps = (
            func.json_table(
                given.op(",")(
                    literal_column("'$[*]' COLUMNS (i FOR ORDINALITY, v TEXT CHARACTER SET utf8mb4 PATH '$')")
                )
            )
            .table_valued("i", "v")
            .alias(name)
        )
        parts = steps.c.v.op("ORDER BY")(literal_column(f"{name}.i SEPARATOR '/'"))
        joined = select(func.group_concat(parts)).correlate_except(steps)
        # Text of our own is in the connection's collation.
        return func.coalesce(joined.scalar_subquery(), self.ordered(spelled("")))


def spelling_of(json: str, dialect: str) -> Spelling:
    """How a system spells.

    Args:
        json: Whose JSON functions it has, see `whence.database.Abilities`.
        dialect: Its name in SQLAlchemy.

    Raises:
        UnsupportedError: Nobody has written that down yet.
    """
    match json:
        case "sqlite":
            return SqliteSpelling()
        case "postgresql":
            return PostgresSpelling()
        case "mysql":
            return MysqlSpelling("utf8mb4_0900_bin" if dialect == "mysql" else "utf8mb4_nopad_bin")
    raise UnsupportedError(
        f"filters are not compiled for {dialect} yet", hint="SQLite and PostgreSQL have them"
    )


def shown(spelling: Spelling, node: FromClause, column: Literal["name", "external_id"]) -> Sql:
    """A name as it is shown: of a tombstone the one it had, which is free for others."""
    was = spelling.kept(node.c.properties, {"name": "n", "external_id": "x"}[column])
    return case((node.c.removed_us.is_not(None), was), else_=node.c[column])


def spelled(text: str) -> Sql:
    """A word of ours as it stands in SQL; nothing a caller wrote but names of letters and digits."""
    assert "'" not in text
    assert "\\" not in text
    return literal_column(f"'{text}'", String())


def number(value: int) -> Sql:
    """A number of ours as it stands in SQL."""
    return literal_column(str(value), Integer())


def _is_filled(condition: Sql) -> Sql:
    # Never unknown, and a condition in every system's eyes.
    return case((condition, literal_column("1")), else_=literal_column("0")) == literal_column("1")
