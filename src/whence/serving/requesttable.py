"""Segments of the request log become commits of the predictions table, each once.

A segment is one commit with the app transaction ``requests/<deployment>:<shard>`` → segment number, made by one
execution ``answer`` whose uid is derived; then its file goes. Whatever dies in between, the next start finds
the file, and the table says whether its rows are there. Segments of a shard are numbered for each table.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import pyarrow as pa

from whence._base.crash import crash_point, register
from whence._base.ids import derived_uid
from whence.errors import ConflictError, IntegrityError
from whence.lake import Commit, Lake, Table
from whence.metadata import Artifact, Properties, Recorder, Type, declare_types
from whence.serving.answers import REQUEST_KEY, Facts, Record, decode_facts, decode_record, rows_of
from whence.serving.predictions import FEATURES_AT, fitting, told_of
from whence.serving.requestlog import Shard, list_shards

log = logging.getLogger(__name__)

BEFORE_COMMIT: Final = register(
    "serving.request.before-commit", "a sealed segment of the request log is read, its rows are not committed"
)
AFTER_COMMIT: Final = register(
    "serving.request.after-commit", "a segment's rows are in the table, the segment is still in the log"
)
REMOVED: Final = register(
    "serving.request.removed", "a segment's rows are in the table and the segment is gone"
)

ANSWER_TYPE: Final = Type(
    "execution",
    "answer",
    {
        "deployment": "STRING",
        "into": "STRING",
        "models": "STRUCT",
        "definitions": "STRUCT",
        "n_rows": "INT",
        "n_requests": "INT",
        "n_bytes_cut": "INT",
        "version": "INT",
    },
    description="requests answered by a deployment: one segment of its log",
)


def log_folder(top: Path, deployment: str) -> Path:
    """Where the shards of a deployment lie.

    Example:
        >>> log_folder(Path("requests"), "late.jfk").as_posix()
        'requests/late.jfk'
    """
    return top / quote(deployment, safe="")


class RequestTable:
    """Commits segments.

    Args:
        recorder: Where executions are recorded.
        lake: Where predictions go.
    """

    def __init__(self, recorder: Recorder, lake: Lake) -> None:
        self._recorder = recorder
        self._lake = lake
        declare_types(recorder.store, [ANSWER_TYPE])

    def next_segment(self, deployment: str, into: str, shard: Shard) -> int:
        """The first number that neither the log nor the table has used for this shard."""
        handle = self._lake.table(into)
        reached = handle.head().transaction(_application(deployment, shard)) if handle.exists else None
        return max([reached or 0, *shard.segments()]) + 1

    def settle(self, top: Path, deployment: str, *, salvage: bool = False) -> int:
        """Commit what dead processes left of a deployment; returns how many segments that were.

        Shards that a living process holds are left to it. A damaged segment, and what its shard has behind it, stays
        as it is; other shards are committed. With `salvage` its records that are whole are committed too, and its
        file is set aside.

        Raises:
            IntegrityError: A segment is damaged (``request-log-damaged``).
        """
        n = 0
        damage: IntegrityError | None = None
        for folder in list_shards(log_folder(top, deployment)):
            shard = Shard.claim(folder)
            if shard is None:
                continue
            try:
                for segment in shard.segments():
                    self.commit(deployment, shard, segment, salvage=salvage)
                    n += 1
            except IntegrityError as error:
                if error.code != "request-log-damaged":
                    raise
                damage = damage or error
            finally:
                shard.release()
        if damage is not None:
            raise damage
        return n

    def commit(self, deployment: str, shard: Shard, segment: int, *, salvage: bool = False) -> Commit | None:
        """Bring a segment's rows into the table, then take the segment away; None when it held none.

        Segments of a shard are committed in the order of their numbers. With `salvage`, a damaged one is set aside
        instead of taken away.

        Raises:
            IntegrityError: The segment is damaged (``request-log-damaged``); nothing is written.

        Records:
            One execution ``answer``; inputs are the model versions, the feature views and the table versions
            that features were looked up from, the output is the version of the predictions table.
        """
        found = shard.read(segment, salvage=salvage)
        records = [decode_record(data) for data in found.records]
        commit = None
        if records:
            commit = self._commit(deployment, shard, segment, records, found.n_cut)
            crash_point(AFTER_COMMIT)
        if found.damaged:
            aside = shard.set_aside(segment)
            told = {"deployment": deployment, "file": str(aside), "n_bytes": found.n_cut}
            log.error("answers are lost: a damaged segment is set aside", extra=told)
        else:
            shard.remove(segment)
        crash_point(REMOVED)
        return commit

    def _commit(
        self, deployment: str, shard: Shard, segment: int, records: Sequence[Record], n_cut: int
    ) -> Commit | None:
        facts = [decode_facts(data) for data in dict.fromkeys(record.facts for record in records)]
        into = facts[0].into
        name = f"{deployment}:{shard.name}:{segment}"
        done = self._recorder.find_complete("answer", name)
        if (
            done is not None and done.get("into") != into
        ):  # deployed into another table, where numbers begin anew
            name += f":{into}"
            done = self._recorder.find_complete("answer", name)
        if done is not None:
            return None
        uid = derived_uid("answer", name)
        filled = sum((Counter(record.filled) for record in records if record.filled), Counter[str]())
        rows = rows_of(records, uid)
        about: Properties = {
            "deployment": deployment,
            "into": into,
            "models": {f.model: f.model_digest for f in facts},
            **told_of(f.definitions for f in facts),
            "n_rows": rows.num_rows,
            "n_requests": sum(len(record.ids) for record in records),
            "n_bytes_cut": n_cut,
        }
        with self._recorder.execution(
            "answer", key=name, uid=uid, properties=about, inputs=self._inputs(facts)
        ) as recording:
            crash_point(BEFORE_COMMIT)
            handle = self._table(into, rows.schema)
            commit = handle.append(
                fitting(rows, handle.head().schema, what=into),
                evolve=True,
                transaction=(_application(deployment, shard), segment),
                filled=filled,
            )
            recording.set(version=commit.version)
        return commit

    def _table(self, into: str, schema: pa.Schema) -> Table:
        handle = self._lake.table(into)
        if not handle.exists:
            try:
                handle = self._lake.create(
                    into,
                    schema,
                    key=REQUEST_KEY,
                    event_time=FEATURES_AT,
                    description="answers to requests, beside their inputs",
                )
            except ConflictError:  # another server was faster
                handle = self._lake.table(into)
        return handle

    def _inputs(self, facts: Sequence[Facts]) -> list[tuple[Artifact, tuple[str | int, ...]]]:
        store = self._recorder.store
        uids = list(dict.fromkeys(f.model_uid for f in facts))
        models = [n for n in store.get_nodes("artifact", uids=uids) if isinstance(n, Artifact)]
        inputs: list[tuple[Artifact, tuple[str | int, ...]]] = [(m, ("model",)) for m in models]
        for view, digest in sorted({pair for f in facts for pair in f.definitions.items()}):
            nodes = store.find_nodes("artifact", type_="FeatureView", where={"digest": digest}).nodes
            inputs += [(n, ("views", view)) for n in nodes[:1] if isinstance(n, Artifact)]
        read = sorted({(name.partition("#")[0], number) for f in facts for name, number in f.sources.items()})
        for table, number in read:
            nodes = store.find_nodes("artifact", type_="TableVersion", name=f"{table}@{number}").nodes
            inputs += [(n, ("sources", table)) for n in nodes[:1] if isinstance(n, Artifact)]
        return inputs


def list_left(top: Path) -> list[str]:
    """The deployments that have a log under a folder."""
    return sorted(unquote(p.name) for p in top.iterdir() if p.is_dir()) if top.is_dir() else []


def _application(deployment: str, shard: Shard) -> str:
    return f"requests/{deployment}:{shard.name}"
