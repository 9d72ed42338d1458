"""TFDV's side of `bench_validation`, run by a Python that has it: one command, one JSON answer; it knows nothing of whence."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def dataframe(path: str) -> Callable[[], object]:
    """In memory, pandas' reading of the file included."""
    import pandas as pd

    return lambda: tfdv.generate_statistics_from_dataframe(pd.read_csv(path))


def csv(path: str) -> Callable[[], object]:
    """From the file, by Beam."""
    return lambda: tfdv.generate_statistics_from_csv(path)


def validate(columns: str) -> Callable[[], object]:
    """Statistics of so many columns against the schema inferred from them."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(5)
    frame = pd.DataFrame({f"c{i}": random.normal(size=1_000) for i in range(int(columns))})
    statistics = tfdv.generate_statistics_from_dataframe(frame)
    schema = tfdv.infer_schema(statistics)
    return lambda: tfdv.validate_statistics(statistics, schema)


def main(name: str, argument: str, repeats: int) -> None:
    call = {"dataframe": dataframe, "csv": csv, "validate": validate}[name](argument)
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), used()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(used() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": min(walls), "cpu": min(cpus), "peak_mb": peak, "import": imported}), flush=True)


def used() -> float:
    """CPU seconds of this process and of those it has ended."""
    mine, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    began = time.process_time()
    tfdv: Any = importlib.import_module(
        "tensorflow_data_validation"
    )  # Any: not installed where types are checked
    imported = time.process_time() - began
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
