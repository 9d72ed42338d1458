"""One request and its answer; and a model version with the columns it is asked with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import conform
from whence.errors import UsageError
from whence.features import AnyView
from whence.registry import ModelVersion, require_signature
from whence.serving.answers import EXACT, Facts, encode, signature_schema
from whence.serving.scorer import Scorer, matrix

_QUICK: Final = {"double": "FP64", "int64": "INT64"}
_ID: Final = re.compile(r"[!-~]{1,200}")
_NO_STATUSES: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Looked:
    """Features that were looked up by keys.

    Attributes:
        table: One row a key, in order, with the features as columns.
        statuses: Feature → status of each row, for features that are not there in every row.
        definitions: View → definition digest.
        sources: Table → version the features were read from; ``table#view`` → that of a view read at a later one.
    """

    table: pa.Table
    statuses: Mapping[str, Sequence[str]] = field(default_factory=lambda: _NO_STATUSES)
    definitions: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)


Lookup: TypeAlias = Callable[[pa.Table, Sequence[AnyView], datetime], Looked]
"""Gives the features of keys at a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A request: rows for one model version.

    Attributes:
        line: The model version that answers.
        n_rows: How many rows.
        id: The request's name, when the caller gave one.
        matrix: The inputs as float64, in the model's order, NaN for null.
        table: The inputs, when a float64 cannot hold them.
        keys: What features are looked up by, when the inputs are not given.
        is_pinned: Whether the caller named the version, and takes no other's answer.
        marks: Why rows do not pass the deployment's schema, None where they do; empty when all do.
        filled: Columns, and how many of their missing values were given a default.
    """

    line: Line
    n_rows: int
    id: str | None = None
    matrix: npt.NDArray[np.float64] | None = None
    table: pa.Table | None = None
    keys: pa.Table | None = None
    is_pinned: bool = False
    marks: Sequence[str | None] = ()
    filled: Mapping[str, int] = field(default_factory=lambda: _NOTHING)

    @property
    def kind(self) -> str:
        """``matrix``, ``table`` or ``keys``."""
        return "matrix" if self.matrix is not None else "table" if self.table is not None else "keys"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered.

    Attributes:
        id: The request: as given, or made.
        scores: One a row.
        model: ``late@3``.
        version: 3.
        moment: When it was answered; features were taken at this moment.
        into: The predictions table; its key is (`id`, row).
        repeated: The id had been answered before; this is what was stored then.
        statuses: Of looked-up features that are not there in every row: feature → status of each row.
        marks: Why rows do not pass the deployment's schema, None where they do; empty when all do. A
            repeated answer has none.
    """

    id: str
    scores: Sequence[float]
    model: str
    version: int
    moment: datetime
    into: str
    repeated: bool = False
    statuses: Mapping[str, Sequence[str]] = field(default_factory=lambda: _NO_STATUSES)
    marks: Sequence[str | None] = ()

    @property
    def refs(self) -> list[str]:
        """The predictions: ``prediction:late_scores_requests/<id>-<row>``."""
        return [f"prediction:{self.into}/{self.id}-{row}" for row in range(len(self.scores))]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A model version, loaded, with the columns a request must bring.

    Attributes:
        version: Which.
        scorer: What answers.
        columns: Name and type of its inputs, in its order.
        facts: What its answers share when the features come with the request.
        keys: The columns of a request by keys.
        encoded: `facts` as the log has them.
        quick: Name and datatype of each column, when all are FP64 or INT64; else empty.
        whole: Which of them are INT64.
    """

    version: ModelVersion
    scorer: Scorer
    columns: tuple[tuple[str, str], ...]
    facts: Facts
    keys: pa.Schema
    encoded: bytes = field(init=False)
    quick: tuple[tuple[str, str], ...] = field(init=False)
    whole: list[int] = field(init=False)

    def __post_init__(self) -> None:
        plain = all(kind in _QUICK for _, kind in self.columns)
        put = object.__setattr__
        put(self, "encoded", encode(self.facts))
        put(self, "quick", tuple((name, _QUICK[kind]) for name, kind in self.columns) if plain else ())
        put(self, "whole", [i for i, (_, kind) in enumerate(self.columns) if kind == "int64"])

    @property
    def is_numeric(self) -> bool:
        """Whether all its inputs are numbers or booleans."""
        return all(kind != "string" for _, kind in self.columns)

    def ask_matrix(self, values: npt.NDArray[np.float64], *, id: str | None = None) -> Ask:  # noqa: A002
        """A request from a ready matrix, columns in the model's order, NaN for null."""
        check_request_id(id)
        _check_rows(len(values))
        return Ask(self, len(values), id, matrix=values)

    def ask_table(self, table: pa.Table, *, id: str | None = None) -> Ask:  # noqa: A002
        """A request from rows with the model's columns.

        Raises:
            UsageError: Columns are missing, too many or of another type (``signature-mismatch``);
                ``bad-request-id``, ``no-rows``.
        """
        check_request_id(id)
        signature = self.version.signature
        assert signature is not None
        require_signature(signature, table.schema, what=self.version.ref)
        _check_rows(table.num_rows)
        table = table.select([name for name, _ in self.columns]).cast(signature_schema(self.columns))
        if self.is_numeric and _fits_floats(table):
            return Ask(self, table.num_rows, id, matrix=matrix(table))
        return Ask(self, table.num_rows, id, table=table.combine_chunks())

    def ask_keys(self, table: pa.Table, *, id: str | None = None) -> Ask:  # noqa: A002
        """A request whose features are looked up.

        Raises:
            UsageError: The key columns are others (``schema-mismatch``); ``bad-request-id``, ``no-rows``,
                ``no-lookup`` when nothing says how features are looked up.
        """
        check_request_id(id)
        if not self.keys.names:
            raise UsageError(
                f"deployment {self.facts.deployment!r} has no feature views to look up",
                code="no-lookup",
                hint="give the model's columns: " + ", ".join(name for name, _ in self.columns),
            )
        _check_rows(table.num_rows)
        fitted = conform(table, self.keys, what="the keys of the request")
        return Ask(self, table.num_rows, id, keys=fitted.combine_chunks())


def check_request_id(id_: str | None) -> str | None:
    """The id a caller gave, if it can name rows.

    Raises:
        UsageError: It cannot (``bad-request-id``).

    Example:
        >>> check_request_id("order-17")
        'order-17'
    """
    if id_ is None or _ID.fullmatch(id_):
        return id_
    raise UsageError(
        f"{id_[:40]!r} is no id for a request",
        code="bad-request-id",
        hint="1 to 200 printable ASCII characters without spaces",
    )


def _check_rows(n: int) -> None:
    if n == 0:
        raise UsageError("a request of no rows has no answer", code="no-rows")


def _fits_floats(table: pa.Table) -> bool:
    """Whether float64 holds every value, and NaN can mean null."""
    for column in table.columns:
        if pa.types.is_floating(column.type):
            if pc.any(pc.is_nan(column)).as_py():
                return False
        elif column.type == pa.int64():
            ends = pc.min_max(column).as_py()
            if ends["min"] is not None and (ends["min"] < -EXACT or ends["max"] > EXACT):
                return False
    return True
