from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.validation import path_steps, path_text

STEPS = st.lists(st.text('ab."', max_size=3), min_size=1, max_size=4).map(tuple)


@given(STEPS, st.lists(st.text('ab."', max_size=5), max_size=3))
def test_round_trip(steps: tuple[str, ...], others: list[str]) -> None:
    columns = {steps[0], *others}
    text = path_text(steps, columns)
    if len(steps) == 1:
        assert text == steps[0]
        assert path_steps(text, columns) == steps
    elif text not in columns:  # a column may even be called like a quoted path
        assert path_steps(text, columns) == steps
        assert path_steps(text) == steps


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", 'a"b', '"a', '"a"b', '"a".'])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a path: .* \(bad-path\)"):
        path_steps(text)


def test_no_steps() -> None:
    with pytest.raises(UsageError, match="bad-path"):
        path_text(())
