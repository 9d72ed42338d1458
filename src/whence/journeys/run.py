"""`run_demo`: one of the journeys, in a folder of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from whence._base.clock import ReplayClock
from whence.config import load_config
from whence.errors import NotFoundError, UsageError
from whence.journeys.flights.evaluation import calibration_of
from whence.journeys.flights.feeds import FIRST_DAY, FIRST_SCORED, LAST_DAY, midnight
from whence.journeys.flights.live import Plan
from whence.journeys.flights.report import to_json, to_page, to_text
from whence.journeys.flights.story import Outcome, tell
from whence.metadata import Artifact
from whence.workspace import Workspace, connect, init

CALIBRATION_MONTHS: Final = ("2013-07", "2013-04")


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What a journey found, in the forms a door needs.

    Attributes:
        facts: One JSON object.
        words: A few screens of text.
        page: The page, self-contained HTML.
        again: It was found before, and is only reported.
    """

    facts: dict[str, Any]
    words: str
    page: Path
    again: bool = False

    def to_dict(self) -> dict[str, Any]:
        """One JSON object."""
        return {**self.facts, "page": str(self.page)}

    def text(self) -> str:
        """A few screens of text."""
        return self.words


def run_demo(
    name: str, *, folder: Path, n_days: int | None = None, force: bool = False, resume: bool = False
) -> DemoReport:
    """Make the journey `name` in `folder`, or go on where it was left.

    Args:
        name: ``flights``.
        folder: Its workspace; absent, empty, or the journey's own.
        n_days: How many days from 1 April are scored; all of the year by default.
        force: Use a folder that holds something else; what is there stays.
        resume: Where the journey has come to its end before, only report what it found.

    Raises:
        NotFoundError: There is no such journey.
        UsageError: The folder holds something else (``folder-not-own``).
    """
    if name not in _JOURNEYS:
        raise NotFoundError("journey", name, near=_JOURNEYS, hint=f"journeys: {', '.join(_JOURNEYS)}")
    _claim(name, folder, force=force)
    return _JOURNEYS[name](folder, n_days, resume)


def _claim(name: str, folder: Path, *, force: bool) -> None:
    project = f"{name}-demo"
    file = folder / "whence.toml"
    if file.exists():
        if load_config(file).text("project") == project or force:
            return
    elif force or not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        init(folder, project=project, beside=force)
        return
    raise UsageError(
        f"folder {str(folder)!r} is not empty and is not this journey's own",
        code="folder-not-own",
        hint="name another with --dir, or pass --force to put the journey beside what is there",
    )


def _flights(folder: Path, n_days: int | None, resume: bool) -> DemoReport:
    started = time.monotonic()
    last = LAST_DAY if n_days is None else min(LAST_DAY, FIRST_SCORED + timedelta(days=n_days - 1))
    clock, page = ReplayClock(midnight(FIRST_DAY)), folder / "report.html"
    with connect(folder, clock=clock) as ws:
        kept = _kept(ws, last) if resume else None
        if kept is not None:
            return DemoReport(kept["facts"], kept["words"], page, again=True)
        outcome = tell(ws, clock, Plan(last=last))
        seconds = time.monotonic() - started
        _write_page(ws, outcome, page, seconds=seconds)
        facts = to_json(outcome, seconds=seconds)
        words = to_text(outcome, seconds=seconds, page_path=str(page))
        _keep(ws, last, {"facts": facts, "words": words})
    return DemoReport(facts, words, page)


def _kept(ws: Workspace, last: date) -> dict[str, Any] | None:
    """What the journey found when it came to its end before."""
    found = ws.graph.find_nodes("artifact", type_="Report", name=f"flights@{last.isoformat()}", limit=1).nodes
    if not found:
        return None
    report: dict[str, Any] = json.loads(ws.blobs.get(str(found[0].get("digest"))))
    return report


def _keep(ws: Workspace, last: date, report: dict[str, Any]) -> None:
    digest = ws.blobs.put(json.dumps(report, default=str).encode())
    with ws.execution("report") as recording:
        name = f"flights@{last.isoformat()}"
        recording.output(
            Artifact(
                type="Report", name=name, properties={"digest": digest, "media_type": "application/json"}
            )
        )


def _write_page(ws: Workspace, outcome: Outcome, page: Path, *, seconds: float) -> None:
    month = next((m for m in CALIBRATION_MONTHS if m in outcome.metrics), next(iter(outcome.metrics), None))
    bins = calibration_of(ws, month) if month is not None else []
    text = to_page(outcome, bins, calibration_month=month or "no labels yet", seconds=seconds)
    unfinished = page.with_suffix(f".{datetime.now(UTC):%H%M%S%f}.part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(page)


_JOURNEYS: Final[dict[str, Callable[[Path, int | None, bool], DemoReport]]] = {"flights": _flights}
