"""The short form of a schema, for people: YAML that says one thing a line; errors name the line.

    environments: [TRAINING, SERVING]
    features:
      carrier: {type: STRING, required: true, values: [AA, UA], drift: 0.1}
      arr_delay: {type: FLOAT, min: -100, max: 2000, expect: {mean: [-5, 30]}, not_in: [SERVING]}
      hour: INT
    rules: {sane: arr_delay > -100}
    checks: {mostly on time: avg(arr_delay) < 20}
    rows: [1000, null]
    fresh: {arr_at: 2d}

Every key of the full form (`Schema.to_dict`) may stand in a feature, too. Words are YAML 1.2's: ``NO`` is a
text and not false, a date is a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import yaml

from whence.errors import UsageError
from whence.validation.faults import placed
from whence.validation.plain import QUOTE, wrong
from whence.validation.schema import FORMAT, Schema

_At = tuple[str | int, ...]
_TOP: Final = frozenset(
    {
        "annotation",
        "checks",
        "domains",
        "environments",
        "extra",
        "features",
        "fresh",
        "represent_variable_length_as_ragged",
        "rows",
        "rows_drift",
        "rows_version",
        "rules",
        "severities",
        "sparse",
        "weighted",
    }
)
_RENAMED: Final[Mapping[str, str]] = {
    "count": "value_count",
    "counts": "value_counts",
    "in": "in_environment",
    "mass": "min_domain_mass",
    "not_in": "not_in_environment",
    "stage": "lifecycle_stage",
}
_METRICS: Final[Mapping[str, str]] = {
    "histogram": "source",
    "js": "jensen_shannon_divergence",
    "l_infinity": "infinity_norm",
    "normalized": "normalized_abs_difference",
}
_SHORT: Final[Mapping[str, tuple[str, ...]]] = {
    "constraints": ("rows", "rows_drift", "rows_version", "fresh"),
    "default_environments": ("environments",),
    "domain": ("domain", "values", "min", "max", "no_nan", "no_inf", "bool"),
    "in_environment": ("in",),
    "lifecycle_stage": ("stage",),
    "min_domain_mass": ("mass",),
    "not_in_environment": ("not_in",),
    "presence": ("presence", "required"),
    "sparse_features": ("sparse",),
    "value_count": ("count",),
    "value_counts": ("counts",),
    "weighted_features": ("weighted",),
}
_PARTS: Final[Mapping[str | int, str]] = {
    "disallow_inf": "no_inf",
    "disallow_nan": "no_nan",
    "false_value": "bool",
    "max": "max",
    "min": "min",
    "true_value": "bool",
    "values": "values",
}
_RANGES: Final[Mapping[str, str]] = {
    "FLOAT": "float",
    "INT": "int",
    "TIMESTAMP": "time",
    "DATE": "time",
}


def schema_from_yaml(text: str | bytes, *, name: str = "the schema", stored: bool = False) -> Schema:
    """The schema of a YAML text.

    Args:
        text: The text.
        name: What errors call it.
        stored: Let through what makes no sense, as of a schema that is kept already.

    Raises:
        UsageError: It is not YAML, a key or value is unknown, or something makes no sense; the line is
            named (``bad-schema``, of a default ``bad-default``).

    Example:
        >>> s = schema_from_yaml("features: {hour: {type: INT, min: 0, max: 23}, at: TIMESTAMP required}")
        >>> s["hour"].domain.max, s["at"].required
        (23, True)
    """
    lines: dict[_At, int] = {}
    words: dict[_At, str] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = None if node is None else _plain(node, (), lines, words)
    except RecursionError as error:
        raise UsageError(f"{name}: not a schema: it is nested too deeply", code="bad-schema") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{name}{where}: not YAML: {problem}", code="bad-schema") from error
    places: dict[_At, _At] = {(): ()}
    try:
        return Schema.from_dict(_expand(data, places), stored=stored)
    except UsageError as error:
        hint, place = error.hint, _place(_at_of(error), lines, places)
        if hint is not None and hint.startswith(QUOTE) and place in words:
            hint = f"{QUOTE}'{words[place]}'"  # as it is written: 007 is not 7
        raise placed(error, name, lambda at: lines.get(_place(at, lines, places), 1), hint=hint) from error


def _at_of(error: UsageError) -> _At:
    return tuple(cast("list[str | int]", error.details.get("at", [])))


def schema_to_yaml(schema: Schema) -> str:
    """A schema as YAML, in the short form; `schema_from_yaml` reads it back, equal.

    Example:
        >>> from whence.validation import Feature
        >>> print(schema_to_yaml(Schema().add(Feature("hour", "INT")).edit("hour", min=0, max=23)), end="")
        features:
          hour: {type: INT, min: 0, max: 23}
    """
    return yaml.dump(
        _shorten(schema.to_dict()), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )


# --- reading YAML -------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.2's words: true, false, null, decimal numbers; everything else is text."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - of the library


_WORDS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)
"""What is no text without quotes: the tag, its pattern, and the first letters it may have."""

for _tag, _pattern, _first in _WORDS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _plain(node: Any, at: _At, lines: dict[_At, int], words: dict[_At, str]) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        _Loader("").flatten_mapping(node)
        for key_node, value_node in node.value:
            key = str(_scalar(key_node)) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise _fault(key_node, "a key must be a word")
            if isinstance(key_node.value, str) and key_node.tag.endswith(("int", "bool", "null", "float")):
                key = key_node.value
            if key in out:
                raise _fault(key_node, f"{key!r} is there twice")
            lines[(*at, key)] = key_node.start_mark.line + 1
            out[key] = _plain(value_node, (*at, key), lines, words)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(v, (*at, i), lines, words) for i, v in enumerate(node.value)]
    words[at] = node.value
    return _scalar(node)


def _scalar(node: Any) -> Any:
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() == "true"
    if kind == "int":
        return int(node.value)
    if kind == "float":
        return float(node.value.lower().replace(".inf", "inf"))
    if kind in ("str", "merge"):
        return node.value
    raise _fault(node, f"the tag {node.tag!r} is unknown")


def _fault(node: Any, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _place(at: _At, lines: Mapping[_At, int], places: Mapping[_At, _At]) -> _At:
    """Where a place of the full form is written: itself, or the nearest thing around it that is."""
    if at[:1] == ("domains",) and at[2:3] == ("values",) and (*at[:2], *at[3:]) in lines:
        return (*at[:2], *at[3:])
    for n in range(len(at), -1, -1):
        start = places.get(at[:n])
        if start is None:
            continue
        rest = at[n:]
        if rest[:1] == ("domain",) and len(rest) > 1 and (*start, _PARTS.get(rest[1], "")) in lines:
            rest = (_PARTS[rest[1]], *rest[2:])
        for short in (*(_SHORT.get(str(rest[0]), ()) if rest else ()), *rest[:1]):
            if (*start, short) in lines:
                deeper = (*start, short, *rest[1:])
                return next(deeper[:k] for k in range(len(deeper), 0, -1) if deeper[:k] in lines)
        return start
    return ()


# --- short to full ------------------------------------------------------------------------------


def _expand(data: Any, places: dict[_At, _At]) -> dict[str, Any]:
    """The full form; `places` is told where each part of it stands in the short one."""
    full: dict[str, Any] = {"format": FORMAT}
    if data is None:
        return full
    if not isinstance(data, Mapping):
        raise wrong(f"a schema is a mapping, got {type(data).__name__}", ())
    for key in data:
        if key not in _TOP:
            raise wrong(f"a schema has no {key!r}", (key,), near=(key, _TOP))
    named: tuple[tuple[str, str, Callable[[str, Any], dict[str, Any]]], ...] = (
        ("features", "features", _feature),
        ("rules", "rules", _rule),
        ("checks", "checks", _rule),
        ("sparse", "sparse_features", _sparse),
        ("weighted", "weighted_features", _weighted),
    )
    for short, long, make in named:
        entries = data.get(short) or {}
        if not isinstance(entries, Mapping):
            raise wrong(f"{short} is a mapping of names, got {type(entries).__name__}", (short,))
        full[long] = []
        for i, (name, value) in enumerate(entries.items()):
            places[(long, i)] = (short, name)
            full[long].append(make(name, value))
    full["domains"] = {n: _domain(n, d) for n, d in _mapping(data, "domains").items()}
    full["default_environments"] = data.get("environments") or []
    full["constraints"] = _constraints(data)
    places |= {("constraints", "freshness", i): ("fresh", n) for i, n in enumerate(_mapping(data, "fresh"))}
    full["severities"] = data.get("severities") or {}
    for key in ("annotation", "extra", "represent_variable_length_as_ragged"):
        if data.get(key) is not None:
            full[key] = data[key]
    return full


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, Mapping):
        raise wrong(f"{key} is a mapping, got {type(value).__name__}", (key,))
    return value


def _feature(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        words = value.split()
        value = {"type": words[0] if words else value, "required": "required" in words[1:]}
        if set(words[1:]) - {"required"}:
            raise wrong(
                f"feature {name!r} is {' '.join(words)!r}",
                ("features", name),
                hint="a type, or a type and 'required'",
            )
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise wrong(f"feature {name!r} is a type or a mapping, got {value!r}", ("features", name))
    given = dict(value)
    out: dict[str, Any] = {"name": name}
    if "required" in given:
        required = given.pop("required")
        if not isinstance(required, bool):
            raise wrong(
                f"required of feature {name!r} is true or false, got {required!r}",
                ("features", name, "required"),
            )
        if required:
            out["presence"] = {"min_fraction": 1.0, "min_count": 1}
    domain = _short_domain(name, given)
    if domain is not None:
        out["domain"] = domain
    for key, said in given.items():
        long = _RENAMED.get(key, key)
        out[long] = _said(name, long, said)
    return out


def _said(name: str, key: str, value: Any) -> Any:
    if key == "presence" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"min_fraction": float(value), "min_count": 1}
    if key == "value_count":
        return _bounds(value)
    if key == "unique":
        return _bounds(value, exact=False)
    if key == "value_counts" and isinstance(value, list):
        return [_bounds(v) for v in value]
    if key == "shape" and isinstance(value, list):
        return {"dims": value}
    if key in ("drift", "skew") and isinstance(value, Mapping):
        return {_METRICS.get(k, k): v for k, v in value.items()}
    if key == "expect" and isinstance(value, Mapping):
        return [_expectation(name, of, bounds) for of, bounds in value.items()]
    return value


def _bounds(value: Any, *, exact: bool = True) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"min": value, "max": value} if exact else {"max": value}
    if isinstance(value, list) and len(value) == 2:
        return {"min": value[0], "max": value[1]}
    return value


def _expectation(name: str, of: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"of": of, **value}
    if isinstance(value, list) and len(value) == 2:
        return {"of": of, "min": value[0], "max": value[1]}
    raise wrong(
        f"{of} expected of feature {name!r} is {value!r}",
        ("features", name, "expect", of),
        hint="[least, most], null for no bound, or {min: …, max: …, severity: WARNING}",
    )


def _short_domain(name: str, given: dict[str, Any]) -> Any:
    """The domain that short keys say; they are taken out of `given`."""
    if "values" in given:
        return {"kind": "string", "values": given.pop("values")}
    if "bool" in given:
        said = given.pop("bool")
        if isinstance(said, Mapping):
            return {"kind": "bool", "true_value": said.get("true"), "false_value": said.get("false")}
        return {"kind": "bool"}
    keys = {"min": "min", "max": "max", "no_nan": "disallow_nan", "no_inf": "disallow_inf"}
    found = {keys[k]: given.pop(k) for k in list(given) if k in keys}
    if not found:
        return None
    kind = _RANGES.get(str(given.get("type")))
    if kind is None:
        raise wrong(
            f"feature {name!r} is {given.get('type')} and has no range",
            ("features", name),
            hint="give domain: {kind: int, min: …} or {kind: float, …} when its text reads as numbers",
        )
    return {"kind": kind, **found}


def _rule(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, **(value if isinstance(value, Mapping) else {"sql": value})}


def _sparse(name: str, value: Any) -> dict[str, Any]:
    given = dict(value) if isinstance(value, Mapping) else {}
    renamed = {"value": "value_feature", "index": "index_features", "stage": "lifecycle_stage"}
    return {"name": name, **{renamed.get(k, k): v for k, v in given.items()}}


def _weighted(name: str, value: Any) -> dict[str, Any]:
    given = dict(value) if isinstance(value, Mapping) else {}
    renamed = {"weight": "weight_feature", "stage": "lifecycle_stage"}
    return {"name": name, **{renamed.get(k, k): v for k, v in given.items()}}


def _domain(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return {"kind": "string", "values": value}
    if not isinstance(value, Mapping):
        raise wrong(f"domain {name!r} is a list of texts or a mapping, got {value!r}", ("domains", name))
    return value


def _constraints(data: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if data.get("rows") is not None:
        bounds = _bounds(data["rows"])
        if not isinstance(bounds, Mapping):
            raise wrong(f"rows are [least, most], got {bounds!r}", ("rows",))
        out |= {f"{k}_examples_count": v for k, v in bounds.items()}
    for short, long in (("rows_drift", "num_examples_drift"), ("rows_version", "num_examples_version")):
        if data.get(short) is not None:
            bounds = _bounds(data[short])
            if not isinstance(bounds, Mapping):
                raise wrong(f"{short} is [least, most] of the rows before, got {bounds!r}", (short,))
            out[long] = {f"{k}_fraction_threshold": v for k, v in bounds.items()}
    fresh = [
        {"column": c, **(age if isinstance(age, Mapping) else {"max_age": age})}
        for c, age in _mapping(data, "fresh").items()
    ]
    return out | ({"freshness": fresh} if fresh else {})


# --- full to short ------------------------------------------------------------------------------


def _shorten(full: Mapping[str, Any]) -> dict[str, Any]:
    c = full.get("constraints", {})
    out: dict[str, Any] = {
        "environments": _Flow(full.get("default_environments", [])),
        "features": {f["name"]: _short_feature(f) for f in full.get("features", [])},
        "rules": {r["name"]: _short_rule(r) for r in full.get("rules", [])},
        "checks": {r["name"]: _short_rule(r) for r in full.get("checks", [])},
        "domains": {n: _short_shared(d) for n, d in full.get("domains", {}).items()},
        "rows": _pair(c, "min_examples_count", "max_examples_count"),
        "rows_drift": _pair(c.get("num_examples_drift"), "min_fraction_threshold", "max_fraction_threshold"),
        "rows_version": _pair(
            c.get("num_examples_version"), "min_fraction_threshold", "max_fraction_threshold"
        ),
        "fresh": {f["column"]: _short_age(f) for f in c.get("freshness", [])},
        "sparse": {
            s["name"]: _renamed(s, {"value_feature": "value", "index_features": "index"})
            for s in full.get("sparse_features", [])
        },
        "weighted": {
            w["name"]: _renamed(w, {"weight_feature": "weight"}) for w in full.get("weighted_features", [])
        },
        "severities": full.get("severities", {}),
    }
    said = {k: v for k, v in out.items() if v or (v is not None and v == _EMPTY.get(k))}
    for key in ("annotation", "extra", "represent_variable_length_as_ragged"):
        if key in full:
            said[key] = full[key]
    return said


_EMPTY: Final[Mapping[str, Any]] = {"rows_drift": [None, None], "rows_version": [None, None]}


def _pair(given: Mapping[str, Any] | None, low: str, high: str) -> Any:
    if given is None or (low not in given and high not in given and low.endswith("count")):
        return None
    return _Flow([given.get(low), given.get(high)])


def _short_age(f: Mapping[str, Any]) -> Any:
    rest = {k: v for k, v in f.items() if k != "column"}
    return f["max_age"] if list(rest) == ["max_age"] else _FlowMap(rest)


def _renamed(entry: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    names = {**names, "lifecycle_stage": "stage"}
    return _FlowMap({names.get(k, k): v for k, v in entry.items() if k != "name"})


def _short_rule(r: Mapping[str, Any]) -> Any:
    rest = {k: v for k, v in r.items() if k != "name"}
    return r["sql"] if list(rest) == ["sql"] else _FlowMap(rest)


def _short_shared(d: Mapping[str, Any]) -> Any:
    if d["kind"] == "string" and set(d) <= {"kind", "values"}:
        return _Flow(d.get("values", []))
    return _FlowMap(d)


def _short_feature(f: Mapping[str, Any]) -> Any:
    out: dict[str, Any] = {}
    if "type" in f:
        out["type"] = f["type"]
    back = {long: short for short, long in _RENAMED.items()}
    for key, value in f.items():
        if key in ("name", "type"):
            continue
        if key == "domain":
            out |= _domain_keys(value, f.get("type"))
        elif key == "presence":
            out |= _presence_keys(value)
        else:
            out[back.get(key, key)] = _short_value(key, value)
    if list(out) == ["type"]:
        return f["type"]
    if out == {"type": f.get("type"), "required": True}:
        return f"{f['type']} required"
    return _FlowMap(out)


def _presence_keys(p: Mapping[str, Any]) -> dict[str, Any]:
    if p == {"min_fraction": 1.0, "min_count": 1}:
        return {"required": True}
    if p.get("min_count") == 1 and "min_fraction" in p:
        return {"presence": p["min_fraction"]}
    return {"presence": dict(p)}


def _short_value(key: str, value: Any) -> Any:
    if key == "value_count":
        return _count(value)
    if key == "unique":
        return [value.get("min"), value.get("max")]
    if key == "value_counts":
        return [_count(v) for v in value]
    if key == "shape" and set(value) <= {"dims"}:
        return value.get("dims", [])
    if key in ("drift", "skew"):
        back = {long: short for short, long in _METRICS.items()}
        return {back.get(k, k): v for k, v in value.items()}
    if key == "expect" and len({e["of"] for e in value}) == len(value):
        return {e["of"]: _short_expectation(e) for e in value}
    return value


def _count(v: Mapping[str, Any]) -> Any:
    if v.get("min") is not None and v.get("min") == v.get("max"):
        return v["min"]
    return [v.get("min"), v.get("max")]


def _short_expectation(e: Mapping[str, Any]) -> Any:
    if set(e) <= {"of", "min", "max"}:
        return [e.get("min"), e.get("max")]
    return {k: v for k, v in e.items() if k != "of"}


def _domain_keys(d: Any, type_: Any) -> dict[str, Any]:
    if not isinstance(d, Mapping):
        return {"domain": d}
    kind = d["kind"]
    if kind == "string" and set(d) == {"kind", "values"}:
        return {"values": d["values"]}
    if kind == "bool" and set(d) <= {"kind", "true_value", "false_value"}:
        named = {k[: -len("_value")]: v for k, v in d.items() if k != "kind"}
        return {"bool": named or True}
    short = {"min": "min", "max": "max", "disallow_nan": "no_nan", "disallow_inf": "no_inf"}
    if len(d) > 1 and set(d) <= {"kind", *short} and kind == _RANGES.get(str(type_)):
        return {short[k]: v for k, v in d.items() if k != "kind"}
    return {"domain": dict(d)}


class _Flow(list[Any]):
    """A list on one line."""


class _FlowMap(dict[str, Any]):
    """A mapping on one line, if it fits."""


class _Dumper(yaml.SafeDumper):
    """Features and rules each on a line; what they hold in brackets."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - the library's
        super().increase_indent(flow, False)


def _text(dumper: Any, value: str) -> Any:
    # YAML 1.1 takes these for ends of lines, or for marks that are not part of the text.
    style = '"' if any(c in value for c in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


for _tag, _pattern, _first in _WORDS:
    # Beside those of YAML 1.1, which the library writes for: what any reader may take for no text is quoted.
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Flow, lambda d, v: d.represent_sequence("tag:yaml.org,2002:seq", v, flow_style=True))
_Dumper.add_representer(
    _FlowMap, lambda d, v: d.represent_mapping("tag:yaml.org,2002:map", v, flow_style=True)
)
