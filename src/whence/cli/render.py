"""Answers of the rooms in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from whence.drawing import text_table

if TYPE_CHECKING:
    from whence.pipelines import Decision, PipelineRun, Verdict
    from whence.tracking import Comparison


def decision_text(decision: Decision) -> str:
    """Why a step ran, or why its cached outputs were used."""
    lines = [f"{decision.step}: {decision.outcome}", *(f"  {reason}" for reason in decision.reasons)]
    if decision.against:
        lines.append(f"  compared with {decision.against}")
    return "\n".join(lines)


def run_text(run: PipelineRun) -> str:
    """A run of a pipeline with a line for each step."""
    rows = [[s.call, s.state, f"{s.duration_s:.2f}", ", ".join(s.outputs)] for s in run.steps]
    pins = ", ".join(f"{table}@{version}" for table, version in run.pins.items())
    head = f"{run.pipeline} run {run.key}" + (f", reading {pins}" if pins else "")
    return f"{head}\n{text_table(['step', 'state', 'seconds', 'outputs'], rows)}"


def verdict_text(verdict: Verdict) -> str:
    """The verdict in its first line, the evidence below."""
    return "\n".join(_verdict_lines(verdict))


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.ref}: {verdict.verdict}" + (f" ({verdict.reason})" if verdict.reason else "")
    for output in verdict.outputs:
        error = f", largest error {output.largest_error:.3g}" if output.verdict == "equivalent" else ""
        yield f"  {output.output}: {output.verdict}{error}" + (f" ({output.note})" if output.note else "")
    if verdict.first_difference is not None:
        yield f"  first difference: {verdict.first_difference}"
    for difference in verdict.differences:
        if difference != verdict.first_difference:
            yield f"  also {difference}"


def comparison_text(comparison: Comparison) -> str:
    """Runs side by side; what differs comes first."""
    rows = sorted(comparison.rows, key=lambda row: not row.differs)
    cells = [["≠" if row.differs else "", f"{row.kind} {row.key}", *map(_cell, row.values)] for row in rows]
    return text_table(["", "", *comparison.refs], cells)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
