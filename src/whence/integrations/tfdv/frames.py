"""Protos as pandas data frames, as TFDV lays them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from whence.integrations.tfdv.messages import Message, anomalies_pb2, schema_pb2
from whence.integrations.tfdv.refusals import UsageError
from whence.integrations.tfdv.schema_util import require


def _pandas() -> Any:  # Any: pandas ships no types
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise UsageError(
            "data frames need pandas", code="extra-missing", hint="pip install 'whence[pandas]'"
        ) from error
    return pd


def get_schema_dataframe(schema: Message) -> tuple[Any, Any]:
    """The features and the domains of a schema, a data frame each.

    Raises:
        TypeError: It is no ``Schema``.
        UsageError: pandas is not installed (``extra-missing``).
    """
    pd = _pandas()
    features, domains = schema_rows(schema)
    columns = ["Feature name", "Type", "Presence", "Valency", "Domain"]
    return (
        pd.DataFrame(features, columns=columns).set_index("Feature name"),
        pd.DataFrame(domains, columns=["Domain", "Values"]).set_index("Domain"),
    )


def get_anomalies_dataframe(anomalies: Message) -> Any:
    """One row a feature with anomalies, and one for those of all rows.

    Raises:
        TypeError: They are no ``Anomalies``.
        UsageError: pandas is not installed (``extra-missing``).
    """
    pd = _pandas()
    columns = ["Feature name", "Anomaly short description", "Anomaly long description"]
    return pd.DataFrame(anomaly_rows(anomalies), columns=columns).set_index("Feature name")


def get_drift_skew_dataframe(anomalies: Message) -> Any:
    """One row a measured drift: path, type, value, threshold."""
    kinds = anomalies_pb2.DriftSkewInfo.Measurement.Type
    rows = [
        (".".join(info.path.step), kinds.Name(m.type), m.value, m.threshold)
        for info in anomalies.drift_skew_info
        for m in info.drift_measurements
    ]
    return _pandas().DataFrame(rows, columns=["path", "type", "value", "threshold"]).set_index("path")


def frame(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> Any:
    """Rows as a data frame of these columns."""
    return _pandas().DataFrame(list(rows), columns=columns)


# --- as rows ------------------------------------------------------------------------------------


def anomaly_rows(anomalies: Message) -> list[tuple[str, str, str]]:
    """Features with what is wrong with them, short and long.

    Raises:
        TypeError: They are no ``Anomalies``.
    """
    require(anomalies, anomalies_pb2.Anomalies, "anomalies")
    rows = [(_quoted(name), *_said(info)) for name, info in sorted(anomalies.anomaly_info.items())]
    if anomalies.HasField("dataset_anomaly_info"):
        rows.append(("[dataset anomaly]", *_said(anomalies.dataset_anomaly_info)))
    return rows


def _said(info: Message) -> tuple[str, str]:
    short = info.short_description or "; ".join(r.short_description for r in info.reason)
    return short, info.description or "; ".join(r.description for r in info.reason)


def schema_rows(schema: Message) -> tuple[list[tuple[str, ...]], list[tuple[str, str]]]:
    """Features (name, type, presence, valency, domain), and domains (name, values).

    Raises:
        TypeError: It is no ``Schema``.
    """
    require(schema, schema_pb2.Schema, "schema")
    domains = [(_quoted(d.name), _values(d.value)) for d in schema.string_domain]
    features: list[tuple[str, ...]] = []
    for f in schema.feature:
        domain = _domain(f)
        if f.WhichOneof("domain_info") == "string_domain":
            domains.append((domain, _values(f.string_domain.value)))
        features.append((_quoted(f.name), _type(f), _presence(f), _valency(f), domain))
    return features, domains


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def _values(values: Iterable[str]) -> str:
    return ", ".join(map(_quoted, values))


def _type(f: Message) -> str:
    if f.type == schema_pb2.BYTES and f.WhichOneof("domain_info") in ("domain", "string_domain"):
        return "STRING"
    return str(schema_pb2.FeatureType.Name(f.type))


def _presence(f: Message) -> str:
    if not f.HasField("presence"):
        return ""
    return "required" if f.presence.min_fraction == 1.0 else "optional"


def _valency(f: Message) -> str:
    if not f.HasField("value_count"):
        return ""
    v = f.value_count
    if v.min == v.max == 1:
        return "single"
    return f"[{v.min},{f'{v.max}]' if v.HasField('max') else 'inf)'}"


def _domain(f: Message) -> str:
    which = f.WhichOneof("domain_info")
    if which == "domain":
        return _quoted(f.domain)
    if which == "string_domain":
        return _quoted(f.string_domain.name or f"{f.name}_domain")
    if which == "int_domain":
        return _range(f.int_domain, "{:d}", None)
    if which == "float_domain":
        return _range(f.float_domain, "{:f}", None if f.float_domain.disallow_inf else "inf")
    return "-"


def _range(d: Message, form: str, unbounded: str | None) -> str:
    low = form.format(d.min) if d.HasField("min") else unbounded and f"-{unbounded}"
    high = form.format(d.max) if d.HasField("max") else unbounded
    parts = [f"min: {low}"] if low else []
    return "; ".join([*parts, *([f"max: {high}"] if high else [])]) or "-"
