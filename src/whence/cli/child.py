"""The other process of ``whence reproduce``: does one job on the recorded inputs. Not a command for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from whence.config import calm_learners
from whence.pipelines import child
from whence.workspace import connect


def _connect(
    address: str,
) -> Any:  # its rooms are made when first used, which the child's protocol cannot say
    return connect(address, read_only=True)


def main() -> int:
    """Do the job whose path is the only argument."""
    calm_learners()
    return child.main(Path(sys.argv[1]), _connect)


if __name__ == "__main__":
    sys.exit(main())
