"""Writes {sqlite,postgresql,mysql}/vN.sql: one small database as ML Metadata 1.17.1 keeps it in each schema version.

Run by hand, with its Python (requirements/mlmd.txt), and servers that may be written to:

    python tests/golden/mlmd/make.py                                  # SQLite only
    python tests/golden/mlmd/make.py --postgresql postgres@127.0.0.1:5432 --mysql root@127.0.0.1:3306

Each database is filled in version 10, then downgraded by ML Metadata itself and dumped with the server's own tool
(``pg_dump``, ``mariadb-dump``). What a version cannot keep is not filled into it.
"""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSIONS = range(10, 5, -1)
DATABASE = "mlmd_golden"


def fill(store: Any, version: int) -> None:
    """A pipeline run whose nodes have a property of every kind, events of every kind, and text beyond ASCII."""
    from ml_metadata.proto import metadata_store_pb2 as pb  # imported here: pytest looks into every file

    def external(id_: str) -> dict[str, str]:
        return {"external_id": id_} if version > 8 else {}

    kinds = {"span": pb.INT, "share": pb.DOUBLE, "split": pb.STRING, "facts": pb.STRUCT, "void": pb.STRING}
    if version == 10:
        kinds |= {"raw": pb.PROTO, "ok": pb.BOOLEAN}
    data = store.put_artifact_type(
        pb.ArtifactType(
            name="Data", properties=kinds, base_type=pb.ArtifactType.DATASET, **external("type-data")
        )
    )
    store.put_artifact_type(pb.ArtifactType(name="Data", version="2", description="später"))
    train = pb.ExecutionType(name="Train", properties={"n": pb.INT}, description="fits a model")
    train.input_type.dict.properties["rows"].simple.name = "Data"
    train.output_type.simple.name = "Data"
    train_id = store.put_execution_type(train)
    group = store.put_context_type(pb.ContextType(name="Group", **external("type-group")))
    first = pb.Artifact(type_id=data, name="first", uri="/x/é/日本", state=pb.Artifact.LIVE, **external("E1"))
    first.properties["span"].int_value = -3
    first.properties["share"].double_value = 0.1
    first.properties["split"].string_value = "Zug “früh” 🚆" if version == 10 else "Zug “früh”"
    first.properties["void"].string_value = ""
    first.properties["facts"].struct_value.update({"k": [1, None, {"deep": "ü"}], "t": True})
    first.custom_properties["note"].string_value = "mlmd-struct is only a prefix"
    first.custom_properties["span"].string_value = "the same name, another kind"
    if version == 10:
        first.properties["raw"].proto_value.Pack(pb.Event.Path.Step(key="packed"))
        first.properties["ok"].bool_value = False
        first.custom_properties["yes"].bool_value = True
    path = pb.Event.Path(steps=[{"key": "rows"}, {"index": 2}, {"key": "é"}])
    run, (a, b), (c,) = store.put_execution(
        pb.Execution(
            type_id=train_id, name="run", last_known_state=pb.Execution.COMPLETE, properties={"n": pb.Value(int_value=7)},
            **external("X1"),
        ),
        [
            (first, pb.Event(type=pb.Event.INPUT, path=path)),
            (
                pb.Artifact(type_id=data, state=pb.Artifact.MARKED_FOR_DELETION),
                pb.Event(type=pb.Event.OUTPUT, milliseconds_since_epoch=5),
            ),
        ],
        [pb.Context(type_id=group, name="c", custom_properties={"why": pb.Value(string_value="naïve")})],
    )  # fmt: skip
    store.put_events(
        [
            pb.Event(artifact_id=x, execution_id=run, type=kind, milliseconds_since_epoch=1_700_000_000_123)
            for x, kind in (
                (a, pb.Event.DECLARED_INPUT),
                (a, pb.Event.INTERNAL_INPUT),
                (b, pb.Event.DECLARED_OUTPUT),
                (b, pb.Event.INTERNAL_OUTPUT),
                (b, pb.Event.PENDING_OUTPUT),
            )
        ]
    )
    d, e = store.put_contexts([pb.Context(type_id=group, name=n) for n in ("d", "größer")])
    store.put_parent_contexts(
        [pb.ParentContext(child_id=d, parent_id=c), pb.ParentContext(child_id=e, parent_id=d)]
    )
    store.put_executions([pb.Execution(type_id=train_id, last_known_state=pb.Execution.RUNNING)])


def made(config: Any, version: int) -> None:
    """Fill the database of a connection, and bring it down to a version."""
    from ml_metadata import errors, metadata_store
    from ml_metadata.metadata_store.metadata_store import downgrade_schema

    store = metadata_store.MetadataStore(config)
    fill(store, version)
    del store
    if version < 10:
        try:
            downgrade_schema(config, version)
        except errors.StatusError as error:
            sys.exit(f"{version}: {error}")


def write(backend: str, version: int, text: str) -> None:
    (HERE / backend).mkdir(exist_ok=True)
    (HERE / backend / f"v{version}.sql").write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def make_sqlite(version: int) -> None:
    from ml_metadata.proto import metadata_store_pb2 as pb

    path = Path(tempfile.mkdtemp()) / "mlmd.db"
    made(pb.ConnectionConfig(sqlite={"filename_uri": str(path), "connection_mode": 3}), version)
    with sqlite3.connect(path) as connection:
        write("sqlite", version, "\n".join(connection.iterdump()))


def make_postgresql(version: int, user: str, host: str, port: str) -> None:
    from ml_metadata.proto import metadata_store_pb2 as pb

    place = ["-h", host, "-p", port, "-U", user]
    for statement in (f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}"):
        subprocess.run(["psql", *place, "-q", "-c", statement, "postgres"], check=True)
    config = pb.ConnectionConfig(
        postgresql={"host": host, "port": port, "user": user, "dbname": DATABASE, "skip_db_creation": True}
    )
    made(config, version)
    dump = ["pg_dump", *place, "--inserts", "--no-owner", "--no-privileges", DATABASE]
    text = subprocess.run(dump, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    # Commands of psql, comments and settings are left out: what is left runs in any schema, by any driver.
    lines = [
        x for x in text.splitlines() if x and not re.match(r"\\|--|SET |SELECT pg_catalog.set_config", x)
    ]
    sequences = re.compile(r"(setval\('|nextval\(')public\.")
    kept = [sequences.sub(r"\1", x).replace("public.", "") for x in lines]
    write("postgresql", version, "\n".join(kept))


def make_mysql(version: int, user: str, host: str, port: str) -> None:
    from ml_metadata.proto import metadata_store_pb2 as pb

    place = [f"--host={host}", f"--port={port}", f"--user={user}", "--protocol=tcp"]
    for statement in (
        f"DROP DATABASE IF EXISTS {DATABASE}",
        f"CREATE DATABASE {DATABASE} CHARACTER SET latin1",
    ):
        subprocess.run(["mariadb", "--no-defaults", *place, "-e", statement], check=True)
    config = pb.ConnectionConfig(mysql={"host": host, "port": int(port), "user": user, "database": DATABASE})
    made(config, version)
    options = ["--default-character-set=latin1", "--compact", "--skip-extended-insert"]
    dump = ["mariadb-dump", "--no-defaults", *place, *options, DATABASE]
    done = subprocess.run(dump, check=True, capture_output=True)
    lines = [x for x in done.stdout.decode("utf-8").splitlines() if not x.startswith("/*")]
    write("mysql", version, "\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for backend in ("postgresql", "mysql"):
        parser.add_argument(f"--{backend}", metavar="USER@HOST:PORT")
    given = vars(parser.parse_args())
    makers = {"postgresql": make_postgresql, "mysql": make_mysql}
    for version in VERSIONS:
        make_sqlite(version)
        for backend, make in makers.items():
            found = re.fullmatch(r"(.+)@(.+):(\d+)", given[backend] or "")
            if found:
                make(version, *found.groups())


if __name__ == "__main__":
    os.environ.setdefault("PGCLIENTENCODING", "UTF8")
    main()
