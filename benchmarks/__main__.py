"""Run the benchmarks one after another: all, or those named (``make bench BENCH_ARGS="lake metadata"``).

Each file measures a room beside its floor in one process of its own and prints ratios. Machines are
noisy: read the ratios, not the seconds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the named benchmarks; the exit code says how many failed."""
    files = sorted(HERE.glob("bench_*.py"))
    known = [f.stem.removeprefix("bench_") for f in files]
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for file, name in zip(files, known, strict=True):
        if not names or name in names:
            print(f"\n== {name}", flush=True)
            failed += subprocess.run([sys.executable, str(file)], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
