"""How good the predictions were, month by month, once the flights have landed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from whence.journeys.flights.definitions import LATE_MINUTES
from whence.metadata import Artifact
from whence.stats import CalibrationBin, auc, calibration, log_loss
from whence.workspace import Workspace

_PAIRS = """
SELECT strftime(timezone('America/New_York', p.features_at), '%Y-%m') AS month,
       p.score, b.score AS baseline, a.arr_delay >= $late AS late
FROM late_scores AS p
JOIN late_baseline_scores AS b USING (flight_id)
LEFT JOIN arrivals AS a USING (flight_id)
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
