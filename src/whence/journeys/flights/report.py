"""What the journey shows: one JSON object, a few lines in the terminal, one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from whence.journeys.flights.story import Outcome
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
        "champion": outcome.champion,
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


def not_beaten(outcome: Outcome) -> list[str]:
    """The months in which the champion ranked no better than the baseline."""
    return [name for name, m in outcome.metrics.items() if not m.beaten]


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
        f"Predictions: {outcome.n_predictions:,}, one per flight; {outcome.n_labels:,} of them have a label by now.",
        text_table(_HEAD, _rows(outcome)),
        _verdict_line(outcome),
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
