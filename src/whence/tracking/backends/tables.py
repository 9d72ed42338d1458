"""The tables of the metric store, and the steps that made them.

Runs and keys have short integer ids, so that a million metrics take little room. SQLite keeps NaN as
NULL; so does every system here: a NULL value is NaN, the infinities are themselves.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from whence.database import Component, Migration

_META: Final = MetaData()
_ID: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER by itself

RUN: Final = Table(
    "tracking_run",
    _META,
    Column("id", _ID, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("type", String(250), nullable=False),
    Column("name", Text),
    Column("experiment", Text),
    Column("state", String(16), nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column(
        "n_logged",
        BigInteger,
        nullable=False,
        default=0,
        comment="numbers the metrics in the order of logging",
    ),
)
Index("tracking_run_by_start", RUN.c.started_us, RUN.c.uid)
Index("tracking_run_open", RUN.c.is_open)

KEY: Final = Table(
    "tracking_key",
    _META,
    Column("id", _ID, primary_key=True),
    Column("key", String(250), nullable=False, unique=True),
)


def _of_run() -> list[Column[int]]:
    return [
        Column("run", _ID, ForeignKey(RUN.c.id), primary_key=True),
        Column("key", _ID, ForeignKey(KEY.c.id), primary_key=True),
    ]


METRIC: Final = Table(
    "tracking_metric",
    _META,
    *_of_run(),
    Column("step", BigInteger, primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("value", Float(53)),
    sqlite_with_rowid=False,
)
LATEST: Final = Table(
    "tracking_latest",
    _META,
    *_of_run(),
    Column("step", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("value", Float(53)),
    sqlite_with_rowid=False,
)
Index("tracking_latest_by_value", LATEST.c.key, LATEST.c.value)

PARAM: Final = Table(
    "tracking_param",
    _META,
    *_of_run(),
    Column("text", Text, nullable=False),
    Column("is_text", Boolean, nullable=False, comment="else the text is JSON"),
    Column("number", Float(53)),
    sqlite_with_rowid=False,
)
TAG: Final = Table(
    "tracking_tag", _META, *_of_run(), Column("text", Text, nullable=False), sqlite_with_rowid=False
)


def _make_tables(connection: Connection) -> None:
    _META.create_all(connection)


TRACKING: Final = Component("tracking", (Migration(1, "runs, metrics, params, tags", _make_tables),))
