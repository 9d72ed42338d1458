"""The metric store in a database, beside the graph."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update

from whence.database import Database
from whence.tracking.backends.search import find_statement
from whence.tracking.backends.tables import COMPONENT, KEY, LATEST, METRIC, MIGRATIONS, PARAM, RUN, TAG
from whence.tracking.base import MetricStore, param_changed, unknown_run
from whence.tracking.filter import Condition, Order
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo, from_us, param_number, param_text, to_us

# Statements with a bound list are built once: SQLAlchemy compiles each shape once.
_OF_RUNS = "uids"


class SqlMetrics(MetricStore):
    """Metrics in the tables of component ``tracking``.

    Args:
        database: An open database; its tables are made or migrated.
        owned: Whether closing the store closes the database.
    """

    def __init__(self, database: Database, *, owned: bool = False) -> None:
        self._database = database
        self._owned = owned
        self._keys: dict[str, int] = {}
        self._lock = threading.Lock()
        database.migrate(COMPONENT, MIGRATIONS)

    # -- writing -------------------------------------------------------------------------------

    def put_run(self, info: RunInfo) -> None:
        values = _run_values(info)
        with self._database.transaction() as connection:
            known = connection.execute(update(RUN).where(RUN.c.uid == info.uid).values(values))
            if known.rowcount == 0:
                connection.execute(insert(RUN).values(uid=info.uid, n_logged=0, **values))

    def write(self, uid: str, batch: Batch) -> None:
        fresh: dict[str, int] = {}
        with self._database.transaction() as connection:
            # The update locks the run's row where several may write at once.
            connection.execute(
                update(RUN).where(RUN.c.uid == uid).values(n_logged=RUN.c.n_logged + len(batch.metrics))
            )
            row = connection.execute(select(RUN.c.id, RUN.c.n_logged).where(RUN.c.uid == uid)).one_or_none()
            if row is None:
                raise unknown_run(uid)
            wanted = [*(m.key for m in batch.metrics), *batch.params, *batch.tags]
            keys = self._key_ids(connection, wanted, fresh)
            self._write_params(connection, uid, row.id, keys, batch)
            _write_metrics(connection, row.id, row.n_logged - len(batch.metrics), keys, batch.metrics)
            _write_tags(connection, row.id, keys, batch)
        with self._lock:
            self._keys |= fresh  # known to all only now that they are committed

    def _key_ids(self, connection: Connection, keys: Iterable[str], fresh: dict[str, int]) -> dict[str, int]:
        with self._lock:
            ids = {key: self._keys[key] for key in keys if key in self._keys}
        missing = sorted(set(keys) - ids.keys())
        if missing:
            connection.execute(self._database.insert_new(KEY), [{"key": key} for key in missing])
            among = self._database.among(KEY.c.key, "keys")
            found = connection.execute(
                select(KEY.c.key, KEY.c.id).where(among), {"keys": self._database.pack(missing)}
            )
            fresh.update({row.key: row.id for row in found})
        return {**ids, **fresh}

    def _write_params(
        self, connection: Connection, uid: str, run: int, keys: dict[str, int], batch: Batch
    ) -> None:
        if not batch.params:
            return
        stored = connection.execute(
            select(PARAM.c.key, PARAM.c.text, PARAM.c.is_text).where(PARAM.c.run == run)
        )
        have = {row.key: _param(row) for row in stored}
        new = []
        for key, value in batch.params.items():
            if keys[key] not in have:
                new.append(_param_values(run, keys[key], value))
            elif param_text(have[keys[key]]) != param_text(value):
                raise param_changed(uid, key, have[keys[key]], value)
        if new:
            connection.execute(insert(PARAM), new)

    # -- reading -------------------------------------------------------------------------------

    def get_runs(self, uids: Sequence[str]) -> list[RunInfo]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(RUN).where(self._database.among(RUN.c.uid, _OF_RUNS)),
                {_OF_RUNS: self._database.pack(uids)},
            )
            found = {row.uid: _run_info(row) for row in rows}
        return [found[uid] for uid in uids if uid in found]

    def list_open(self) -> list[str]:
        with self._database.read() as connection:
            return list(connection.scalars(select(RUN.c.uid).where(RUN.c.is_open).order_by(RUN.c.uid)))

    def params(self, uids: Collection[str]) -> dict[str, dict[str, ParamValue]]:
        found: dict[str, dict[str, ParamValue]] = {uid: {} for uid in uids}
        for row in self._of_runs(select(RUN.c.uid, KEY.c.key, PARAM.c.text, PARAM.c.is_text), PARAM, uids):
            found[row.uid][row.key] = _param(row)
        return found

    def tags(self, uids: Collection[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {uid: {} for uid in uids}
        for row in self._of_runs(select(RUN.c.uid, KEY.c.key, TAG.c.text), TAG, uids):
            found[row.uid][row.key] = row.text
        return found

    def latest(self, uids: Collection[str]) -> dict[str, dict[str, Metric]]:
        found: dict[str, dict[str, Metric]] = {uid: {} for uid in uids}
        columns = select(RUN.c.uid, KEY.c.key, LATEST.c.value, LATEST.c.step, LATEST.c.at_us)
        for row in self._of_runs(columns, LATEST, uids):
            found[row.uid][row.key] = _metric(row)
        return found

    def _of_runs(self, columns: Select[Any], table: Any, uids: Collection[str]) -> Sequence[Row[Any]]:
        statement = (
            columns.select_from(table.join(RUN, RUN.c.id == table.c.run).join(KEY, KEY.c.id == table.c.key))
            .where(self._database.among(RUN.c.uid, _OF_RUNS))
            .order_by(KEY.c.key)
        )
        with self._database.read() as connection:
            return connection.execute(statement, {_OF_RUNS: self._database.pack(list(uids))}).all()

    def history(self, uid: str, key: str) -> list[Metric]:
        with self._database.read() as connection:
            run = connection.scalar(select(RUN.c.id).where(RUN.c.uid == uid))
            if run is None:
                raise unknown_run(uid)
            rows = connection.execute(
                select(METRIC.c.value, METRIC.c.step, METRIC.c.at_us)
                .join(KEY, KEY.c.id == METRIC.c.key)
                .where(METRIC.c.run == run, KEY.c.key == key)
                .order_by(METRIC.c.step, METRIC.c.at_us, METRIC.c.number)
            )
            return [Metric(key, _value(value), step, from_us(at_us)) for value, step, at_us in rows]

    def find(
        self,
        where: Condition | None = None,
        *,
        order_by: Sequence[Order] = (),
        limit: int = 100,
        offset: int = 0,
    ) -> list[str]:
        statement = find_statement(where, order_by, dialect=self._database.abilities.dialect)
        with self._database.read() as connection:
            return list(connection.scalars(statement.limit(limit).offset(offset)))

    def close(self) -> None:
        if self._owned:
            self._database.close()


def _write_metrics(
    connection: Connection, run: int, number: int, keys: dict[str, int], metrics: Sequence[Metric]
) -> None:
    if not metrics:
        return
    rows: list[dict[str, Any]] = [
        {
            "run": run,
            "key": keys[m.key],
            "step": m.step,
            "at_us": to_us(m.at),
            "number": n,
            "value": _stored(m.value),
        }
        for n, m in enumerate(metrics, start=number)
    ]
    connection.execute(insert(METRIC), rows)
    newest: dict[int, dict[str, Any]] = {}
    for row in rows:
        other = newest.get(row["key"])
        if other is None or (row["step"], row["at_us"]) >= (other["step"], other["at_us"]):
            newest[row["key"]] = row
    _write_latest(connection, run, newest)


def _write_latest(connection: Connection, run: int, newest: dict[int, dict[str, Any]]) -> None:
    stored = connection.execute(
        select(LATEST.c.key, LATEST.c.step, LATEST.c.at_us).where(LATEST.c.run == run)
    )
    have = {row.key: (row.step, row.at_us) for row in stored if row.key in newest}
    new, later = [], []
    for key, row in newest.items():
        if key not in have:
            new.append({name: row[name] for name in ("run", "key", "step", "at_us", "value")})
        elif (row["step"], row["at_us"]) >= have[key]:
            later.append({f"{name}_": row[name] for name in ("run", "key", "step", "at_us", "value")})
    if new:
        connection.execute(insert(LATEST), new)
    if later:
        connection.execute(_UPDATE_LATEST, later)


_UPDATE_LATEST = (
    update(LATEST)
    .where(LATEST.c.run == bindparam("run_"), LATEST.c.key == bindparam("key_"))
    .values(step=bindparam("step_"), at_us=bindparam("at_us_"), value=bindparam("value_"))
)


def _write_tags(connection: Connection, run: int, keys: dict[str, int], batch: Batch) -> None:
    if not batch.tags:
        return
    for key in batch.tags:
        connection.execute(delete(TAG).where(TAG.c.run == run, TAG.c.key == keys[key]))
    rows = [
        {"run": run, "key": keys[key], "text": text} for key, text in batch.tags.items() if text is not None
    ]
    if rows:
        connection.execute(insert(TAG), rows)


def _run_values(info: RunInfo) -> dict[str, Any]:
    return {
        "type": info.type,
        "name": info.name,
        "experiment": info.experiment,
        "state": info.state,
        "started_us": to_us(info.started_at),
        "is_open": info.is_open,
    }


def _run_info(row: Row[Any]) -> RunInfo:
    return RunInfo(row.uid, row.type, row.name, row.experiment, row.state, from_us(row.started_us))


def _param_values(run: int, key: int, value: ParamValue) -> dict[str, Any]:
    is_text = isinstance(value, str)
    return {
        "run": run,
        "key": key,
        "text": param_text(value),
        "is_text": is_text,
        "number": param_number(value),
    }


def _param(row: Any) -> ParamValue:  # a row of SQLAlchemy
    value: ParamValue = row.text if row.is_text else json.loads(row.text)
    return value


def _metric(row: Row[Any]) -> Metric:
    return Metric(row.key, _value(row.value), row.step, from_us(row.at_us))


def _stored(value: float) -> float | None:
    return None if math.isnan(value) else value


def _value(stored: float | None) -> float:
    return math.nan if stored is None else stored
