"""Which file system a path lies on: over a network, a write-ahead log cannot be shared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: File systems whose locks and shared memory are another machine's, by the names Linux gives them.
NETWORK: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
        "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
    }
)  # fmt: skip

#: What the kernel says of this process's mounts; absent on other systems.
MOUNTINFO: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system is mounted, and its kind."""

    point: Path
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether the files are another machine's."""
        return self.kind in NETWORK


def find_mount(path: Path, *, mountinfo: Path | None = None) -> Mount | None:
    """The mount that `path` lies on, or will; None where the system does not tell.

    Args:
        path: A file or folder; what is absent lies where its nearest folder does.
        mountinfo: The kernel's list, for tests. [default: ``/proc/self/mountinfo``]

    Source:
        proc_pid_mountinfo(5): point and kind are the 5th field and the one after the hyphen; spaces are
        written in octal.
    """
    try:
        lines = (mountinfo or MOUNTINFO).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = _resolved(path)
    best: Mount | None = None
    for line in lines:
        before, hyphen, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if not hyphen or len(fields) < 5:
            continue
        point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        # Of several mounts on one point the last covers the others.
        if place.is_relative_to(point) and (best is None or len(point.parts) >= len(best.point.parts)):
            best = Mount(point, kinds[0])
    return best


def _resolved(path: Path) -> Path:
    try:
        return path.absolute().resolve()
    except (OSError, RuntimeError):  # a loop of links: whoever opens it will say so
        return path.absolute()
