"""Statistics of small tables are what the real TFDV said of them; see tests/golden/validation/make.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.validation.golden import golden_statistics, module_of, same_feature
from whence.validation import describe
from whence.validation.options import StatisticsOptions

CASES: Any = module_of("cases").CASES


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_tfdv_says(name: str) -> None:
    case = CASES[name]()
    n_rows, golden = golden_statistics(f"small/{name}")
    ours = describe(case.table, options=StatisticsOptions(weight=case.options.get("weight_feature")))
    assert ours.n_rows == n_rows
    by_path = {f.path: f for f in ours}
    assert list(by_path) == list(golden)
    for path, theirs in golden.items():
        same_feature(by_path[path], theirs)
