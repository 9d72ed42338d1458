"""The chain of commits: what the log of a table says about each of its versions.

Every commit of whence carries the state it leaves behind (rows, sum of digests, watermark, epoch) and the
version it was made on. The state holds for its version when all commits in between changed no rows. After
a foreign commit rows and digest are unknown until the next commit of whence, which computes them anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from whence._base.digest import canonical_json
from whence.lake.base import LakeBackend
from whence.lake.types import CommitInfo, LogEntry, Part, State

PREFIX: Final = "whence."
FENCE: Final = "whence.head"
"""The app transaction that every commit of whence carries: of two on one snapshot, one wins."""


class Chain:
    """The commits of one table, read once each."""

    def __init__(self, backend: LakeBackend, table: str) -> None:
        self._backend = backend
        self._table = table
        self._infos: dict[int, CommitInfo] = {}
        self._states: dict[int, State] = {}
        self._upto = -1
        self._lock = threading.RLock()

    def infos(self, upto: int) -> list[CommitInfo]:
        """The commits up to a version, oldest first; those whose log is gone are left out."""
        with self._lock:
            if upto > self._upto:
                for entry in self._backend.log(self._table, after=self._upto, upto=upto):
                    self._infos[entry.version] = read_entry(self._table, entry)
                self._upto = upto
            return [self._infos[v] for v in sorted(self._infos) if v <= upto]

    def info(self, version: int) -> CommitInfo | None:
        """One commit; None when its log is gone."""
        with self._lock:
            if version == self._upto + 1 or version not in self._infos:
                self._read_one(version)
            return self._infos.get(version)

    def know(self, info: CommitInfo, state: State) -> None:
        """A commit of this process needs no reading; its state is computed with what lay in between."""
        with self._lock:
            if info.base == info.version - 1:
                self._states[info.version] = state

    def state(self, version: int) -> State:
        """What is known of a version."""
        with self._lock:
            missing = []
            at = version
            while at >= 0 and at not in self._states:
                info = self.info(at)
                missing.append((at, info))
                if info is not None and info.state is not None and info.base in (at - 1, None):
                    break
                at -= 1
            for number, info in reversed(missing):
                before = self._states.get(number - 1, State(0, 0) if number == 0 else State(None, None))
                self._states[number] = self._follow(before, info)
            return self._states[version]

    def _read_one(self, version: int) -> None:
        for entry in self._backend.log(self._table, after=version - 1, upto=version):
            self._infos[entry.version] = read_entry(self._table, entry)
        if version == self._upto + 1:
            self._upto = version

    def _follow(self, before: State, info: CommitInfo | None) -> State:
        if info is None:
            return replace(before, n_rows=None, total=None)
        if info.state is not None and self._trusted(info):
            return info.state
        if not info.changes_rows:
            return before
        at = max(info.at, before.at or info.at)
        return replace(before, n_rows=None, total=None, epoch=before.epoch + 1, at=at)

    def _trusted(self, info: CommitInfo) -> bool:
        if info.base is None:
            return info.version == 0
        between = [self.info(v) for v in range(info.base + 1, info.version)]
        return all(i is not None and not i.changes_rows for i in between)


# --- the facts of a commit, as text ---------------------------------------------------------------


def write_facts(info: CommitInfo) -> dict[str, str]:
    """The ``whence.*`` metadata of a commit."""
    facts = {
        "execution": info.execution or "",
        "type": info.type,
        "principal": info.principal or "",
        "inputs": canonical_json(list(info.inputs)),
        "at": info.at.isoformat(),
        "n_late": str(info.n_late),
    }
    if info.added is not None and info.removed is not None:
        facts["rows"] = canonical_json({"added": _part(info.added), "removed": _part(info.removed)})
    if info.base is not None:
        facts["base"] = str(info.base)
    if info.transaction is not None:
        facts["transaction"] = canonical_json(list(info.transaction))
    if info.n_quarantined:
        facts["n_quarantined"] = str(info.n_quarantined)
    if info.filled:
        facts["filled"] = canonical_json(dict(info.filled))
    if info.progress:
        facts["progress"] = canonical_json(dict(info.progress))
    if info.state is not None:
        facts["state"] = canonical_json(
            {
                "n": info.state.n_rows,
                "total": _hex(info.state.total),
                "epoch": info.state.epoch,
                "raises": info.state.raises,
            }
        )
        if info.state.watermark is not None:
            facts["watermark"] = info.state.watermark.isoformat()
    return {PREFIX + name: text for name, text in facts.items()}


def read_entry(table: str, entry: LogEntry) -> CommitInfo:
    """One commit from its log entry; what whence did not write is ``foreign``."""
    facts = {k.removeprefix(PREFIX): v for k, v in entry.metadata.items()}
    if not facts.get("execution"):
        return CommitInfo(
            table, entry.version, "foreign", entry.at, entry.operation, changes_rows=entry.changes_rows
        )
    at = datetime.fromisoformat(facts["at"]).astimezone(UTC)
    rows = json.loads(facts["rows"]) if "rows" in facts else {}
    transaction = json.loads(facts["transaction"]) if "transaction" in facts else None
    return CommitInfo(
        table=table,
        version=entry.version,
        type=facts.get("type", "foreign"),
        at=at,
        operation=entry.operation,
        execution=facts["execution"],
        principal=facts.get("principal"),
        inputs=tuple(json.loads(facts.get("inputs", "[]"))),
        added=_read_part(rows.get("added")),
        removed=_read_part(rows.get("removed")),
        n_late=int(facts.get("n_late", "0")),
        transaction=None if transaction is None else (transaction[0], transaction[1]),
        changes_rows=entry.changes_rows,
        state=_read_state(facts, at),
        base=int(facts["base"]) if "base" in facts else None,
        progress=tuple(json.loads(facts.get("progress", "{}")).items()),
        n_quarantined=int(facts.get("n_quarantined", "0")),
        filled=tuple(json.loads(facts.get("filled", "{}")).items()),
    )


def _read_state(facts: Mapping[str, str], at: datetime) -> State | None:
    if "state" not in facts:
        return None
    said = json.loads(facts["state"])
    watermark = facts.get("watermark")
    return State(
        n_rows=said["n"],
        total=None if said["total"] is None else int(said["total"], 16),
        watermark=None if watermark is None else datetime.fromisoformat(watermark).astimezone(UTC),
        epoch=said["epoch"],
        at=at,
        raises=said.get("raises", 0),
    )


def _part(part: Part) -> dict[str, object]:
    return {"n": part.n, "total": _hex(part.total)}


def _read_part(said: Any) -> Part | None:
    # Any: parsed JSON
    return None if said is None else Part(said["n"], int(said["total"], 16))


def _hex(total: int | None) -> str | None:
    return None if total is None else f"{total:032x}"
