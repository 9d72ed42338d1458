from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.validation import EmptyValues, Meanings, Statistics, TimeDomain, infer_schema
from whence.validation.extra import images, times

some = st.one_of(
    st.none(),
    st.sampled_from(["2018-11-30", "11/30/18", "23:59", "https://a.org/b", "the old house is green", ""]),
    st.text(max_size=6),
)


@given(
    st.lists(some, max_size=20),
    st.lists(st.integers(-1, 20_000), max_size=20),
    st.lists(st.integers(0, 20), max_size=2),
)
def test_over_any_split(
    same_any_split: Callable[..., Any], texts: list[Any], whole: list[int], cuts: list[int]
) -> None:
    n = min(len(texts), len(whole))
    t = pa.table({"t": pa.array(texts[:n], pa.string()), "n": pa.array(whole[:n], pa.int64())})
    same_any_split(Meanings(), t, cuts)
    told = same_any_split(EmptyValues(), t, cuts)
    assert told.get("t", {}).get("str_empty", 0) == texts[:n].count("")
    assert told.get("n", {}).get("int_-1", 0) == whole[:n].count(-1)


@pytest.mark.parametrize("wanted", times.FORMATS)
def test_every_format_reads_what_it_writes(wanted: str) -> None:
    rng = random.Random(wanted)
    moments = [datetime.fromtimestamp(rng.randrange(2**31), UTC) for _ in range(100)]
    values = pa.array([m.strftime(wanted) for m in moments]).unique()
    counts = values.value_counts().field("counts").to_numpy()
    found = times.text_times(values, counts)
    assert found[wanted] == len(values)
    assert times.text_times(pa.array(["x" + v.as_py() for v in values]), counts) == {}


@given(st.from_regex(r"[0-9]{1,4}[-/:][0-9]{1,2}([-/: T][0-9]{1,4})?", fullmatch=True))
def test_what_reads_as_a_time_is_one_for_strptime(text: str) -> None:
    for wanted in times.text_times(pa.array([text]), pa.array([1]).to_numpy()):
        assert (refused := _refused(text, wanted)) is None or re.search(
            "out of range|unconverted|second must", refused
        ), (text, wanted)


def _refused(text: str, wanted: str) -> str | None:
    """What `strptime` says against it: a day the month does not have, or the 61st second."""
    try:
        datetime.strptime(text, wanted)  # noqa: DTZ007 - only whether it reads
    except ValueError as error:
        return str(error)
    return None


def test_inference_takes_the_domain(through_describe: Callable[..., Statistics]) -> None:
    n = 100
    t = pa.table(
        {
            "day": ["2018-11-30"] * n,
            "at": [1_500_000_000] * n,
            "home": ["https://whence.org/a?b=1"] * n,
            "said": ["The answers are in the tree"] * n,
            "spoken_date": ["Fri Nov 30 10:47:02 2018"] * n,
            "few": ["2018-11-30"] * 99 + [None],
            "bad": pa.array([b"2018-11-30"] * 80 + [b"\xff"] * 20),
            "worse": pa.array([b"2018-11-30"] * 79 + [b"\xff"] * 21),
            "other": [0.5] * n,
        }
    )
    s = through_describe(Meanings(), t)
    kinds = {f.name: f.custom["domain_info"] for f in s if "domain_info" in f.custom}
    assert kinds == {
        "day": {"kind": "time", "string_format": "%Y-%m-%d"},
        "at": {"kind": "time", "integer_format": "UNIX_SECONDS"},
        "home": {"kind": "url"},
        "said": {"kind": "natural_language"},
        "spoken_date": {"kind": "time", "string_format": "%a %b %d %H:%M:%S %Y"},
        "bad": {"kind": "time", "string_format": "%Y-%m-%d"},
    }
    assert s["spoken_date"].custom["natural_language_match_rate"] == 1.0
    assert s["bad"].custom["time_match_ratio"] == 0.8
    assert infer_schema(s)["day"].domain == TimeDomain(string_format="%Y-%m-%d")


def test_only_what_is_asked_for() -> None:
    t = pa.table({"day": ["2018-11-30"] * 100, "home": ["http://a"] * 100})
    assert list(Meanings(of=("url",)).add(t).by_feature()) == ["home"]
    assert list(Meanings(("day",)).add(t).finish()) == ["day"]
    assert Meanings(("day",)).key() == "meanings(day)"
    assert EmptyValues(("day",)).key() == "empty values(day)"
    with pytest.raises(UsageError, match=r"'music' is no meaning.*\(bad-meaning\)"):
        Meanings(of=("music",))  # type: ignore[arg-type]  # that is the point


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x11\x08\x00\x03\x00\x05\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
)


@pytest.mark.parametrize(
    ("value", "found", "size"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x07\x00\x00\x00\x09", "png", (7, 9)),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "png", None),
        (b"GIF89a\x03\x00\x02\x00", "gif", (3, 2)),
        (b"BM" + bytes(12) + b"\x28\x00\x00\x00" + b"\x02\x00\x00\x00" + b"\xff\xff\xff\xff", "bmp", (2, 1)),
        (b"BM" + bytes(12) + b"\x0c\x00\x00\x00" + b"\x02\x00\x04\x00", "bmp", (2, 4)),
        (b"BMW is a car and not a picture", None, None),
        (JPEG, "jpeg", (5, 3)),
        (JPEG[:20] + b"\xff\xd9", "jpeg", None),
        (JPEG[:22], "jpeg", None),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(10) + b"\x05\x00\x06\x00", "webp", (5, 6)),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(4) + b"\x2f\x04\xc0\x00\x00", "webp", (5, 4)),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + b"\x04\x00\x00\x03\x00\x00", "webp", (5, 4)),
        (b"RIFF\x00\x00\x00\x00WEBPxxxx", "webp", None),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, None),
        (b"", None, None),
    ],
)
def test_images_by_their_first_bytes(value: bytes, found: str | None, size: images.Size | None) -> None:
    assert (images.image_format(value), images.image_size(value)) == (found, size)


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"\xff\xd8\xff", b"RIFF1234WEBP"]),
    st.binary(max_size=60),
)
def test_no_bytes_break_the_reader(start: bytes, rest: bytes) -> None:
    size = images.image_size(start + rest)
    assert size is None or min(size) >= 0


def test_images_in_a_column(through_describe: Callable[..., Statistics]) -> None:
    t = pa.table({"p": [b"GIF89a\x03\x00\x02\x00"] * 90 + [b"no"] * 10 + [None]})
    assert through_describe(Meanings(), t)["p"].custom == {
        "domain_info": {"kind": "image"},
        "image_format_histogram": [["UNKNOWN", 10], ["gif", 90]],
        "image_max_width": 3,
        "image_max_height": 2,
    }
