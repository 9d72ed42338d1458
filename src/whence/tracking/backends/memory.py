"""The metric store in this process's memory: the stand-in, and the meaning of the SQL one."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from whence.tracking.base import MetricStore, param_changed, unknown_run
from whence.tracking.filter import Condition, Field, Order, holds
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo, param_number, param_text, to_us


@dataclass(slots=True)
class _Run:
    info: RunInfo
    metrics: dict[str, list[Metric]] = field(default_factory=dict)
    params: dict[str, ParamValue] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def latest(self, key: str) -> Metric | None:
        # max gives the first of equals; the last logged is wanted.
        return max(reversed(self.metrics.get(key, [])), key=lambda m: (m.step, m.at), default=None)

    def value(self, field: Field) -> float | str | None:
        if field.kind == "metric":
            metric = self.latest(field.key)
            return None if metric is None else metric.value
        if field.kind == "param":
            return param_text(self.params[field.key]) if field.key in self.params else None
        if field.kind == "tag":
            return self.tags.get(field.key)
        found = getattr(self.info, field.key)
        return float(to_us(found)) if field.key == "started_at" else found

    def number(self, field: Field) -> float | None:
        return param_number(self.params.get(field.key))


class MemoryMetrics(MetricStore):
    """Metrics in dictionaries."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._lock = threading.RLock()

    def put_runs(self, infos: Sequence[RunInfo]) -> None:
        with self._lock:
            for info in infos:
                if info.uid in self._runs:
                    self._runs[info.uid].info = info
                else:
                    self._runs[info.uid] = _Run(info)

    def write(self, uid: str, batch: Batch, *, info: RunInfo | None = None) -> None:
        with self._lock:
            run = self._runs.get(uid)
            if run is None:
                if info is None:
                    raise unknown_run(uid)
                run = _Run(info)
            for key, value in batch.params.items():
                if key in run.params and param_text(run.params[key]) != param_text(value):
                    raise param_changed(uid, key, run.params[key], value)
            self._runs[uid] = run
            run.info = info or run.info
            run.params.update(batch.params)
            for metric in batch.metrics:
                run.metrics.setdefault(metric.key, []).append(metric)
            for key, text in batch.tags.items():
                if text is None:
                    run.tags.pop(key, None)
                else:
                    run.tags[key] = text

    def get_runs(self, uids: Sequence[str]) -> list[RunInfo]:
        with self._lock:
            return [self._runs[uid].info for uid in uids if uid in self._runs]

    def list_open(self) -> list[str]:
        with self._lock:
            return sorted(uid for uid, run in self._runs.items() if run.info.is_open)

    def params(self, uids: Collection[str]) -> dict[str, dict[str, ParamValue]]:
        with self._lock:
            return {uid: dict(sorted(run.params.items())) for uid, run in self._known(uids)}

    def tags(self, uids: Collection[str]) -> dict[str, dict[str, str]]:
        with self._lock:
            return {uid: dict(sorted(run.tags.items())) for uid, run in self._known(uids)}

    def latest(self, uids: Collection[str]) -> dict[str, dict[str, Metric]]:
        with self._lock:
            found = {}
            for uid, run in self._known(uids):
                newest = {key: run.latest(key) for key in sorted(run.metrics)}
                found[uid] = {key: metric for key, metric in newest.items() if metric is not None}
            return found

    def history(self, uid: str, key: str) -> list[Metric]:
        with self._lock:
            if uid not in self._runs:
                raise unknown_run(uid)
            return sorted(self._runs[uid].metrics.get(key, []), key=lambda m: (m.step, m.at))

    def find(
        self,
        where: Condition | None = None,
        *,
        order_by: Sequence[Order] = (),
        limit: int = 100,
        offset: int = 0,
    ) -> list[str]:
        with self._lock:
            runs = [run for run in self._runs.values() if where is None or holds(where, run)]
        runs.sort(key=lambda run: (run.info.started_at, run.info.uid), reverse=True)
        for order in reversed(order_by):
            runs = _ordered(runs, order)
        return [run.info.uid for run in runs[offset : offset + limit]]

    def close(self) -> None:
        return

    def _known(self, uids: Collection[str]) -> list[tuple[str, _Run]]:
        return [(uid, self._runs[uid]) for uid in uids if uid in self._runs]


def _ordered(runs: list[_Run], order: Order) -> list[_Run]:
    """Stable; numbers before text, what is absent or NaN last whichever way."""
    numbers: list[tuple[float, _Run]] = []
    texts: list[tuple[str, _Run]] = []
    absent: list[_Run] = []
    for run in runs:
        number = run.number(order.field) if order.field.kind == "param" else None
        value = run.value(order.field) if number is None else number
        if isinstance(value, str):
            texts.append((value, run))
        elif value is None or math.isnan(value):
            absent.append(run)
        else:
            numbers.append((value, run))
    numbers.sort(key=lambda pair: pair[0], reverse=order.descending)
    texts.sort(key=lambda pair: pair[0], reverse=order.descending)
    return [run for _, run in numbers] + [run for _, run in texts] + absent
