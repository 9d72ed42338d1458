"""A process that forks one child for each line it reads, so that heavy imports are paid once.

A line is JSON: folder, action, crash point (or none), number of children. It answers with the children's
exit codes; a negative one is a signal.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.unit.registry.conftest import open_models
from tests.unit.registry.sample_models import fit
from whence.registry.formats import canonical_skops

_MODELS = {"logistic": fit("logistic"), "tree": fit("tree")}


def register(folder: Path) -> None:
    open_models(folder).register("late", _MODELS["tree"])


def register_many(folder: Path) -> None:
    models = open_models(folder)
    for _ in range(5):
        models.register("late", _MODELS["logistic"])


def step(folder: Path) -> None:
    models = open_models(folder)
    with models.recorder.execution("step", key="train") as _:
        models.register("late", _MODELS["tree"])


def set_alias(folder: Path) -> None:
    open_models(folder).set_alias("late", "champion", 2, reason="crash")


def move_many(folder: Path) -> None:
    models = open_models(folder)
    for n in range(6):
        models.set_alias("late", f"alias-{os.getpid() % 2}" if n % 2 else "champion", 1 + n % 2)


ACTIONS: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (register, register_many, step, set_alias, move_many)
}


def fork(action: str, folder: Path, point: str | None) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.environ.pop("WHENCE_CRASH_AT", None)
        if point:
            os.environ["WHENCE_CRASH_AT"] = point
        ACTIONS[action](folder)
        os._exit(0)
    except BaseException:  # noqa: BLE001  # a forked child must not return
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    canonical_skops(_MODELS["tree"])  # import all of it before the first fork
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pids = [fork(order["action"], Path(order["folder"]), order["point"]) for _ in range(order["n"])]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    main()
