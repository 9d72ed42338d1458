"""TFDV's functions one by one: what they take, give and refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from whence import errors
from whence.integrations import tfdv
from whence.integrations.tfdv.generate import described
from whence.integrations.tfdv.slicing_util import listed
from whence.testing.covertype import write_covertype

Schema = tfdv.schema_pb2.Schema
TYPES = tfdv.anomalies_pb2.AnomalyInfo.Type


def schema_of(text: str) -> Any:
    return tfdv.read_text(Schema, text)


def frame_statistics(columns: dict[str, list[Any]], **options: Any) -> Any:
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame(columns), tfdv.StatsOptions(**options))


def found(anomalies: Any) -> dict[str, list[str]]:
    return {
        name: sorted(TYPES.Name(r.type) for r in info.reason) for name, info in anomalies.anomaly_info.items()
    }


# --- statistics ---------------------------------------------------------------------------------


def test_a_data_frame_is_read_as_tfdv_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    rows = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "flag": [True, False, True],
            "x": [1.5, float("nan"), 2.5],
            "t": ["a", None, "b"],
            "at": pd.to_datetime(["2020-01-01"] * 3),
        },
        index=[5, 6, 9],
    )
    made = tfdv.generate_statistics_from_dataframe(rows).datasets[0]
    assert [f.path.step[0] for f in made.features] == ["n", "flag", "x", "t", "__index_level_0__"]
    assert [f.WhichOneof("stats") for f in made.features][1] == "num_stats"
    assert made.features[2].num_stats.common_stats.num_missing == 1
    assert "times are left out" in caplog.text
    only = tfdv.generate_statistics_from_dataframe(
        rows.reset_index(drop=True), tfdv.StatsOptions(feature_allowlist=["n"]), n_jobs=-1
    )
    assert [f.path.step[0] for f in only.datasets[0].features] == ["n"]
    with pytest.raises(TypeError, match="should be a pandas DataFrame"):
        tfdv.generate_statistics_from_dataframe([1])
    with pytest.raises(ValueError, match="n_jobs"):
        tfdv.generate_statistics_from_dataframe(rows, n_jobs=0)


def test_options_reach_the_statistics(tmp_path: Path) -> None:
    schema = schema_of(
        'feature { name: "code" type: INT int_domain { is_categorical: true } } '
        'feature { name: "t" type: BYTES } feature { name: "png" type: BYTES image_domain { } }'
    )
    (tmp_path / "r.csv").write_text("code,t,png,left\n1,a,xy,7\n2,b,z,8\n2,a,z,9\n")
    made = tfdv.generate_statistics_from_csv(
        str(tmp_path / "r.csv"),
        stats_options=tfdv.StatsOptions(schema=schema, infer_type_from_schema=True, num_top_values=1),
    ).datasets[0]
    code, t, png = made.features  # a column the schema does not have is left out
    assert [(v.value, v.frequency) for v in code.string_stats.top_values] == [("2", 2.0)]
    assert [v.value for v in t.string_stats.top_values] == ["a"]
    assert (png.bytes_stats.unique, png.bytes_stats.max_num_bytes_int) == (2, 2)
    bare = tfdv.PerFeatureStatsConfig([tfdv.FeaturePath(["n"])], tfdv.PerFeatureStatsConfig.EXCLUDE)
    n = frame_statistics({"n": [1, 2]}, per_feature_stats_config=bare).datasets[0].features[0].num_stats
    assert not n.histograms
    assert n.mean == 1.5


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"sample_rate": 0.0}, ValueError),
        ({"num_values_histogram_buckets": 1}, ValueError),
        ({"num_histogram_buckets": 0}, ValueError),
        ({"desired_batch_size": 0}, ValueError),
        ({"schema": "feature {}"}, TypeError),
        ({"feature_allowlist": "n"}, TypeError),
        ({"vocab_paths": []}, TypeError),
        ({"generators": [object()]}, errors.UnsupportedError),
        ({"experimental_result_partitions": 0}, ValueError),
        ({"experimental_slice_sqls": "SELECT STRUCT(a)"}, TypeError),
        ({"epsilon": 0.001}, errors.UnsupportedError),
        ({"semantic_domain_stats_sample_rate": 0.0}, ValueError),
        ({"slice_functions": [], "experimental_slice_functions": []}, ValueError),
        (
            {"use_sketch_based_topk_uniques": True, "experimental_use_sketch_based_topk_uniques": True},
            ValueError,
        ),
    ],
)
def test_what_is_not_offered_is_refused_by_name(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        tfdv.StatsOptions(**options)
    assert next(iter(options)) in str(caught.value)


def test_options_as_json_and_changed_later() -> None:
    options = tfdv.StatsOptions(
        schema=schema_of('feature { name: "x" }'),
        num_top_values=3,
        feature_allowlist=[tfdv.FeaturePath(["x"])],
        per_feature_weight_override={tfdv.FeaturePath(["x"]): "w"},
    )
    back = tfdv.StatsOptions.from_json(options.to_json())
    assert back.to_json() == options.to_json()
    assert back.schema == options.schema
    with pytest.raises(ValueError, match="sample_rate"):
        back.sample_rate = 2.0
    with pytest.raises(ValueError, match="has no 'x'"):
        tfdv.StatsOptions.from_json('{"x": 1}')
    with pytest.raises(ValueError, match="no StatsOptions"):
        tfdv.StatsOptions.from_json(json.dumps({"TYPE_NAME": "Other"}))
    options.experimental_slice_functions = [lambda rows: []]
    with pytest.raises(ValueError, match="no JSON form"):
        options.to_json()
    with pytest.raises(errors.UnsupportedError, match=r"feature_allowlist: the part 'a\.b'"):
        tfdv.StatsOptions(feature_allowlist=[tfdv.FeaturePath(["a", "b"])]).to_options()


def test_pipelines_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a\n1\n")
    with pytest.raises(NotImplementedError, match="pipeline_options"):
        tfdv.generate_statistics_from_csv(str(tmp_path / "r.csv"), pipeline_options=object())
    with pytest.raises(TypeError, match="StatsOptions"):
        tfdv.generate_statistics_from_csv(str(tmp_path / "r.csv"), stats_options={})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a schema"):
        tfdv.generate_statistics_from_csv(
            str(tmp_path / "r.csv"), stats_options=tfdv.StatsOptions(infer_type_from_schema=True)
        )


# --- slices -------------------------------------------------------------------------------------


def test_slices_by_values_by_a_function_and_by_a_config(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("country,n\nDE,1\nAT,2\nDE,3\n,4\n")

    def odd(rows: pa.RecordBatch) -> Any:
        yield "odd", rows.filter(pa.array([bool(v and v[0] % 2) for v in rows.column("n").to_pylist()]))

    slicers = [
        tfdv.get_feature_value_slicer({"country": None}),
        tfdv.experimental_get_feature_value_slicer({"country": ["DE"], "n": [3]}),
        odd,
    ]
    made = tfdv.generate_statistics_from_csv(
        str(tmp_path / "r.csv"), stats_options=tfdv.StatsOptions(experimental_slice_functions=slicers)
    )
    view = tfdv.DatasetListView(made)
    assert {k: view.get_slice(k).proto().num_examples for k in view.list_slices()} == {  # type: ignore[union-attr]
        "All Examples": 4,
        "country_AT": 1,
        "country_DE": 2,
        "country_DE_n_3": 1,
        "odd": 2,
    }
    config = SimpleNamespace(
        slicing_specs=[SimpleNamespace(feature_keys=["country"], feature_values={}, slice_keys_sql="")]
    )
    again = tfdv.generate_statistics_from_csv(
        str(tmp_path / "r.csv"), stats_options=tfdv.StatsOptions(slicing_config=config)
    )
    assert [d.name for d in again.datasets] == ["All Examples", "country_AT", "country_DE"]
    # The slice of a feature says what the file's own rows would.
    assert view.get_slice("country_DE").get_feature("n").numeric_statistics().mean == 2.0  # type: ignore[union-attr]


def test_a_slice_function_that_fails_is_named() -> None:
    def broken(rows: pa.RecordBatch) -> Any:
        raise KeyError("x")

    options = tfdv.StatsOptions(slice_functions=[broken])
    table = pa.table({"a": [1]})
    with pytest.raises(errors.UsageError, match="the slice function broken failed"):
        described(table.schema, table.to_batches(), options)
    with pytest.raises(TypeError, match="no collection"):
        tfdv.get_feature_value_slicer({"a": 3})  # type: ignore[dict-item]
    with pytest.raises(NotImplementedError, match="text and integers"):
        tfdv.get_feature_value_slicer({"a": [1.5]})  # type: ignore[list-item]


def test_rows_are_handed_to_functions_as_lists() -> None:
    batch = pa.record_batch(
        {"a": pa.array([1, None, 3]), "l": pa.array([[1], None, []], pa.list_(pa.int64()))}
    )
    assert listed(batch).to_pydict() == {"a": [[1], None, [3]], "l": [[1], None, []]}


def test_slices_are_validated_against_their_like() -> None:
    text = """datasets { name: "All Examples" num_examples: 2 features { path { step: "x" } type: INT
      num_stats { common_stats { num_non_missing: 2 tot_num_values: 2 } max: 9 } } }
      datasets { name: "s" num_examples: 1 features { path { step: "x" } type: INT
      num_stats { common_stats { num_non_missing: 1 tot_num_values: 1 } max: 3 } } }"""
    stats = tfdv.read_text(tfdv.statistics_pb2.DatasetFeatureStatisticsList, text)
    schema = schema_of('feature { name: "x" type: INT int_domain { max: 5 } }')
    assert found(tfdv.validate_corresponding_slices(stats, schema)) == {
        "'slice(All Examples)::x'": ["INT_TYPE_BIG_INT"]
    }


# --- schemas ------------------------------------------------------------------------------------


def test_features_and_domains_by_name_and_path() -> None:
    schema = schema_of(
        'feature { name: "s" type: STRUCT struct_domain { feature { name: "x" type: INT } } } '
        'feature { name: "t" type: BYTES domain: "d" } string_domain { name: "d" value: "a" }'
    )
    assert tfdv.get_feature(schema, tfdv.FeaturePath(["s", "x"])).name == "x"
    assert list(tfdv.get_domain(schema, "t").value) == ["a"]
    tfdv.set_domain(schema, tfdv.FeaturePath(["s", "x"]), tfdv.schema_pb2.IntDomain(max=3))
    assert tfdv.get_domain(schema, tfdv.FeaturePath(["s", "x"])).max == 3
    tfdv.set_domain(schema, "t", tfdv.schema_pb2.StringDomain(value=["b"]))
    assert list(tfdv.get_domain(schema, "t").value) == ["b"]
    tfdv.set_domain(schema, "t", "d")
    assert schema.feature[1].domain == "d"
    with pytest.raises(errors.NotFoundError, match="feature 'tt' not found") as caught:
        tfdv.get_feature(schema, "tt")
    assert isinstance(caught.value, ValueError)
    assert caught.value.near == ["t"]
    with pytest.raises(ValueError, match="no structure"):
        tfdv.get_feature(schema, tfdv.FeaturePath(["t", "x"]))
    with pytest.raises(ValueError, match="domain 'e' not found"):
        tfdv.set_domain(schema, "t", "e")
    with pytest.raises(TypeError, match="structure"):
        tfdv.set_domain(schema, "s", tfdv.schema_pb2.IntDomain())
    with pytest.raises(TypeError, match="should be a domain"):
        tfdv.set_domain(schema, "t", 3)
    with pytest.raises(TypeError, match="should be a Schema proto"):
        tfdv.get_feature("schema", "t")
    with pytest.raises(ValueError, match="no domain"):
        tfdv.get_domain(schema_of('feature { name: "x" }'), "x")


def test_a_schema_of_paths_alone() -> None:
    made = tfdv.generate_dummy_schema_with_paths(
        [tfdv.FeaturePath(["a"]), tfdv.FeaturePath(["s", "x"]), tfdv.FeaturePath(["s", "y"])]
    )
    assert made == schema_of(
        'feature { name: "a" } feature { name: "s" type: STRUCT struct_domain { feature { name: "x" } feature { name: "y" } } }'
    )


def test_paths() -> None:
    path = tfdv.FeaturePath(["a", "b"])
    assert (str(path), path.parent(), path.child("c").steps(), len(path)) == (
        "a.b",
        tfdv.FeaturePath(["a"]),
        ("a", "b", "c"),
        2,
    )
    assert tfdv.FeaturePath.from_proto(path.to_proto()) == path == tfdv.FeaturePath.from_string("a.b")
    assert tfdv.FeaturePath.from_json(path.to_json()) == path
    assert sorted([path, tfdv.FeaturePath(["a"])])[1] == path
    assert {path: 1}[tfdv.FeaturePath(("a", "b"))] == 1
    assert not tfdv.FeaturePath([])
    with pytest.raises(ValueError, match="no parent"):
        tfdv.FeaturePath([]).parent()
    with pytest.raises(TypeError, match="not the steps"):
        tfdv.FeaturePath.from_json('{"a": 1}')


def test_transformations_follow_inference() -> None:
    def named(schema: Any, statistics: Any) -> Any:
        schema.annotation.comment.append(f"of {statistics.num_examples} rows")
        return schema

    made = tfdv.infer_schema(frame_statistics({"x": [1, 2]}), schema_transformations=[named])
    assert list(made.annotation.comment) == ["of 2 rows"]
    with pytest.raises(TypeError, match="should be a DatasetFeatureStatisticsList proto"):
        tfdv.infer_schema(made)


# --- validation ---------------------------------------------------------------------------------


def test_the_environment_is_one_of_the_schema() -> None:
    schema = schema_of('default_environment: "TRAINING"')
    stats = frame_statistics({"x": [1]})
    with pytest.raises(ValueError, match="environment 'TRAINNG' not found") as caught:
        tfdv.validate_statistics(stats, schema, environment="TRAINNG")
    assert isinstance(caught.value, errors.NotFoundError)
    assert caught.value.near == ["TRAINING"]
    with pytest.raises(NotImplementedError, match="custom_validation_config"):
        tfdv.validate_statistics(stats, schema, custom_validation_config=object())
    with pytest.raises(TypeError, match="previous_statistics is of type Schema"):
        tfdv.validate_statistics(stats, schema, previous_statistics=schema)


def test_no_rows_are_not_judged() -> None:
    empty = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"x": pd.Series([], dtype="int64")}))
    made = tfdv.validate_statistics(empty, schema_of('feature { name: "y" presence { min_count: 1 } }'))
    assert made.data_missing
    assert not made.anomaly_info


def test_anomalies_say_where_what_and_how_bad() -> None:
    schema = schema_of(
        'feature { name: "a.b" type: INT int_domain { max: 1 } presence { min_count: 10 } } '
        "dataset_constraints { min_examples_count: 10 }"
    )
    made = tfdv.validate_statistics(frame_statistics({"a.b": [1, 2]}), schema)
    info = made.anomaly_info["'a.b'"]
    assert list(info.path.step) == ["a.b"]
    assert info.severity == tfdv.anomalies_pb2.AnomalyInfo.ERROR
    assert info.short_description == "Several reasons"
    assert info.description == " ".join(r.description for r in info.reason)
    assert "2" in info.description
    assert [TYPES.Name(r.type) for r in made.dataset_anomaly_info.reason] == ["DATASET_LOW_NUM_EXAMPLES"]
    assert made.baseline == schema
    assert made.anomaly_name_format == tfdv.anomalies_pb2.Anomalies.SERIALIZED_PATH


def test_distances_stand_beside_their_thresholds_and_numbers_have_no_infinity_norm() -> None:
    schema = schema_of(
        'feature { name: "t" type: BYTES drift_comparator { infinity_norm { threshold: 0.9 } } } '
        'feature { name: "n" type: INT drift_comparator { infinity_norm { threshold: 0.0 } } }'
    )
    now = frame_statistics({"t": ["a", "b"], "n": [1, 2]})
    before = frame_statistics({"t": ["a", "a"], "n": [8, 9]})
    made = tfdv.validate_statistics(now, schema, previous_statistics=before)
    assert not made.anomaly_info
    frame = tfdv.get_drift_skew_dataframe(made)
    assert frame.reset_index().values.tolist() == [["t", "L_INFTY", 0.5, 0.9]]
    schema.feature[0].drift_comparator.infinity_norm.threshold = 0.1
    told = tfdv.validate_statistics(now, schema, previous_statistics=before).anomaly_info["t"].description
    assert "the infinity_norm to the previous statistics is 0.5" in told


def test_rows_against_none_before_are_no_anomaly_as_in_tfdv() -> None:
    schema = schema_of(
        'feature { name: "n" type: INT } '
        "dataset_constraints { num_examples_drift_comparator { max_fraction_threshold: 2 } }"
    )
    none = tfdv.statistics_pb2.DatasetFeatureStatisticsList()
    none.datasets.add()
    now = frame_statistics({"n": [1]})
    assert not tfdv.validate_statistics(now, schema, previous_statistics=none).HasField(
        "dataset_anomaly_info"
    )


def test_single_rows_are_judged_alone(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a,b,c\n1,x,1.5\n,y,2\n3,,x\n200,z,3\n")
    schema = schema_of("""
      feature { name: "a" type: INT shape { dim { size: 1 } } presence { min_fraction: 1 } int_domain { max: 100 } }
      feature { name: "b" type: BYTES string_domain { value: ["x", "y"] } distribution_constraints { min_domain_mass: 0.5 } }
      feature { name: "c" type: FLOAT unique_constraints { min: 2 max: 9 } }
      feature { name: "d" type: FLOAT presence { min_count: 1 } }
      dataset_constraints { min_examples_count: 10 }""")
    options = tfdv.StatsOptions(schema=schema)
    made, samples = tfdv.validate_examples_in_csv(str(tmp_path / "r.csv"), options, num_sampled_examples=2)
    # What TFDV 1.16.1 gives for the same file and schema.
    assert {d.name: d.num_examples for d in made.datasets} == {
        "d_SCHEMA_MISSING_COLUMN": 4,
        "c_UNEXPECTED_DATA_TYPE": 4,
        "c_FEATURE_TYPE_LOW_UNIQUE": 4,
        "a_INT_TYPE_BIG_INT": 1,
        "b_ENUM_TYPE_UNEXPECTED_STRING_VALUES": 1,
    }
    assert samples["a_INT_TYPE_BIG_INT"].to_dict("records") == [{"a": 200.0, "b": "z", "c": "3"}]
    out = tmp_path / "bad.tfrecord"
    (tmp_path / "good.csv").write_text("x\n1\n")
    fine = tfdv.validate_examples_in_csv(
        str(tmp_path / "good.csv"),
        tfdv.StatsOptions(schema=schema_of('feature { name: "x" type: INT }')),
        output_path=str(out),
    )
    assert [d.num_examples for d in fine.datasets] == [0]
    assert tfdv.load_statistics(str(out)) == fine
    with pytest.raises(ValueError, match="no schema"):
        tfdv.validate_examples_in_csv(str(tmp_path / "r.csv"), tfdv.StatsOptions())


# --- views and to look at -------------------------------------------------------------------------


def test_views_find_by_name_and_path(tmp_path: Path) -> None:
    files = write_covertype(tmp_path)
    stats = tfdv.generate_statistics_from_csv(str(files.train))
    view = tfdv.DatasetListView(stats).get_default_slice_or_die()
    slope = view.get_feature("Slope")
    assert slope is not None
    numbers = slope.numeric_statistics()
    assert numbers is not None
    assert numbers.max == 37
    assert slope.string_statistics() is slope.bytes_statistics() is slope.struct_statistics() is None
    common = slope.common_statistics()
    assert common is not None
    assert common.num_non_missing == 2_000
    assert slope.custom_statistic("none") is None
    assert view.get_feature(["none"]) is None
    assert len(list(view.list_features())) == 13
    assert view.get_cross_feature("a", "b") is None
    assert tfdv.get_feature_stats(stats.datasets[0], tfdv.FeaturePath(["Slope"])) == slope.proto()
    with pytest.raises(ValueError, match="slice 'x' not found"):
        tfdv.get_slice_stats(stats, "x")
    with pytest.raises(ValueError, match="feature 'Slop' not found"):
        tfdv.get_feature_stats(stats.datasets[0], tfdv.FeaturePath(["Slop"]))


def test_frames_are_laid_out_as_tfdvs() -> None:
    schema = schema_of(
        'feature { name: "t" type: BYTES domain: "d" presence { min_fraction: 1 } value_count { min: 1 max: 1 } } '
        'feature { name: "n" type: INT int_domain { min: 0 max: 9 } value_count { min: 1 } presence { min_count: 1 } } '
        'feature { name: "x" type: FLOAT float_domain { min: 0.5 } } '
        'feature { name: "s" type: BYTES string_domain { value: "q" } } string_domain { name: "d" value: "a" }'
    )
    features, domains = tfdv.get_schema_dataframe(schema)
    assert features.reset_index().values.tolist() == [
        ["'t'", "STRING", "required", "single", "'d'"],
        ["'n'", "INT", "optional", "[1,inf)", "min: 0; max: 9"],
        ["'x'", "FLOAT", "", "", "min: 0.500000; max: inf"],
        ["'s'", "STRING", "", "", "'s_domain'"],
    ]
    assert domains.reset_index().values.tolist() == [["'d'", "'a'"], ["'s_domain'", "'q'"]]
    made = tfdv.validate_statistics(
        frame_statistics({"n": [10]}), schema_of('feature { name: "n" type: BYTES }')
    )
    frame = tfdv.get_anomalies_dataframe(made)
    assert list(frame.columns) == ["Anomaly short description", "Anomaly long description"]
    assert frame.index.name == "Feature name"
    assert list(frame.index) == ["'n'"]


def test_pages_are_html_and_escape_names(capsys: pytest.CaptureFixture[str]) -> None:
    stats = frame_statistics({"<b>": [1, 2], "y": [1, 2]})
    html = tfdv.get_statistics_html(stats, stats, lhs_name="<i>", rhs_name="r")
    assert "<b>" not in html.replace("<p><b>", "")
    assert "&lt;i&gt;" in html
    only = tfdv.get_statistics_html(stats, denylist_features=[tfdv.FeaturePath(["y"])])
    assert "&lt;b&gt;" in only
    assert ">y<" not in only
    with pytest.raises(ValueError, match="one of allowlist"):
        tfdv.get_statistics_html(
            stats, allowlist_features=[tfdv.FeaturePath(["y"])], denylist_features=[tfdv.FeaturePath(["y"])]
        )
    tfdv.visualize_statistics(stats, allowlist_features=[tfdv.FeaturePath(["y"])])
    assert "y" in capsys.readouterr().out


def test_in_a_notebook_frames_and_html_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    display = SimpleNamespace(display=shown.append, HTML=lambda text: ("html", text))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    tfdv.display_anomalies(tfdv.anomalies_pb2.Anomalies())
    assert shown[-1] == ("html", '<h4 style="color:green;">No anomalies found.</h4>')
    tfdv.display_schema(schema_of('feature { name: "x" type: INT }'))
    assert list(shown[-1].index) == ["'x'"]
    tfdv.compare_slices(
        tfdv.read_text(
            tfdv.statistics_pb2.DatasetFeatureStatisticsList, 'datasets { name: "a" } datasets { name: "b" }'
        ),
        "a",
        "b",
    )
    assert shown[-1][0] == "html"


def test_the_walk_of_a_notebook_as_tfdv_walks_it() -> None:
    """Found by walking notebooks side by side with TFDV 1.16.1."""
    frame = pd.DataFrame({"t": ["y"] * 5 + ["c"] * 3 + ["x"] * 2 + ["a"], "a(b": [1] * 11})
    options = tfdv.StatsOptions(frequency_threshold=3, weight_feature="a(b", weighted_frequency_threshold=4)
    rare = tfdv.generate_statistics_from_dataframe(frame, stats_options=options)
    said = tfdv.get_feature_stats(rare.datasets[0], tfdv.FeaturePath(["t"])).string_stats
    assert [b.label for b in said.rank_histogram.buckets] == ["y", "c"]
    assert [b.label for b in said.weighted_string_stats.rank_histogram.buckets] == ["y"]

    stats = tfdv.generate_statistics_from_dataframe(frame)
    schema = tfdv.read_text(
        tfdv.schema_pb2.Schema,
        'feature { name: "t" type: BYTES domain: "t" } feature { name: "a(b" type: BYTES }'
        ' string_domain { name: "t" value: "z" value: "b" } dataset_constraints { min_examples_count: 100 }',
    )
    assert sorted(tfdv.validate_statistics(stats, schema).anomaly_info) == ["'a(b'", "t"]
    updated = tfdv.update_schema(schema, stats)
    assert list(updated.string_domain[0].value) == ["z", "b", "a", "c", "x", "y"]
    assert updated.feature[0].domain == "t"
    assert updated.dataset_constraints.min_examples_count == 100


def test_statistics_that_say_nonsense_are_refused() -> None:
    for text in (
        'type: 9 path { step: "x" }',
        'type: STRING path { step: "x" } string_stats { top_values { frequency: inf } }',
        'type: BYTES path { step: "x" } bytes_stats { common_stats { tot_num_values: 1 } max_num_bytes: inf }',
    ):
        listed = tfdv.statistics_pb2.DatasetFeatureStatisticsList
        made = tfdv.read_text(listed, f"datasets {{ num_examples: 1 features {{ {text} }} }}")
        with pytest.raises(errors.UsageError, match="feature 'x' has") as caught:
            tfdv.statistics_from_proto(made)
        assert caught.value.code == "bad-statistics"


def test_an_updated_schema_is_tfdvs() -> None:
    """Found by updating 450 schemas beside TFDV 1.16.1."""
    frame = pd.DataFrame(
        {"c1": ["x", "y"] * 5, "f": [0.1, 329.09832096568294] * 5, "kept": [0.5] * 10, "n": "w"}
    )
    stats = tfdv.generate_statistics_from_dataframe(frame)
    before = tfdv.read_text(
        tfdv.schema_pb2.Schema,
        'feature { name: "c1" type: INT domain: "n" shape { dim { size: 2 } } presence { min_count: 1 } }'
        ' feature { name: "f" type: FLOAT float_domain { min: 0 max: 1 } }'
        ' feature { name: "kept" type: FLOAT float_domain { disallow_nan: false } }'
        ' string_domain { name: "n" value: "a" }',
    )
    after = tfdv.update_schema(before, stats)
    deprecated, bounded, kept, new = after.feature
    assert (deprecated.type, deprecated.lifecycle_stage) == (tfdv.schema_pb2.INT, tfdv.schema_pb2.DEPRECATED)
    assert not deprecated.HasField("shape")
    assert not deprecated.HasField("domain")
    assert not bounded.HasField("annotation")
    assert bounded.float_domain.max == pytest.approx(329.09832096568294, rel=1e-7)
    assert kept == before.feature[2]
    assert kept.float_domain.HasField("disallow_nan")
    assert new.domain == "n2"
    assert [(d.name, list(d.value)) for d in after.string_domain] == [("n", ["a"]), ("n2", ["w"])]


@pytest.mark.parametrize(
    ("least", "tenths", "below", "above"),
    [("inf", "low_value: inf high_value: inf", 0, 9), ("-inf", "low_value: -inf high_value: -inf", 9, 0)],
)
def test_a_column_of_infinities_that_tfdv_described(least: str, tenths: str, below: int, above: int) -> None:
    text = f"""datasets {{ num_examples: 9 features {{ path {{ step: "x" }} type: FLOAT num_stats {{
      common_stats {{ num_non_missing: 9 tot_num_values: 9 }} min: {least} max: {least} mean: nan
      histograms {{ buckets {{ low_value: inf high_value: -inf sample_count: 9 }} }}
      histograms {{ type: QUANTILES buckets {{ {tenths} sample_count: 9 }} }} }} }} }}"""
    stats = tfdv.read_text(tfdv.statistics_pb2.DatasetFeatureStatisticsList, text)
    seen = tfdv.statistics_from_proto(stats)["x"].histogram
    assert seen is not None
    assert (seen.n_low, seen.n_high, seen.buckets) == (below, above, ())
    rule = "drift_comparator { jensen_shannon_divergence { threshold: 0.1 } }"
    schema = schema_of(f'feature {{ name: "x" type: FLOAT {rule} }}')
    found = tfdv.validate_statistics(stats, schema, previous_statistics=stats)
    assert [m.value for m in found.drift_skew_info[0].drift_measurements] == [0.0]
    schema.feature[0].lifecycle_stage = tfdv.schema_pb2.DEPRECATED
    found = tfdv.validate_statistics(stats, schema, previous_statistics=stats)
    assert not found.drift_skew_info  # a feature that is not checked is not measured


def test_options_that_tfdv_wrote_as_json() -> None:
    schema = '{"feature": [{"name": "a", "type": "INT", "intDomain": {"isCategorical": true}}]}'
    written = {
        "_generators": None,
        "_feature_allowlist": ["a"],
        "weight_feature": "w",
        "_sample_rate": 0.5,
        "num_top_values": 3,
        "_slice_functions": None,
        "_slice_sqls": ["SELECT STRUCT(a) FROM example.a"],
        "_slicing_config": None,
        "_per_feature_stats_config": None,
        "TYPE_NAME": "StatsOptions",
        "schema_json": schema,
        "per_feature_weight_override_json": {'["a"]': "v"},
    }
    read = tfdv.StatsOptions.from_json(json.dumps(written))
    assert (read.sample_rate, read.num_top_values, read.weight_feature) == (0.5, 3, "w")
    assert read.experimental_slice_sqls == ["SELECT STRUCT(a) FROM example.a"]
    assert read.to_options().feature_weights == {"a": "v"}
    assert read.categorical() == read.allowed() == ("a",)
    assert read.per_feature_stats_config.should_compute_histograms(tfdv.FeaturePath(["a"]))
    assert tfdv.StatsOptions.from_json(read.to_json()).to_json() == read.to_json()
    with pytest.raises(ValueError, match="StatsOptions has no 'slicing_config_json'"):
        tfdv.StatsOptions.from_json(json.dumps({**written, "slicing_config_json": "{}"}))
