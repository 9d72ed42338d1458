"""Monitors: measures over windows, alerts, and which upstream commit is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from whence.errors import NotFoundError, UsageError
from whence.monitoring import Alert, Monitor, Window
from whence.monitoring.types import SCORE, WINDOWS
from whence.server.api.base import MAX_PAGE, Asked, Data, json_of, page_of
from whence.trace.plain import Json, plain
from whence.workspace import Workspace

MAX_ALERTS: Final = 100
MAX_POINTS: Final = 400
_FIRST: Final = ("auc", "log_loss", "calibration", "ks", "excess_log_loss", "ece", "mean_score", "rate")


def known(ws: Workspace) -> list[Monitor]:
    """The monitors, by name."""
    return sorted(ws.monitoring.monitors(), key=lambda m: m.name)


def alerts_of(ws: Workspace, name: str, *, open_only: bool = False) -> list[Alert]:
    """The alerts of a monitor: open ones first, then the newest window first."""
    return sorted(ws.monitoring.alerts(name, open_only=open_only), key=_rank, reverse=True)


def _rank(alert: Alert) -> tuple[bool, datetime, str]:
    return (alert.open, alert.start, alert.uid)


def alert_facts(alert: Alert) -> Data:
    """An alert as JSON, and whether it is open."""
    found = json_of(alert.to_dict())
    assert isinstance(found, dict)
    blamed = None if alert.blame is None else alert.blame.ref
    return {**found, "open": alert.open, "blamed": blamed}


def list_monitors(asked: Asked) -> Data:
    """The monitors, and the newest alerts of all of them."""
    rows: list[Json] = []
    newest: list[Alert] = []
    for one in known(asked.ws):
        alerts = alerts_of(asked.ws, one.name)
        newest += alerts
        rows.append({**_facts(one), "n_alerts": len(alerts), "n_open": sum(a.open for a in alerts)})
    newest.sort(key=_rank, reverse=True)
    page, where = page_of(newest, asked.number("page", 1, low=1, high=MAX_PAGE), MAX_ALERTS)
    return {"monitors": rows, "alerts": [alert_facts(a) for a in page], "paging": where}


def _facts(one: Monitor) -> Data:
    found = json_of(one.to_dict())
    assert isinstance(found, dict)
    return {"monitor": one.name, **{k: v for k, v in found.items() if k not in ("name", "origins")}}


def show_monitor(asked: Asked) -> Data:
    """One monitor: its alerts, the measures of the whole over time, and every column with its newest values."""
    one = asked.ws.monitoring.get(asked.name("name"))
    window = _window(asked, one)
    alerts = alerts_of(asked.ws, one.name)
    page, where = page_of(alerts, asked.number("page", 1, low=1, high=MAX_PAGE), MAX_ALERTS)
    whole = _courses(_measures(asked, one, window, _WHOLE, table=one.table, score=SCORE))
    return {
        **_facts(one),
        "windows": list(one.windows),
        "window": window,
        "alerts": [alert_facts(a) for a in page],
        "n_open": sum(a.open for a in alerts),
        "charts": [_chart(key, rows, alerts) for key, rows in whole.items()],
        "streams": _streams(_newest(asked, one, window), [a for a in alerts if a.window == window]),
        "paging": where,
    }


def show_stream(asked: Asked) -> Data:
    """All measures of one column (or of a whole table) of a monitor over time, alerts marked."""
    one = asked.ws.monitoring.get(asked.name("name"))
    window, table, feature = _window(asked, one), asked.text("table"), asked.text("feature") or None
    wanted = _courses(_measures(asked, one, window, _OF_COLUMN, table=table, feature=feature))
    if not wanted:  # a stream may be measured by day alone
        near = {(r["table"], r["feature"]) for w in one.windows for r in _newest(asked, one, w)}
        if (table, feature) not in near:
            names = [str(f or t) for t, f in near]
            raise NotFoundError("stream", feature or table, near=names, hint="the monitor's page lists all")
    alerts = alerts_of(asked.ws, one.name)
    mine = [a for a in alerts if (a.table, a.feature, a.window) == (table, feature, window)]
    return {
        "monitor": one.name,
        "table": table,
        "feature": feature,
        "windows": list(one.windows),
        "window": window,
        "alerts": [alert_facts(a) for a in mine],
        "charts": [_chart(key, rows, alerts) for key, rows in wanted.items()],
    }


def show_alert(asked: Asked) -> Data:
    """One alert: what was measured, from where on it was too much, and whence it came."""
    one = asked.ws.monitoring.get(asked.name("name"))
    uid = asked.name("uid")
    alerts = alerts_of(asked.ws, one.name)
    alert = next((a for a in alerts if a.uid == uid), None)
    if alert is None:
        raise NotFoundError("alert", uid, hint="the monitor's page lists all")
    rows = _measures(asked, one, alert.window, _OF_COLUMN, table=alert.table, feature=alert.feature)
    key = (alert.table, alert.feature, alert.metric)
    course = _courses(rows).get(key)
    return {
        "monitor": one.name,
        "deployment": one.deployment,
        "alert": alert_facts(alert),
        "charts": [] if course is None else [_chart(key, course, alerts)],
    }


def _window(asked: Asked, one: Monitor) -> Window:
    """The window that was asked for; the longest that is judged unless one was."""
    wanted = asked.text("window") or max(one.windows, key=WINDOWS.index)
    for window in one.windows:
        if window == wanted:
            return window
    raise UsageError(
        f"parameter 'window' is {wanted!r:.40}, want one of {', '.join(one.windows)}", code="bad-parameter"
    )


Key: TypeAlias = tuple[str, str | None, str]
Row: TypeAlias = dict[str, Any]  # Any: a row of the measures

#: Of the rows of a window, the newest known: what `Monitoring.measures` gives, without reading all of it.
_KNOWN: Final = """SELECT * EXCLUDE (kind, detail) FROM shown WHERE kind = 'measure' AND "window" = $window
    QUALIFY row_number() OVER (PARTITION BY metric, feature, "table", start ORDER BY known_at DESC) = 1"""
_OF_COLUMN: Final = '"table" = $table AND feature IS NOT DISTINCT FROM $feature'
#: What tells of the model as a whole: its quality, and the drift of its score.
_WHOLE: Final = """"table" = $table AND ((feature IS NULL AND metric IN ('auc', 'log_loss', 'calibration'))
    OR (feature = $score AND metric = 'ks'))"""
_NEWEST: Final = f"""SELECT "table", feature, metric, max(start) AS start, max_by(value, start) AS value,
    max_by(threshold, start) AS threshold FROM ({_KNOWN}) GROUP BY ALL ORDER BY "table", feature NULLS FIRST, metric"""


def _measures(asked: Asked, one: Monitor, window: Window, where: str, **given: object) -> list[Row]:
    """Measures of a window under a condition, in their order in time."""
    query = f"SELECT * FROM ({_KNOWN}) WHERE {where} ORDER BY start"
    return _asked(asked, one, query, {"window": window, **given})


def _newest(asked: Asked, one: Monitor, window: Window) -> list[Row]:
    """The newest measure of every stream."""
    return _asked(asked, one, _NEWEST, {"window": window})


def _asked(asked: Asked, one: Monitor, query: str, parameters: dict[str, object]) -> list[Row]:
    """Rows of the monitor's table; kept as long as it stands at the same version."""
    table = asked.ws.table(one.into)
    if not table.exists:
        return []
    head = table.head()

    def read() -> list[Row]:
        return list(asked.ws.engine.query(query, {"shown": head.files()}, parameters=parameters).to_pylist())

    return asked.kept.get((head.table_id, head.version, query, *parameters.values()), read)


def _courses(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """The rows by stream: table, column, metric."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault((str(row["table"]), row["feature"], str(row["metric"])), []).append(row)
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(key: Key) -> tuple[int, str, str]:
    """Quality first, then by column and metric."""
    return (_FIRST.index(key[2]) if key[2] in _FIRST else len(_FIRST), key[1] or "", key[2])


def _chart(key: Key, rows: Sequence[Row], alerts: Sequence[Alert]) -> Json:
    """The course of a stream, its newest points, and the alerts on it by number."""
    shown = rows[-MAX_POINTS:]
    starts = {plain(r["start"]) for r in shown}
    mine = [a for a in _of(key, str(rows[0]["window"]), alerts) if plain(a.start) in starts]
    mine.sort(key=lambda a: (a.start, a.uid))
    return {
        "table": key[0],
        "feature": key[1],
        "metric": key[2],
        "points": [
            {
                name: plain(r.get(name))
                for name in ("start", "end", "value", "threshold", "n", "version", "model")
            }
            for r in shown
        ],
        "marks": [{"number": i + 1, **alert_facts(a)} for i, a in enumerate(mine)],
    }


def _of(key: Key, window: str, alerts: Sequence[Alert]) -> list[Alert]:
    return [a for a in alerts if (a.table, a.feature, a.metric) == key and a.window == window]


def _streams(rows: Sequence[Row], alerts: Sequence[Alert]) -> Json:
    """The streams by table: its metrics, and each column with its newest values."""
    found: dict[str, dict[str | None, dict[str, Row]]] = {}
    for row in rows:
        found.setdefault(str(row["table"]), {}).setdefault(row["feature"], {})[str(row["metric"])] = row
    return [
        {
            "table": table,
            "metrics": [*sorted({metric for metrics in columns.values() for metric in metrics})],
            "columns": [_column(table, feature, metrics, alerts) for feature, metrics in columns.items()],
        }
        for table, columns in found.items()
    ]


def _column(table: str, feature: str | None, metrics: dict[str, Row], alerts: Sequence[Alert]) -> Json:
    mine = [a for a in alerts if (a.table, a.feature) == (table, feature)]
    opened = {a.metric for a in mine if a.open}
    return {
        "feature": feature,
        "start": plain(max(r["start"] for r in metrics.values())),
        "values": {
            name: {"value": plain(r["value"]), "threshold": plain(r["threshold"]), "open": name in opened}
            for name, r in metrics.items()
        },
        "n_alerts": len(mine),
        "n_open": sum(a.open for a in mine),
    }
