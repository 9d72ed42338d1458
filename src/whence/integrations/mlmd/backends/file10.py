"""A SQLite file of schema version 10 being written, such as ML Metadata itself makes."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, get_args

from whence.database import is_sqlite
from whence.errors import BackendError, ConflictError
from whence.integrations.mlmd.convert import MAX_MESSAGES, put_value, struct_value, to_ms
from whence.integrations.mlmd.messages import metadata_store_pb2
from whence.integrations.mlmd.sentences import Sentences
from whence.metadata.types import (
    AnyNode,
    Artifact,
    ArtifactState,
    Event,
    EventKind,
    Execution,
    ExecutionState,
    NodeKind,
    Type,
    Value,
)

_TYPE_KINDS: Final[Mapping[NodeKind, int]] = {"execution": 0, "artifact": 1, "context": 2}
_DATA_TYPES: Final = {"INT": 1, "DOUBLE": 2, "STRING": 3, "STRUCT": 4, "PROTO": 5, "BOOLEAN": 6}
_ARTIFACT_STATES: Final = {name: i for i, name in enumerate(get_args(ArtifactState))}
_EXECUTION_STATES: Final = {name: i for i, name in enumerate(get_args(ExecutionState))}
_EVENTS: Final = {name: i for i, name in enumerate(get_args(EventKind), 1)}
_ID: Final = "`id` INTEGER PRIMARY KEY AUTOINCREMENT"
_TIMES: Final = (
    "`create_time_since_epoch` INT NOT NULL DEFAULT 0, `last_update_time_since_epoch` INT NOT NULL DEFAULT 0"
)
_EXTERNAL: Final = "`external_id` VARCHAR(255) UNIQUE"
_TABLES: Final[Mapping[str, str]] = {
    "Type": f"{_ID}, `name` VARCHAR(255) NOT NULL, `version` VARCHAR(255), `type_kind` TINYINT(1) NOT NULL,"
    f" `description` TEXT, `input_type` TEXT, `output_type` TEXT, {_EXTERNAL}",
    "ParentType": "`type_id` INT NOT NULL, `parent_type_id` INT NOT NULL, PRIMARY KEY (`type_id`, `parent_type_id`)",
    "TypeProperty": "`type_id` INT NOT NULL, `name` VARCHAR(255) NOT NULL, `data_type` INT NULL,"
    " PRIMARY KEY (`type_id`, `name`)",
    "Artifact": f"{_ID}, `type_id` INT NOT NULL, `uri` TEXT, `state` INT, `name` VARCHAR(255), {_EXTERNAL}, {_TIMES},"
    " UNIQUE(`type_id`, `name`)",
    "Execution": f"{_ID}, `type_id` INT NOT NULL, `last_known_state` INT, `name` VARCHAR(255), {_EXTERNAL}, {_TIMES},"
    " UNIQUE(`type_id`, `name`)",
    "Context": f"{_ID}, `type_id` INT NOT NULL, `name` VARCHAR(255) NOT NULL, {_EXTERNAL}, {_TIMES},"
    " UNIQUE(`type_id`, `name`)",
    **{
        f"{kind.capitalize()}Property": f"`{kind}_id` INT NOT NULL, `name` VARCHAR(255) NOT NULL,"
        " `is_custom_property` TINYINT(1) NOT NULL, `int_value` INT, `double_value` DOUBLE, `string_value` TEXT,"
        f" `byte_value` BLOB, `proto_value` BLOB, `bool_value` BOOLEAN, PRIMARY KEY (`{kind}_id`, `name`,"
        " `is_custom_property`)"
        for kind in _TYPE_KINDS
    },
    "ParentContext": "`context_id` INT NOT NULL, `parent_context_id` INT NOT NULL,"
    " PRIMARY KEY (`context_id`, `parent_context_id`)",
    "Event": f"{_ID}, `artifact_id` INT NOT NULL, `execution_id` INT NOT NULL, `type` INT NOT NULL,"
    " `milliseconds_since_epoch` INT, UNIQUE(`artifact_id`, `execution_id`, `type`)",
    "EventPath": "`event_id` INT NOT NULL, `is_index_step` TINYINT(1) NOT NULL, `step_index` INT, `step_key` TEXT",
    "Association": f"{_ID}, `context_id` INT NOT NULL, `execution_id` INT NOT NULL, UNIQUE(`context_id`, `execution_id`)",
    "Attribution": f"{_ID}, `context_id` INT NOT NULL, `artifact_id` INT NOT NULL, UNIQUE(`context_id`, `artifact_id`)",
    "MLMDEnv": "`schema_version` INTEGER PRIMARY KEY",
}
_INDEXES: Final[Mapping[str, str]] = {
    "idx_artifact_uri": "`Artifact`(`uri`)",
    "idx_event_execution_id": "`Event`(`execution_id`)",
    "idx_parentcontext_parent_context_id": "`ParentContext`(`parent_context_id`)",
    "idx_eventpath_event_id": "`EventPath`(`event_id`)",
    "idx_type_name": "`Type`(`name`)",
    **{
        f"idx_{kind}_{column}": f"`{kind.capitalize()}`(`{column}`)"
        for kind in _TYPE_KINDS
        for column in ("create_time_since_epoch", "last_update_time_since_epoch")
    },
    **{
        f"idx_{table}_external_id": f"`{table.capitalize()}`(`external_id`)"
        for table in ("type", *_TYPE_KINDS)
    },
    **{
        f"idx_{kind}_property_{value}": f"`{kind.capitalize()}Property`(`name`, `is_custom_property`, `{value}_value`)"
        f" WHERE `{value}_value` IS NOT NULL"
        for kind in _TYPE_KINDS
        for value in ("int", "double", "string")
    },
}


_INSERT_EVENT: Final = (
    "INSERT OR IGNORE INTO Event (artifact_id, execution_id, type, milliseconds_since_epoch) VALUES (?,?,?,?)"
)


class MlmdFile:
    """A database of ML Metadata that is not there before `finish`: until then a file beside it holds what is written.

    Args:
        path: Where it will be.
        replace: A file that is there is replaced, unless it is a database of something else; else it is refused.

    Raises:
        ConflictError: The file is there (``file-exists``).
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        if path.exists() and not replace:
            raise ConflictError(
                f"{path} is there already", code="file-exists", hint="name another file, or --force"
            )
        if is_sqlite(path) and not _is_theirs(path):
            raise ConflictError(
                f"{path} is a database, or belongs to one, and none of ML Metadata",
                code="file-exists",
                hint="name another file",
            )
        self.path = path
        self.told = Sentences()
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._part.unlink(missing_ok=True)
        try:
            self._connection = sqlite3.connect(self._part, isolation_level=None)
            # Nobody reads it before it is whole: what a crash leaves is thrown away.
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            # Ids by uid are looked up where they are, so that memory does not grow with the graph.
            self._connection.execute("PRAGMA temp_store = FILE")
            self._connection.execute("PRAGMA temp.cache_size = -32000")
            self._connection.execute("BEGIN")
            self._connection.execute("CREATE TEMP TABLE id_of (uid TEXT NOT NULL, id INTEGER NOT NULL)")
            for table, columns in _TABLES.items():
                self._connection.execute(f"CREATE TABLE `{table}` ({columns})")
        except sqlite3.Error as error:
            raise BackendError(f"{path} cannot be written: {error}", code="backend") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._part.unlink(missing_ok=True)

    def finish(self) -> None:
        """Make the indexes, and put the file into its place."""
        for name, place in _INDEXES.items():
            self._connection.execute(f"CREATE INDEX `{name}` ON {place}")
        self._connection.execute("INSERT INTO MLMDEnv VALUES (10)")
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)
        with contextlib.suppress(OSError):  # not every system opens folders
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def add_types(self, types: Sequence[Type]) -> None:
        """Write all types, with their ids."""
        ids = {t.name: t.id for t in types if t.name.startswith("mlmd.")}
        self._many(
            "INSERT INTO Type VALUES (?,?,?,?,?,?,?,?)",
            [
                (t.id, t.name, t.version, _TYPE_KINDS[t.kind], t.description, t.input_type, t.output_type, t.external_id)
                for t in types
            ],
        )  # fmt: skip
        self._many(
            "INSERT INTO ParentType VALUES (?,?)", [(t.id, ids[t.base]) for t in types if t.base is not None]
        )
        self._many(
            "INSERT INTO TypeProperty VALUES (?,?,?)",
            [(t.id, name, _DATA_TYPES[kind]) for t in types for name, kind in t.properties.items()],
        )

    def add_nodes(self, kind: NodeKind, nodes: Sequence[tuple[int, AnyNode, Type]]) -> None:
        """Write nodes with their ids there, and their types."""
        uids: list[tuple[str, int]] = []
        rows: list[tuple[object, ...]] = []
        values: list[tuple[object, ...]] = []
        for id_, node, type_ in nodes:
            uids.append((node.uid, id_))
            rows.append((id_, type_.id, *self._own(node), node.name, node.external_id, *_times(node)))
            for custom, properties in ((0, node.properties), (1, node.custom)):
                for name, value in properties.items():
                    want = None if custom else type_.properties.get(name)
                    row = self._value(value, want, f"{name} of {kind} {id_}")
                    if row is not None:
                        values.append((id_, name, custom, *row))
        marks = ",".join("?" * len(rows[0])) if rows else ""
        self._many(f"INSERT INTO {kind.capitalize()} VALUES ({marks})", rows)
        self._many("INSERT INTO temp.id_of VALUES (?,?)", uids)
        self._many(f"INSERT INTO {kind.capitalize()}Property VALUES (?,?,?,?,?,?,?,?,?)", values)

    def know_all(self) -> None:
        """All nodes are written: edges between them follow."""
        self._connection.execute("CREATE UNIQUE INDEX temp.id_of_uid ON id_of(uid)")

    def add_events(self, events: Sequence[Event]) -> int:
        """Write events between nodes of this file; how many there were for ML Metadata."""
        ids = self._ids({uid for e in events for uid in (e.execution, e.artifact)})
        n = 0
        for event in events:
            execution, artifact = ids.get(event.execution), ids.get(event.artifact)
            if execution is None or artifact is None:
                continue
            assert event.at is not None
            done = self._connection.execute(
                _INSERT_EVENT, (artifact, execution, _EVENTS[event.kind], to_ms(event.at))
            )
            if not done.rowcount:
                self.told.add(
                    f"execution {execution} has several events {event.kind} with artifact {artifact}: the first is "
                    f"kept, not the one in {'/'.join(map(str, event.path)) or 'no'} path"
                )
                continue
            n += 1
            steps = [
                (done.lastrowid, 0, None, step) if isinstance(step, str) else (done.lastrowid, 1, step, None)
                for step in event.path
            ]
            self._many("INSERT INTO EventPath VALUES (?,?,?,?)", steps)
        return n

    def add_pairs(self, table: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Write rows of ``Attribution``, ``Association`` (context, node) or ``ParentContext`` (child, parent).

        Those of which an end is not in this file are left out; how many were written.
        """
        columns = {
            "Attribution": "(context_id, artifact_id)",
            "Association": "(context_id, execution_id)",
            "ParentContext": "(context_id, parent_context_id)",
        }
        ids = self._ids({uid for pair in pairs for uid in pair})
        known = [(ids[a], ids[b]) for a, b in pairs if a in ids and b in ids]
        self._many(f"INSERT INTO {table} {columns[table]} VALUES (?,?)", known)
        return len(known)

    def _ids(self, uids: Iterable[str]) -> dict[str, int]:
        """The ids of those of these uids that were written."""
        query = "SELECT uid, id FROM temp.id_of WHERE uid IN (SELECT value FROM json_each(?))"
        return dict(self._connection.execute(query, (json.dumps(list(uids)),)).fetchall())

    def _own(self, node: AnyNode) -> tuple[object, ...]:
        """The columns that only one kind has."""
        if isinstance(node, Artifact):
            return node.uri or "", _ARTIFACT_STATES[node.state] or None
        return (_EXECUTION_STATES[node.state] or None,) if isinstance(node, Execution) else ()

    def _value(self, value: Value, want: str | None, what: str) -> list[object] | None:
        """The six columns of a value; None for a value that is not there."""
        if value is None:
            return None
        if isinstance(value, float) and math.isnan(value):
            self.told.add(f"{what} is NaN, which SQLite keeps as nothing: left out")
            return None
        row: list[object] = [None] * 6
        if isinstance(value, bool):
            row[5] = int(value)
        elif isinstance(value, int) and want != "DOUBLE":
            row[0] = value
        elif isinstance(value, int | float):
            row[1] = float(value)
        elif isinstance(value, str):
            row[2] = value
            if "\0" in value:
                self.told.add(f"{what} has a NUL, where ML Metadata ends a text")
        else:
            made: Any = metadata_store_pb2.Value()
            put_value(made, value)
            if isinstance(value, bytes):
                row[4] = base64.b64encode(made.proto_value.SerializeToString()).decode()
            else:
                data = made.struct_value.SerializeToString(deterministic=True)
                if not _is_kept(value, struct_value(data)):
                    self.told.add(
                        f"{what} is kept otherwise: a Struct has no bytes, no list alone, no whole number beyond 2^53, "
                        f"no more than {MAX_MESSAGES} messages in one another"
                    )
                row[2] = "mlmd-struct::" + base64.b64encode(data).decode()
        return row

    def _many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._connection.executemany(statement, rows)


def _is_theirs(path: Path) -> bool:
    """Whether a SQLite file is a database of ML Metadata."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'MLMDEnv'").fetchone())
        except sqlite3.Error:  # what stands beside a database is none
            return False


def _times(node: AnyNode) -> tuple[int, int]:
    assert node.created_at is not None
    assert node.updated_at is not None
    return to_ms(node.created_at), to_ms(node.updated_at)


def _is_kept(value: Value, back: Value) -> bool:
    """Whether a value came back as it was, but for whole numbers that are floats now."""
    if isinstance(value, Mapping):
        return (
            isinstance(back, Mapping)
            and value.keys() == back.keys()
            and all(_is_kept(item, back[key]) for key, item in value.items())
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return isinstance(back, list) and len(value) == len(back) and all(map(_is_kept, value, back))
    return value == back or (value != value and back != back)  # NaN
