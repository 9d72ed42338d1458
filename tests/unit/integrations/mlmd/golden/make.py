"""Writes vN.sql: one small database as ML Metadata 1.17.1 keeps it in each schema version. Run by hand, with its Python.

A file of version 10 is filled, then downgraded by ML Metadata itself; each is dumped as SQL.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any


def fill(store: Any, version: int) -> None:
    from ml_metadata.proto import metadata_store_pb2 as pb  # imported here: pytest looks into every file

    kinds = {"span": pb.INT, "share": pb.DOUBLE, "split": pb.STRING, "facts": pb.STRUCT}
    if version == 10:
        kinds |= {"raw": pb.PROTO, "ok": pb.BOOLEAN}
    data = store.put_artifact_type(
        pb.ArtifactType(name="Data", properties=kinds, base_type=pb.ArtifactType.DATASET)
    )
    store.put_artifact_type(pb.ArtifactType(name="Data", version="2", description="later"))
    train = store.put_execution_type(pb.ExecutionType(name="Train", properties={"n": pb.INT}))
    group = store.put_context_type(pb.ContextType(name="Group"))
    first = pb.Artifact(type_id=data, name="first", uri="/x/é", state=pb.Artifact.LIVE)
    if version > 8:
        first.external_id = "E1"
    first.properties["span"].int_value = 3
    first.properties["share"].double_value = 0.5
    first.properties["split"].string_value = "train"
    first.properties["facts"].struct_value.update({"k": [1, None, {"deep": "ü"}]})
    first.custom_properties["note"].string_value = "mlmd-struct is only a prefix"
    if version == 10:
        first.properties["raw"].proto_value.Pack(pb.Event.Path.Step(key="packed"))
        first.properties["ok"].bool_value = False
    x, (a, _), (c,) = store.put_execution(
        pb.Execution(type_id=train, name="run", last_known_state=pb.Execution.COMPLETE),
        [
            (
                first,
                pb.Event(type=pb.Event.INPUT, path=pb.Event.Path(steps=[{"key": "rows"}, {"index": 2}])),
            ),
            (pb.Artifact(type_id=data), pb.Event(type=pb.Event.OUTPUT)),
        ],
        [pb.Context(type_id=group, name="c")],
    )
    store.put_events([pb.Event(artifact_id=a, execution_id=x, type=pb.Event.DECLARED_INPUT)])
    (d,) = store.put_contexts([pb.Context(type_id=group, name="d")])
    store.put_parent_contexts([pb.ParentContext(child_id=d, parent_id=c)])


def main() -> None:
    from ml_metadata import errors, metadata_store
    from ml_metadata.metadata_store.metadata_store import downgrade_schema
    from ml_metadata.proto import metadata_store_pb2 as pb

    here = Path(__file__).parent
    for version in range(10, 5, -1):
        path = Path(tempfile.mkdtemp()) / "mlmd.db"
        config = pb.ConnectionConfig(sqlite={"filename_uri": str(path), "connection_mode": 3})
        store = metadata_store.MetadataStore(config)
        fill(store, version)
        del store
        if version < 10:
            try:
                downgrade_schema(config, version)
            except errors.StatusError as error:
                sys.exit(f"{version}: {error}")
        with sqlite3.connect(path) as connection:
            (here / f"v{version}.sql").write_text("\n".join(connection.iterdump()) + "\n")


if __name__ == "__main__":
    main()
