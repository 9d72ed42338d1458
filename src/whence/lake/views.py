"""Named queries, and their pinned forms: dataset versions.

A view is a query with a name. Pinned, every table in it has a version, and the result is the artifact
``view:daily@3``: a dataset version. The versions it needs are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from whence._base.crash import crash_point, register
from whence._base.digest import canonical_json, sha256_bytes
from whence.errors import ConflictError, NotFoundError
from whence.lake.core import Core
from whence.lake.holds import hold
from whence.lake.query import prepare, run_query, stream_query, table_names
from whence.lake.types import check_name
from whence.metadata import Artifact, Change, Put

BEFORE_PIN: object = register(
    "lake.view.pin", "the versions of a dataset version are held, it is not in the graph"
)


class View:
    """A named query.

    Attributes:
        name: The name.
        sql: The query.
        definition: The digest of the query.
    """

    def __init__(self, views: ViewStore, name: str, sql: str) -> None:
        self._views = views
        self.name = name
        self.sql = sql
        self.definition = sha256_bytes(sql.encode())

    def __repr__(self) -> str:
        return f"<View {self.name}>"

    def tables(self) -> list[str]:
        """The tables and views it names."""
        return table_names(self.sql, dialect=self._views.core.engine.dialect)

    def arrow(self) -> pa.Table:
        """Its rows on the newest versions (or those fixed around the caller)."""
        return self._views.query(f'SELECT * FROM "{self.name}"')

    def pin(self) -> ViewVersion:
        """The dataset version of now: the same query on the same versions is the same one.

        Records:
            One execution ``pin_view``: table versions in, ``view:name@n`` out; the versions are held.
        """
        return self._views.pin(self)

    def versions(self) -> list[ViewVersion]:
        """Its dataset versions, oldest first."""
        return self._views.versions(self.name)

    def at(self, version: int) -> ViewVersion:
        """One dataset version.

        Raises:
            NotFoundError: There is no such one (``view-version-not-found``).
        """
        found = self._views.find_version(self.name, version)
        if found is None:
            raise NotFoundError("view version", f"{self.name}@{version}")
        return found


class ViewVersion:
    """A view pinned to versions of its tables.

    Attributes:
        view: The view's name.
        version: The number.
        sql: The query as it was.
        sources: The version of each table.
    """

    def __init__(self, views: ViewStore, artifact: Artifact, sql: str) -> None:
        self._views = views
        self._artifact = artifact
        self.view = str(artifact.get("view"))
        self.version = _int(artifact.get("version"))
        self.sql = sql
        self.sources: dict[str, int] = _sources(artifact)

    def __repr__(self) -> str:
        return f"<ViewVersion {self.view}@{self.version}>"

    @property
    def ref(self) -> str:
        """``view:daily@3``."""
        return f"view:{self.view}@{self.version}"

    def arrow(self) -> pa.Table:
        """Its rows; the order is defined only if the query has ORDER BY.

        Records:
            The dataset version as an input of the recording around the caller.
        """
        return self._views.query(self._recorded())

    def stream(self) -> pa.RecordBatchReader:
        """The same rows in batches, without holding all of them.

        Records:
            As `arrow`.
        """
        return stream_query(self._views.core, self._views, self._recorded())

    def _recorded(self) -> str:
        """Its rows as a query, which is recorded as read."""
        recording = self._views.core.recorder.current()
        if recording is not None:
            recording.input(self._artifact, path=(self.view,))
        return f'SELECT * FROM "{self.view}" VERSION AS OF {self.version}'

    def artifact(self) -> Artifact:
        """Its node in the graph."""
        return self._artifact


class ViewStore:
    """The views of a lake; they live in the graph."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.view_names = self.names

    def create(self, name: str, sql: str, *, replace: bool) -> View:
        """Name a query. The same again changes nothing.

        Raises:
            UsageError: It is not one query (``not-a-query``, ``unparsable-query``), or reads itself
                (``view-cycle``).
            NotFoundError: It names a table that is absent.
            ConflictError: The name has another query (``view-exists``), or is a table's (``table-exists``).
        """
        check_name(name, what="view")
        self.core.check_own(name)
        if self.core.find(name) is not None:
            raise ConflictError(f"{name!r} is a table", code="table-exists", hint="choose another name")
        old = self._current(name)
        if old is not None and old.get("sql") == sql:
            return View(self, name, sql)
        if old is not None and not replace:
            raise ConflictError(
                f"view {name!r} is another query", code="view-exists", hint="pass replace=True to change it"
            )
        view = View(self, name, sql)
        self._check(view)
        puts = [] if old is None else [_with_current(old, current=False)]
        puts.append(_with_current(_definition(view), current=True))
        self.core.recorder.check_writable()
        self.core.recorder.store.write(Change(puts))
        return view

    def _check(self, view: View) -> None:
        with_it = _Trial(self, view)
        prepare(self.core, with_it, f'SELECT * FROM "{view.name}"', {})

    def get(self, name: str) -> View:
        """A view; `NotFoundError` (``view-not-found``) when there is none."""
        found = self._current(name)
        if found is None:
            raise NotFoundError("view", name, near=self.names())
        return View(self, name, str(found.get("sql")))

    def names(self) -> list[str]:
        """All views, sorted."""
        found = self._definitions({"current": True})
        return sorted({str(node.get("view")) for node in found})

    def definition(self, name: str, version: int | None, /) -> tuple[str, Mapping[str, int]] | None:
        """The SQL of a view and the versions it is pinned to."""
        if version is None:
            found = self._current(name)
            return None if found is None else (str(found.get("sql")), {})
        pinned = self.find_version(name, version)
        if pinned is not None:
            return pinned.sql, pinned.sources
        if self._current(name) is not None:
            raise NotFoundError("view version", f"{name}@{version}")
        return None

    def query(self, sql: str) -> pa.Table:
        """The rows of a query over tables and views."""
        return run_query(self.core, self, sql)

    def pin(self, view: View) -> ViewVersion:
        """Make, or find, the dataset version of now."""
        with self.core.locks.holding("view", view.name):
            prepared = prepare(self.core, self, f'SELECT * FROM "{view.name}"', {})
            sources = {table: versions[0] for table, versions in sorted(prepared.sources.items())}
            same = [v for v in self.versions(view.name) if v.sources == sources and v.sql == view.sql]
            if same:
                return same[-1]
            number = 1 + max((v.version for v in self.versions(view.name)), default=0)
            for table, version in sources.items():
                hold(self.core, table, version, f"view:{view.name}@{number}")
            crash_point(str(BEFORE_PIN))
            artifact = Artifact(
                type="View",
                name=f"{view.name}@{number}",
                properties={
                    "view": view.name,
                    "version": number,
                    "definition": view.definition,
                    "sources": dict(sources),
                },
            )
            with self.core.recorder.joined("pin_view") as recording:
                for table, version in sources.items():
                    self.core.record_read(self.core.get(table, version))
                recording.output(artifact, path=(view.name,))
                recording.flush()
        return self.versions(view.name)[-1]

    def versions(self, name: str) -> list[ViewVersion]:
        """The dataset versions of a view, oldest first."""
        found = self.core.recorder.store.find_nodes("artifact", type_="View", where={"view": name}).nodes
        made = [self._version(node) for node in found if isinstance(node, Artifact) and node.state == "LIVE"]
        return sorted(made, key=lambda v: v.version)

    def find_version(self, name: str, version: int) -> ViewVersion | None:
        """One dataset version; None when there is no such one."""
        found = self.core.recorder.store.find_nodes("artifact", type_="View", name=f"{name}@{version}").nodes
        return self._version(found[0]) if found and isinstance(found[0], Artifact) else None

    def _version(self, node: Artifact) -> ViewVersion:
        digest = str(node.get("definition"))
        found = self._definitions({"view": node.get("view"), "digest": digest})
        return ViewVersion(self, node, str(found[0].get("sql")))

    def _current(self, name: str) -> Artifact | None:
        found = self._definitions({"view": name, "current": True})
        return found[-1] if found else None

    def _definitions(self, where: Mapping[str, Any]) -> list[Artifact]:
        # Any: property values
        found = self.core.recorder.store.find_nodes("artifact", type_="ViewDefinition", where=where).nodes
        return [node for node in found if isinstance(node, Artifact)]


class _Trial:
    """The views as they would be with one more."""

    def __init__(self, views: ViewStore, view: View) -> None:
        self._views = views
        self._view = view

    def definition(self, name: str, version: int | None, /) -> tuple[str, Mapping[str, int]] | None:
        if name == self._view.name and version is None:
            return self._view.sql, {}
        return self._views.definition(name, version)

    def names(self) -> list[str]:
        return self._views.names()


def _definition(view: View) -> Artifact:
    return Artifact(
        type="ViewDefinition",
        name=f"{view.name}#{view.definition}",
        properties={"view": view.name, "sql": view.sql, "digest": view.definition},
    )


def _with_current(node: Artifact, *, current: bool) -> Put:
    changed = Artifact(
        type=node.type, name=node.name, properties=node.properties, custom={"current": current}
    )
    return Put(changed, if_exists="update")


def _sources(artifact: Artifact) -> dict[str, int]:
    said = artifact.get("sources")
    assert isinstance(said, Mapping), canonical_json(str(said))
    return {str(table): _int(version) for table, version in said.items()}


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
