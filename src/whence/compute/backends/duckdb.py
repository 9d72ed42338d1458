"""DuckDB inside this process."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from whence._base.ids import new_uid
from whence.compute.base import Engine, Files, Relation, Streamed
from whence.compute.sql import quoted, text_literal
from whence.errors import BackendError, IntegrityError, NotFoundError, UsageError, WhenceError

_SCANNED: Final = "whence_scanned"
# How DuckDB says that bytes are not the Parquet they claim to be; it has no exception of its own for it.
_CORRUPT_SIGNS: Final = (
    "no magic bytes",
    "corrupt",
    "too small to be a parquet file",
    "footer",
    "thrift",
    "tprotocol",
    "decompress",
    "snappy",
    "zstd",
    "malformed",
    "out of buffer",
    "invalid encoding",
    "page header",
)


class DuckDBEngine(Engine):
    """An in-memory DuckDB; each call has a cursor of its own, so names never meet.

    Args:
        threads: How many threads; None is one per core.
        memory_limit: Such as ``"2GiB"``; None is DuckDB's default.
    """

    name = "duckdb"
    dialect = "duckdb"

    def __init__(self, *, threads: int | None = None, memory_limit: str | None = None) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {
            # else a Python variable that is called like a table shadows it
            "python_enable_replacements": "false",
            # nothing is fetched from a network
            "autoinstall_known_extensions": "false",
            "temp_directory": str(Path(tempfile.gettempdir()) / f"whence-duckdb-{new_uid()}"),
        }
        if threads is not None:
            config["threads"] = str(threads)
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        try:
            self._connection = duckdb.connect(":memory:", config=config)
            self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
            self._connection.execute("SET GLOBAL parquet_metadata_cache = true")
        except duckdb.Error as error:
            raise UsageError(f"DuckDB refuses a setting: {_first_line(error)}", code="bad-setting") from error

    def query(
        self, sql: str, relations: Mapping[str, Relation], *, parameters: Mapping[str, object] | None = None
    ) -> pa.Table:
        with self._cursor(relations) as cursor:
            _check_one_query(cursor, sql)
            return cursor.sql(sql, params=dict(parameters) if parameters else None).to_arrow_table()

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, batch_rows: int = 65_536
    ) -> pa.RecordBatchReader:
        with self._cursor(relations, keep=True) as cursor:
            _check_one_query(cursor, sql)
            reader = cursor.sql(sql).to_arrow_reader(batch_rows)
            return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, cursor, relations))

    def scan(
        self, relation: Relation, *, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pa.Table:
        names = list(relation.schema.names)
        for column in columns or ():
            if column not in names:
                raise NotFoundError("column", column, near=names)
        if isinstance(relation, pa.Table) and where is None:
            return relation if columns is None else relation.select(list(columns))
        # `preserve_insertion_order` is DuckDB's default: without ORDER BY the rows of a plain scan come
        # in the order of the file list and of the rows in each file, whatever the number of threads.
        chosen = ", ".join(quoted(c) for c in (names if columns is None else columns))
        condition = "" if where is None else f" WHERE ({where}\n)"
        return self.query(f"SELECT {chosen} FROM {_SCANNED}{condition}", {_SCANNED: relation})

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _cursor(
        self, relations: Mapping[str, Relation], *, keep: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        with _as_whence_errors(relations.values()):
            cursor = self._connection.cursor()
            try:
                for name, relation in relations.items():
                    _register(cursor, name, relation)
                yield cursor
            except BaseException:
                cursor.close()
                raise
            if not keep:
                cursor.close()


def _batches(
    reader: pa.RecordBatchReader, cursor: duckdb.DuckDBPyConnection, relations: Mapping[str, Relation]
) -> Iterator[pa.RecordBatch]:
    try:
        with _as_whence_errors(relations.values()):
            yield from reader
    finally:
        cursor.close()


def _check_one_query(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(s.type.name for s in statements) or "nothing"
        raise UsageError(f"one SELECT is wanted, got {kinds}", code="not-a-query")


# --- relations ----------------------------------------------------------------------------------


def _register(cursor: duckdb.DuckDBPyConnection, name: str, relation: Relation) -> None:
    if isinstance(relation, Files):
        cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS {files_query(relation)}")
        return
    if isinstance(relation, pa.RecordBatchReader):
        # a reader gives its rows once, a query may name it twice
        relation = relation.read_all()
    cursor.register(name, relation)


def files_query(files: Files) -> str:
    """The SELECT that reads `files` with exactly the declared columns and types.

    Example:
        >>> files_query(Files((), pa.schema({"a": pa.int32()})))
        'SELECT CAST("a" AS INTEGER) AS "a" FROM (SELECT CAST(NULL AS INTEGER) AS "a" WHERE false)'
    """
    types = {field.name: duckdb_type(field.type) for field in files.schema}
    chosen = ", ".join(f"CAST({quoted(n)} AS {t}) AS {quoted(n)}" for n, t in types.items())
    # The empty branch gives every declared column to files that none of them have.
    nothing = ", ".join(f"CAST(NULL AS {t}) AS {quoted(n)}" for n, t in types.items())
    source = f"SELECT {nothing} WHERE false"
    if files.paths:
        source = f"SELECT * FROM {_read_parquet(files, types)} UNION ALL BY NAME {source}"
    return f"SELECT {chosen} FROM ({source})"


def _read_parquet(files: Files, types: Mapping[str, str]) -> str:
    paths = ", ".join(text_literal(_PATTERN.sub(r"[\g<0>]", path)) for path in files.paths)
    partitions = files.partition_columns
    if not partitions:
        return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
    if "=" not in files.paths[0].rsplit("/", len(partitions) + 1)[0]:
        kinds = ", ".join(f"{text_literal(c)}: {types[c]}" for c in partitions)
        return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types = {{{kinds}}})"
    # The table itself lies in a folder with a name like a partition's, which DuckDB would take for a column.
    parts = (f"split_part({_FILE}, '/', {at})" for at in range(-len(partitions) - 1, -1))
    values = (f"url_decode(substr({part}, strpos({part}, '=') + 1))" for part in parts)
    named = ", ".join(
        f"nullif({value}, {_NO_VALUE}) AS {quoted(c)}" for c, value in zip(partitions, values, strict=True)
    )
    return (
        f"(SELECT * EXCLUDE ({_FILE}), {named} FROM read_parquet([{paths}], union_by_name = true, "
        f"hive_partitioning = false, filename = {text_literal(_FILE)}))"
    )


def duckdb_type(type_: pa.DataType) -> str:
    """DuckDB's name of an Arrow type.

    Example:
        >>> duckdb_type(pa.list_(pa.decimal128(10, 2)))
        'DECIMAL(10, 2)[]'
    """
    if type_ in _TYPES:
        return _TYPES[type_]
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_list(type_):
        return f"{duckdb_type(type_.value_type)}[]"
    if pa.types.is_struct(type_):
        fields = ", ".join(f"{quoted(f.name)} {duckdb_type(f.type)}" for f in type_)
        return f"STRUCT({fields})"
    raise UsageError(f"type {type_} has no name in DuckDB", code="unsupported-type")


_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


# --- errors -------------------------------------------------------------------------------------


#: What DuckDB takes for a pattern in the name of a file.
_PATTERN: Final = re.compile(r"[*?\[]")
#: A column that no table has.
_FILE: Final = "__whence_file"
#: How the folder of a partition says null.
_NO_VALUE: Final = "'__HIVE_DEFAULT_PARTITION__'"


@contextmanager
def _as_whence_errors(relations: Iterable[Relation]) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:  # a reader raises Arrow's, with DuckDB's text
        for relation in relations:
            if isinstance(relation, Streamed) and relation.failures:
                raise relation.failures.pop() from error
        raise _translated(error) from error


def _translated(error: Exception) -> WhenceError:
    text = _first_line(error)
    lowered = str(error).lower()
    if isinstance(error, duckdb.OutOfMemoryException) or lowered.startswith("out of memory"):
        return BackendError(
            f"DuckDB is out of memory: {text}",
            code="out-of-memory",
            hint="raise memory_limit or use fewer threads",
        )
    if "no files found" in lowered or "no such file" in lowered:
        return NotFoundError("file", _path_in(text), hint="was it vacuumed?")
    about_files = "parquet" in lowered or ".parquet" in lowered
    if about_files and any(sign in lowered for sign in _CORRUPT_SIGNS):
        return IntegrityError(f"a file cannot be read: {text}", code="file-corrupted")
    if isinstance(error, duckdb.ConnectionException) and "already closed" in lowered:
        return UsageError("the engine was closed with its workspace", code="closed", hint="open it again")
    if isinstance(error, duckdb.InterruptException | duckdb.FatalException | duckdb.InternalException):
        return BackendError(f"DuckDB failed: {text}", code="engine-failed")
    if isinstance(error, duckdb.IOException | duckdb.HTTPException | duckdb.ConnectionException):
        return BackendError(f"DuckDB failed: {text}", code="engine-failed", retryable=True)
    return UsageError(f"the query is refused: {text}", code="bad-sql", details={"engine": str(error)})


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()


def _path_in(text: str) -> str:
    parts = text.split('"')
    return parts[1] if len(parts) > 2 else text
