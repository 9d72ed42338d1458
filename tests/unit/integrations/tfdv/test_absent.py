"""Names of TFDV that are not here say what is, in their place."""

from __future__ import annotations

import importlib

import pytest

import whence
from whence import errors
from whence.integrations import tfdv
from whence.integrations.tfdv.absent import ABSENT

ROOM = "whence.integrations.tfdv"


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in ABSENT.items() for name in names]
)
def test_an_absent_name_says_what_to_write(module: str, name: str) -> None:
    room = importlib.import_module(f"{ROOM}.{module}".removesuffix("."))
    with pytest.raises(errors.UnsupportedError) as caught:
        getattr(room, name)
    assert f"tfdv.{module}.{name}".replace("..", ".") in str(caught.value)
    assert caught.value.hint == ABSENT[module][name]
    assert isinstance(caught.value, NotImplementedError)


def test_names_of_the_face_are_known_in_every_module_and_in_imports() -> None:
    with pytest.raises(errors.UnsupportedError, match="generate_statistics_from_csv"):
        from whence.integrations.tfdv import GenerateStatistics  # noqa: F401
    with pytest.raises(errors.UnsupportedError, match="load_statistics reads it"):
        _ = importlib.import_module(f"{ROOM}.api.stats_api").WriteStatisticsToTFRecord


def test_a_name_nobody_has_is_an_attribute_error_with_near_ones() -> None:
    with pytest.raises(
        AttributeError, match=r"tfdv\.generate_statistic_from_csv is not here; near: generate_"
    ):
        _ = tfdv.generate_statistic_from_csv
    with pytest.raises(
        AttributeError, match=r"tfdv\.utils\.schema_util\.get_featur is not here; near: get_feature"
    ):
        _ = tfdv.utils.schema_util.get_featur
    assert not hasattr(tfdv, "pywrap")


def test_what_notebooks_print_and_look_up() -> None:
    assert tfdv.version.__version__ == tfdv.__version__ == whence.__version__
    assert tfdv.constants.DEFAULT_SLICE_KEY == "All Examples"
    assert tfdv.utils.stats_util.DOMAIN_INFO == "domain_info"
    detector = importlib.import_module(f"{ROOM}.skew.feature_skew_detector")
    assert detector.ConfusionConfig is tfdv.ConfusionConfig
    options = tfdv.StatsOptions(experimental_use_sketch_based_topk_uniques=True)
    assert options.experimental_use_sketch_based_topk_uniques
    options.experimental_use_sketch_based_topk_uniques = False
    assert not options.use_sketch_based_topk_uniques
