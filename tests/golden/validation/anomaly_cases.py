"""Small tables and schemas, each made so that one rule is broken, or just holds: what TFDV says of them is golden.

Only pyarrow and the standard library, see `cases`. Schemas are text protos, as TFDV's users have them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Check:
    """Data, a schema, and what the data are compared with."""

    name: str
    columns: Mapping[str, Any]
    schema: str
    environment: str | None = None
    previous: Mapping[str, Any] | None = None
    serving: Mapping[str, Any] | None = None
    version: Mapping[str, Any] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Severity by anomaly type, as schemas of other tools say it; see TFDV's validation options."""
    semantics: bool = False
    """Whether the statistics are made with this schema (sparse and weighted features, domains of meaning)."""


def as_table(columns: Mapping[str, Any]) -> pa.Table:
    """The columns as Arrow, types as pyarrow infers them."""
    return pa.table({n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()})


def one(name: str, values: Any, rules: str, *, more: str = "", **given: Any) -> Check:
    """One column ``x`` and what its feature says."""
    return Check(name, {"x": values}, f'feature {{ name: "x" {rules} }} {more}', **given)


INTS, FLOATS, TEXTS = [1, 2, 3, 4, 5], [1.0, 2.0, 3.0, 4.0, 5.0], ["a", "b", "c", "a", "b"]
GAPS = [1, None, 3, None, 5]
NO_INTS = pa.array([None] * 5, pa.int64())
LISTS = pa.array([[1, 2], [3], [], None, [4, 5, 6]], pa.list_(pa.int64()))
FULL_LISTS = pa.array([[1, 2], [3], [4, 5, 6]], pa.list_(pa.int64()))
PAIRS = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64()))
NESTED = pa.array([[[1, 2], [3]], [[4]], [[5, 6]]], pa.list_(pa.list_(pa.int64())))
STRUCT = pa.list_(pa.struct([("x", pa.list_(pa.int64()))]))
STRUCTS = pa.array([[{"x": [1]}], [{"x": [2]}], None], STRUCT)
STAGES = ("PLANNED", "ALPHA", "BETA", "PRODUCTION", "DEPRECATED", "DEBUG_ONLY", "DISABLED")


def presence() -> Iterator[Check]:
    yield one("presence.fits", INTS, "type: INT presence { min_fraction: 1.0 min_count: 1 }")
    yield one("presence.none_at_all", NO_INTS, "type: INT presence { min_fraction: 1.0 min_count: 1 }")
    yield one("presence.none_at_all_by_count", NO_INTS, "type: INT presence { min_count: 1 }")
    yield one("presence.none_at_all_optional", NO_INTS, "type: INT presence { min_count: 0 }")
    yield one("presence.none_at_all_unsaid", NO_INTS, "type: INT")
    yield one("presence.low_fraction", GAPS, "type: INT presence { min_fraction: 0.8 }")
    yield one("presence.exact_fraction", GAPS, "type: INT presence { min_fraction: 0.6 }")
    yield one("presence.low_count", GAPS, "type: INT presence { min_count: 4 }")
    yield one("presence.low_both", GAPS, "type: INT presence { min_fraction: 0.9 min_count: 4 }")
    yield one("presence.zero", GAPS, "type: INT presence { min_fraction: 0.0 min_count: 0 }")
    required = 'feature { name: "y" type: INT presence { min_fraction: 1.0 min_count: 1 } }'
    yield one("column.missing", INTS, "type: INT", more=required)
    yield one(
        "column.missing_by_count",
        INTS,
        "type: INT",
        more='feature { name: "y" type: INT presence { min_count: 1 } }',
    )
    yield one(
        "column.missing_by_fraction",
        INTS,
        "type: INT",
        more='feature { name: "y" type: INT presence { min_fraction: 0.1 } }',
    )
    yield one(
        "column.missing_optional",
        INTS,
        "type: INT",
        more='feature { name: "y" type: INT presence { min_count: 0 } }',
    )
    yield one("column.missing_unsaid", INTS, "type: INT", more='feature { name: "y" type: INT }')
    yield Check("column.new", {"x": INTS, "y": FLOATS}, 'feature { name: "x" type: INT }')
    yield Check("column.new_without_values", {"x": INTS, "y": NO_INTS}, 'feature { name: "x" type: INT }')
    for stage in STAGES:
        said = f"type: INT lifecycle_stage: {stage} presence {{ min_fraction: 1.0 min_count: 1 }} int_domain {{ max: 2 }}"
        yield one(f"stage.{stage}.there", GAPS, said)
        yield one(f"stage.{stage}.absent", INTS, "type: INT", more=f'feature {{ name: "y" {said} }}')
    for where, environment in itertools.product(
        ("default", "in", "not_in", "both"), ("TRAINING", "SERVING", None)
    ):
        said = {
            "default": "",
            "in": 'in_environment: "SERVING"',
            "not_in": 'not_in_environment: "SERVING"',
            "both": 'in_environment: "SERVING" not_in_environment: "SERVING"',
        }[where]
        yield one(
            f"environment.{where}.{environment}",
            INTS,
            "type: INT",
            more=f'feature {{ name: "y" type: INT presence {{ min_count: 1 }} {said} }} '
            'default_environment: "TRAINING"' + ("" if where == "in" else ' default_environment: "SERVING"'),
            environment=environment,
        )
    yield one(
        "environment.unknown", INTS, "type: INT", more='default_environment: "TRAINING"', environment="OTHER"
    )
    yield one("environment.there_but_not_in", INTS, 'type: INT not_in_environment: "SERVING" int_domain { max: 2 }',
              more='default_environment: "SERVING"', environment="SERVING")  # fmt: skip


def valency() -> Iterator[Check]:
    yield one("valency.fits", FULL_LISTS, "type: INT value_count { min: 1 max: 3 }")
    yield one("valency.low", LISTS, "type: INT value_count { min: 1 }")
    yield one("valency.high", LISTS, "type: INT value_count { max: 2 }")
    yield one("valency.both", LISTS, "type: INT value_count { min: 1 max: 2 }")
    yield one("valency.scalar", INTS, "type: INT value_count { min: 2 }")
    yield one("valency.unsaid", LISTS, "type: INT")
    yield one("valency.nested_as_flat", NESTED, "type: INT value_count { min: 1 max: 3 }")
    yield one(
        "valency.flat_as_nested",
        FULL_LISTS,
        "type: INT value_counts { value_count { min: 1 } value_count { min: 1 } }",
    )
    yield one(
        "valency.nested_fits",
        NESTED,
        "type: INT value_counts { value_count { min: 1 } value_count { max: 2 } }",
    )
    yield one(
        "valency.nested_low",
        NESTED,
        "type: INT value_counts { value_count { min: 2 } value_count { min: 2 } }",
    )
    yield one(
        "valency.nested_high",
        NESTED,
        "type: INT value_counts { value_count { max: 1 } value_count { max: 1 } }",
    )
    yield one("valency.nested_unsaid", NESTED, "type: INT")
    yield one("shape.fits", PAIRS, "type: INT presence { min_fraction: 1.0 } shape { dim { size: 2 } }")
    yield one("shape.scalar_fits", INTS, "type: INT presence { min_fraction: 1.0 } shape { dim { size: 1 } }")
    yield one("shape.scalar_empty", INTS, "type: INT presence { min_fraction: 1.0 } shape { }")
    yield one("shape.wrong", PAIRS, "type: INT presence { min_fraction: 1.0 } shape { dim { size: 3 } }")
    yield one(
        "shape.several", FULL_LISTS, "type: INT presence { min_fraction: 1.0 } shape { dim { size: 2 } }"
    )
    yield one("shape.missing_rows", LISTS, "type: INT shape { dim { size: 2 } }")
    yield one("shape.missing_scalar", GAPS, "type: INT presence { min_count: 1 } shape { dim { size: 1 } }")
    yield one("shape.product", pa.array([[1, 2, 3, 4]] * 3, pa.list_(pa.int64())),
              "type: INT presence { min_fraction: 1.0 } shape { dim { size: 2 } dim { size: 2 } }")  # fmt: skip
    yield one("shape.nested", NESTED, "type: INT presence { min_fraction: 1.0 } shape { dim { size: 2 } }")
    yield one("shape.unknown_size", PAIRS, "type: INT presence { min_fraction: 1.0 } shape { dim { } }")
    for low, high in ((1, 3), (3, 5), (6, 9), (None, 2), (4, None)):
        said = " ".join(f"{k}: {v}" for k, v in (("min", low), ("max", high)) if v is not None)
        yield one(f"unique.text.{low}-{high}", TEXTS, f"type: BYTES unique_constraints {{ {said} }}")
    yield one("unique.int", INTS, "type: INT unique_constraints { min: 1 max: 3 }")
    yield one(
        "unique.categorical_int",
        [0, 1, 1, 0],
        "type: INT bool_domain { } unique_constraints { min: 3 max: 4 }",
    )
    yield one("unique.float", FLOATS, "type: FLOAT unique_constraints { min: 1 max: 3 }")


def domains() -> Iterator[Check]:
    yield one("bool.fits", [0, 1, 1], "type: INT bool_domain { }")
    yield one("bool.big", [0, 1, 2], "type: INT bool_domain { }")
    yield one("bool.small", [-1, 0, 1], "type: INT bool_domain { }")
    yield one("bool.both", [-1, 0, 2], "type: INT bool_domain { }")
    yield one("bool.int_with_texts", [0, 1, 1], 'type: INT bool_domain { true_value: "1" false_value: "0" }')
    yield one("bool.text_fits", ["y", "n"], 'type: BYTES bool_domain { true_value: "y" false_value: "n" }')
    yield one(
        "bool.text_other", ["y", "n", "maybe"], 'type: BYTES bool_domain { true_value: "y" false_value: "n" }'
    )
    yield one("bool.text_unsaid", ["y", "n"], "type: BYTES bool_domain { }")
    yield one("bool.text_same", ["y", "n"], 'type: BYTES bool_domain { true_value: "y" false_value: "y" }')
    yield one("bool.text_half", ["y", "n"], 'type: BYTES bool_domain { true_value: "y" }')
    yield one("bool.float", [0.0, 0.5, 1.0], "type: FLOAT bool_domain { }")
    yield one("bool.float_fits", [0.0, 1.0], "type: FLOAT bool_domain { }")
    yield one("enum.fits", TEXTS, 'type: BYTES string_domain { value: ["a", "b", "c"] }')
    yield one("enum.other", TEXTS, 'type: BYTES string_domain { value: ["a", "b"] }')
    yield one("enum.two_others", TEXTS, 'type: BYTES string_domain { value: ["a"] }')
    yield one("enum.none", TEXTS, "type: BYTES string_domain { }")
    yield one("enum.int", INTS, 'type: INT string_domain { value: ["1"] }')
    yield one("enum.utf8", [b"a", b"\xff"], 'type: BYTES string_domain { value: ["a"] }')
    yield one("enum.utf8_without_domain", [b"a", b"\xff"], "type: BYTES")
    for mass in (0.5, 0.8, 0.81, 1.0):
        said = f'type: BYTES string_domain {{ value: ["a", "b"] }} distribution_constraints {{ min_domain_mass: {mass} }}'
        yield one(f"enum.mass.{mass}", TEXTS, said)
    shared = 'string_domain { name: "letters" value: ["a", "b"] }'
    yield one("enum.shared", TEXTS, 'type: BYTES domain: "letters"', more=shared)
    yield one("enum.shared_absent", TEXTS, 'type: BYTES domain: "letter"', more=shared)
    yield one("int.fits", INTS, "type: INT int_domain { min: 1 max: 5 }")
    yield one("int.big", INTS, "type: INT int_domain { max: 4 }")
    yield one("int.small", INTS, "type: INT int_domain { min: 2 }")
    yield one("int.both", INTS, "type: INT int_domain { min: 2 max: 4 }")
    yield one("int.text_fits", ["1", "2"], "type: BYTES int_domain { min: 1 max: 2 }")
    yield one("int.text_big", ["1", "22"], "type: BYTES int_domain { min: 2 max: 5 }")
    yield one("int.text_other", ["1", "x"], "type: BYTES int_domain { }")
    yield one("int.text_float", ["1", "2.5"], "type: BYTES int_domain { }")
    yield one("int.float", FLOATS, "type: FLOAT int_domain { min: 1 max: 5 }")
    yield one("int.categorical", INTS, "type: INT int_domain { min: 1 max: 3 is_categorical: true }")
    yield one("float.fits", FLOATS, "type: FLOAT float_domain { min: 1 max: 5 }")
    yield one("float.big", FLOATS, "type: FLOAT float_domain { max: 4.5 }")
    yield one("float.small", FLOATS, "type: FLOAT float_domain { min: 1.5 }")
    yield one("float.int", INTS, "type: INT float_domain { min: 2 max: 3 }")
    yield one("float.text_fits", ["1.5", "2"], "type: BYTES float_domain { min: 1 max: 2 }")
    yield one("float.text_big", ["1.5", "2e3"], "type: BYTES float_domain { min: 1 max: 2 }")
    yield one("float.text_small", ["1.5", "-2"], "type: BYTES float_domain { min: 1 max: 2 }")
    yield one("float.text_other", ["1.5", "x"], "type: BYTES float_domain { }")
    yield one("float.nan_allowed", [1.0, NAN], "type: FLOAT float_domain { }")
    yield one("float.nan", [1.0, NAN], "type: FLOAT float_domain { disallow_nan: true }")
    yield one("float.nan_range", [1.0, NAN], "type: FLOAT float_domain { min: 0 max: 2 }")
    yield one("float.inf_allowed", [1.0, INF], "type: FLOAT float_domain { }")
    yield one("float.inf", [1.0, INF], "type: FLOAT float_domain { disallow_inf: true }")
    yield one("float.minus_inf", [1.0, -INF], "type: FLOAT float_domain { disallow_inf: true }")
    yield one("float.inf_range", [1.0, INF], "type: FLOAT float_domain { min: 0 max: 2 }")
    yield one("float.text_nan", ["1.5", "nan"], "type: BYTES float_domain { disallow_nan: true }")
    yield one("float.empty_range", FLOATS, "type: FLOAT float_domain { min: 5 max: 1 }")
    yield one("domain.url", ["http://a", "b"], "type: BYTES url_domain { }")
    yield one("domain.mid", ["/m/1", "b"], "type: BYTES mid_domain { }")
    yield one("domain.time", ["2020-01-01", "x"], 'type: BYTES time_domain { string_format: "%Y-%m-%d" }')
    yield one("domain.struct_on_int", INTS, "type: INT struct_domain { }")


def types() -> Iterator[Check]:
    held = {"INT": INTS, "FLOAT": FLOATS, "BYTES": TEXTS, "STRUCT": STRUCTS}
    for (have, values), said in itertools.product(held.items(), ("INT", "FLOAT", "BYTES", "STRUCT")):
        yield one(f"type.{have}_for_{said}", values, f"type: {said}")
    yield one("type.digits_for_int", ["1", "2"], "type: INT")
    yield one("type.digits_for_float", ["1.5", "2"], "type: FLOAT")
    yield one("type.nothing_for_int", pa.nulls(3), "type: INT")
    yield one("type.nothing_for_float", pa.nulls(3), "type: FLOAT presence { min_count: 1 }")
    yield one("type.unsaid", INTS, "presence { min_count: 1 }")
    yield one("type.unsaid_range", INTS, "int_domain { max: 2 }")
    yield Check("schema.no_name", {"x": INTS}, "feature { type: INT }")
    yield one("schema.twice", INTS, "type: INT", more='feature { name: "x" type: INT }')
    yield one("schema.negative_count", INTS, "type: INT presence { min_count: -1 }")
    yield one("schema.fraction_over_one", INTS, "type: INT presence { min_fraction: 1.5 }")
    yield one("schema.value_count_turned", INTS, "type: INT value_count { min: 3 max: 1 }")
    yield one("schema.value_count_negative", INTS, "type: INT value_count { min: -3 }")
    yield one(
        "schema.same_domain_twice",
        TEXTS,
        'type: BYTES domain: "d"',
        more='string_domain { name: "d" value: "a" } string_domain { name: "d" value: "b" }',
    )
    yield one("schema.empty", INTS, "type: INT int_domain { min: 9 }", more="")
    yield Check("schema.nothing_said", {"x": INTS}, "")
    for low, high in ((1, 9), (6, 9), (1, 4), (9, 1)):
        more = f"dataset_constraints {{ min_examples_count: {low} max_examples_count: {high} }}"
        yield one(f"examples.{low}-{high}", INTS, "type: INT", more=more)
    for way in ("drift", "version"):
        for least, most in ((0.9, 1.1), (1.5, 2.0), (0.1, 0.5), (1.0, 1.0)):
            said = f"min_fraction_threshold: {least} max_fraction_threshold: {most}"
            more = f"dataset_constraints {{ num_examples_{way}_comparator {{ {said} }} }}"
            side: dict[str, Any] = {("previous" if way == "drift" else "version"): {"x": INTS}}
            yield one(f"examples.{way}.{least}-{most}", INTS, "type: INT", more=more, **side)
        more = f"dataset_constraints {{ num_examples_{way}_comparator {{ min_fraction_threshold: 0.5 }} }}"
        yield one(f"examples.{way}.no_control", INTS, "type: INT", more=more)
    yield one(
        "override.warning", INTS, "type: INT int_domain { max: 4 }", overrides={"INT_TYPE_BIG_INT": "WARNING"}
    )
    yield Check(
        "override.new_column",
        {"x": INTS, "y": INTS},
        'feature { name: "x" type: INT }',
        overrides={"SCHEMA_NEW_COLUMN": "ERROR"},
    )


def structs() -> Iterator[Check]:
    inside = 'type: STRUCT struct_domain {{ feature {{ name: "x" {} }} }}'
    yield one("struct.fits", STRUCTS, inside.format("type: INT"))
    yield one("struct.range", STRUCTS, inside.format("type: INT int_domain { max: 1 }"))
    yield one(
        "struct.absent_inside",
        STRUCTS,
        inside.format('type: INT } feature { name: "y" type: INT presence { min_count: 1 }'),
    )
    yield one("struct.new_inside", STRUCTS, "type: STRUCT struct_domain { }")
    yield one("struct.missing_rows", STRUCTS, "presence { min_fraction: 1.0 } " + inside.format("type: INT"))
    yield one(
        "struct.low_inside",
        pa.array([[{"x": [1]}], [{"x": None}], None], STRUCT),
        inside.format("type: INT presence { min_fraction: 1.0 }"),
    )
    full = "type: INT presence { min_fraction: 1.0 min_count: 1 }"
    yield one("struct.full_inside", STRUCTS, inside.format(full))
    yield one(
        "struct.full_inside_of_many",
        pa.array([[{"x": [1]}, {"x": [2]}], [], None, [{"x": []}]], STRUCT),
        inside.format(full),
    )
    yield one(
        "struct.full_inside_of_two",
        pa.array([[{"x": [1]}, {"x": None}], [{"x": [3]}]], STRUCT),
        inside.format(full),
    )
    yield one(
        "struct.count_inside",
        pa.array([[{"x": [1]}, {"x": None}], [{"x": [3]}]], STRUCT),
        inside.format("type: INT presence { min_count: 3 }"),
    )
    yield one("struct.type_inside", STRUCTS, inside.format("type: FLOAT"))
    yield Check(
        "struct.absent",
        {"y": INTS},
        'feature { name: "y" type: INT } feature { name: "x" presence { min_count: 1 } '
        + inside.format("type: INT presence { min_count: 1 }")
        + " }",
    )
    yield Check("struct.new", {"y": pa.array([1, 2, 3]), "x": STRUCTS}, 'feature { name: "y" type: INT }')


def comparisons() -> Iterator[Check]:
    yield from _against("drift", "previous")
    yield from _against("skew", "serving")


def _against(side: str, key: str) -> Iterator[Check]:
    """What is compared with the data before, or with serving data."""
    before, after = ["a"] * 6 + ["b"] * 4, ["a"] * 3 + ["b"] * 5 + ["c"] * 2
    numbers = [float(i % 10) for i in range(40)]
    moved = [float(i % 10) ** 1.5 for i in range(40)]
    no_text = pa.array([None] * 4, pa.string())

    def made(name: str, values: Any, type_: str, comparator: str, control: Any, column: str = "x") -> Check:
        check = one(f"{side}.{name}", values, f"type: {type_} {side}_comparator {{ {comparator} }}")
        given: dict[str, Any] = {key: {column: control}}
        return replace(check, **given)

    for threshold in (0.29, 0.3, 0.31):
        said = f"infinity_norm {{ threshold: {threshold} }}"
        yield made(f"l_infinity.{threshold}", after, "BYTES", said, before)
    for source in ("", "STANDARD", "QUANTILES"):
        which = f"source {{ type: {source} }}" if source else ""
        said = f"jensen_shannon_divergence {{ threshold: 0.01 {which} }}"
        yield made(f"js.text.{source}", after, "BYTES", said, before)
        yield made(f"js.number.{source}", moved, "FLOAT", said, numbers)
        yield made(f"js.same.{source}", numbers, "FLOAT", said, numbers)
    said = "normalized_abs_difference { threshold: 0.1 }"
    yield made("normalized", after, "BYTES", said, before)
    yield made("normalized_number", moved, "FLOAT", said, numbers)
    yield made("l_infinity_of_numbers", moved, "FLOAT", "infinity_norm { threshold: 0.0001 }", numbers)
    said = "infinity_norm { threshold: 0.1 }"
    yield replace(made("no_control", after, "BYTES", said, before), previous=None, serving=None)
    yield made("not_in_control", after, "BYTES", said, before, "y")
    yield made("nothing_in_control", after, "BYTES", said, no_text)
    yield made("nothing_now", no_text, "BYTES", said, before)
    yield made("without_threshold", after, "BYTES", "infinity_norm { }", before)
    said = "jensen_shannon_divergence { threshold: 0.01 }"
    yield made("js.nan", [*numbers, NAN, NAN, INF], "FLOAT", said, numbers)
    yield made("js.constants", [2.0] * 5, "FLOAT", said, [3.0] * 5)
    yield made("js.int", [1, 1, 1, 9], "INT", said, [1, 2, 3, 9])


def pairs() -> Iterator[Check]:
    """Sparse and weighted features: columns that belong together."""
    sparse = (
        'feature { name: "v" type: FLOAT } feature { name: "i" type: INT } '
        'sparse_feature { name: "s" value_feature { name: "v" } index_feature { name: "i" } }'
    )
    values = pa.array([[1.0, 2.0], [3.0], [4.0]], pa.list_(pa.float64()))
    fits = pa.array([[1, 2], [3], [4]], pa.list_(pa.int64()))
    longer = pa.array([[1, 2, 3], [3], [4]], pa.list_(pa.int64()))
    gaps = pa.array([[1, 2], None, [4]], pa.list_(pa.int64()))
    no_values = pa.array([None, [3.0], [4.0]], pa.list_(pa.float64()))
    found = {"v": values, "i": fits}
    yield Check("sparse.fits", found, sparse, semantics=True)
    yield Check("sparse.length", {"v": values, "i": longer}, sparse, semantics=True)
    yield Check("sparse.no_index", {"v": values, "i": gaps}, sparse, semantics=True)
    yield Check("sparse.no_value", {"v": no_values, "i": fits}, sparse, semantics=True)
    yield Check(
        "sparse.collision",
        {**found, "s": INTS[:3]},
        sparse + ' feature { name: "s" type: INT }',
        semantics=True,
    )
    weighted = (
        'feature { name: "v" type: FLOAT } feature { name: "i" type: INT } '
        'weighted_feature { name: "s" feature { step: "v" } weight_feature { step: "i" } }'
    )
    yield Check("weighted.fits", found, weighted, semantics=True)
    yield Check("weighted.length", {"v": values, "i": longer}, weighted, semantics=True)
    yield Check("weighted.no_weight", {"v": values, "i": gaps}, weighted, semantics=True)
    yield Check("weighted.no_value", {"v": no_values, "i": fits}, weighted, semantics=True)
    yield Check(
        "weighted.collision",
        {**found, "s": INTS[:3]},
        weighted + ' feature { name: "s" type: INT }',
        semantics=True,
    )
    yield Check(
        "derived.bad_stage",
        {"x": INTS},
        'feature { name: "x" type: INT validation_derived_source { deriver_name: "d" source_path { step: "y" } } lifecycle_stage: PRODUCTION }',
    )
    yield Check(
        "derived.no_source",
        {"x": INTS},
        'feature { name: "x" type: INT lifecycle_stage: VALIDATION_DERIVED }',
    )
    yield Check(
        "derived.stage",
        {"x": INTS},
        'feature { name: "x" type: INT lifecycle_stage: VALIDATION_DERIVED validation_derived_source { deriver_name: "d" source_path { step: "x" } } }',
    )


def all_checks() -> list[Check]:
    """Every check, by name."""
    groups = (presence, valency, domains, types, structs, comparisons, pairs)
    found = [c for group in groups for c in group()]
    names = [c.name for c in found]
    assert len(set(names)) == len(names)
    return found
