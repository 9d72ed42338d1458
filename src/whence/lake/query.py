"""SQL over tables, at the versions the text names.

::

    FROM flights VERSION AS OF 11        FROM flights AT (VERSION => 11)
    FROM flights TIMESTAMP AS OF '2013-07-01T00:00:00Z'

The text is parsed; every table in it is replaced by a relation over the files of the version it means. Names
of common table expressions and of given relations come first, then views, tables, and tables of upper rooms.
A time without a zone is UTC, as everywhere in the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from whence._base.arrow import to_arrow
from whence.compute.base import Engine, Files, Relation
from whence.errors import NotFoundError, UsageError
from whence.lake.base import TableProvider
from whence.lake.conditions import first_line
from whence.lake.core import Core
from whence.lake.table import Table, read_moment
from whence.lake.types import check_name
from whence.lake.version import TableVersion

When: TypeAlias = "int | datetime | None"

METADATA_KEY: Final = b"whence"
_TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest"})
_TRAVEL: Final = re.compile(
    r"\b(version|timestamp)\s+as\s+of\b|\bat\s*\(\s*(version|timestamp)\b", re.IGNORECASE
)
_AT: Final = re.compile(r"([A-Za-z_][\w.]*)\s*@\s*(\d+)")
_FROM_AT: Final = re.compile(rf"\b(?:from|join)\s+{_AT.pattern}", re.IGNORECASE)
# What could reach outside of the lake in a text that was not understood.
_OUTSIDE: Final = re.compile(
    r"\b(read_\w+|\w+_scan|glob|sniff_csv|parquet_\w+|query|query_table)\s*\(|\bfrom\s+'|\bjoin\s+'",
    re.IGNORECASE,
)
# What the engine also takes in the place of a SELECT.
_STATEMENTS: Final = (exp.Command, exp.DDL, exp.DML, exp.Show, exp.Summarize)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Views(Protocol):
    """How a query finds the views it names."""

    def definition(self, name: str, version: int | None, /) -> tuple[str, Mapping[str, int]] | None:
        """The SQL of a view and the versions it is pinned to; None when there is no such view."""
        ...

    def names(self) -> list[str]:
        """All views."""
        ...


@dataclass(slots=True)
class Prepared:
    """A query that is ready to run.

    Attributes:
        sql: The text for the engine.
        relations: What its tables are.
        sources: The table versions it reads, by table.
        views: The views it went through.
        lineage: ``query`` when the text was understood, ``tables`` when only names in it were found.
    """

    sql: str
    relations: dict[str, Relation] = field(default_factory=dict)
    sources: dict[str, list[int]] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)
    lineage: Literal["query", "tables"] = "query"
    provided: dict[str, tuple[TableProvider, str, datetime | None]] = field(default_factory=dict)
    """Tables of upper rooms that are still to be read: who has it, its name there, and as of when."""


def run_query(
    core: Core,
    views: Views,
    query: str,
    *,
    relations: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
) -> pa.Table:
    """The rows of a query; its schema's metadata names the versions it read.

    Raises:
        UsageError: ``not-a-query``, ``bad-sql``, ``unparsable-query``, ``sql-function``, ``bad-version``,
            ``no-versions``, ``view-cycle``.
        NotFoundError: A table or version is absent.
    """
    prepared = prepare(core, views, query, relations or {})
    rows = core.engine.query(prepared.sql, prepared.relations, parameters=parameters)
    said = {"sources": prepared.sources, "views": prepared.views, "lineage": prepared.lineage}
    return rows.replace_schema_metadata({METADATA_KEY: json.dumps(said, sort_keys=True).encode()})


def stream_query(
    core: Core, views: Views, query: str, *, relations: Mapping[str, object] | None = None
) -> pa.RecordBatchReader:
    """The rows of a query in batches, without holding all of them; raises as `run_query` does."""
    prepared = prepare(core, views, query, relations or {})
    return core.engine.stream(prepared.sql, prepared.relations)


def prepare(core: Core, views: Views, query: str, given: Mapping[str, object]) -> Prepared:
    """Resolve every table of a query; inside a recording the versions become its inputs."""
    preparing = _Preparing(core, views, given)
    try:
        statements = [s for s in sqlglot.parse(query, dialect=core.engine.dialect) if s is not None]
    except SqlglotError as error:
        return preparing.by_names(query, error)
    tree = _one_query(statements)
    preparing.replace_tables(tree)
    preparing.add_views(tree)
    preparing.read_provided()
    preparing.prepared.sql = tree.sql(dialect=core.engine.dialect)
    return preparing.prepared


def table_names(query: str, *, dialect: str) -> list[str]:
    """The tables a query names, without its common table expressions.

    Example:
        >>> table_names("WITH a AS (SELECT * FROM train.late) SELECT * FROM a JOIN b USING (k)", dialect="duckdb")
        ['b', 'train.late']
    """
    return _names_of(_parsed(query, dialect))


def closed_query(query: str, relations: Collection[str], *, dialect: str) -> str:
    """The text of a query as it was understood, when it reads nothing but these relations.

    What is run is this text and not the one that was given, so that no other reader understands more.

    Raises:
        UsageError: ``not-a-query``, ``unparsable-query``, ``sql-function``.
        NotFoundError: It names another table.

    Example:
        >>> closed_query("FROM rows WHERE x>1 -- all", ["rows"], dialect="duckdb")
        'SELECT * FROM rows WHERE x > 1 /* all */'
        >>> closed_query("FROM 'x.csv'", ["rows"], dialect="duckdb")
        Traceback (most recent call last):
        ...
        whence.errors.NotFoundError: table 'x.csv' not found (table-not-found)...
    """
    tree = _parsed(query, dialect)
    _check_reads(tree)
    for name in _names_of(tree):
        if name not in relations:
            raise NotFoundError("table", name, near=relations)
    return tree.sql(dialect=dialect)


def _parsed(query: str, dialect: str) -> exp.Query:
    try:
        return _one_query([s for s in sqlglot.parse(query, dialect=dialect) if s is not None])
    except (SqlglotError, RecursionError) as error:
        raise UsageError(
            f"the query cannot be parsed: {first_line(error)}", code="unparsable-query"
        ) from error


def _names_of(tree: exp.Query) -> list[str]:
    return sorted({_name(node) for node in tree.find_all(exp.Table) if _is_name(node) and not _is_cte(node)})


def _one_query(statements: list[exp.Expr]) -> exp.Query:
    if len(statements) == 1 and isinstance(statements[0], exp.Query):
        return statements[0]
    kinds = ", ".join(s.key.upper() for s in statements) or "nothing"
    raise UsageError(
        f"one SELECT is wanted, got {kinds}",
        code="not-a-query",
        hint="write with append, overwrite, merge, delete",
    )


class _Preparing:
    """One query on its way."""

    def __init__(
        self, core: Core, views: Views, given: Mapping[str, object], *, path: tuple[str, ...] = ()
    ) -> None:
        self._core = core
        self._views = views
        self._given = given
        self._path = path
        self._pins: Mapping[str, int] = {}
        self._bodies: dict[str, exp.Query] = {}
        self.prepared = Prepared("")

    def replace_tables(self, tree: exp.Query) -> None:
        """Put what it means in the place of every table."""
        _check_reads(tree)
        replaced: dict[str, str] = {}
        for node in list(tree.find_all(exp.Table)):
            if _is_name(node) and not _is_cte(node):
                name = _name(node)
                _check_alias(node, name)
                target = self._resolve(name, _when(node))
                last = node.parts[-1].name
                replaced[name] = last
                _point(node, target, last)
        for column in tree.find_all(exp.Column):
            # train.late.x is the column x of what is now called late
            qualifier = ".".join(part.name for part in column.parts[:-1])
            if qualifier in replaced and column.args.get("db") is not None:
                column.set("catalog", None)
                column.set("db", None)
                column.set("table", exp.to_identifier(replaced[qualifier]))

    def add_views(self, tree: exp.Query) -> None:
        """The bodies of views become common table expressions in front of the query's own."""
        if not self._bodies:
            return
        bodies = [
            exp.CTE(this=body, alias=exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
            for name, body in self._bodies.items()
        ]
        own = tree.args.get("with_")
        if own is None:
            tree.set("with_", exp.With(expressions=bodies))
        else:
            own.set("expressions", bodies + own.expressions)

    def by_names(self, query: str, error: SqlglotError) -> Prepared:
        """A text that was not understood: every table whose name occurs in it is given to the engine."""
        at = _FROM_AT.search(query)
        if at is not None and at[1].lower() in self._core.backend.list():
            name, version = at.groups()
            raise UsageError(
                f"{name}@{version} names no version in SQL", code="bad-version", hint=_as_of(name, version)
            ) from error
        if _TRAVEL.search(query) or _OUTSIDE.search(query) or self._path:
            raise UsageError(
                f"the query cannot be parsed: {first_line(error)}",
                code="unparsable-query",
                hint="time travel and functions of files need a text that can be parsed",
            ) from error
        words = {w.lower() for w in _WORD.findall(query)}
        for name, value in self._given.items():
            self.prepared.relations[name] = self._relation_of(value)
        for name in self._core.backend.list():
            if name in words and name not in self._given:
                self.prepared.relations[name] = self._read(Table(self._core, name).head())
        _check_reach(self._core.engine, query, self.prepared.relations)
        self.prepared.sql, self.prepared.lineage = query, "tables"
        return self.prepared

    def _resolve(self, name: str, when: When) -> str:
        """What a name means: registers it, and returns what it is registered as."""
        if name in self._given:
            if when is not None:
                raise UsageError(f"{name!r} is a given relation, it has no versions", code="no-versions")
            self.prepared.relations[name] = self._relation_of(self._given[name])
            return name
        if when is None and name in self._pins:
            when = self._pins[name]
        found = self._view(name, when) or self._table(name, when) or self._provided(name, when)
        if found is None:
            near = {*self._core.backend.list(), *self._views.names(), *self._given}
            near |= {n for provider in self._core.providers for n in provider.names()}
            travels = _AT.fullmatch(name)
            hint = _as_of(*travels.groups()) if travels else "whence table list shows all tables"
            raise NotFoundError("table", name, near=near, hint=hint)
        return found

    def _view(self, name: str, when: When) -> str | None:
        if isinstance(when, datetime):
            return None
        found = self._views.definition(name, when)
        if found is None:
            return None
        sql, pins = found
        label = name if when is None else f"{name}@{when}"
        target = f"view:{label}"
        if name in self._path:
            raise UsageError(
                f"view {name!r} is made of itself: {' → '.join((*self._path, name))}", code="view-cycle"
            )
        if target not in self._bodies:
            self._add_body(target, name, sql, pins)
            self.prepared.views.append(label)
        return target

    def _add_body(self, target: str, name: str, sql: str, pins: Mapping[str, int]) -> None:
        inner = _Preparing(self._core, self._views, {}, path=(*self._path, name))
        inner._pins = pins or self._pins
        inner.prepared = self.prepared
        inner._bodies = self._bodies
        body = _one_query([s for s in sqlglot.parse(sql, dialect=self._core.engine.dialect) if s is not None])
        inner.replace_tables(body)
        self._bodies[target] = body

    def _table(self, name: str, when: When) -> str | None:
        try:
            check_name(name)
        except UsageError:
            return None
        table = Table(self._core, name)
        if not table.exists:
            return None
        version = table.head() if when is None else table.at(when)
        target = version.name
        if target not in self.prepared.relations:
            self.prepared.relations[target] = self._read(version)
        return target

    def _provided(self, name: str, when: When) -> str | None:
        for provider in self._core.providers:
            if name not in provider.names():
                continue
            if when is not None and not (isinstance(when, datetime) and provider.keeps_moments):
                hint = "write TIMESTAMP AS OF" if provider.keeps_moments else None
                raise UsageError(f"table {name!r} keeps no versions", code="no-versions", hint=hint)
            target = name if when is None else f"{name}@{when.isoformat()}"
            self.prepared.provided[target] = provider, name, when
            return target
        return None

    def read_provided(self) -> None:
        """Read the tables of upper rooms: those of one provider all at one moment, so that they fit each other."""
        provided = self.prepared.provided
        for one in {id(provider): provider for provider, _, _ in provided.values()}.values():
            wanted = {target: (name, when) for target, (by, name, when) in provided.items() if by is one}
            self.prepared.relations.update(zip(wanted, one.tables(list(wanted.values())), strict=True))

    def _relation_of(self, value: object) -> Relation:
        if isinstance(value, Table):
            value = value.head()
        if isinstance(value, TableVersion):
            return self._read(value)
        if isinstance(value, pa.Table | pa.RecordBatchReader | Files):
            return value
        return to_arrow(value)

    def _read(self, version: TableVersion) -> Relation:
        seen = self.prepared.sources.setdefault(version.table, [])
        if version.version not in seen:
            seen.append(version.version)
        return version.files()


# --- the tree -------------------------------------------------------------------------------------


def _is_name(node: exp.Table) -> bool:
    return isinstance(node.this, exp.Identifier)


def _name(node: exp.Table) -> str:
    """The name as written; without quotes, case does not count."""
    return ".".join(p.name if p.args.get("quoted") else p.name.lower() for p in node.parts)


def _check_alias(node: exp.Table, name: str) -> None:
    """Refuse ``flights@11``: the engine reads the newest version under the name ``$11``."""
    alias = node.args.get("alias")
    if alias is not None and isinstance(alias.this, exp.Placeholder):
        said = alias.this.name
        raise UsageError(
            f"{name}@{said} names no version in SQL", code="bad-version", hint=_as_of(name, said)
        )


def _as_of(name: str, version: str) -> str:
    return f"write {name} VERSION AS OF {version}"


def _check_reads(tree: exp.Query) -> None:
    """Refuse whatever reads and is no name of a table: functions of files, ``SUMMARIZE 'x.csv'``."""
    for node in tree.walk():
        if isinstance(node, _STATEMENTS):
            raise UsageError(
                f"a query holds {node.key.upper()}, want SELECT and nothing else",
                code="not-a-query",
                hint="SELECT from the tables by name",
            )
        if isinstance(node, exp.Table | exp.Lateral) and isinstance(node.this, exp.Func):
            _check_function(node.this)


def _check_function(function: exp.Func) -> None:
    name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
    if isinstance(function, exp.GenerateSeries | exp.Unnest) or name.lower() in _TABLE_FUNCTIONS:
        return
    raise UsageError(
        f"function {name.lower()!r} reads from outside of the lake",
        code="sql-function",
        hint="append the file to a table, or pass it in relations={...}",
    )


def _check_reach(engine: Engine, query: str, relations: Mapping[str, Relation]) -> None:
    """Refuse a text in which the engine, asked for its own tree, sees more than relations."""
    answer = engine.query("SELECT json_serialize_sql($query) AS tree", {}, parameters={"query": query})
    tree = json.loads(answer["tree"][0].as_py())
    if tree["error"] and (tree["error_type"] == "parser" or "Only SELECT" in tree["error_message"]):
        return  # the engine refuses to run it, in its own words
    known, seen, todo = {name.lower() for name in relations}, [], [tree]
    while todo:
        node = todo.pop()
        todo += [n for n in (node.values() if isinstance(node, dict) else node) if isinstance(n, dict | list)]
        if isinstance(node, dict):
            keys = [entry["key"] for entry in node.get("cte_map", {}).get("map", ())]
            known |= {key.lower() for key in keys if _WORD.fullmatch(key)}
            if node.get("type") == "BASE_TABLE":
                parts = (node["catalog_name"], node["schema_name"], node["table_name"])
                seen.append(".".join(filter(None, parts)))
            elif node.get("type") == "TABLE_FUNCTION":
                known |= _TABLE_FUNCTIONS
                seen.append(node["function"]["function_name"])
    outside = [name for name in seen if name.lower() not in known]
    if outside or tree["error"]:
        what = ", ".join(map(repr, outside)) or "what it reads"
        raise UsageError(
            f"the query cannot be parsed, and {what} is no table of the lake",
            code="unparsable-query",
            hint="append the file to a table, or pass it in relations={...}",
        )


def _is_cte(node: exp.Table) -> bool:
    """Whether a name means a common table expression where it stands.

    An expression is visible in the query it belongs to and in the later ones of its WITH; in itself only
    when the WITH is recursive: in ``WITH flights AS (SELECT * FROM flights)`` the inner one is the table.
    """
    if len(node.parts) > 1:
        return False
    name = node.name.lower()
    inner: exp.Expr | None = None
    child: exp.Expr = node
    parent = node.parent
    while parent is not None:
        with_ = parent.args.get("with_")
        if with_ is not None:
            visible = list(with_.expressions)
            if child is with_ and not with_.args.get("recursive"):
                visible = visible[: next(i for i, cte in enumerate(visible) if cte is inner)]
            if any(cte.alias.lower() == name for cte in visible):
                return True
        inner, child, parent = child, parent, parent.parent
    return False


def _point(node: exp.Table, target: str, last: str) -> None:
    if not node.alias:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(last, quoted=True)))
    node.set("this", exp.to_identifier(target, quoted=True))
    for part in ("db", "catalog", "version", "when"):
        node.set(part, None)


def _when(node: exp.Table) -> When:
    """The version or moment a table is asked for."""
    version, history = node.args.get("version"), node.args.get("when")
    if version is not None:
        if str(version.args.get("kind", "")).upper() != "AS OF":
            raise _bad_version(node)
        return _point_in_time(node, str(version.this), version.expression)
    if history is not None:
        if str(history.this).upper() != "AT":
            raise _bad_version(node)
        return _point_in_time(node, str(history.args.get("kind")), history.expression)
    return None


def _point_in_time(node: exp.Table, kind: str, said: exp.Expr) -> When:
    while isinstance(said, exp.Cast | exp.Paren):
        said = said.this
    if not isinstance(said, exp.Literal):
        raise _bad_version(node)
    readers: dict[str, Callable[[str], int | datetime]] = {"VERSION": int, "TIMESTAMP": _moment}
    try:
        return readers[kind.upper()](said.this)
    except (KeyError, OverflowError, ValueError) as error:
        raise _bad_version(node) from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return read_moment(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _bad_version(node: exp.Table) -> UsageError:
    return UsageError(
        f"the version of table {_name(node)!r} is not a plain number or time",
        code="bad-version",
        hint="write VERSION AS OF 11, AT (VERSION => 11) or TIMESTAMP AS OF '2013-07-01T00:00:00Z'",
    )
