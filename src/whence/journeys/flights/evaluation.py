"""How good the predictions were, month by month, once the flights have landed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.journeys.flights.definitions import FEATURE_COLUMNS, LATE_MINUTES, ONLINE_VIEWS, truth
from whence.journeys.flights.feeds import TS
from whence.metadata import Artifact
from whence.stats import CalibrationBin, auc, calibration, log_loss
from whence.workspace import Workspace

_MONTH = "strftime(timezone('America/New_York', p.features_at), '%Y-%m')"
_PAIRS = f"""
SELECT {_MONTH} AS month, p.score, b.score AS baseline, a.late
FROM late_frozen_scores AS p
JOIN late_baseline_scores AS b USING (flight_id)
LEFT JOIN {truth()} AS a USING (flight_id)
"""
_LIVE = f"""
SELECT {_MONTH} AS month, p.score AS champion, f.score AS frozen, b.score AS baseline, a.late
FROM late_scores AS p
JOIN late_frozen_scores AS f USING (flight_id)
JOIN late_refit_scores AS b USING (flight_id)
JOIN {truth()} AS a USING (flight_id)
"""


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the frozen champion and the frozen baseline against what happened.

    Attributes:
        n: Flights with a label.
        coverage: Share of the predictions that have a label.
        rate: Share of late flights among the labels.
        mean_score: Mean of the champion's scores over the same flights.
    """

    n: int
    coverage: float
    rate: float
    mean_score: float
    baseline_auc: float
    champion_auc: float
    baseline_log_loss: float
    champion_log_loss: float

    @property
    def beaten(self) -> bool:
        """Whether the champion ranks better than the baseline."""
        return self.champion_auc > self.baseline_auc


@dataclass(frozen=True, slots=True)
class LiveMonth:
    """One month of the live deployment: the maintained champion beside what it is measured against.

    Attributes:
        n: Flights with a label.
        rate: Share of late flights among them.
        auc: Of the baseline refitted at the champion's moments, of March's model, and of the champion.
        log_loss: The same of log loss.
        mean_score: The same of the mean score; the distance from `rate` is the calibration.
    """

    n: int
    rate: float
    auc: dict[str, float]
    log_loss: dict[str, float]
    mean_score: dict[str, float]

    @property
    def beaten(self) -> bool:
        """Whether the champion ranks better than the baseline refitted at its moments."""
        return self.auc["champion"] > self.auc["baseline"]

    def to_dict(self) -> dict[str, object]:
        """The month as it stands in ``--json``."""
        return {
            "n": self.n,
            **self.auc,
            "log_loss": self.log_loss,
            "mean_score": self.mean_score,
            "rate": self.rate,
        }


ONLINE_SAMPLE: Final = 300
ROLES: Final = ("baseline", "frozen", "champion")


def evaluate_live(ws: Workspace) -> dict[str, LiveMonth]:
    """The live deployment month by month, against the labels known by now.

    Records:
        One execution ``evaluate``; the scores and arrivals in, one ``Metrics`` artifact out.
    """
    with ws.execution("evaluate") as recording:
        pairs = ws.sql(_LIVE, parameters={"late": LATE_MINUTES})
        name = np.array(pairs["month"].to_pylist())
        late = pairs["late"].cast(pa.int64()).to_numpy()
        scores = {role: pairs[role].to_numpy() for role in ROLES}
        months = {
            str(m): _live_month(late[here], {role: s[here] for role, s in scores.items()})
            for m in np.unique(name)
            if 0 < late[here := name == m].mean() < 1
        }
        facts = {month: asdict(found) for month, found in months.items()}
        recording.output(
            Artifact(type="Metrics", name=f"live_quality@{recording.uid}", custom={"months": facts})
        )
    return months


def _live_month(late: npt.NDArray[np.int64], scores: dict[str, npt.NDArray[np.float64]]) -> LiveMonth:
    return LiveMonth(
        n=len(late),
        rate=float(late.mean()),
        auc={role: _known(auc(late, s)) for role, s in scores.items()},
        log_loss={role: log_loss(late, s) for role, s in scores.items()},
        mean_score={role: float(s.mean()) for role, s in scores.items()},
    )


def count_parity(ws: Workspace) -> int:
    """Cells in which a feature as it was scored live differs from the same feature computed point in time afterwards.

    Sums of floats may differ by 1e-12 of their size; everything else has to be equal.
    """
    live, after = ws.table("late_scores").head(), ws.table("late_frozen_scores").head()
    differs = [
        f"NOT (l.{c} IS NOT DISTINCT FROM a.{c} OR coalesce(abs(l.{c} - a.{c}) <= 1e-12 * abs(a.{c}), false))"
        for c in (f'"{name}"' for name in FEATURE_COLUMNS)
    ]
    cells = " + ".join(f"CAST({d} AS BIGINT)" for d in differs)
    found = ws.sql(
        f"SELECT coalesce(sum({cells}), 0) AS n, count(*) AS rows FROM late_scores AS l "
        "JOIN late_frozen_scores AS a ON l.flight_id = a.flight_id AND l.features_at = a.features_at"
    )
    missing = live.n_rows + after.n_rows - 2 * int(found["rows"][0].as_py())
    return int(found["n"][0].as_py()) + missing * len(FEATURE_COLUMNS)


def count_online_parity(ws: Workspace, moment: datetime) -> int:
    """Cells in which the online store differs from the lake, for the keys of the newest flights at one moment."""
    columns = ["flight_id", *dict.fromkeys(key for view in ONLINE_VIEWS for _, key in view.keys)]
    asked = ws.sql(
        f"SELECT {', '.join(columns)} FROM schedule ORDER BY features_at DESC, flight_id LIMIT {ONLINE_SAMPLE}"
    )
    spine = asked.append_column("at", pa.array([moment] * asked.num_rows, TS))
    offline = ws.features.point_in_time(spine, ONLINE_VIEWS, at="at").to_pylist()
    online = ws.features.get_online(asked.to_pylist(), ONLINE_VIEWS, at=moment).rows()
    names = [name for view in ONLINE_VIEWS for name in view.outputs]
    pairs = [(a[name], b[name]) for a, b in zip(offline, online, strict=True) for name in names]
    return sum(not _same(a, b) for a, b in pairs)


def _same(a: object, b: object) -> bool:
    """Equal; floats within 1e-12 of their size."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-12 * abs(a)
    return a == b


def evaluate(ws: Workspace) -> dict[str, Month]:
    """Join predictions with labels and judge each month; computed, never written down.

    Records:
        One execution ``evaluate``; predictions and arrivals in, one ``Metrics`` artifact out.
    """
    with ws.execution("evaluate") as recording:
        months = _months(ws.sql(_PAIRS, parameters={"late": LATE_MINUTES}))
        facts = {name: asdict(month) for name, month in months.items()}
        recording.output(
            Artifact(type="Metrics", name=f"late_quality@{recording.uid}", custom={"months": facts})
        )
    return months


def _months(pairs: pa.Table) -> dict[str, Month]:
    name = np.array(pairs["month"].to_pylist())
    score, baseline = (pairs[c].to_numpy() for c in ("score", "baseline"))
    known = pairs["late"].is_valid().to_numpy()
    late = pairs["late"].fill_null(False).cast(pa.int64()).to_numpy()
    out = {}
    for month in np.unique(name):
        asked = name == month
        here = asked & known
        y, s, b = late[here], score[here], baseline[here]
        if not len(y) or y.min() == y.max():
            continue
        out[str(month)] = Month(
            n=int(here.sum()),
            coverage=float(here.sum() / asked.sum()),
            rate=float(y.mean()),
            mean_score=float(s.mean()),
            baseline_auc=_known(auc(y, b)),
            champion_auc=_known(auc(y, s)),
            baseline_log_loss=log_loss(y, b),
            champion_log_loss=log_loss(y, s),
        )
    return out


def _known(value: float | None) -> float:
    assert value is not None  # both labels occur
    return value


def calibration_of(ws: Workspace, month: str) -> list[CalibrationBin]:
    """Score against rate in ten bins, for one month."""
    pairs = ws.sql(
        f"SELECT * FROM ({_PAIRS}) WHERE month = $month AND late IS NOT NULL",
        parameters={"late": LATE_MINUTES, "month": month},
    )
    return list(calibration(pairs["late"].cast(pa.int64()).to_numpy(), pairs["score"].to_numpy()))
