"""The online store in this process's memory: the stand-in for tests."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, Final

from whence.features.base import (
    NEVER,
    NOBODY,
    Asked,
    Found,
    GroupState,
    OnlineReading,
    OnlineRow,
    OnlineStore,
    Rank,
    Version,
    chain,
)

_FIRST: Final = -(2**63)


@dataclass(slots=True)
class _Entry:
    """A row in its place: by event, knowledge time and arrival."""

    event_us: int
    known_us: int
    number: int
    until_us: int
    name: bytes | None
    content: bytes

    @property
    def place(self) -> tuple[int, int, int]:
        return self.event_us, self.known_us, self.number

    @property
    def found(self) -> Found:
        return self.event_us, self.known_us, self.content

    def counts(self, at_us: int, *, strict: bool = False) -> bool:
        if strict:
            return max(self.event_us, self.known_us) < at_us <= self.until_us
        return max(self.event_us, self.known_us) <= at_us < self.until_us


@dataclass(slots=True)
class _Group:
    state: GroupState
    keys: dict[bytes, list[_Entry]] = field(default_factory=dict)
    names: dict[bytes, list[_Entry]] = field(default_factory=dict)


class _Reading(OnlineReading):
    """Reads the dictionaries; whoever has it holds the lock."""

    def __init__(self, groups: Mapping[str, _Group]) -> None:
        self._groups = groups

    def states(self, groups: Sequence[str]) -> list[GroupState | None]:
        found = [self._groups.get(group) for group in groups]
        return [None if group is None else group.state for group in found]

    def newest(self, group: str, asked: Sequence[Asked]) -> list[list[Found]]:
        return [self._newest(self._entries(group, key), at) for key, at in asked]

    def _newest(self, entries: Sequence[_Entry], at_us: int) -> list[Found]:
        usable = [e for e in entries if e.counts(at_us)]
        return [e.found for e in usable if e.event_us == usable[-1].event_us]

    def since(
        self, group: str, asked: Sequence[Asked], reach_us: int | None, *, strict: bool
    ) -> list[list[Found]]:
        found = []
        for key, at in asked:
            entries = self._entries(group, key)
            first = _FIRST if reach_us is None else at - reach_us
            low = bisect_left(entries, first, key=lambda e: e.event_us)
            found.append([e.found for e in entries[low:] if e.counts(at, strict=strict)])
        return found

    def awaited(self, group: str, asked: Sequence[Asked]) -> list[bool]:
        return [self._awaits(self._entries(group, key), at) for key, at in asked]

    def _awaits(self, entries: Iterable[_Entry], at_us: int) -> bool:
        return any(max(e.event_us, e.known_us) > at_us and e.until_us > e.known_us for e in entries)

    def _entries(self, group: str, key: bytes) -> Sequence[_Entry]:
        kept = self._groups.get(group)
        return [] if kept is None or key == NOBODY else kept.keys.get(key, [])


class MemoryOnline(OnlineStore):
    """Rows in dictionaries, under one lock."""

    name: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._numbers = count()
        self._lock = threading.RLock()

    def put(
        self,
        group: str,
        rows: Sequence[OnlineRow],
        *,
        progress: Mapping[str, int],
        after: Mapping[str, int],
        facts: str,
        rank: Rank,
    ) -> bool:
        with self._lock:
            kept = self._groups.get(group)
            if dict(after) != (dict(kept.state.progress) if kept else {}):
                return False
            kept = kept or _Group(GroupState(group, facts))
            touched: dict[bytes, None] = {}
            for row in rows:
                self._add(kept, row)
                if row.name is not None:
                    touched[row.name] = None
            for name in touched:
                versions = kept.names[name]
                found = [Version(None, e.known_us, e.until_us, e.content) for e in versions]
                for entry, until_us in zip(versions, chain(found, rank), strict=True):
                    entry.until_us = until_us
            kept.state = kept.state._replace(facts=facts, progress=dict(progress))
            self._groups[group] = kept
            return True

    def _add(self, group: _Group, row: OnlineRow) -> None:
        entry = _Entry(row.event_us, row.known_us, next(self._numbers), NEVER, row.name, row.content)
        insort(group.keys.setdefault(row.key, []), entry, key=lambda e: e.place)
        if row.name is not None:
            group.names.setdefault(row.name, []).append(entry)

    def list_groups(self) -> list[str]:
        with self._lock:
            return sorted(self._groups)

    def count(self, group: str) -> int:
        with self._lock:
            kept = self._groups.get(group)
            return 0 if kept is None else sum(map(len, kept.keys.values()))

    def forget(self, group: str, before_us: int, since_us: int | None) -> int:
        with self._lock:
            kept = self._groups.get(group)
            if kept is None:
                return 0
            gone = [e for key, entries in kept.keys.items() for e in _gone(key, entries, before_us, since_us)]
            numbers = {e.number for e in gone}
            for part in (kept.keys, kept.names):
                for key in [*part]:
                    part[key] = [e for e in part[key] if e.number not in numbers]
                    if not part[key]:
                        del part[key]
            state = kept.state
            since = state.since_us if since_us is None else max(since_us, state.since_us or since_us)
            kept.state = state._replace(
                forgotten_us=max(before_us, state.forgotten_us or before_us), since_us=since
            )
            return len(gone)

    def drop(self, group: str) -> None:
        with self._lock:
            self._groups.pop(group, None)

    @contextmanager
    def reading(self) -> Iterator[OnlineReading]:
        with self._lock:
            yield _Reading(self._groups)

    def close(self) -> None:
        with self._lock:
            self._groups.clear()


def _gone(key: bytes, entries: Sequence[_Entry], before_us: int, since_us: int | None) -> Iterator[_Entry]:
    """The rows of a key that no moment from `before_us` on can see."""
    usable = [e for e in entries if e.counts(before_us)]
    stays = usable[-1].place[:2] if usable and key != NOBODY else None
    for e in entries:
        if e.known_us > before_us:
            continue
        old = since_us is not None and e.event_us < since_us and e.place[:2] != stays
        if e.until_us < before_us or old:
            yield e


def open_url(url: str) -> OnlineStore:
    """A new, empty store for ``memory://``."""
    del url
    return MemoryOnline()
