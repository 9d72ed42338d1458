"""The schema: what the data of a table must be, in every environment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from whence._base.digest import canonical_json, spec_digest
from whence.drawing.text import one_line
from whence.errors import NotFoundError, UsageError
from whence.validation.canonical import canonical
from whence.validation.edit import edited
from whence.validation.expressions import check_expression
from whence.validation.faults import (
    Fault,
    Parts,
    constraint_faults,
    domain_faults,
    faults_of,
    feature_faults,
    placed,
    refuse,
)
from whence.validation.json_lines import line_of, read_json
from whence.validation.outline import describe_domain, describe_expectation, feature_line
from whence.validation.plain import build, parse_duration, to_plain, value_of, wrong
from whence.validation.small import schema_html
from whence.validation.statistics import plain_table
from whence.validation.types import (
    REASONS,
    Annotation,
    AnomalyType,
    Check,
    DatasetConstraints,
    Domain,
    Expectation,
    Feature,
    Freshness,
    Presence,
    Rule,
    Severity,
    SparseFeature,
    WeightedFeature,
    domain_from_dict,
    domain_to_dict,
)

__all__ = ["FORMAT", "Schema", "SchemaChange", "describe_domain"]

FORMAT = "whence-schema-1"


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

    What makes no sense (a presence of 2.0, a minimum above its maximum, a default outside its domain) is
    refused by every method that changes a schema, by everything that loads one, and by ``put_schema``. The
    constructor itself takes what it is given, as a schema kept long ago may hold anything; `faults` tells it.

    Attributes:
        features: The columns, by name, in order.
        rules: Expressions every row must satisfy.
        domains: Domains several columns share, by name.
        default_environments: Where a column belongs unless it says otherwise; none means everywhere.
        constraints: How many rows there must be, and how new.
        severities: Severities of anomaly types that differ from ERROR.
        source: The statistics it was inferred from; not part of its digest.
        checks: Expressions over all rows together that must be true.
        sparse_features: Values with their indices in columns of their own, by name.
        weighted_features: Columns with the columns of their weights, by name.
        represent_variable_length_as_ragged: How trainers read lists; kept for the round trip.
        annotation: Words of people.
        extra: What a ``schema.pbtxt`` says that has no meaning here (tensor representations), as JSON.

    Example:
        >>> s = Schema().add(Feature("wind_speed", "FLOAT")).edit("wind_speed", max=100.0)
        >>> s = s.environments("TRAINING", "SERVING").rule("calm or not", "wind_speed >= 0")
        >>> s["wind_speed"].domain
        FloatDomain(min=None, max=100.0, ...)
    """

    features: Mapping[str, Feature] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    domains: Mapping[str, Domain] = field(default_factory=dict)
    default_environments: tuple[str, ...] = ()
    constraints: DatasetConstraints = field(default_factory=DatasetConstraints)
    severities: Mapping[AnomalyType, Severity] = field(default_factory=dict)
    source: str | None = field(default=None, compare=False)
    checks: tuple[Check, ...] = ()
    sparse_features: Mapping[str, SparseFeature] = field(default_factory=dict)
    weighted_features: Mapping[str, WeightedFeature] = field(default_factory=dict)
    represent_variable_length_as_ragged: bool | None = None
    annotation: Annotation | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

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

    def add(self, *features: Feature, stored: bool = False) -> Schema:
        """With these features, in place of those of the same name.

        Args:
            features: The features.
            stored: Take them as they are, as of a schema that is kept already.

        Raises:
            UsageError: A feature makes no sense (``bad-schema``), or its default is none (``bad-default``).
        """
        if not stored:
            twice = [n for n, k in Counter(f.name for f in features).items() if k > 1]
            refuse(Fault((), f"feature {n!r} is given twice") for n in twice)
            refuse(fault for f in features for fault in feature_faults(f, self.domains))
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
        ``drift_threshold=``, ``skew_threshold=`` (L-infinity for text, Jensen-Shannon for numbers),
        ``shape=(2, 3)``, ``expect={"mean": (0, 10)}`` (see `expect` to add to what is there).

        Raises:
            NotFoundError: The feature is absent.
            UsageError: A key is unknown or the feature makes no sense (``bad-schema``), its default is
                none (``bad-default``), or a range is given to a column that has none (``no-range``).

        Example:
            >>> s = Schema().add(Feature("carrier", "STRING")).edit("carrier", values=["AA", "UA"])
            >>> s["carrier"].domain.values
            ('AA', 'UA')
        """
        have = self[column]
        made = edited(have, self.domain_of(have), changes)
        refuse(feature_faults(made, self.domains))
        return replace(self, features={**self.features, column: made})

    def expect(
        self,
        column: str,
        of: str,
        low: float | None = None,
        high: float | None = None,
        *,
        severity: Severity = "ERROR",
    ) -> Schema:
        """With bounds on a measure of a column; bounds on the same measure are replaced.

        Raises:
            NotFoundError: The feature is absent.
            UsageError: The measure is unknown, or there is no bound (``bad-schema``).

        Example:
            >>> s = Schema().add(Feature("delay", "FLOAT")).expect("delay", "mean", 0.0, 20.0)
            >>> s.expect("delay", "quantile(0.99)", high=180.0)["delay"].expect[1].max
            180.0
        """
        kept = [e for e in self[column].expect if e.of != of]
        return self.edit(column, expect=(*kept, Expectation(of, low, high, severity)))

    def fresh(self, column: str, max_age: timedelta | str, *, severity: Severity = "ERROR") -> Schema:
        """The newest value of a column of times must not be older than `max_age`, such as ``2d``.

        Raises:
            UsageError: The duration cannot be read, or is not above 0 (``bad-schema``).
        """
        age = parse_duration(max_age) if isinstance(max_age, str) else max_age
        kept = [f for f in self.constraints.freshness if f.column != column]
        freshness = (*kept, Freshness(column, age, severity))
        return self._bounded(replace(self.constraints, freshness=freshness))

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
            UsageError: The name is empty, or this is not one expression over the columns of the rows: it
                cannot be parsed or holds a query (``bad-rule``), or calls a function that gives rows or
                reads from elsewhere (``sql-function``).
        """
        if not name.strip():
            raise UsageError(f"a rule has a name: {sql!r}", code="bad-rule")
        check_expression(f"rule {name!r}", sql)
        kept = [r for r in self.rules if r.name != name]
        return replace(self, rules=(*kept, Rule(name, sql, severity, tuple(environments))))

    def check(
        self, name: str, sql: str, *, severity: Severity = "ERROR", environments: Iterable[str] = ()
    ) -> Schema:
        """With an expression over all rows that must be true: ``avg(delay) < 20``; same name, replaced.

        Unknown (null) passes. A check that names a column of the schema which the data do not have is
        reported as not applicable.

        Raises:
            UsageError: The name is empty, or this is not one expression over the columns of the rows: it
                cannot be parsed or holds a query (``bad-rule``), or calls a function that gives rows or
                reads from elsewhere (``sql-function``).
        """
        if not name.strip():
            raise UsageError(f"a check has a name: {sql!r}", code="bad-rule")
        check_expression(f"check {name!r}", sql)
        kept = [c for c in self.checks if c.name != name]
        return replace(self, checks=(*kept, Check(name, sql, severity, tuple(environments))))

    def sparse(self, *features: SparseFeature) -> Schema:
        """With these sparse features, in place of those of the same name."""
        return replace(self, sparse_features={**self.sparse_features, **{f.name: f for f in features}})

    def weighted(self, *features: WeightedFeature) -> Schema:
        """With these weighted features, in place of those of the same name."""
        return replace(self, weighted_features={**self.weighted_features, **{f.name: f for f in features}})

    def domain(self, name: str, domain: Domain) -> Schema:
        """With a domain columns can share: ``edit(column, domain=name)``.

        Raises:
            UsageError: It makes no sense (``bad-schema``).
        """
        refuse(domain_faults(domain, f"domain {name!r}", ("domains", name)))
        return replace(self, domains={**self.domains, name: domain})

    def rows_between(self, low: int | None = None, high: int | None = None) -> Schema:
        """With bounds on the number of rows.

        Raises:
            UsageError: One is negative, or the first above the second (``bad-schema``).
        """
        return self._bounded(replace(self.constraints, min_examples_count=low, max_examples_count=high))

    def severity(self, type_: AnomalyType, severity: Severity) -> Schema:
        """With another severity for one type of anomaly.

        Raises:
            UsageError: There is no such type, or no such severity (``bad-schema``).
        """
        return replace(self, severities=_severities({**self.severities, type_: severity}))

    def _bounded(self, constraints: DatasetConstraints) -> Schema:
        refuse(constraint_faults(constraints))
        return replace(self, constraints=constraints)

    def _each(self, columns: Iterable[str], **changes: Any) -> Schema:
        schema = self
        for column in columns:
            schema = schema.edit(column, **changes)
        return schema

    # --- reading

    def faults(self) -> list[Fault]:
        """What makes no sense in it; empty but of a schema that was kept before such was refused.

        Example:
            >>> [str(f.text) for f in Schema({"x": Feature("x", "INT", Presence(2.0))}).faults()]
            ["feature 'x': presence.min_fraction is 2, allowed is 0 to 1"]
        """
        return list(self._faults)

    @cached_property
    def _faults(self) -> tuple[Fault, ...]:
        """Looked for once: every validation tells them."""
        parts = Parts(
            list(self), self.domains, self.constraints, self.default_environments, self.rules, self.checks
        )
        return tuple(faults_of(parts))

    def sound(self) -> Schema:
        """The schema itself when it makes sense.

        Raises:
            UsageError: It does not (``bad-schema``; of a default ``bad-default``); ``details["faults"]`` has
                everything that makes none.
        """
        refuse(self.faults())
        return self

    def domain_of(self, feature: Feature) -> Domain | None:
        """The domain of a feature, a shared one looked up; None when absent (validation reports it)."""
        if isinstance(feature.domain, str):
            return self.domains.get(feature.domain)
        return feature.domain

    def expected(self, environment: str | None) -> list[Feature]:
        """The features that belong to an environment and are checked.

        Raises:
            NotFoundError: The schema does not speak of this one (``environment-not-found``).
        """
        known = self.known_environments
        if environment is not None and environment not in known:
            hint = f"the schema knows {sorted(known)}" if known else "the schema names no environments"
            raise NotFoundError("environment", environment, near=known, hint=hint)
        return [f for f in self if f.checked and f.belongs_to(environment, self.default_environments)]

    @property
    def known_environments(self) -> frozenset[str]:
        """All environments the schema speaks of."""
        named = (e for f in self for e in (*f.in_environment, *f.not_in_environment))
        of_rules = (e for named in (self.rules, self.checks) for r in named for e in r.environments)
        return frozenset([*self.default_environments, *named, *of_rules])

    @property
    def digest(self) -> str:
        """The digest of what it means.

        The order of features, rules, values of a domain and environments is for people: it changes nothing.
        Nor does the domain of a structure, which says what the type says. A digest that was recorded
        before 2026-11-21 kept the order; ``put_schema`` compares schemas and not what was recorded.
        """
        return spec_digest(canonical(self.to_dict()))

    def diff(self, other: Schema) -> list[SchemaChange]:
        """What has to change to make `other` of it, by path; empty for schemas that mean the same.

        Example:
            >>> a = Schema().add(Feature("x", "FLOAT"))
            >>> [str(c) for c in a.diff(a.edit("x", max=5.0))]
            ['+ features.x.domain.kind = "float"', '+ features.x.domain.max = 5.0']
        """
        before, after = (_flat(canonical(s.to_dict(by_name=True))) for s in (self, other))
        paths = dict.fromkeys([*before, *after])
        return [SchemaChange(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]

    # --- out and in

    def to_dict(self, *, by_name: bool = False) -> dict[str, Any]:
        """The schema as JSON; what is not said is left out."""
        named: dict[str, Any] = {
            "features": [f.to_dict() for f in self],
            "rules": to_plain(self.rules),
            "checks": to_plain(self.checks),
            "sparse_features": to_plain(tuple(self.sparse_features.values())),
            "weighted_features": to_plain(tuple(self.weighted_features.values())),
        }
        if by_name:
            named = {k: {e["name"]: _without_name(e) for e in v} for k, v in named.items()}
        out: dict[str, Any] = {
            "format": FORMAT,
            **named,
            "domains": {n: domain_to_dict(d) for n, d in self.domains.items()},
            "default_environments": list(self.default_environments),
            "constraints": self.constraints.to_dict(),
            "severities": dict(self.severities),
            "extra": to_plain(self.extra),
        }
        said = {k: v for k, v in out.items() if v}
        if self.annotation is not None:
            said["annotation"] = to_plain(self.annotation)
        if self.represent_variable_length_as_ragged is not None:
            said["represent_variable_length_as_ragged"] = self.represent_variable_length_as_ragged
        return said

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, stored: bool = False) -> Schema:
        """The schema that `to_dict` wrote.

        Args:
            data: The JSON.
            stored: Let through what makes no sense, as of a schema that is kept already.

        Raises:
            UsageError: The format, a key or a value is unknown, or something makes no sense
                (``bad-schema``, of a default ``bad-default``); ``details["at"]`` is the place.
        """
        if data.get("format") != FORMAT:
            hint = (
                f'a schema begins {{"format": "{FORMAT}", "features": […]}}; `whence schema infer` writes one'
            )
            raise wrong(f"not a schema: its format is {data.get('format')!r}", ("format",), hint=hint)
        known = {f.name for f in fields(cls)} - {"source"} | {"format"}
        for key in data:
            if key not in known:
                raise wrong(f"a schema has no {key!r}", (str(key),), near=(str(key), known))
        features = _entries(Feature, "feature", "features", data)
        domains = data.get("domains", {})
        made = cls(
            {f.name: f for f in features},
            tuple(_entries(Rule, "rule", "rules", data)),
            {n: domain_from_dict(d, ("domains", n)) for n, d in domains.items()},
            value_of(tuple[str, ...], data.get("default_environments", ()), "default_environments", ()),
            build(DatasetConstraints, data.get("constraints", {}), "dataset_constraints", ("constraints",)),
            _severities(data.get("severities", {})),
            checks=tuple(_entries(Check, "check", "checks", data)),
            sparse_features={
                f.name: f for f in _entries(SparseFeature, "sparse feature", "sparse_features", data)
            },
            weighted_features={
                f.name: f for f in _entries(WeightedFeature, "weighted feature", "weighted_features", data)
            },
            represent_variable_length_as_ragged=data.get("represent_variable_length_as_ragged"),
            annotation=_annotation(data.get("annotation")),
            extra=dict(data.get("extra", {})),
        )
        return made if stored else made.sound()

    def to_json(self) -> str:
        """Its canonical JSON, features in their order: equal schemas give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "the schema", stored: bool = False) -> Schema:
        """The schema of a JSON text.

        Args:
            text: The text.
            name: What errors call it.
            stored: Let through what makes no sense, as of a schema that is kept already.

        Raises:
            UsageError: It is not JSON, not a schema, or makes no sense; the line is named (``bad-schema``,
                of a default ``bad-default``).

        Example:
            >>> Schema.from_json('{"format": "whence-schema-1", "features": [{"name": "x", "tpye": "INT"}]}')
            Traceback (most recent call last):
            whence.errors.UsageError: the schema, line 1: feature 'x' has the unknown key 'tpye' ...
        """
        data = read_json(text, name)
        try:
            return cls.from_dict(data, stored=stored)
        except UsageError as error:
            raise placed(error, name, lambda at: line_of(text, at)) from error

    def table(self) -> list[dict[str, str]]:
        """One line a feature, as text."""
        return [feature_line(f, self.domain_of(f)) for f in self]

    def text(self) -> str:
        """The schema as plain text; control characters are escapes."""
        lines = [plain_table(self.table())]
        lines += [f"rule {r.name!r}: {r.sql}" for r in self.rules]
        lines += [f"check {c.name!r}: {c.sql}" for c in self.checks]
        lines += [f"expected of {f.name}: {describe_expectation(e)}" for f in self for e in f.expect]
        if self.default_environments:
            lines.append("environments: " + ", ".join(self.default_environments))
        return "\n".join([lines[0], *map(one_line, lines[1:])])

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        rules = [f"{r.name}: {r.sql}" for r in self.rules] + [f"{c.name}: {c.sql}" for c in self.checks]
        return schema_html("", self.table(), rules)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        out: dict[str, Any] = {}
        for k, v in value.items():
            out |= _flat(v, f"{path}.{k}" if path else str(k))
        return out
    return {path: value}


_SEVERITIES = Mapping[str, Severity]


def _severities(data: Any) -> dict[AnomalyType, Severity]:
    made = value_of(_SEVERITIES, data, "severities", ("severities",))
    for type_ in made:
        if type_ not in REASONS:
            raise wrong(f"{type_!r} is no type of anomaly", ("severities", type_), near=(type_, REASONS))
    return dict(made)


def _entries(shape: type[Any], word: str, key: str, data: Mapping[str, Any]) -> list[Any]:
    given = data.get(key, [])
    if not isinstance(given, (list, tuple)):
        raise wrong(f"{key} must be a list, got {type(given).__name__}", (key,))
    made = [build(shape, e, f"{word} {_name(e)!r}", (key, i)) for i, e in enumerate(given)]
    seen: set[str] = set()
    for i, entry in enumerate(made):
        if entry.name in seen and shape not in (Rule, Check):  # these are kept in order, not by name
            raise wrong(f"{word} {entry.name!r} is there twice", (key, i))
        seen.add(entry.name)
    return made


def _name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, Mapping) else None


def _without_name(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k != "name"}


def _annotation(data: Any) -> Annotation | None:
    made: Annotation | None = None if data is None else build(Annotation, data, "annotation", ("annotation",))
    return made
