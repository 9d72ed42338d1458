"""The schema: what the data of a table must be, in every environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import Any

from whence._base.digest import canonical_json, spec_digest
from whence.errors import NotFoundError, UsageError
from whence.validation.statistics import html_table, plain_table
from whence.validation.types import (
    AnomalyType,
    BoolDomain,
    Comparator,
    DatasetConstraints,
    Domain,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Rule,
    Severity,
    StringDomain,
    TimeDomain,
    Unique,
    ValueCount,
    dataset_constraints,
    domain_from_dict,
    domain_to_dict,
)

FORMAT = "whence-schema-1"
_RANGE_KEYS = ("min", "max", "disallow_nan", "disallow_inf")


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One difference between two schemas: where, and what it was and became (None: not there)."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path} = {json.dumps(self.after)}"
        if self.after is None:
            return f"- {self.path} (was {json.dumps(self.before)})"
        return f"~ {self.path}: {json.dumps(self.before)} -> {json.dumps(self.after)}"


@dataclass(frozen=True)
class Schema:
    """What the data must be: a frozen value; every change makes a new one.

    Attributes:
        features: The columns, by name, in order.
        rules: Expressions every row must satisfy.
        domains: Domains several columns share, by name.
        default_environments: Where a column belongs unless it says otherwise; none means everywhere.
        constraints: How many rows there must be.
        severities: Severities of anomaly types that differ from ERROR.
        source: The statistics it was inferred from; not part of its digest.

    Example:
        >>> s = Schema().add(Feature("wind_speed", "FLOAT")).edit("wind_speed", max=100.0)
        >>> s = s.environments("TRAINING", "SERVING").rule("calm or not", "wind_speed >= 0")
        >>> s["wind_speed"].domain
        FloatDomain(min=None, max=100.0, disallow_nan=False, disallow_inf=False)
    """

    features: Mapping[str, Feature] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    domains: Mapping[str, Domain] = field(default_factory=dict)
    default_environments: tuple[str, ...] = ()
    constraints: DatasetConstraints = field(default_factory=DatasetConstraints)
    severities: Mapping[AnomalyType, Severity] = field(default_factory=dict)
    source: str | None = field(default=None, compare=False)

    def __getitem__(self, column: str) -> Feature:
        try:
            return self.features[column]
        except KeyError:
            raise NotFoundError("feature", column, near=self.features) from None

    def __contains__(self, column: object) -> bool:
        return column in self.features

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features.values())

    def __len__(self) -> int:
        return len(self.features)

    # --- curating

    def add(self, *features: Feature) -> Schema:
        """With these features, in place of those of the same name."""
        return replace(self, features={**self.features, **{f.name: f for f in features}})

    def drop(self, *columns: str) -> Schema:
        """Without these features."""
        for column in columns:
            _ = self[column]
        return replace(self, features={n: f for n, f in self.features.items() if n not in columns})

    def edit(self, column: str, **changes: Any) -> Schema:
        """With a feature changed.

        Besides the fields of `Feature` these short forms are understood: ``min=``, ``max=``,
        ``disallow_nan=``, ``disallow_inf=`` (the range of a number or time), ``values=`` (the texts),
        ``min_fraction=``, ``min_count=`` (presence), ``min_unique=``, ``max_unique=``,
        ``drift_threshold=``, ``skew_threshold=`` (L-infinity for text, Jensen-Shannon for numbers).

        Raises:
            NotFoundError: The feature is absent.
            UsageError: A key is unknown (``bad-schema``), or a range is given to a column that has
                none (``no-range``).

        Example:
            >>> s = Schema().add(Feature("carrier", "STRING")).edit("carrier", values=["AA", "UA"])
            >>> s["carrier"].domain
            StringDomain(values=('AA', 'UA'))
        """
        feature = _edited(self, self[column], dict(changes))
        return replace(self, features={**self.features, column: feature})

    def required(self, *columns: str) -> Schema:
        """These columns must have a value in every row."""
        return self._each(columns, presence=Presence(1.0, 1))

    def optional(self, *columns: str) -> Schema:
        """These columns may be missing."""
        return self._each(columns, presence=None)

    def in_environment(self, environment: str, *columns: str) -> Schema:
        """These columns belong to `environment`, whatever the defaults are."""
        schema = self
        for c in columns:
            f = schema[c]
            yes = tuple(dict.fromkeys([*f.in_environment, environment]))
            no = tuple(e for e in f.not_in_environment if e != environment)
            schema = schema.edit(c, in_environment=yes, not_in_environment=no)
        return schema

    def not_in_environment(self, environment: str, *columns: str) -> Schema:
        """These columns are absent in `environment`: serving data have no label."""
        schema = self
        for c in columns:
            f = schema[c]
            no = tuple(dict.fromkeys([*f.not_in_environment, environment]))
            yes = tuple(e for e in f.in_environment if e != environment)
            schema = schema.edit(c, in_environment=yes, not_in_environment=no)
        return schema

    def environments(self, *names: str) -> Schema:
        """The default environments: every feature belongs to them unless it says otherwise."""
        return replace(self, default_environments=names)

    def rule(
        self, name: str, sql: str, *, severity: Severity = "ERROR", environments: Iterable[str] = ()
    ) -> Schema:
        """With an expression every row must satisfy; a rule of the same name is replaced.

        A row for which the expression is null passes. A rule that names a column of the schema which
        the data do not have is reported as not applicable.

        Raises:
            UsageError: The name or the expression is empty, or holds a ``;`` (``bad-rule``).
        """
        if not name.strip() or not sql.strip() or ";" in sql:
            raise UsageError(f"rule {name!r} is not one expression: {sql!r}", code="bad-rule")
        kept = [r for r in self.rules if r.name != name]
        return replace(self, rules=(*kept, Rule(name, sql, severity, tuple(environments))))

    def domain(self, name: str, domain: Domain) -> Schema:
        """With a domain columns can share: ``edit(column, domain=name)``."""
        return replace(self, domains={**self.domains, name: domain})

    def rows_between(self, low: int | None = None, high: int | None = None) -> Schema:
        """With bounds on the number of rows."""
        return replace(self, constraints=DatasetConstraints(low, high))

    def severity(self, type_: AnomalyType, severity: Severity) -> Schema:
        """With another severity for one type of anomaly."""
        return replace(self, severities={**self.severities, type_: severity})

    def _each(self, columns: Iterable[str], **changes: Any) -> Schema:
        schema = self
        for column in columns:
            schema = schema.edit(column, **changes)
        return schema

    # --- reading

    def domain_of(self, feature: Feature) -> Domain | None:
        """The domain of a feature, a shared one looked up; None when absent (validation reports it)."""
        if isinstance(feature.domain, str):
            return self.domains.get(feature.domain)
        return feature.domain

    def expected(self, environment: str | None) -> list[Feature]:
        """The features that belong to an environment and are checked.

        Raises:
            NotFoundError: The schema speaks of environments, but not of this one.
        """
        known = self.known_environments
        if environment is not None and known and environment not in known:
            raise NotFoundError(
                "environment", environment, near=known, hint=f"the schema knows {sorted(known)}"
            )
        return [f for f in self if f.checked and f.belongs_to(environment, self.default_environments)]

    @property
    def known_environments(self) -> frozenset[str]:
        """All environments the schema speaks of."""
        named = (e for f in self for e in (*f.in_environment, *f.not_in_environment))
        of_rules = (e for r in self.rules for e in r.environments)
        return frozenset([*self.default_environments, *named, *of_rules])

    @property
    def digest(self) -> str:
        """The digest of its canonical JSON."""
        return spec_digest(self.to_dict())

    def diff(self, other: Schema) -> list[SchemaChange]:
        """What has to change to make `other` of it, by path.

        Example:
            >>> a = Schema().add(Feature("x", "FLOAT"))
            >>> [str(c) for c in a.diff(a.edit("x", max=5.0))]
            ['+ features.x.domain.kind = "float"', '+ features.x.domain.max = 5.0']
        """
        before, after = _flat(self.to_dict(by_name=True)), _flat(other.to_dict(by_name=True))
        paths = dict.fromkeys([*before, *after])
        return [SchemaChange(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]

    # --- out and in

    def to_dict(self, *, by_name: bool = False) -> dict[str, Any]:
        """The schema as JSON; what is not said is left out."""
        features: Any = [f.to_dict() for f in self]
        rules: Any = [r.to_dict() for r in self.rules]
        if by_name:
            features = {f["name"]: {k: v for k, v in f.items() if k != "name"} for f in features}
            rules = {r["name"]: {k: v for k, v in r.items() if k != "name"} for r in rules}
        out: dict[str, Any] = {
            "format": FORMAT,
            "features": features,
            "rules": rules,
            "domains": {n: domain_to_dict(d) for n, d in self.domains.items()},
            "default_environments": list(self.default_environments),
            "constraints": self.constraints.to_dict(),
            "severities": dict(self.severities),
        }
        return {k: v for k, v in out.items() if v}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schema:
        """The schema that `to_dict` wrote.

        Raises:
            UsageError: The format, a key or a value is unknown (``bad-schema``).
        """
        if data.get("format") != FORMAT:
            raise UsageError(f"not a schema: format {data.get('format')!r}", code="bad-schema")
        known = {f.name for f in fields(cls)} | {"format"}
        unknown = [k for k in data if k not in known]
        if unknown:
            raise UsageError(
                f"a schema has no {unknown[0]!r}", code="bad-schema", hint=f"known: {sorted(known)}"
            )
        features = [Feature.from_dict(f) for f in data.get("features", [])]
        return cls(
            {f.name: f for f in features},
            tuple(Rule.from_dict(r) for r in data.get("rules", [])),
            {n: domain_from_dict(d) for n, d in data.get("domains", {}).items()},
            tuple(data.get("default_environments", ())),
            dataset_constraints(data.get("constraints", {})),
            dict(data.get("severities", {})),
        )

    def to_json(self) -> str:
        """Its canonical JSON: equal schemas give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """The schema of a JSON text.

        Raises:
            UsageError: It is not JSON (the line is named) or not a schema (``bad-schema``).
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise UsageError(f"the schema is not JSON: {error}", code="bad-schema") from error
        if not isinstance(data, Mapping):
            raise UsageError("the schema is not a JSON object", code="bad-schema")
        return cls.from_dict(data)

    def table(self) -> list[dict[str, str]]:
        """One line a feature, as text."""
        return [_line(self, f) for f in self]

    def text(self) -> str:
        """The schema as plain text."""
        lines = [plain_table(self.table())]
        lines += [f"rule {r.name!r}: {r.sql}" for r in self.rules]
        if self.default_environments:
            lines.append("environments: " + ", ".join(self.default_environments))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        rules = "".join(f"<li>{escape(r.name)}: <code>{escape(r.sql)}</code></li>" for r in self.rules)
        return html_table(self.table()) + (f"<ul>{rules}</ul>" if rules else "")


# --- editing ------------------------------------------------------------------------------------


def _edited(schema: Schema, feature: Feature, changes: dict[str, Any]) -> Feature:
    domain = {k: changes.pop(k) for k in _RANGE_KEYS if k in changes}
    if domain:
        changes["domain"] = _ranged(schema, feature, domain)
    if "values" in changes:
        changes["domain"] = StringDomain(tuple(changes.pop("values")))
    presence = {k: changes.pop(k) for k in ("min_fraction", "min_count") if k in changes}
    if presence:
        changes["presence"] = replace(feature.presence or Presence(), **presence)
    unique = {k[:3]: changes.pop(k) for k in ("min_unique", "max_unique") if k in changes}
    if unique:
        changes["unique"] = replace(feature.unique or Unique(), **unique)
    for side in ("drift", "skew"):
        if f"{side}_threshold" in changes:
            changes[side] = _comparator(feature, changes.pop(f"{side}_threshold"))
    known = {f.name for f in fields(Feature)} - {"name"}
    unknown = [k for k in changes if k not in known]
    if unknown:
        raise UsageError(
            f"a feature has no {unknown[0]!r}",
            code="bad-schema",
            hint=f"known: {sorted([*known, *_RANGE_KEYS, 'values', 'min_fraction', 'min_count'])}",
        )
    return replace(feature, **changes)


def _comparator(feature: Feature, threshold: float | None) -> Comparator:
    text = feature.type in ("STRING", "BYTES", "BOOL")
    return Comparator(infinity_norm=threshold) if text else Comparator(jensen_shannon_divergence=threshold)


def _ranged(schema: Schema, feature: Feature, given: Mapping[str, Any]) -> Domain:
    domain = schema.domain_of(feature)
    start: IntDomain | FloatDomain | TimeDomain
    if isinstance(domain, (IntDomain, FloatDomain, TimeDomain)):
        start = domain
    elif feature.type == "INT":
        start = IntDomain()
    elif feature.type == "FLOAT":
        start = FloatDomain()
    elif feature.type in ("TIMESTAMP", "DATE"):
        start = TimeDomain()
    else:
        raise UsageError(
            f"feature {feature.name!r} is {feature.type} and has no range",
            code="no-range",
            hint="give domain=IntDomain(...) or domain=FloatDomain(...) when its text reads as numbers",
        )
    try:
        return replace(start, **given)
    except TypeError as error:
        raise UsageError(f"feature {feature.name!r}: {error}", code="bad-schema") from error


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        out: dict[str, Any] = {}
        for k, v in value.items():
            out |= _flat(v, f"{path}.{k}" if path else str(k))
        return out
    return {path: value}


# --- to look at ---------------------------------------------------------------------------------


def _line(schema: Schema, f: Feature) -> dict[str, str]:
    return {
        "feature": f.name,
        "type": f.type or "?",
        "presence": _presence(f.presence),
        "values": _count(f.value_count),
        "domain": f.domain if isinstance(f.domain, str) else describe_domain(schema.domain_of(f)),
        "environments": " ".join([*f.in_environment, *(f"not {e}" for e in f.not_in_environment)]),
    }


def _presence(p: Presence | None) -> str:
    if p is None:
        return "optional"
    if p.min_fraction == 1.0:
        return "required"
    parts = [f"{p.min_fraction:.0%} of rows"] if p.min_fraction else []
    return " and ".join([*parts, *([f"{p.min_count} rows"] if p.min_count else [])]) or "optional"


def _count(v: ValueCount | None) -> str:
    return "" if v is None else f"[{'' if v.min is None else v.min}, {'' if v.max is None else v.max}]"


def describe_domain(domain: Domain | None) -> str:
    """A domain in a few words.

    Example:
        >>> describe_domain(FloatDomain(max=100.0)), describe_domain(StringDomain(("a", "b")))
        ('<= 100.0', "'a', 'b'")
    """
    if domain is None:
        return ""
    if isinstance(domain, StringDomain):
        shown = ", ".join(repr(v) for v in domain.values[:8])
        return shown + (f", … {len(domain.values)} values" if len(domain.values) > 8 else "")
    if isinstance(domain, BoolDomain):
        if domain.true_value is None and domain.false_value is None:
            return "bool"
        return f"bool {domain.true_value!r}/{domain.false_value!r}"
    return _describe_range(domain)


def _describe_range(domain: IntDomain | FloatDomain | TimeDomain) -> str:
    low = "" if domain.min is None else f">= {domain.min}"
    high = "" if domain.max is None else f"<= {domain.max}"
    parts = [p for p in (low, high) if p]
    if isinstance(domain, FloatDomain):
        parts += ["no NaN"] if domain.disallow_nan else []
        parts += ["no infinity"] if domain.disallow_inf else []
    if not parts:
        return "int" if isinstance(domain, IntDomain) else "any"
    return ", ".join(parts)
