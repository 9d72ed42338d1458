"""What a validation found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from whence.errors import DataRejectedError
from whence.validation.compare import Distance
from whence.validation.schema import Schema
from whence.validation.statistics import html_table, plain_table, short
from whence.validation.types import Anomaly, Feature, StringDomain, domain_from_dict, domain_to_dict


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
        """The report as plain text."""
        lines = [self.headline]
        if self.anomalies:
            lines += [plain_table(self.table()), *(f"- {a.message}" for a in self.anomalies)]
        lines += [f"note: {n}" for n in self.notes]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        head = f"<p><b>{escape(self.headline)}</b></p>"
        body = html_table(self.table()) if self.anomalies else ""
        notes = "".join(f"<li>{escape(n)}</li>" for n in self.notes)
        return head + body + (f"<ul>{notes}</ul>" if notes else "")


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        if "values" in value and isinstance(value["values"], Mapping):
            return short(", ".join(map(str, value["values"])))
        return f"share <= {value['share']:g}" if "share" in value else short(str(dict(value)))
    if isinstance(value, (list, tuple)):
        return short(", ".join(map(str, value)))
    return short(value)


def update_schema(schema: Schema, anomalies: Sequence[Anomaly]) -> Schema:
    """The schema that accepts these anomalies: each one's proposed change applied.

    Raises:
        UsageError: A change does not fit the schema (``bad-schema``).

    Source:
        TFDV ``update_schema``; here the anomalies to accept are chosen.

    Example:
        >>> from whence.validation.types import Feature
        >>> from whence.validation.anomalies import validate_statistics
        >>> from whence.validation.statistics import describe
        >>> import pyarrow as pa
        >>> s = Schema().add(Feature("x", "FLOAT")).edit("x", max=1.0)
        >>> found, _ = validate_statistics(describe(pa.table({"x": [0.5, 2.5]})), s)
        >>> update_schema(s, found)["x"].domain.max
        2.5
    """
    for anomaly in anomalies:
        schema = _accept(schema, dict(anomaly.proposed))
    return schema


def _accept(schema: Schema, change: dict[str, Any]) -> Schema:
    name = change.pop("feature", None)
    if name is None:
        return schema
    if name not in schema:
        return schema.add(Feature.from_dict({"name": name, **change}))
    given = schema[name].to_dict()
    for key, value in change.items():
        given[key] = _changed(schema, name, given.get(key), key, value)
    kept = {k: v for k, v in given.items() if v is not None}
    return schema.add(Feature.from_dict(kept))


def _changed(schema: Schema, name: str, have: Any, key: str, value: Any) -> Any:
    if key == "domain" and isinstance(value, Mapping):
        domain = schema.domain_of(schema[name])
        if "add" in value:
            values = domain.values if isinstance(domain, StringDomain) else ()
            return domain_to_dict(StringDomain(tuple(sorted({*values, *value["add"]}))))
        return domain_to_dict(domain_from_dict({**(domain_to_dict(domain) if domain else {}), **value}))
    if isinstance(value, Mapping) and isinstance(have, Mapping):
        return {**have, **value}
    return value
