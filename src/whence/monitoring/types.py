"""The values of monitoring: what is watched, what was found, and whence it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from whence.drawing import Html, fact_list, html_table

Window: TypeAlias = Literal["day", "week"]
WINDOWS: Final[tuple[Window, ...]] = ("day", "week")

SCORE: Final = "score"
"""The column of predictions that is watched like a feature, and whose drift decides."""

DECIDING: Final = frozenset({"calibration", "log_loss"})
"""Metrics that decide whatever they are of; besides them, drift of the score."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Where the truth comes from.

    Attributes:
        table: The table in which it arrives, late.
        key: Columns that name a row there and in the predictions; of several rows of a key the newest known counts.
        truth: A condition in SQL over that table's columns; null where it is not known.
    """

    table: str
    key: tuple[str, ...]
    truth: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {"table": self.table, "key": list(self.key), "truth": self.truth}


@dataclass(frozen=True, slots=True)
class Monitor:
    """What is watched, and how.

    Attributes:
        name: What it is called.
        deployment: Whose predictions.
        table: The predictions table.
        model: The model it answers with, ``late@champion``.
        key: Columns that name a prediction.
        at: The column of the moment in the rows a model was trained on.
        labels: Where the truth comes from; None: it is not waited for.
        feeds: Source tables whose commits are watched.
        tz: The clock by which days and weeks are cut.
        budget_per_year: How many false alarms a year are accepted, over all streams together.
        windows: What is judged.
        threshold: From which score a row is called positive, for precision and recall.
        maturity_days: How many days after its end a day's labels are judged.
        reference: The table version a model is compared with, where the graph does not tell.
        origins: Feature → (table, column, days its window reaches back), by its definition.
        trust: Model types to trust when the reference is scored.
    """

    name: str
    deployment: str
    table: str
    model: str
    key: tuple[str, ...]
    at: str = "features_at"
    labels: Labels | None = None
    feeds: tuple[str, ...] = ()
    tz: str = "UTC"
    budget_per_year: float = 6.0
    windows: tuple[Window, ...] = WINDOWS
    threshold: float = 0.5
    maturity_days: int = 1
    reference: str | None = None
    origins: Mapping[str, tuple[str, str, int]] = field(default_factory=lambda: MappingProxyType({}))
    trust: tuple[str, ...] = ()

    @property
    def into(self) -> str:
        """The table of its measures: ``monitor.late``."""
        return f"monitor.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """The declaration as JSON."""
        return {
            "name": self.name,
            "deployment": self.deployment,
            "table": self.table,
            "model": self.model,
            "key": list(self.key),
            "at": self.at,
            "labels": None if self.labels is None else self.labels.to_dict(),
            "feeds": list(self.feeds),
            "tz": self.tz,
            "budget_per_year": self.budget_per_year,
            "windows": list(self.windows),
            "threshold": self.threshold,
            "maturity_days": self.maturity_days,
            "reference": self.reference,
            "origins": {name: list(origin) for name, origin in self.origins.items()},
            "trust": list(self.trust),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Monitor:
        """The declaration that `to_dict` wrote."""
        labels = data["labels"]
        return cls(
            **{
                **data,
                "key": tuple(data["key"]),
                "labels": None
                if labels is None
                else Labels(labels["table"], tuple(labels["key"]), labels["truth"]),
                "feeds": tuple(data["feeds"]),
                "windows": tuple(data["windows"]),
                "origins": {name: (o[0], o[1], int(o[2])) for name, o in data["origins"].items()},
                "trust": tuple(data["trust"]),
            }
        )

    def _repr_html_(self) -> str:
        """For notebooks: the declaration."""
        return fact_list({k: v for k, v in self.to_dict().items() if v and k != "origins"})


@dataclass(frozen=True, slots=True)
class Blame:
    """Whence a change came.

    Attributes:
        table: The table in whose own rows it shows; None when none was found.
        version: The first version in which it does.
        execution: The uid of the execution that wrote that version.
        gradual: It came by degrees, or from the season: no execution is its cause.
        since: When it began.
        text: The same as a sentence.
    """

    table: str | None
    version: int | None
    execution: str | None
    gradual: bool
    since: datetime
    text: str

    @property
    def ref(self) -> str | None:
        """``table:weather@190``; None when no version is named."""
        return None if self.version is None else f"table:{self.table}@{self.version}"

    def to_dict(self) -> dict[str, Any]:
        """The blame as JSON."""
        return {
            "table": self.table,
            "version": self.version,
            "execution": self.execution,
            "gradual": self.gradual,
            "since": self.since.isoformat(),
            "text": self.text,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Blame:
        """The blame that `to_dict` wrote."""
        return cls(**{**data, "since": datetime.fromisoformat(data["since"])})

    def _repr_html_(self) -> str:
        """For notebooks: the sentence and what it names."""
        return fact_list({"blame": self.text, "version": self.ref, "execution": self.execution})


@dataclass(frozen=True, slots=True)
class Alert:
    """One excursion of one stream: it opens at the first crossing and stays open until it falls back.

    Attributes:
        uid: Its public name, derived from monitor, stream and start.
        monitor: Which monitor raised it.
        metric: What was measured: ``ks``, ``js``, ``calibration``, ``log_loss``, ``rows``, ``repeated_keys``, …
        feature: Of which column; None where the metric is of the whole.
        table: Where it was seen.
        window: ``day`` or ``week``.
        start: Begin of the window in which it opened.
        end: Its end.
        value: What was measured.
        threshold: From where on it was too much.
        decides: It asks for an answer; the others inform.
        known_at: When the monitor knew.
        blame: Whence it came.
        closed: End of the window in which it fell back; None while it is open.
    """

    uid: str
    monitor: str
    metric: str
    feature: str | None
    table: str
    window: Window
    start: datetime
    end: datetime
    value: float
    threshold: float
    decides: bool
    known_at: datetime
    blame: Blame | None = None
    closed: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it has not fallen back yet."""
        return self.closed is None

    def to_dict(self) -> dict[str, Any]:
        """The alert as JSON."""
        return {
            "uid": self.uid,
            "monitor": self.monitor,
            "metric": self.metric,
            "feature": self.feature,
            "table": self.table,
            "window": self.window,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "value": self.value,
            "threshold": self.threshold,
            "decides": self.decides,
            "known_at": self.known_at.isoformat(),
            "blame": None if self.blame is None else self.blame.to_dict(),
            "closed": None if self.closed is None else self.closed.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Alert:
        """The alert that `to_dict` wrote."""
        blame, closed = data["blame"], data["closed"]
        times = {name: datetime.fromisoformat(data[name]) for name in ("start", "end", "known_at")}
        return cls(
            **{
                **data,
                **times,
                "blame": None if blame is None else Blame.from_dict(blame),
                "closed": None if closed is None else datetime.fromisoformat(closed),
            }
        )

    def _repr_html_(self) -> str:
        """For notebooks: what, where, since when and whence."""
        return alerts_html([self])


def alerts_html(alerts: list[Alert]) -> Html:
    """Alerts as a table."""
    rows = [
        [
            a.metric,
            a.feature,
            a.table,
            f"{a.window} {a.start.date().isoformat()}",
            a.value,
            a.threshold,
            "open" if a.open else "closed",
            "decides" if a.decides else "informs",
            None if a.blame is None else a.blame.text,
        ]
        for a in alerts
    ]
    names = ["metric", "feature", "table", "window", "value", "threshold", "state", "weight", "blame"]
    return html_table(names, rows, caption=f"{len(alerts)} alerts")


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """What one run of a monitor found.

    Attributes:
        monitor: Which.
        upto: The moment it looked from.
        n_windows: How many windows were judged.
        n_restated: How many windows have new values because labels came late.
        opened: Alerts that opened.
        closed: Alerts that fell back.
        version: The version of the table ``monitor.<name>`` it wrote; None when there was nothing to say.
        execution: The uid of the execution; None as above.
    """

    monitor: str
    upto: datetime
    n_windows: int = 0
    n_restated: int = 0
    opened: tuple[Alert, ...] = ()
    closed: tuple[Alert, ...] = ()
    version: int | None = None
    execution: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "monitor": self.monitor,
            "upto": self.upto.isoformat(),
            "n_windows": self.n_windows,
            "n_restated": self.n_restated,
            "opened": [a.to_dict() for a in self.opened],
            "closed": [a.to_dict() for a in self.closed],
            "version": self.version,
            "execution": self.execution,
        }

    def _repr_html_(self) -> str:
        """For notebooks: what was judged, and what opened."""
        facts = {"monitor": self.monitor, "up to": self.upto.isoformat(), "windows": self.n_windows}
        return fact_list(facts) + alerts_html(list(self.opened))
