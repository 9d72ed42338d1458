"""The metric store in a database, beside the graph."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from whence.database import Database, Prepared, Session
from whence.tracking.backends.search import find_statement
from whence.tracking.backends.tables import KEY, LATEST, METRIC, PARAM, RUN, TAG, TRACKING
from whence.tracking.base import MetricStore, param_changed, unknown_run
from whence.tracking.filter import Condition, Order
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo, from_us, param_number, param_text, to_us

# Statements with a bound list are built once: SQLAlchemy compiles each shape once.
_OF_RUNS = "uids"
_RUN_COLUMNS = ("type", "name", "experiment", "state", "started_us", "is_open")


class _Statements:
    """What a write runs, compiled once: a run must cost what its commits cost."""

    def __init__(self, database: Database) -> None:
        dialect = database.engine.dialect
        run: BindParameter[int] = bindparam("run_")
        key: BindParameter[int] = bindparam("key_")
        uid: BindParameter[str] = bindparam("uid_")
        # FOR UPDATE locks the run's row where several may write at once; SQLite has one writer anyhow.
        self.find_run = Prepared(
            dialect, select(RUN.c.id, RUN.c.n_logged).where(RUN.c.uid == uid).with_for_update()
        )
        self.add_run = Prepared(
            dialect, insert(RUN), [column.name for column in RUN.c if column.name != "id"]
        )
        self.update_run = Prepared(
            dialect, update(RUN).where(RUN.c.id == run).values({n: bindparam(f"{n}_") for n in _RUN_COLUMNS})
        )
        self.count = Prepared(
            dialect, update(RUN).where(RUN.c.id == run).values(n_logged=bindparam("n_logged_"))
        )
        self.find_params = Prepared(
            dialect, select(PARAM.c.key, PARAM.c.text, PARAM.c.is_text).where(PARAM.c.run == run)
        )
        self.add_param = Prepared(dialect, insert(PARAM))
        self.add_metric = Prepared(dialect, insert(METRIC))
        self.find_latest = Prepared(
            dialect, select(LATEST.c.key, LATEST.c.step, LATEST.c.at_us).where(LATEST.c.run == run)
        )
        self.add_latest = Prepared(dialect, insert(LATEST))
        self.update_latest = Prepared(
            dialect,
            update(LATEST)
            .where(LATEST.c.run == run, LATEST.c.key == key)
            .values(step=bindparam("step_"), at_us=bindparam("at_us_"), value=bindparam("value_")),
        )
        self.add_keys = database.prepare(database.insert_new(KEY), columns=["key"])
        self.find_keys = database.prepare(
            select(KEY.c.key, KEY.c.id).where(database.among(KEY.c.key, "keys"))
        )
        self.drop_tag = Prepared(dialect, delete(TAG).where(TAG.c.run == run, TAG.c.key == key))
        self.add_tag = Prepared(dialect, insert(TAG))


class SqlMetrics(MetricStore):
    """Metrics in the tables of component ``tracking``.

    Args:
        database: An open database; its tables are made.
        owned: Whether closing the store closes the database.
        upgrade: Bring older tables up instead of refusing them.
    """

    def __init__(self, database: Database, *, owned: bool = False, upgrade: bool = False) -> None:
        self._database = database
        self._owned = owned
        self._keys: dict[str, int] = {}
        self._lock = threading.Lock()
        self._do = _Statements(database)
        database.migrate(TRACKING.name, TRACKING.migrations, upgrade=upgrade)

    # -- writing -------------------------------------------------------------------------------

    def put_runs(self, infos: Sequence[RunInfo]) -> None:
        if infos:
            with self._database.session(write=True) as session:
                for info in infos:
                    self._put_run(session, info)

    def _put_run(self, session: Session, info: RunInfo) -> None:
        values = _run_values(info)
        found = self._do.find_run.rows(session, {"uid_": info.uid})
        if found:
            told = {f"{name}_": value for name, value in values.items()}
            self._do.update_run.run(session, [{**told, "run_": found[0][0]}])
        else:
            self._do.add_run.run(session, [{"uid": info.uid, "n_logged": 0, **values}])

    def write(self, uid: str, batch: Batch, *, info: RunInfo | None = None) -> None:
        fresh: dict[str, int] = {}
        with self._database.session(write=True) as session:
            if info is not None:
                self._put_run(session, info)
            found = self._do.find_run.rows(session, {"uid_": uid})
            if not found:
                raise unknown_run(uid)
            run, n_logged = found[0]
            wanted = [*(m.key for m in batch.metrics), *batch.params, *batch.tags]
            keys = self._key_ids(session, wanted, fresh)
            self._write_params(session, uid, run, keys, batch)
            self._write_metrics(session, run, n_logged, keys, batch.metrics)
            self._write_tags(session, run, keys, batch)
        with self._lock:
            self._keys |= fresh  # known to all only now that they are committed

    def _key_ids(self, session: Session, keys: Iterable[str], fresh: dict[str, int]) -> dict[str, int]:
        wanted = set(keys)
        with self._lock:
            ids = {key: self._keys[key] for key in wanted if key in self._keys}
        missing = sorted(wanted - ids.keys())
        if missing:
            self._do.add_keys.tuples(session, [(key,) for key in missing])
            found = self._do.find_keys.rows(session, {"keys": self._database.pack(missing)})
            fresh.update({key: id_ for key, id_ in found})  # noqa: C416 - rows are not pairs to a type checker
        return {**ids, **fresh}

    def _write_params(self, session: Session, uid: str, run: int, keys: dict[str, int], batch: Batch) -> None:
        if not batch.params:
            return
        stored = self._do.find_params.rows(session, {"run_": run})
        have = {key: _param(text, is_text) for key, text, is_text in stored}
        new = []
        for key, value in batch.params.items():
            if keys[key] not in have:
                new.append(_param_values(run, keys[key], value))
            elif param_text(have[keys[key]]) != param_text(value):
                raise param_changed(uid, key, have[keys[key]], value)
        self._do.add_param.run(session, new)

    def _write_metrics(
        self, session: Session, run: int, n_logged: int, keys: dict[str, int], metrics: Sequence[Metric]
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
            for n, m in enumerate(metrics, start=n_logged)
        ]
        self._do.add_metric.run(session, rows)
        self._do.count.run(session, [{"run_": run, "n_logged_": n_logged + len(rows)}])
        newest: dict[int, dict[str, Any]] = {}
        for row in rows:
            other = newest.get(row["key"])
            if other is None or (row["step"], row["at_us"]) >= (other["step"], other["at_us"]):
                newest[row["key"]] = row
        self._write_latest(session, run, newest)

    def _write_latest(self, session: Session, run: int, newest: dict[int, dict[str, Any]]) -> None:
        stored = self._do.find_latest.rows(session, {"run_": run})
        have = {key: (step, at_us) for key, step, at_us in stored}
        self._do.add_latest.run(session, [row for key, row in newest.items() if key not in have])
        later = [
            row for key, row in newest.items() if key in have and (row["step"], row["at_us"]) >= have[key]
        ]
        self._do.update_latest.run(session, [{f"{name}_": row[name] for name in row} for row in later])

    def _write_tags(self, session: Session, run: int, keys: dict[str, int], batch: Batch) -> None:
        if not batch.tags:
            return
        self._do.drop_tag.run(session, [{"run_": run, "key_": keys[key]} for key in batch.tags])
        kept = [(key, text) for key, text in batch.tags.items() if text is not None]
        self._do.add_tag.run(session, [{"run": run, "key": keys[key], "text": text} for key, text in kept])

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
            found[row.uid][row.key] = _param(row.text, row.is_text)
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


def _param(text: str, is_text: object) -> ParamValue:
    value: ParamValue = text if is_text else json.loads(text)
    return value


def _metric(row: Row[Any]) -> Metric:
    return Metric(row.key, _value(row.value), row.step, from_us(row.at_us))


def _stored(value: float) -> float | None:
    return None if math.isnan(value) else value


def _value(stored: float | None) -> float:
    return math.nan if stored is None else stored
