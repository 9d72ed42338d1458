"""The port of an engine: SQL over named relations, rows out as Arrow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

import pyarrow as pa

from whence.errors import WhenceError


@dataclass(frozen=True, slots=True)
class Files:
    """The Parquet files of one table version, read as one relation.

    Columns are matched by name; a declared column that a file does not have is null there, a column
    that is not declared is left out.

    Attributes:
        paths: Absolute paths or URIs, in the order in which an ordered read gives them.
        schema: The declared columns, in order; the relation has exactly these.
        partition_columns: Columns whose values stand in the paths (``name=value/``), not in the files.
    """

    paths: tuple[str, ...]
    schema: pa.Schema
    partition_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Streamed:
    """Rows that come in batches whenever a query reads them: nobody holds all of them.

    Attributes:
        schema: The columns.
        batches: Reads the rows; each call reads them anew.
        failures: What reading them raised, for the engine to raise again: an Arrow stream passes only its text.

    Example:
        >>> two = pa.record_batch({"a": [1, 2]})
        >>> Streamed(two.schema, lambda: iter([two, two])).reader().read_all().num_rows
        4
    """

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    failures: list[WhenceError] = field(default_factory=list, init=False, repr=False, compare=False)

    def reader(self) -> pa.RecordBatchReader:
        """The rows as one reader."""
        return pa.RecordBatchReader.from_batches(self.schema, self._noted())

    def _noted(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self.batches()
        except WhenceError as error:
            self.failures.append(error)
            raise

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        # Any: a capsule of Arrow's C interface has no type
        return self.reader().__arrow_c_stream__(requested_schema)


State = TypeVar("State")
Relation: TypeAlias = "pa.Table | pa.RecordBatchReader | Files | Streamed"


class Engine(ABC):
    """Runs SQL. An engine holds no data of its own; calls may come from several threads.

    Attributes:
        name: What the engine calls itself, for messages.
        dialect: Its dialect of SQL, in the words of sqlglot.
    """

    name: ClassVar[str]
    dialect: ClassVar[str]

    @abstractmethod
    def query(
        self, sql: str, relations: Mapping[str, Relation], *, parameters: Mapping[str, object] | None = None
    ) -> pa.Table:
        """The rows of one query. Their order is defined only by ORDER BY.

        Args:
            sql: One SELECT in the engine's dialect.
            relations: What the tables of the query are: exactly these names, quoted where they need it.
            parameters: Values for ``$name`` in the query.

        Raises:
            UsageError: The text is not one query (``not-a-query``), or does not fit the relations or
                their values (``bad-sql``).
            NotFoundError: A file of a relation is gone (``file-not-found``).
            IntegrityError: A file cannot be read as Parquet (``file-corrupted``).
            BackendError: The engine failed (``engine-failed``, ``out-of-memory``).
        """

    @abstractmethod
    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, batch_rows: int = 65_536
    ) -> pa.RecordBatchReader:
        """The rows of one query in batches, without holding all of them; raises as `query` does."""

    def fold(
        self,
        sql: str,
        relations: Mapping[str, Relation],
        part: Callable[[pa.RecordBatchReader], State],
        merge: Callable[[State, State], State],
        *,
        batch_rows: int = 65_536,
    ) -> State:
        """The rows of one query folded into a state, where the rows are.

        The engine cuts the rows into parts as it likes (one, if it has one place for them), makes a state
        of each, and merges the states: so statistics and profiles are the same code on every engine, and
        no engine brings all rows to one place. The states of parts merge in any order; `part` is also
        called for no rows, so that there is always a state.

        Args:
            sql: One SELECT in the engine's dialect: projection, filters, joins, conversions.
            relations: What the tables of the query are.
            part: A state from the rows of a part. An engine of several machines sends it to them: it and
                its result can be pickled.
            merge: The state of two parts.
            batch_rows: About how many rows a batch has.

        Raises:
            UsageError: As `query`; what `part` and `merge` raise passes.
        """
        del merge  # this engine has one part
        return part(self.stream(sql, relations, batch_rows=batch_rows))

    @abstractmethod
    def scan(
        self, relation: Relation, *, columns: Sequence[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """The rows of one relation in its own order: that of the paths, then of the rows in each file.

        Args:
            relation: What to read.
            columns: Which columns, in this order; None is all.
            where: A condition in the engine's dialect; rows for which it is not true are left out.

        Raises:
            NotFoundError: A column is absent (``column-not-found``); else as `query`.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the engine holds; it is not used afterwards."""
