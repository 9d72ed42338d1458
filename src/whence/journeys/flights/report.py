"""What the journey shows: one JSON object, a few lines in the terminal, one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from whence.drawing import (
    Bin,
    Section,
    Series,
    calibration_plot,
    fact_list,
    html_table,
    line_chart,
    page,
    text_table,
)
from whence.journeys.flights.faults import Fault
from whence.journeys.flights.story import Outcome, Planted
from whence.stats import CalibrationBin


def to_json(outcome: Outcome, *, seconds: float) -> dict[str, Any]:
    """The journey as one object; every number was computed by it."""
    return {
        "journey": "flights",
        "rows": outcome.rows,
        "versions": outcome.versions,
        "anomalies": [a.to_dict() for report in outcome.reports for a in report.anomalies],
        "predictions": outcome.n_predictions,
        "labels": outcome.n_labels,
        "metrics": {
            name: {
                "n": m.n,
                "rate": m.rate,
                "mean_score": m.mean_score,
                "baseline_auc": m.baseline_auc,
                "champion_auc": m.champion_auc,
                "champion_log_loss": m.champion_log_loss,
                "baseline_log_loss": m.baseline_log_loss,
                "coverage": m.coverage,
            }
            for name, m in outcome.metrics.items()
        },
        "duplicates": outcome.n_duplicates,
        "parity_cells_differing": outcome.n_parity,
        "auc": {name: month.to_dict() for name, month in outcome.live.items()},
        "alerts": [_alert(found) for found in outcome.alerts],
        "promotions": [d.to_dict() for d in outcome.decisions if d.promoted],
        "decisions": [d.to_dict() for d in outcome.decisions],
        "faults": [_found_fault(outcome, f) for f in outcome.faults],
        "quarantine": outcome.quarantine,
        "champion": outcome.champion,
        "frozen": outcome.frozen,
        "baseline": outcome.baseline,
        "not_beaten": not_beaten(outcome),
        "runs": [
            {"step": s.call, "run": s.execution, "state": s.state, "outputs": list(s.outputs)}
            for s in outcome.learned.steps
        ],
        "trace": {"prediction": outcome.trace.ref, "features": outcome.trace.values()},
        "reproduce": {
            "run": outcome.verdict.ref,
            "verdict": outcome.verdict.verdict,
            "differences": [str(d) for d in outcome.verdict.differences],
        },
        "leaks": outcome.n_leaks,
        "seconds": round(seconds, 1),
    }


def _alert(found: Planted) -> dict[str, Any]:
    alert = found.alert
    blame = alert.blame
    return {
        "metric": alert.metric,
        "feature": alert.feature,
        "value": alert.value,
        "threshold": alert.threshold,
        "window": {"kind": alert.window, "start": alert.start.isoformat(), "end": alert.end.isoformat()},
        "decides": alert.decides,
        "table": alert.table if blame is None or blame.table is None else blame.table,
        "version": None if blame is None else blame.version,
        "execution": None if blame is None or blame.execution is None else f"execution:{blame.execution}",
        "blame": None if blame is None else blame.text,
        "planted": None if found.fault is None else found.fault.name,
    }


def _found_fault(outcome: Outcome, fault: Fault) -> dict[str, Any]:
    """A planted fault and what became of it: quarantined, or the alerts that found it."""
    found = [p.alert for p in outcome.alerts if p.fault == fault]
    return {**fault.to_dict(), "alerts": [f"{a.metric} {a.feature or ''}".strip() for a in found]}


def not_beaten(outcome: Outcome) -> list[str]:
    """The months with more than 1,000 labels in which a champion ranked no better than its baseline."""
    frozen = [name for name, m in outcome.metrics.items() if m.n > ENOUGH_LABELS and not m.beaten]
    live = [name for name, m in outcome.live.items() if m.n > ENOUGH_LABELS and not m.beaten]
    return sorted({*frozen, *live})


ENOUGH_LABELS: Final = 1_000
_CHAIN = ("model", "run", "execution", "table")
_HEAD = (
    "month",
    "labels",
    "coverage",
    "late",
    "mean score",
    "AUC baseline",
    "AUC champion",
    "log loss baseline",
    "log loss champion",
)


def _rows(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{m.n:,}",
            f"{m.coverage:.2%}",
            f"{m.rate:.3f}",
            f"{m.mean_score:.3f}",
            *(f"{v:.3f}" for v in (m.baseline_auc, m.champion_auc, m.baseline_log_loss, m.champion_log_loss)),
        )
        for name, m in outcome.metrics.items()
    ]


_LIVE_HEAD = (
    "month",
    "labels",
    "late",
    "AUC baseline refitted",
    "AUC March's model",
    "AUC champion",
    "log loss March's",
    "log loss champion",
    "mean score March's",
    "mean score champion",
)


def _live_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{m.n:,}",
            f"{m.rate:.3f}",
            *(f"{m.auc[role]:.3f}" for role in ("baseline", "frozen", "champion")),
            *(f"{m.log_loss[role]:.3f}" for role in ("frozen", "champion")),
            *(f"{m.mean_score[role]:.3f}" for role in ("frozen", "champion")),
        )
        for name, m in outcome.live.items()
    ]


_ALERT_HEAD = ("seen", "metric", "feature", "value", "threshold", "decides", "blame", "planted")


def _alert_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            p.alert.start.date().isoformat(),
            p.alert.metric,
            p.alert.feature or p.alert.table,
            f"{p.alert.value:.4g}",
            f"{p.alert.threshold:.4g}",
            "yes" if p.alert.decides else "",
            "" if p.alert.blame is None else p.alert.blame.text,
            "" if p.fault is None else p.fault.name,
        )
        for p in outcome.alerts
    ]


_DECISION_HEAD = ("at", "because", "champion", "challenger", "rows", "log loss of both", "promoted")


def _decision_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            d.at.date().isoformat(),
            d.trigger,
            d.previous,
            d.to,
            f"{d.n_rows:,}",
            f"{d.champion:.4f} → {d.challenger:.4f}",
            "yes" if d.promoted else "no",
        )
        for d in outcome.decisions
    ]


_FAULT_HEAD = ("fault", "feed", "days", "fate", "found by")


def _fault_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for fault in outcome.faults:
        found = _found_fault(outcome, fault)["alerts"]
        by = (
            "its row rule; corrected and replayed"
            if fault.fate == "quarantined"
            else "; ".join(found) or "nothing"
        )
        days = fault.first.isoformat() + (
            f" to {fault.last.isoformat()}" if fault.last != fault.first else ""
        )
        rows.append((fault.name, fault.feed, days, fault.fate, by))
    return rows


def _features(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (name, str(v["value"]), str(v["recomputed"]), f"{v['rows']:,}")
        for name, v in outcome.trace.values().items()
    ]


def _chain(outcome: Outcome) -> str:
    """The way from the prediction to its training data, one line a step."""
    lines, node = [outcome.trace.ref], outcome.trace.tree
    while node is not None:
        following = next((c for kind in _CHAIN for c in node.children if c.kind == kind), None)
        if following is None:
            break
        lines.append(f"{'  ' * len(lines)}← {following.label}")
        node = following
    return "\n".join(lines)


def _verdict_line(outcome: Outcome) -> str:
    lost = not_beaten(outcome)
    if lost:
        return f"The champion does not beat the baseline in: {', '.join(lost)}."
    return f"The champion beats the baseline in each of {len(outcome.metrics)} months."


def to_text(outcome: Outcome, *, seconds: float, page_path: str) -> str:
    """The journey in the terminal."""
    rows = ", ".join(f"{name} {n:,}" for name, n in outcome.rows.items())
    n_errors = sum(len(r.anomalies) for r in outcome.reports)
    parts = [
        f"Landed: {rows}.",
        f"Anomalies found in the feeds: {n_errors}.",
        *(r.text() for r in outcome.reports if r.anomalies),
        f"Live predictions: {outcome.n_predictions:,}, one per flight; {outcome.n_labels:,} of them have a label by now.",
        text_table(_HEAD, _rows(outcome)),
        _verdict_line(outcome),
        (
            f"Live, {len(outcome.live)} months: {outcome.n_duplicates} duplicates, {outcome.n_parity} feature cells differ from "
            "the same features computed point in time afterwards."
        ),
        text_table(_LIVE_HEAD, _live_rows(outcome)),
        f"Retraining: {len(outcome.decisions)} challengers, {sum(d.promoted for d in outcome.decisions)} promoted.",
        text_table(_DECISION_HEAD, _decision_rows(outcome)),
        (
            f"Planted faults, and what found them; quarantine took {outcome.quarantine['in']:,} rows, "
            f"{outcome.quarantine['replayed']:,} were corrected and replayed."
        ),
        text_table(_FAULT_HEAD, _fault_rows(outcome)),
        f"Alerts: {len(outcome.alerts)}.",
        text_table(_ALERT_HEAD, _alert_rows(outcome)),
        "Whence did one late flight's score come?",
        _chain(outcome),
        text_table(("feature", "value", "recomputed from raw rows", "rows"), _features(outcome)),
        f"Every feature value recomputed from its raw rows: {len(outcome.trace.mismatches())} differ.",
        f"All of it: whence trace {outcome.trace.ref} --workspace {Path(page_path).parent}",
        f"Reproducing {outcome.verdict.ref}: {outcome.verdict.verdict}.",
        f"Cells of the training set that know the future: {outcome.n_leaks}.",
        f"Report: {page_path}   ({seconds:.0f} s)",
    ]
    return "\n\n".join(parts)


def _live_chart(outcome: Outcome, field: str, title: str) -> Any:
    names = {"champion": "champion, maintained", "frozen": "March's model", "baseline": "baseline, refitted"}
    series = [
        Series(label, [getattr(m, field)[role] for m in outcome.live.values()])
        for role, label in names.items()
    ]
    return line_chart(list(outcome.live), series, title=title, y_label=field.replace("_", " "))


def to_page(
    outcome: Outcome, bins: Sequence[CalibrationBin], *, calibration_month: str, seconds: float
) -> str:
    """The journey as one self-contained HTML page."""
    x = list(outcome.metrics)
    m = list(outcome.metrics.values())
    auc = line_chart(
        x,
        [Series("champion", [v.champion_auc for v in m]), Series("baseline", [v.baseline_auc for v in m])],
        title="AUC by month",
        y_label="AUC",
    )
    level = line_chart(
        x,
        [Series("share late", [v.rate for v in m]), Series("mean score", [v.mean_score for v in m])],
        title="Share of late flights and mean score by month",
        from_zero=True,
    )
    shown = [Bin(b.mean_score, b.rate, b.n) for b in bins if b.mean_score is not None and b.rate is not None]
    anomalies = [
        (a.feature or "", a.type, a.rule, str(a.observed), str(a.allowed), ", ".join(map(str, a.rows[:2])))
        for report in outcome.reports
        for a in report.anomalies
    ]
    landed = [(name, n, outcome.versions[name]) for name, n in outcome.rows.items()]
    sections = [
        Section("What landed", [html_table(["table", "rows", "version"], landed)]),
        Section(
            "What validation found",
            [html_table(["column", "anomaly", "rule", "observed", "allowed", "rows"], anomalies)],
        ),
        Section(
            "How good the predictions were", [_verdict_line(outcome), html_table(_HEAD, _rows(outcome)), auc]
        ),
        Section(
            "Live: April to December",
            [
                (
                    f"{outcome.n_duplicates} duplicates; {outcome.n_parity} feature cells differ from the same features "
                    "computed point in time afterwards."
                ),
                html_table(_LIVE_HEAD, _live_rows(outcome)),
                _live_chart(outcome, "auc", "AUC by month, live"),
                _live_chart(outcome, "log_loss", "Log loss by month, live"),
            ],
        ),
        Section("Retraining", [html_table(_DECISION_HEAD, _decision_rows(outcome))]),
        Section(
            "Planted faults",
            [
                (
                    f"Quarantine took {outcome.quarantine['in']:,} rows; {outcome.quarantine['replayed']:,} were corrected "
                    "and replayed."
                ),
                html_table(_FAULT_HEAD, _fault_rows(outcome)),
            ],
        ),
        Section("Alerts", [html_table(_ALERT_HEAD, _alert_rows(outcome))]),
        Section(
            "Calibration",
            [
                "The summer shows in calibration, not in rank: the frozen model's mean score stays behind the share of late flights.",
                level,
                calibration_plot(shown, title=f"Score against outcome, {calibration_month}"),
            ],
        ),
        Section(
            "One late flight, down to its rows",
            [
                f"{outcome.trace.ref}; every value below was recomputed from its raw rows in plain Python.",
                html_table(["feature", "value", "recomputed", "rows"], _features(outcome)),
            ],
        ),
        Section(
            "The training run, done again",
            [
                fact_list(
                    {
                        "run": outcome.verdict.ref,
                        "verdict": outcome.verdict.verdict,
                        "differences": "; ".join(map(str, outcome.verdict.differences)) or "none",
                        "cells that know the future": outcome.n_leaks,
                        "seconds": round(seconds, 1),
                    }
                )
            ],
        ),
    ]
    lead = (
        "Will this flight arrive 30 minutes late or more? Asked at the full hour before scheduled departure."
    )
    return str(page("Flights out of New York, 2013", sections, lead=lead))
