"""Kill the small journey at random moments, start it again, and compare: ``make torture``.

Each round starts the journey in a folder of its own and kills it with SIGKILL after a random time, again and
again until a start comes to its end. The end must be the same as if nothing had happened.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.journey import small

ROOT = Path(__file__).parents[2]
KILLS_A_ROUND = 4


def start(folder: Path) -> subprocess.Popen[str]:
    """The small journey in a process."""
    command = [sys.executable, "-m", "tests.journey.small", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def undisturbed_s(folder: Path) -> float:
    """Run it once without disturbance; how long it took."""
    began = time.monotonic()
    process = start(folder)
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the undisturbed journey failed:\n{said}")
    return time.monotonic() - began


def killed_until_done(folder: Path, moments: list[float]) -> int:
    """Kill it at each moment in turn, unless it ends before, then let it end; how often it was really killed."""
    n = 0
    for moment in moments:
        process = start(folder)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            n += 1
            continue
        break
    process = start(folder)
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"it did not go on after being killed at {moments}:\n{said}")
    return n


def torture(n_kills: int, *, seed: int, folder: Path) -> int:
    """Kill it `n_kills` times in all; returns how many rounds ended unlike the undisturbed one."""
    chosen = random.Random(seed)
    reference = folder / "undisturbed.whence"
    seconds = undisturbed_s(reference)
    expected = small.contents(reference)
    done = wrong = 0
    while done < n_kills:
        own = folder / "killed.whence"
        # a machine is not always as fast as it was at first: what ended before it was killed ran shorter
        moments = [chosen.uniform(0.02, 0.7) * seconds for _ in range(min(KILLS_A_ROUND, n_kills - done))]
        killed = killed_until_done(own, moments)
        if not killed:
            seconds = min(seconds, moments[0])
        done += killed
        found, unsettled = small.contents(own), small.unsettled(own)
        if found != expected or unsettled:
            wrong += 1
            shutil.copytree(own, folder / f"wrong-{done}.whence")
            print(f"after kills at {moments}: {unsettled or 'tables, models or aliases differ'}")
        else:
            print(f"{done}/{n_kills}: the same after {killed} kills")
        shutil.rmtree(own)
    return wrong


def main() -> int:
    """Torture it; 1 when a round ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, default=None)
    given = parser.parse_args()
    folder = given.dir or Path(tempfile.mkdtemp())
    return 1 if torture(given.kills, seed=given.seed, folder=folder) else 0


if __name__ == "__main__":
    sys.exit(main())
