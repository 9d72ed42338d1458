"""Answering requests: what is queued is predicted together, logged, and then told.

::

    caller    shape    → Ask            columns checked against the model in force
    worker    drain    → micro-batch    whatever is queued by now; no timer
              predict  → record         inputs, scores, facts
              sync     → Answer         written to the log with one sync; only then the callers are told
    table     commit                    each sealed segment of the log, once

An alias is followed: the next model is loaded and asked once before it takes over, and a request is answered by the
model that was in force when it came.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.arrow import to_arrow
from whence._base.clock import Clock, WallClock
from whence._base.ids import new_uid
from whence.errors import BackendError, NotFoundError, UnsupportedError, UsageError, WhenceError
from whence.lake import Lake
from whence.metadata import Recorder
from whence.registry import Models, ModelVersion
from whence.serving.answers import (
    Facts,
    Record,
    encode,
    input_columns,
    request_schema,
    signature_schema,
    table_of,
    to_stream,
    type_differences,
)
from whence.serving.asking import Answer, Ask, Line, Looked, Lookup
from whence.serving.checking import RequestCheck
from whence.serving.predictions import FEATURES_AT
from whence.serving.remembering import MADE, Flight, Remembered, find_answer
from whence.serving.requestlog import RequestLog, Shard, list_shards
from whence.serving.requesttable import RequestTable, log_folder
from whence.serving.scorer import matrix, open_scorer, refused
from whence.serving.types import Deployment
from whence.serving.waiting import Asked, Told, Waiting

log = logging.getLogger(__name__)

_MICRO: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LINES_KEPT: Final = 4
_RETRY_S: Final = 1.0
_STOP: Final = None
_PREFERRED: Final = "champion"


class Answerer:
    """A deployment that answers requests. Thread-safe; close it, so that its log is committed.

    Args:
        deployment: Who answers, with which model; a model without a version means its champion, or its newest
            version while it has none.
        folder: Where request logs are kept; each deployment has a folder of its own below.
        recorder: Where executions are recorded.
        lake: Where predictions go.
        models: The registry.
        lookup: Gives features by keys; None refuses requests by keys only.
        clock: The moment of the answers.
        into: The predictions table of requests; that of the deployment with ``_requests`` by default.
        follow_s: How often the alias is looked at; 0 is only when `refresh` is called.
        seal_s: How old answers get before they are committed to the table.
        seal_rows: How many answers are committed together.
        max_waiting: Rows that may wait in requests of up to `max_batch` rows, and as many in larger ones;
            further requests are refused until some are answered.
        max_batch: Rows that are predicted together at most; a larger request is predicted alone.
        check: The schema that rows are held against; None holds them against none.

    Raises:
        NotFoundError: There is no such model.
        UnsupportedError: No request can carry what it takes (``model-not-servable``).
        UsageError: The predictions table has other types (``requests-table``).
    """

    def __init__(
        self,
        deployment: Deployment,
        folder: Path,
        *,
        recorder: Recorder,
        lake: Lake,
        models: Models,
        lookup: Lookup | None = None,
        clock: Clock | None = None,
        into: str | None = None,
        follow_s: float = 0.5,
        seal_s: float = 30.0,
        seal_rows: int = 65_536,
        max_waiting: int = 65_536,
        max_batch: int = 4_096,
        check: RequestCheck | None = None,
    ) -> None:
        self.check = check
        self.deployment = deployment
        self.into = into or f"{deployment.into}_requests"
        self._lake, self._models, self._lookup = lake, models, lookup
        self._clock = clock or WallClock()
        self.trouble: str | None = None
        """Why the alias could not be followed; None while it is."""
        self._switching = threading.RLock()
        self._pinned: dict[int, Line] = {}
        self._line = self._open_line(version_in_force(models, deployment.model))
        self._table = RequestTable(recorder, lake)
        self._table.settle(folder, deployment.name)
        self._remembered = Remembered()
        self._remembered.learn(lake.table(self.into))
        self._shard = _claim(log_folder(folder, deployment.name))
        self._sealed: queue.SimpleQueue[int | threading.Event | None] = queue.SimpleQueue()
        self._log = RequestLog(
            self._shard,
            first=self._table.next_segment(deployment.name, self.into, self._shard),
            on_sealed=self._sealed.put,
            seal_s=seal_s,
            max_rows=seal_rows,
        )
        self._waiting = Waiting(deployment.name, max_rows=max_waiting, max_batch=max_batch)
        self._after_batch: tuple[Callable[[], None], ...] = ()
        self._stop = threading.Event()
        self._worker = self._start(self._work, "answer")
        self._committer = self._start(self._commit_sealed, "commit")
        self._follower = None
        if follow_s > 0 and not deployment.model.partition("@")[2].isdecimal():
            self._follower = self._start(partial(self._follow, follow_s), "follow")

    def _start(self, run: Callable[[], None], what: str) -> threading.Thread:
        thread = threading.Thread(target=run, name=f"{what}-{self.deployment.name}", daemon=True)
        thread.start()
        return thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what answers

    @property
    def line(self) -> Line:
        """The model in force, ready to answer."""
        return self._line

    def pinned(self, version: int) -> Line:
        """A version of the deployment's model, ready to answer; a few are kept loaded.

        Raises:
            NotFoundError: There is no such version (``model-version-not-found``).
        """
        current = self._line
        if current.version.version == version:
            return current
        with self._switching:
            if version not in self._pinned:
                opened = self._open_line(self._models.get(f"{current.version.name}@{version}"))
                if len(self._pinned) >= _LINES_KEPT:
                    self._pinned.pop(next(iter(self._pinned)))
                self._pinned[version] = opened
            return self._pinned[version]

    def refresh(self) -> bool:
        """Look where the alias points; load that version and let it take over. Whether it did.

        A version that cannot answer does not take over: the one in force goes on, and `trouble` says why.
        """
        with self._switching:
            try:
                version = version_in_force(self._models, self.deployment.model)
                switched = version.uid != self._line.version.uid
                if switched:
                    self._line = self._open_line(version)
            except WhenceError as error:
                if self.trouble != str(error):
                    log.warning(
                        "model not switched", extra={"deployment": self.deployment.name, "why": str(error)}
                    )
                self.trouble = str(error)
                return False
            self.trouble = None
            if switched:
                log.info("model switched", extra={"deployment": self.deployment.name, "model": version.ref})
            return switched

    def _open_line(self, version: ModelVersion) -> Line:
        """Load a version and ask it once: what takes over has answered before."""
        columns, keys = input_columns(version), self._keys()
        schema = request_schema(columns, keys)
        handle = self._lake.table(self.into)
        wrong = type_differences(handle.schema, schema) if handle.exists else []
        if wrong:
            raise UsageError(
                f"answers of {version.ref} do not fit table {self.into!r}: " + "; ".join(wrong),
                code="requests-table",
                hint="answer into another table",
            )
        scorer = open_scorer(self._models, version, trust=self.deployment.trust)
        facts = Facts(
            deployment=self.deployment.name,
            into=self.into,
            model=f"{version.name}@{version.version}",
            model_digest=version.digest,
            model_uid=version.uid,
            definitions={},
            sources={},
            columns=columns,
        )
        line = Line(version, scorer, columns, facts, keys)
        if line.is_numeric:
            scorer.answer(np.zeros((1, len(columns))))
        return line

    def _keys(self) -> pa.Schema:
        """The columns of a request by keys, in the types of the spine table."""
        wanted = [c for v in self.deployment.views for c in v.spine_columns if c != self.deployment.at]
        handle = self._lake.table(self.deployment.table) if wanted else None
        known = handle.schema if handle is not None and handle.exists else pa.schema([])
        return pa.schema(
            [known.field(c) if c in known.names else pa.field(c, pa.string()) for c in dict.fromkeys(wanted)]
        )

    def _follow(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.refresh()
            except Exception:
                log.exception("alias not followed", extra={"deployment": self.deployment.name})

    # -- asking

    def submit(self, ask: Ask, told: Told) -> None:
        """Queue a request; `told` is called once, when the answer is safe or there will be none.

        Raises:
            BackendError: Too many rows wait (``requests-busy``); retry a little later.
            ConflictError: It is closed (``answerer-closed``).
        """
        self._waiting.put(ask if self.check is None else self.check.fill(ask), told)

    def after_batch(self, call: Callable[[], None]) -> None:
        """Have something called on the answerer's thread each time it has told what it had to tell together."""
        self._after_batch = (*self._after_batch, call)

    def answer(
        self,
        rows: object,
        *,
        id: str | None = None,  # noqa: A002  # the protocol's word
        version: int | None = None,
        keys_only: bool = False,
        timeout_s: float = 60.0,
    ) -> Answer:
        """Answer rows, and wait until the answer is safe.

        Args:
            rows: Arrow, a frame or mappings: the model's columns, or with `keys_only` the columns that
                features are looked up by.
            id: Names the request: the same again is answered with what is stored.
            version: A version of the model, instead of the one in force.
            keys_only: Look the features up.
            timeout_s: How long to wait.

        Raises:
            UsageError: The columns do not fit (``signature-mismatch``); ``bad-request-id``, ``no-rows``.
            ConflictError: The id was used for other rows, or answered by another version than `version`
                (``request-id-reused``).
            DataRejectedError: A row breaks the deployment's schema (``request-refused``).
            BackendError: ``requests-busy``, ``answer-timeout``, ``store-full``.
        """
        line = self.line if version is None else self.pinned(version)
        if keys_only:
            ask = line.ask_keys(to_arrow(rows, schema=line.keys), id=id)
        else:
            ask = line.ask_table(to_arrow(rows, schema=signature_schema(line.columns)), id=id)
        if version is not None:
            ask = replace(ask, is_pinned=True)
        found: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        self.submit(ask, found.put)
        try:
            told = found.get(timeout=timeout_s)
        except queue.Empty:
            raise BackendError(
                f"no answer within {timeout_s:g} s", code="answer-timeout", retryable=True
            ) from None
        if isinstance(told, BaseException):
            raise told
        return told

    @property
    def n_waiting(self) -> int:
        """Rows that were asked and are not answered yet."""
        return self._waiting.n_rows

    @property
    def broken(self) -> str | None:
        """Why nothing can be answered any more; None while all is well."""
        return None if self._log.broken is None else str(self._log.broken)

    def seal(self, timeout_s: float = 60.0) -> None:
        """Commit what was answered so far, without waiting until it is enough or old."""
        self._log.seal()
        done = threading.Event()
        self._sealed.put(done)
        done.wait(timeout_s)

    def close(self) -> None:
        """Answer what waits, commit the log, give the shard back."""
        if not self._waiting.close():
            return
        self._stop.set()
        self._worker.join()
        self._log.seal()
        self._sealed.put(_STOP)
        self._committer.join()
        if self._follower is not None:
            self._follower.join()
        self._shard.release()

    # -- the worker

    def _work(self) -> None:
        for batch in self._waiting.batches():
            fresh = [asked for asked in batch if asked[0].id is None or self._is_new(*asked)]
            if self.check is not None:
                fresh = [asked for one in fresh if (asked := self._checked(self.check, *one)) is not None]
            groups: dict[tuple[int, str], list[Asked]] = {}
            for asked in fresh:
                groups.setdefault((id(asked[0].line), asked[0].kind), []).append(asked)
            for group in groups.values():
                self._predict(group)
            for call in self._after_batch:
                try:
                    call()
                except Exception:  # such as that of an event loop that has ended
                    log.exception("nobody was woken", extra={"deployment": self.deployment.name})

    def _is_new(self, ask: Ask, told: Told) -> bool:
        """Whether a request with an id is to be answered; else it has been, or shares an answer under way."""
        assert ask.id is not None
        begun = False
        try:
            known = self._remembered.begin(ask, told)
            begun = known is None
            if begun and self._remembered.is_in_table(ask.id):
                known = find_answer(self._lake.table(self.into), ask, _asked_with(ask))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this caller's answer
            self._tell(told, error, ask)
            if begun:
                self._share(ask, None, error)
            return False
        if isinstance(known, Flight):
            self._waiting.done(ask)
            return False
        if known is None:
            return True
        if begun:
            self._share(ask, None, known)
        self._tell(told, replace(known, repeated=True), ask)
        return False

    def _checked(self, check: RequestCheck, ask: Ask, told: Told) -> Asked | None:
        """A request whose rows may be answered; None when it has been told that they may not."""
        try:
            return check(ask), told
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this caller's answer
            self._finish(ask, told, None, error)
            return None

    def _predict(self, group: Sequence[Asked]) -> None:
        """Answer requests of one model and kind together; if that fails, each alone."""
        try:
            self._answer(group)
        except BackendError as error:  # the log: no answer of the group is safe
            for ask, told in group:
                self._finish(ask, told, None, error)
        except Exception as error:  # noqa: BLE001  # a model may raise anything; the caller is told
            if len(group) > 1:
                for asked in group:
                    self._predict([asked])
                return
            ((ask, told),) = group
            self._finish(ask, told, None, _in_our_words(ask, error))

    def _answer(self, group: Sequence[Asked]) -> None:
        asks = [ask for ask, _ in group]
        line = asks[0].line
        moment = self._clock.now()
        values, record, statuses = self._inputs(asks, moment)
        scores = line.scorer.answer(values)
        record.ids = [ask.id or MADE + new_uid() for ask in asks]
        record.scores = scores.tobytes()
        answers: list[Answer] = []
        start = 0
        for ask, id_ in zip(asks, record.ids, strict=True):
            end = start + ask.n_rows
            answers.append(
                Answer(
                    id=id_,
                    scores=scores[start:end].tolist(),
                    model=line.facts.model,
                    version=line.version.version,
                    moment=moment,
                    into=self.into,
                    statuses={name: all_[start:end] for name, all_ in statuses.items()},
                    marks=ask.marks,
                )
            )
            start = end

        segment = self._log.write([encode(record)], len(scores))
        for (ask, told), answer in zip(group, answers, strict=True):
            self._finish(ask, told, segment, answer)

    def _inputs(
        self, asks: Sequence[Ask], moment: datetime
    ) -> tuple[npt.NDArray[np.float64], Record, dict[str, Sequence[str]]]:
        """What the model is given, and the record of it."""
        line = asks[0].line
        at_us = (moment - _EPOCH) // _MICRO
        record = Record(line.encoded, at_us, [], [ask.n_rows for ask in asks], b"")
        if any(ask.filled for ask in asks):
            record.filled = sum((Counter(ask.filled) for ask in asks), Counter[str]())
        if asks[0].matrix is not None:
            parts = [ask.matrix for ask in asks if ask.matrix is not None]
            values = parts[0] if len(parts) == 1 else np.concatenate(parts)
            record.matrix = values.tobytes()
            return values, record, {}
        if asks[0].table is not None:
            table = pa.concat_tables([ask.table for ask in asks])
            record.table = to_stream(table)
            return matrix(table), record, {}
        keys = pa.concat_tables([ask.keys for ask in asks])
        looked = self._look_up(keys, moment)
        inputs = line.scorer.inputs(looked.table, looked.table.column_names)
        record.table = to_stream(inputs.combine_chunks())
        record.keys = to_stream(self._kept(keys, moment))
        facts = line.facts
        record.facts = encode(
            Facts(
                deployment=facts.deployment,
                into=facts.into,
                model=facts.model,
                model_digest=facts.model_digest,
                model_uid=facts.model_uid,
                definitions=dict(looked.definitions),
                sources=dict(looked.sources),
                columns=facts.columns,
            )
        )
        return matrix(inputs), record, dict(looked.statuses)

    def _look_up(self, keys: pa.Table, moment: datetime) -> Looked:
        if self._lookup is None:
            raise UnsupportedError(
                f"deployment {self.deployment.name!r} looks no features up",
                code="no-lookup",
                hint="give the model's columns",
            )
        return self._lookup(self._with_moment(keys, moment), self.deployment.views, moment)

    def _kept(self, keys: pa.Table, moment: datetime) -> pa.Table:
        """What the row keeps of a request by keys; its moment has a column in every row."""
        return keys if self.deployment.at == FEATURES_AT else self._with_moment(keys, moment)

    def _with_moment(self, keys: pa.Table, moment: datetime) -> pa.Table:
        """The keys, with the spine's column of the moment where a view reads it."""
        at = self.deployment.at
        if not any(at in view.spine_columns for view in self.deployment.views):
            return keys
        return keys.append_column(at, pa.array([moment] * keys.num_rows, pa.timestamp("us", tz="UTC")))

    # -- telling

    def _finish(self, ask: Ask, told: Told, segment: int | None, answer: Answer | BaseException) -> None:
        """Tell who asked, and who asked the same meanwhile."""
        if ask.id is not None:
            self._share(ask, segment, answer)
        self._tell(told, answer, ask)

    def _share(self, ask: Ask, segment: int | None, answer: Answer | BaseException) -> None:
        assert ask.id is not None
        stored = answer if isinstance(answer, Answer) else None
        for waiter in self._remembered.finish(ask.id, segment, stored):
            self._tell(waiter, answer if stored is None else replace(stored, repeated=True))

    def _tell(self, told: Told, answer: Answer | BaseException, ask: Ask | None = None) -> None:
        if ask is not None:
            self._waiting.done(ask)
        try:
            told(answer)
        except Exception:
            log.exception("a caller could not be told", extra={"deployment": self.deployment.name})

    # -- the committer

    def _commit_sealed(self) -> None:
        """Commit sealed segments in their order; what fails is tried again, and stays in the log at the end."""
        pending: deque[int | threading.Event] = deque()
        item: int | threading.Event | None = 0
        while True:
            try:
                patience = self._log.seal_old()
                item = self._sealed.get(timeout=min(patience, _RETRY_S) if pending else patience)
                if item is not _STOP:
                    pending.append(item)
            except queue.Empty:
                item = 0
            while pending and self._settle_one(pending[0]):
                pending.popleft()
            if item is _STOP:
                for left in pending:
                    if isinstance(left, threading.Event):
                        left.set()
                return

    def _settle_one(self, item: int | threading.Event) -> bool:
        if isinstance(item, threading.Event):
            item.set()
            return True
        try:
            self._table.commit(self.deployment.name, self._shard, item)
        except Exception:
            log.exception(
                "answers not committed; they stay in the log",
                extra={"deployment": self.deployment.name, "shard": self._shard.name, "segment": item},
            )
            return False
        self._remembered.committed(item)
        return True


def version_in_force(models: Models, ref: str) -> ModelVersion:
    """The version a reference means now; that of a model alone is its champion, or its newest version.

    Raises:
        NotFoundError: There is no such model or version.
    """
    name = ref.removeprefix("model:")
    if "@" in name or ":" in name:  # a version, an alias or a digest
        return models.get(ref)
    if _PREFERRED in models.aliases(name):
        return models.get(f"{name}@{_PREFERRED}")
    versions = models.versions(name)
    if not versions:
        raise NotFoundError("model version", name, hint="whence models list")
    return versions[-1]


def _claim(folder: Path) -> Shard:
    """The first shard nobody holds, or a new one."""
    for found in list_shards(folder):
        shard = Shard.claim(found)
        if shard is not None:
            if not shard.segments():
                return shard
            shard.release()  # it was left with answers a moment ago: the next start commits them
    return Shard.create(folder)


def _asked_with(ask: Ask) -> pa.Table:
    """The columns a request brought."""
    if ask.matrix is not None:
        return table_of(ask.matrix, ask.line.columns)
    table = ask.table if ask.table is not None else ask.keys
    assert table is not None
    return table


def _in_our_words(ask: Ask, error: Exception) -> BaseException:
    """A model's own exception as ours; ours as they are."""
    if isinstance(error, WhenceError):
        return error
    told = refused(ask.line.version.ref, error)
    told.__cause__ = error
    return told
