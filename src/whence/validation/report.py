"""What a validation found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whence.drawing.text import one_line
from whence.errors import DataRejectedError
from whence.validation.compare import Distance
from whence.validation.small import report_html
from whence.validation.statistics import plain_table, short
from whence.validation.types import Anomaly


@dataclass(frozen=True)
class Report:
    """The anomalies of some data under a schema.

    Attributes:
        name: What was validated: ``flights@12``, or ``data``.
        schema: Under which schema: ``schema:flights@2``, or its digest.
        environment: For which environment.
        n_rows: How many rows were judged.
        anomalies: In the order of the schema; empty when all rules hold.
        distances: To the previous version or to serving data, also those below their threshold.
        notes: Rules that could not be applied, and why.
        ref: The artifact it is stored as; None when it is not.
    """

    name: str
    schema: str
    environment: str | None = None
    n_rows: int = 0
    anomalies: tuple[Anomaly, ...] = ()
    distances: tuple[Distance, ...] = ()
    notes: tuple[str, ...] = ()
    ref: str | None = None

    @property
    def ok(self) -> bool:
        """Whether no anomaly is an error; warnings alone are fine."""
        return not self.errors

    def __bool__(self) -> bool:
        return self.ok

    @property
    def errors(self) -> list[Anomaly]:
        """Anomalies that fail the validation."""
        return [a for a in self.anomalies if a.severity == "ERROR"]

    @property
    def warnings(self) -> list[Anomaly]:
        """Anomalies that do not."""
        return [a for a in self.anomalies if a.severity == "WARNING"]

    def require(self) -> Report:
        """The report itself when it is ok.

        Raises:
            DataRejectedError: Some anomaly is an error; ``details["anomalies"]`` has all of them.
        """
        if self.ok:
            return self
        first = self.errors[0]
        more = f" and {len(self.errors) - 1} more" if len(self.errors) > 1 else ""
        raise DataRejectedError(
            f"{self.name} breaks {self.schema}: {first.message} ({first.type}){more}",
            hint="look at the anomalies: accept them into the schema, or repair the data",
            details={"anomalies": [a.to_dict() for a in self.anomalies]},
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "name": self.name,
            "schema": self.schema,
            "environment": self.environment,
            "n_rows": self.n_rows,
            "ok": self.ok,
            "anomalies": [a.to_dict() for a in self.anomalies],
            "distances": [d.to_dict() for d in self.distances],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, ref: str | None = None) -> Report:
        """The report that `to_dict` wrote."""
        return cls(
            data["name"],
            data["schema"],
            data["environment"],
            data["n_rows"],
            tuple(Anomaly.from_dict(a) for a in data["anomalies"]),
            tuple(Distance(**d) for d in data["distances"]),
            tuple(data["notes"]),
            ref,
        )

    def to_bytes(self) -> bytes:
        """The JSON that is kept as a blob."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes, *, ref: str | None = None) -> Report:
        """The report that `to_bytes` wrote."""
        return cls.from_dict(json.loads(data), ref=ref)

    def table(self) -> list[dict[str, str]]:
        """One line an anomaly, as text."""
        return [
            {
                "severity": a.severity,
                "feature": a.feature or "(all)",
                "type": a.type,
                "observed": _brief(a.observed),
                "allowed": _brief(a.allowed),
                "rows": "" if a.n_rows is None else f"{a.n_rows:,}",
                "example": a.rows[0] if a.rows else "",
            }
            for a in self.anomalies
        ]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        where = f" in {self.environment}" if self.environment else ""
        if not self.anomalies:
            return f"{self.name} under {self.schema}{where}: no anomalies found"
        parts = [(len(self.errors), "error"), (len(self.warnings), "warning")]
        counted = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in parts if n)
        return f"{self.name} under {self.schema}{where}: {counted}"

    def text(self) -> str:
        """The report as plain text; control characters in the data are escapes."""
        lines = [one_line(self.headline)]
        if self.anomalies:
            lines += [plain_table(self.table()), *(one_line(f"- {a.message}") for a in self.anomalies)]
        lines += [one_line(f"note: {n}") for n in self.notes]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return report_html(self.headline, self.anomalies, self.table(), self.notes, ok=self.ok)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return short(", ".join(map(str, value["values"])) if "values" in value else str(dict(value)))
    if isinstance(value, (list, tuple)):
        return short(", ".join(map(str, value)))
    return short(value)
