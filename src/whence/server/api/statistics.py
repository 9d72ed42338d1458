"""The statistics of a version, beside those of another, with what validations found: what pages draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from whence.errors import NotFoundError
from whence.lake import TableVersion
from whence.server.api.base import Asked, Data, artifact_named, json_of
from whence.trace.plain import Json
from whence.validation import Report, Schema, Statistics, StatisticsOptions, compare_statistics
from whence.validation.reading import describe_version
from whence.workspace import Workspace

LOOK_ROWS: Final = 1_000_000
"""Statistics that were not kept are made on demand for at most so many rows."""
MAX_ANOMALIES: Final = 50
_LAST: Final = 10**15


@dataclass(frozen=True, slots=True)
class Side:
    """A version and its statistics.

    Attributes:
        version: The version.
        statistics: None: there are none kept, and nobody asked to look, or it has too many rows.
        kept: Whether they are those of the graph.
    """

    version: TableVersion
    statistics: Statistics | None
    kept: bool

    @property
    def can_look(self) -> bool:
        """Whether they could be made now."""
        return self.statistics is None and self.version.n_rows <= LOOK_ROWS


def version_asked(asked: Asked) -> TableVersion:
    """The version of the address.

    Raises:
        NotFoundError: There is none (``table-version-not-found``).
    """
    name, number = asked.name("name"), asked.name("version")
    if not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise NotFoundError("table version", f"{name}@{number}", hint="versions are whole numbers from 0")
    return asked.ws.table(name).at(int(number))


def sides_asked(asked: Asked) -> tuple[Side, Side | None]:
    """The version of the address, and the one it is to be compared with when ``with`` names one.

    Raises:
        NotFoundError: One of them does not exist (``table-version-not-found``).
        UsageError: ``with`` is no number (``bad-parameter``).
    """
    other = asked.number("with", -1, low=0, high=_LAST)
    look = other >= 0 or asked.text("look") == "1"
    version = version_asked(asked)
    newer = _side(asked, version, look=look)
    return newer, None if other < 0 else _side(asked, asked.ws.table(version.table).at(other), look=look)


def _side(asked: Asked, version: TableVersion, *, look: bool) -> Side:
    """The kept statistics, else, when asked to look, those made now; nothing is recorded by looking."""
    kept: Statistics | None = None
    if artifact_named(asked.ws, "Statistics", version.name) is not None:
        key = ("kept statistics", version.table_id, version.version)
        kept = asked.kept.get(key, lambda: asked.ws.validation.find_statistics(version.ref))
    if kept is not None or not look or version.n_rows > LOOK_ROWS:
        return Side(version, kept, kept is not None)
    key = ("statistics", version.table_id, version.version)
    return Side(version, asked.kept.get(key, lambda: _describe(asked.ws, version)), kept=False)


def _describe(ws: Workspace, version: TableVersion) -> Statistics:
    """Statistics of a version; only those that the room of validation is asked for are recorded."""
    return describe_version(version, version.name, StatisticsOptions(), ws.engine)


def statistics_facts(side: Side) -> Data | None:
    """Statistics as JSON; None when there are none."""
    if side.statistics is None:
        return None
    found = json_of(side.statistics.summary(top=10))
    assert isinstance(found, dict)
    found.pop("slices", None)
    return {**found, "kept": side.kept}


def compared_facts(newer: Side, other: Side | None) -> Json:
    """The other version with its statistics, and how far each column has moved from it; None without one."""
    if other is None:
        return None
    distances = None
    if newer.statistics is not None and other.statistics is not None:
        found = compare_statistics(newer.statistics, other.statistics)
        distances = [json_of(d.to_dict()) for d in found]
    return {
        "version": other.version.version,
        "ref": other.version.ref,
        "n_rows": other.version.n_rows,
        "statistics": statistics_facts(other),
        "distances": distances,
    }


def reports_of(ws: Workspace, version: TableVersion) -> Iterator[Report]:
    """What validations of a version found, the newest first: the newest of each schema and environment."""
    page = ws.graph.find_nodes(
        "artifact", type_="Anomalies", name_prefix=f"{version.name}~", state="LIVE", descending=True, limit=20
    )
    seen: set[tuple[str, str | None]] = set()
    for node in page.nodes:
        report = Report.from_bytes(ws.blobs.get(str(node.get("digest"))))
        if (report.schema, report.environment) not in seen:
            seen.add((report.schema, report.environment))
            yield report


def report_facts(report: Report) -> Json:
    """What one validation found, as JSON."""
    return {
        "schema": report.schema,
        "environment": report.environment,
        "ok": report.ok,
        "headline": report.headline,
        "n_anomalies": len(report.anomalies),
        "anomalies": [json_of(a.to_dict()) for a in report.anomalies[:MAX_ANOMALIES]],
    }


def schema_of(ws: Workspace, version: TableVersion, report: Report | None) -> Schema | None:
    """The schema a report went by, else the newest of the table's name; None when it is not kept."""
    kept = report is not None and report.schema.startswith("schema:")
    return ws.validation.find_schema(report.schema if kept and report is not None else version.table)
