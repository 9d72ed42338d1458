"""What TFDV's callers ask of statistics, by its names; what is not offered is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa
from google.protobuf import json_format

from whence.integrations.tfdv.asked import composed, lift_of, meanings
from whence.integrations.tfdv.feature_path import FeaturePath, as_path
from whence.integrations.tfdv.generators import CombinerStatsGenerator
from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.refusals import UnsupportedError, UsageError
from whence.integrations.tfdv.schema_util import leaf_features, require
from whence.validation.extras import Extra
from whence.validation.options import StatisticsOptions

SliceFunction: TypeAlias = "Callable[[pa.RecordBatch], Any]"
"""A function from a record batch to pairs of a slice's name and its rows."""

_SHAPES: Final[Mapping[str, type]] = {
    "experimental_slice_functions": list,
    "experimental_slice_sqls": list,
    "feature_allowlist": list,
    "generators": list,
    "vocab_paths": dict,
}
_RANGES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "sample_rate": ("above 0 and up to 1", lambda v: v is None or 0 < v <= 1),
    "semantic_domain_stats_sample_rate": ("above 0 and up to 1", lambda v: v is None or 0 < v <= 1),
    "num_values_histogram_buckets": ("above 1", lambda v: v > 1),
    "num_histogram_buckets": ("at least 1", lambda v: v >= 1),
    "num_quantiles_histogram_buckets": ("at least 1", lambda v: v >= 1),
    "num_top_values": ("at least 1", lambda v: v >= 1),
    "num_rank_histogram_buckets": ("at least 1", lambda v: v >= 1),
    "desired_batch_size": ("at least 1", lambda v: v is None or v >= 1),
    "experimental_num_feature_partitions": ("at least 1", lambda v: v >= 1),
    "experimental_result_partitions": ("at least 1", lambda v: v >= 1),
    "epsilon": ("above 0", lambda v: v > 0),
}
_OFFERED: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "generators": (
        lambda v: all(isinstance(g, CombinerStatsGenerator) for g in v or ()),
        "write it as a CombinerStatsGenerator, or as an Extra of whence.validation",
    ),
    "epsilon": (lambda v: v >= 0.01, "quantiles are within rank 0.01"),
}


class PerFeatureStatsConfig:
    """Which features get histograms and, with them, a median.

    Args:
        histogram_paths: The features.
        histogram_mode: Whether these have them (``include``) or all others (``exclude``).
    """

    INCLUDE = "include"
    EXCLUDE = "exclude"

    def __init__(self, histogram_paths: Sequence[FeaturePath], histogram_mode: str) -> None:
        if histogram_mode not in (self.INCLUDE, self.EXCLUDE):
            raise UsageError(f"histogram_mode {histogram_mode!r} is neither include nor exclude")
        self._paths = {p.steps() for p in histogram_paths}
        self._mode = histogram_mode

    @classmethod
    def default(cls) -> PerFeatureStatsConfig:
        """All features have them."""
        return cls([], cls.EXCLUDE)

    def should_compute_histograms(self, p: FeaturePath) -> bool:
        """Whether a feature has them."""
        return (p.steps() in self._paths) == (self._mode == self.INCLUDE)


ALL_HISTOGRAMS: Final = PerFeatureStatsConfig.default()


class StatsOptions:
    """How statistics are made, with TFDV's arguments and defaults.

    Options that say how the work is cut (``desired_batch_size``, ``experimental_num_feature_partitions``,
    ``experimental_filter_read_paths``) are taken and change nothing; meanings are found in all rows, whatever
    ``semantic_domain_stats_sample_rate`` says; top values and uniques are exact up to 100,000 different ones, whatever
    ``use_sketch_based_topk_uniques`` says.

    Args:
        generators: Statistics of one's own, each a `CombinerStatsGenerator`.
        schema: Types for `infer_type_from_schema`; which integers are categories; which bytes are images.
        label_feature: A category of the schema; the lift of the others for its values is told, as cross
            features and as custom statistics.
        weight_feature: A column; statistics get twins in which a row counts by it.
        slice_functions: Functions from a record batch to (name, record batch) pairs; see
            `get_feature_value_slicer`.
        experimental_slice_sqls: Slices by SQL, ``SELECT STRUCT(zone, pay) FROM example.zone, example.pay
            WHERE pay != 'cash'``; see `sql_slices.sql_slicer`.
        sample_rate: The share of rows that is described.
        infer_type_from_schema: Take the types of a CSV file from the schema; columns it does not have are
            left out.
        enable_semantic_domain_stats: Find out which columns are times, prose or images.
        per_feature_weight_override: Another weight for some features.
        add_default_generators: Whether the common statistics are made; else those of `generators`, and what
            the schema asks for, stand alone, and the rows are not counted.
        experimental_result_partitions: So many files are written where there is an ``output_path``.
        vocab_paths: Files of the vocabularies that the schema's natural-language domains name.
        feature_allowlist: Only these columns.
        per_feature_stats_config: Which features get histograms.

    Raises:
        TypeError: An option is of another type.
        UsageError: A number is out of its range (``bad-options``).
        UnsupportedError: An option is not offered; the message says what is, instead (``unsupported``).

    Example:
        >>> StatsOptions(num_top_values=5).to_options().num_top_values
        5
    """

    def __init__(
        self,
        generators: list[CombinerStatsGenerator[Any]] | None = None,
        schema: Message | None = None,
        label_feature: str | None = None,
        weight_feature: str | None = None,
        slice_functions: list[SliceFunction] | None = None,
        sample_rate: float | None = None,
        num_top_values: int = 20,
        frequency_threshold: int = 1,
        weighted_frequency_threshold: float = 1.0,
        num_rank_histogram_buckets: int = 1000,
        num_values_histogram_buckets: int = 10,
        num_histogram_buckets: int = 10,
        num_quantiles_histogram_buckets: int = 10,
        epsilon: float = 0.01,
        infer_type_from_schema: bool = False,
        desired_batch_size: int | None = None,
        enable_semantic_domain_stats: bool = False,
        semantic_domain_stats_sample_rate: float | None = None,
        per_feature_weight_override: dict[FeaturePath, str] | None = None,
        vocab_paths: dict[str, str] | None = None,
        add_default_generators: bool = True,
        feature_allowlist: list[str] | list[FeaturePath] | None = None,
        experimental_use_sketch_based_topk_uniques: bool | None = None,
        use_sketch_based_topk_uniques: bool | None = None,
        experimental_slice_functions: list[SliceFunction] | None = None,
        experimental_slice_sqls: list[str] | None = None,
        experimental_result_partitions: int = 1,
        experimental_num_feature_partitions: int = 1,
        slicing_config: Any = None,
        experimental_filter_read_paths: bool = False,
        per_feature_stats_config: PerFeatureStatsConfig | None = None,
    ) -> None:
        if slice_functions is not None and experimental_slice_functions is not None:
            raise UsageError("give one of slice_functions and experimental_slice_functions")
        slices = {
            "slicing_config": slicing_config,
            "experimental_slice_functions": slice_functions or experimental_slice_functions,
            "experimental_slice_sqls": experimental_slice_sqls,
        }
        if len(given := [name for name, value in slices.items() if value]) > 1:
            raise UsageError(f"give one of {' and '.join(given)}")
        if (
            experimental_use_sketch_based_topk_uniques is not None
            and use_sketch_based_topk_uniques is not None
        ):
            raise UsageError(
                "give one of use_sketch_based_topk_uniques and experimental_use_sketch_based_topk_uniques"
            )
        self.generators = generators
        self.schema = schema
        self.label_feature = label_feature
        self.weight_feature = weight_feature
        self.sample_rate = sample_rate
        self.num_top_values = num_top_values
        self.frequency_threshold = frequency_threshold
        self.weighted_frequency_threshold = weighted_frequency_threshold
        self.num_rank_histogram_buckets = num_rank_histogram_buckets
        self.num_values_histogram_buckets = num_values_histogram_buckets
        self.num_histogram_buckets = num_histogram_buckets
        self.num_quantiles_histogram_buckets = num_quantiles_histogram_buckets
        self.epsilon = epsilon
        self.infer_type_from_schema = infer_type_from_schema
        self.desired_batch_size = desired_batch_size
        self.enable_semantic_domain_stats = enable_semantic_domain_stats
        self.semantic_domain_stats_sample_rate = semantic_domain_stats_sample_rate
        self.per_feature_weight_override = per_feature_weight_override
        self.vocab_paths = vocab_paths
        self.add_default_generators = add_default_generators
        self.feature_allowlist = feature_allowlist
        self.use_sketch_based_topk_uniques = bool(
            use_sketch_based_topk_uniques or experimental_use_sketch_based_topk_uniques
        )
        self.experimental_slice_functions = slice_functions or experimental_slice_functions
        self.experimental_slice_sqls = experimental_slice_sqls
        self.experimental_result_partitions = experimental_result_partitions
        self.experimental_num_feature_partitions = experimental_num_feature_partitions
        self.slicing_config = slicing_config
        self.experimental_filter_read_paths = experimental_filter_read_paths
        self.per_feature_stats_config = per_feature_stats_config or ALL_HISTOGRAMS

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "schema" and value is not None:
            require(value, schema_pb2.Schema, "schema")
        shape = _SHAPES.get(name)
        if shape is not None and value is not None and not isinstance(value, shape):
            raise TypeError(f"{name} is of type {type(value).__name__}, should be a {shape.__name__}")
        if name in _RANGES and not _RANGES[name][1](value):
            raise UsageError(f"{name} is {_RANGES[name][0]}, got {value!r}", code="bad-options")
        if name in _OFFERED and not _OFFERED[name][0](value):
            raise UnsupportedError(f"StatsOptions.{name}={value!r} is not offered", hint=_OFFERED[name][1])
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        said = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if v != getattr(_DEFAULT, k, v))
        return f"StatsOptions({said})"

    @property
    def experimental_use_sketch_based_topk_uniques(self) -> bool:
        """The older name of ``use_sketch_based_topk_uniques``."""
        return self.use_sketch_based_topk_uniques

    @experimental_use_sketch_based_topk_uniques.setter
    def experimental_use_sketch_based_topk_uniques(self, value: bool) -> None:
        self.use_sketch_based_topk_uniques = value

    # --- as whence has it

    def to_options(self, present: Collection[str] | None = None) -> StatisticsOptions:
        """The options of `whence.validation.describe`; slices and types are the reader's part.

        Args:
            present: The columns there are; None is those of the schema.

        Raises:
            UsageError: The lift is asked for against no category of the schema (``bad-options``).
            NotFoundError: A vocabulary or the label is absent.
            UnsupportedError: A path of more than one step is weighed or allowed on its own.
        """
        override = self.per_feature_weight_override or {}
        return StatisticsOptions(
            columns=self.allowed(),
            weight=self.weight_feature,
            feature_weights={self._column(p, "per_feature_weight_override"): w for p, w in override.items()},
            categorical=self.categorical(),
            num_top_values=self.num_top_values,
            frequency_threshold=self.frequency_threshold,
            weighted_frequency_threshold=self.weighted_frequency_threshold,
            num_rank_histogram_buckets=self.num_rank_histogram_buckets,
            num_values_histogram_buckets=self.num_values_histogram_buckets,
            num_histogram_buckets=self.num_histogram_buckets,
            num_quantiles_histogram_buckets=self.num_quantiles_histogram_buckets,
            sample_rate=self.sample_rate,
            extras=self._extras(present),
        )

    def allowed(self) -> tuple[str, ...] | None:
        """The columns that are described; None is all.

        Raises:
            UnsupportedError: A path has more than one step.
        """
        if self.feature_allowlist is None:
            return None
        return tuple(self._column(p, "feature_allowlist") for p in self.feature_allowlist)

    def _extras(self, present: Collection[str] | None) -> tuple[Extra, ...]:
        out = [] if self.schema is None else list(composed(self.schema, self.vocab_paths))
        if self.enable_semantic_domain_stats:
            out.append(meanings())
        if self.label_feature is not None:
            override = self.per_feature_weight_override or {}
            weight = override.get(FeaturePath([self.label_feature]), self.weight_feature)
            out.extend(lift_of(self.label_feature, self.schema, weight, present))
        return tuple(out)

    def _column(self, path: str | FeaturePath, option: str) -> str:
        steps = as_path(path).steps()
        if len(steps) != 1:
            raise UnsupportedError(
                f"StatsOptions.{option}: the part {'.'.join(steps)!r} of a structure", hint="name its column"
            )
        return steps[0]

    def categorical(self) -> tuple[str, ...]:
        """Integer columns whose values are categories by the schema: counted as text is."""
        if self.schema is None:
            return ()
        return tuple(
            path.steps()[0]
            for path, f in leaf_features(self.schema)
            if len(path) == 1
            and f.type == schema_pb2.INT
            and (
                f.int_domain.is_categorical
                or f.WhichOneof("domain_info") in ("bool_domain", "natural_language_domain")
            )
        )

    def images(self) -> frozenset[tuple[str, ...]]:
        """Paths of features that are images by the schema: described as bytes."""
        if self.schema is None:
            return frozenset()
        leaves = leaf_features(self.schema)
        return frozenset(p.steps() for p, f in leaves if f.WhichOneof("domain_info") == "image_domain")

    # --- out and in

    def to_json(self) -> str:
        """The options as JSON.

        Raises:
            UsageError: Functions were given, which JSON cannot hold.
        """
        out = {k: v for k, v in vars(self).items() if v != getattr(_DEFAULT, k)}
        for name in (
            "experimental_slice_functions",
            "generators",
            "per_feature_stats_config",
            "slicing_config",
        ):
            if name in out:
                raise UsageError(f"options with {name} have no JSON form")
        if self.schema is not None:
            out["schema"] = json_format.MessageToDict(self.schema, preserving_proto_field_name=True)
        if self.per_feature_weight_override:
            out["per_feature_weight_override"] = {
                p.to_json(): w for p, w in self.per_feature_weight_override.items()
            }
        if self.feature_allowlist is not None:
            out["feature_allowlist"] = [
                list(p.steps()) if isinstance(p, FeaturePath) else p for p in self.feature_allowlist
            ]
        return json.dumps({"TYPE_NAME": "StatsOptions", **out}, sort_keys=True)

    @classmethod
    def from_json(cls, options_json: str) -> StatsOptions:
        """The options that `to_json` wrote, here or in TFDV.

        Raises:
            UsageError: It is something else (``bad-options``).
        """
        data = json.loads(options_json)
        if not isinstance(data, dict) or data.pop("TYPE_NAME", "StatsOptions") != "StatsOptions":
            raise UsageError("the JSON is no StatsOptions", code="bad-options")
        if any(name.startswith("_") for name in data):
            data = _from_tfdv(data)
        unknown = [k for k in data if k not in vars(_DEFAULT)]
        if unknown:
            raise UsageError(f"StatsOptions has no {unknown[0]!r}", code="bad-options")
        if "schema" in data:
            data["schema"] = json_format.ParseDict(data["schema"], schema_pb2.Schema())
        if "per_feature_weight_override" in data:
            data["per_feature_weight_override"] = {
                FeaturePath.from_json(p): w for p, w in data["per_feature_weight_override"].items()
            }
        if "feature_allowlist" in data:
            data["feature_allowlist"] = [
                FeaturePath(p) if isinstance(p, list) else p for p in data["feature_allowlist"]
            ]
        made = cls()
        for name, value in data.items():
            setattr(made, name, value)
        return made


def _from_tfdv(data: Mapping[str, Any]) -> dict[str, Any]:
    """The options as TFDV writes its own fields, in our names."""
    said = {_NAMES.get(name, name.removeprefix("_")): value for name, value in data.items()}
    if said.get("schema") is not None:
        said["schema"] = json.loads(said["schema"])
    return {name: value for name, value in said.items() if value is not None}


_NAMES: Final = {
    "_slice_functions": "experimental_slice_functions",
    "_slice_sqls": "experimental_slice_sqls",
    "per_feature_weight_override_json": "per_feature_weight_override",
    "schema_json": "schema",
}
"""Where TFDV's names of fields are others than those of arguments."""
_DEFAULT: Final = StatsOptions()
