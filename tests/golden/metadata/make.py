"""Databases as each version of the graph's layout left them, and what the API answered when they were written.

``python -m tests.golden.metadata.make URL`` writes the folder of the current version for that system, once: a
layout that is released never changes again. Tests restore such a database, bring it up, and ask again.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from whence.database import Database
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Lift,
    Mark,
    MetadataStore,
    Put,
    Removal,
    Rows,
    Type,
    open_store,
)

HERE = Path(__file__).parent
TURN = "turn"  # MySQL's: the database room makes it before anything else
MOMENT = datetime(2013, 4, 1, 5, 15, tzinfo=UTC)


def uid(n: int) -> str:
    """A fixed ULID."""
    return f"01J000000000000000000{n:05}"


def write_world(store: MetadataStore) -> None:
    """A small graph with every kind of thing that layout 1 could hold."""
    for type_ in (
        Type(
            "artifact", "Table", {"n_rows": "INT", "drift": "DOUBLE", "note": "STRING"}, base="mlmd.Dataset"
        ),
        Type("artifact", "Table", {"n_rows": "INT"}, version="2", description="the second"),
        Type("artifact", "Everything", {"s": "STRUCT", "p": "PROTO", "b": "BOOLEAN"}),
        Type("execution", "load", {"attempt": "INT"}),
        Type("context", "Group", {"owner": "STRING"}),
    ):
        store.put_type(type_)
    raw = Artifact(
        type="Table",
        name="raw@1",
        uid=uid(1),
        uri="file:raw",
        properties={"n_rows": 3, "drift": 0.5, "note": "é"},
    )
    out = Artifact(
        type="Table", type_version="2", name="out@1", uid=uid(2), state="PENDING", external_id="x-1"
    )
    odd = Artifact(
        type="Everything",
        uid="not a ulid",
        properties={"s": {"a": [1, 2.5, None, {"$b": True}]}, "p": b"\x00\xff", "b": False},
        custom={"nan": float("nan"), 'odd "name"': -(2**63), "minus": -0.0, "none": None},
    )
    load = Execution(type="load", name="load-1", uid=uid(3), state="RUNNING", properties={"attempt": 1})
    fail = Execution(type="load", uid=uid(4), state="FAILED", external_id="x-1")
    inner, outer = (Context(type="Group", name=name, uid=uid(n)) for n, name in ((5, "inner"), (6, "outer")))
    nodes: Sequence[AnyNode] = (raw, out, odd, load, fail, inner, outer)
    store.write(
        Change(
            [Put(node) for node in nodes],
            [
                Event(load.uid, raw.uid, "INPUT", ("rows", 0), MOMENT),
                Event(load.uid, odd.uid, "INTERNAL_INPUT"),
                Event(load.uid, out.uid, "OUTPUT"),
                Event(load.uid, out.uid, "PENDING_OUTPUT", ("ü",)),
                Event(fail.uid, out.uid, "DECLARED_INPUT"),
            ],
            attributions=[(inner.uid, out.uid)],
            associations=[(inner.uid, load.uid), (outer.uid, load.uid)],
            parents=[(inner.uid, outer.uid)],
        )
    )
    done = dataclasses.replace(load, state="COMPLETE", custom={"seconds": 1.5})
    store.write(Change([Put(done, "update"), Put(dataclasses.replace(out, state="LIVE"), "update")]))


def write_more(store: MetadataStore) -> None:
    """What layout 2 added: another namespace, earlier revisions, a tombstone, marks, ids from elsewhere."""
    other = store.in_namespace("other", create=True)
    other.write(Change([Put(Artifact(type="Table", name="raw@1", uid=uid(10)))]))
    late = Artifact(type="Table", name="late@1", uid=uid(11), properties={"n_rows": 1}, custom={"a": 1})
    store.write(Change([Put(late)], [Event(uid(3), late.uid, "OUTPUT", at=MOMENT)], strict_events=True))
    store.write(Change([Put(dataclasses.replace(late, state="REFERENCE", custom={"b": "text"}), "replace")]))
    gone = Artifact(type="Table", name="gone@1", uid=uid(12), external_id="x-2")
    store.write(Change([Put(gone)], [Event(uid(3), gone.uid, "OUTPUT")], marks=[Mark(uid(1), "spoiled")]))
    store.write(Change(removals=[Removal(gone.uid, "asked to", "ops")], lifts=[Lift(1, "ops")]))
    theirs = Context(type="Group", name="theirs", uid=uid(13), created_at=MOMENT, updated_at=MOMENT)
    store.load([Rows([theirs], imported=[("context", 7, theirs.uid)], source="mlmd")])


def answers(store: MetadataStore) -> dict[str, Any]:
    """What the store says of its whole content; without ids, which a migration may change."""
    nodes: dict[str, Any] = {}
    events: dict[str, Any] = {}
    contexts: dict[str, Any] = {}
    for kind in ("artifact", "execution", "context"):
        for node in store.find_nodes(kind).nodes:
            nodes[node.uid] = _node(node)
            if isinstance(node, Artifact):
                contexts[node.uid] = [c.uid for c in store.list_contexts(artifact=node.uid)]
            elif isinstance(node, Execution):
                contexts[node.uid] = [c.uid for c in store.list_contexts(execution=node.uid)]
                events[node.uid] = [
                    [e.artifact, e.kind, list(e.path), str(e.at)]
                    for e in store.list_events(executions=[node.uid])
                ]
            else:
                contexts[node.uid] = [c.uid for c in store.list_contexts(child=node.uid)]
    types = [
        [t.kind, t.name, t.version, t.description, t.base, dict(t.properties)] for t in store.list_types()
    ]
    return {"types": types, "nodes": nodes, "events": events, "contexts": contexts}


def more_answers(store: MetadataStore) -> dict[str, Any]:
    """What the store says of what layout 2 added."""
    uids = [uid(n) for n in (1, 10, 11, 12)]
    return {
        "histories": {u: [_node(node) for node in store.history(u)] for u in uids},
        "removed": {n.uid: str(n.removed_at) for n in store.get_nodes("artifact", uids=uids)},
        "namespaces": [[n.name, n.closed, str(n.created_at)] for n in store.list_namespaces()],
        "marks": [[m.uid, m.reason, m.policy, str(m.at), m.lifted_by] for m in store.list_marks()],
        "imported": [[i.kind, i.their_id, i.uid] for i in store.list_imported("mlmd")],
        "elsewhere": [n.uid for n in store.in_namespace("other").find_nodes("artifact").nodes],
    }


def _node(node: AnyNode) -> dict[str, Any]:
    return {
        "type": [node.type, node.type_version],
        "name": node.name,
        "external_id": node.external_id,
        "uri": getattr(node, "uri", None),
        "state": getattr(node, "state", None),
        "properties": repr(dict(node.properties)),
        "custom": repr(dict(node.custom)),
        "times": [str(node.created_at), str(node.updated_at)],
        "revision": node.revision,
    }


def layout(connection: Connection) -> list[str]:
    """The statements that make the tables, as the system itself tells them."""
    tell = {"sqlite": _sqlite, "postgresql": _postgres}.get(connection.dialect.name, _mysql)
    return tell(connection)


def _sqlite(connection: Connection) -> list[str]:
    order = "CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, name"
    rows = connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY {order}")
    lines = [[line.replace("\t", "    ").rstrip() for line in str(sql).splitlines()] for (sql,) in rows]
    return ["\n".join(line for line in statement if line) for statement in lines]


_COLUMNS = """
SELECT c.relname, string_agg(format('    %%I %%s%%s%%s', a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN l.collname <> 'default' THEN format(' COLLATE %%I', l.collname) ELSE '' END,
    CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END), E',\n' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' GROUP BY c.relname ORDER BY c.relname
"""
_CONSTRAINTS = """
SELECT format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', c.relname, o.conname, pg_get_constraintdef(o.oid))
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = current_schema()::regnamespace AND o.contype IN ('p', 'u') ORDER BY c.relname, o.conname
"""
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace
AND NOT EXISTS (SELECT 1 FROM pg_constraint o WHERE o.conindid = i.indexrelid) ORDER BY c.relname
"""
_VIEWS = "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY viewname"


def _postgres(connection: Connection) -> list[str]:
    ask = connection.exec_driver_sql
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    quoted = connection.dialect.identifier_preparer.quote
    out = [f"CREATE TABLE {quoted(name)} (\n{columns}\n)" for name, columns in ask(_COLUMNS)]
    out += [str(text_) for (text_,) in ask(_CONSTRAINTS)]
    out += [str(text_) for (text_,) in ask(_INDEXES)]
    out += [f"CREATE VIEW {name} AS\n{text_.rstrip(';')}" for name, text_ in ask(_VIEWS)]
    return [statement.replace(f"{schema}.", "") for statement in out]


def _mysql(connection: Connection) -> list[str]:
    ask = connection.exec_driver_sql
    database = ask("SELECT database()").scalar()
    kinds = sorted((kind, name) for name, kind in ask("SHOW FULL TABLES") if name != TURN)
    out = []
    for kind, name in kinds:
        row = ask(f"SHOW CREATE {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`").one()
        statement = re.sub(r"ALGORITHM=\S+ DEFINER=\S+ SQL SECURITY DEFINER ", "", str(row[1]))
        out.append(_in_order(statement.replace(f"`{database}`.", "")))
    return out


def _in_order(statement: str) -> str:
    """A table's keys by name: they are told in the order in which they were made, which is none."""
    lines = statement.splitlines()
    places = [i for i, line in enumerate(lines) if line.lstrip().startswith(("KEY ", "UNIQUE KEY "))]
    keys = sorted(lines[i].rstrip(",") for i in places)
    for i, key in zip(places, keys, strict=True):
        lines[i] = key + ("," if lines[i].endswith(",") else "")
    return "\n".join(lines)


def tables(connection: Connection) -> dict[str, list[str]]:
    """The tables and their columns; a column that is computed from others is not filled."""
    look = inspect(connection)
    return {
        name: [c["name"] for c in look.get_columns(name) if "computed" not in c]
        for name in sorted(look.get_table_names())
        if name != TURN
    }


def dump(connection: Connection) -> Iterator[str]:
    """Every row as one JSON line: the table, then column to value."""
    for table, columns in tables(connection).items():
        listed = ", ".join(_quoted(connection, c) for c in columns)
        rows = connection.execute(text(f"SELECT {listed} FROM {_quoted(connection, table)}"))
        lines = [
            json.dumps([table, dict(zip(columns, map(_plain, row), strict=True))], ensure_ascii=False)
            for row in rows
        ]
        yield from sorted(lines)


def restore(connection: Connection, folder: Path) -> None:
    """Make the tables of a folder and fill them."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for statement in (folder / "layout.sql").read_text().split(";\n\n"):
        if statement.strip(";\n "):
            connection.exec_driver_sql(statement.strip().rstrip(";"))
    for line in (folder / "rows.jsonl").read_text().splitlines():
        table, row = json.loads(line)
        names = ", ".join(_quoted(connection, c) for c in row)
        marks = ", ".join(f":v{i}" for i in range(len(row)))
        values = {f"v{i}": _value(v) for i, v in enumerate(row.values())}
        connection.execute(
            text(f"INSERT INTO {_quoted(connection, table)} ({names}) VALUES ({marks})"), values
        )


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _plain(value: object) -> object:
    return {"hex": bytes(value).hex()} if isinstance(value, bytes | memoryview) else value


def _value(value: object) -> object:
    return bytes.fromhex(value["hex"]) if isinstance(value, Mapping) else value


def main(url: str) -> None:
    """Write the folder of the current version."""
    database = Database.from_url(url)
    store = open_store(url, database=database)
    write_world(store)
    write_more(store)
    folder = HERE / database.abilities.dialect / f"v{store.schema_version()}"
    folder.mkdir(parents=True)
    with database.read() as connection:
        (folder / "layout.sql").write_text(";\n\n".join(layout(connection)) + ";\n")
        (folder / "rows.jsonl").write_text("\n".join(dump(connection)) + "\n")
    told = json.dumps({**answers(store), **more_answers(store)}, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "graph.json").write_text(told + "\n")
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
