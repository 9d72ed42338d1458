"""The small journey in processes that are killed, and what they leave.

The journey is cut into stages, each ended by a kill; what one has left is where the crash points of the next
begin. A resumed journey passes once more the days and steps that are done, so a passage keeps its number.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from tests.journey import small
from whence._base.crash import VARIABLE
from whence.testing.pipelines import run_elsewhere

#: Days that land before the first flight is scored.
LANDED: Final = (small.ONE - small.FIRST).days
#: The stages in order, and the crash point at which each ends; the last ends by itself.
STAGES: Final = {
    "landing": f"flights.day.after:{LANDED}",
    "preparing": "pipelines.between-steps:3",
    "learning": f"flights.day.after:{LANDED + 1}",
    "day-one": f"flights.day.after:{LANDED + 2}",
    "day-two": f"flights.day.after:{LANDED + 2}",
    "day-three": "",
}


def begin(folder: Path, crash_at: str = "") -> int:
    """Run the journey, or what is left of it, in a process of its own; its exit code, -9 when it was killed."""
    return run_elsewhere(
        "tests.journey.killing:go",
        str(folder),
        paths=[str(Path(__file__).parents[2])],
        environment={VARIABLE: crash_at},
    )


def go(folder: str) -> None:
    """Run in another process."""
    try:
        small.run(Path(folder))
    except BaseException:
        Path(folder).with_suffix(".txt").write_text(traceback.format_exc(), encoding="utf-8")
        raise


def said(folder: Path) -> str:
    """What the processes of a folder died of, if it was an error."""
    file = folder.with_suffix(".txt")
    return file.read_text(encoding="utf-8") if file.exists() else ""


def left(folder: Path) -> dict[str, object]:
    """What there is to compare: what the workspace holds, and what is wrong with the graph."""
    return {**small.contents(folder), "unsettled": small.unsettled(folder)}
