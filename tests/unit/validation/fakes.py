"""A version of a table made of an Arrow table, and a room to validate it in."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from whence.blobs import open_blobs
from whence.compute import Engine, Relation, open_engine
from whence.metadata import Artifact, Recorder, Type, open_store
from whence.validation import Validation


@dataclass(frozen=True)
class Declared:
    key: tuple[str, ...] = ()


@dataclass
class FakeVersion:
    table: pa.Table
    name: str = "flights@12"
    key: tuple[str, ...] = ()
    reads: int = field(default=0, init=False)

    @property
    def ref(self) -> str:
        return f"table:{self.name}"

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    @property
    def declaration(self) -> Declared:
        return Declared(self.key)

    def files(self) -> Relation:
        self.reads += 1
        return self.table

    def artifact(self) -> Artifact:
        return Artifact(type="TableVersion", name=self.name)


class FakeTable:
    """A handle of a table with numbered versions."""

    def __init__(self, *versions: FakeVersion) -> None:
        self._versions = versions

    def head(self) -> FakeVersion:
        return self._versions[-1]

    def at(self, version: int) -> FakeVersion:
        return next(v for v in self._versions if v.name.endswith(f"@{version}"))

    def history(self) -> list[FakeVersion]:
        return list(self._versions)


class FakeLake:
    def __init__(self, **tables: FakeTable) -> None:
        self._tables = tables

    def table(self, name: str) -> FakeTable:
        return self._tables[name]


def open_room(lake: FakeLake | None = None) -> tuple[Validation, Recorder, Engine]:
    recorder = Recorder(open_store("memory://"))
    recorder.store.put_type(Type("artifact", "TableVersion"))
    engine = open_engine(threads=1)
    return Validation(recorder, open_blobs("memory://"), lake, engine), recorder, engine
