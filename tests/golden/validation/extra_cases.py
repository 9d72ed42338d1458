"""Data and schemas of optional statistics, for the real TFDV and for ours; only pyarrow is needed here."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

import pyarrow as pa


def png(width: int, height: int) -> bytes:
    """A black picture that any reader takes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    """A black bitmap."""
    size = (width * 3 + 3) // 4 * 4 * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + size, 0, 0, 54) + head + bytes(size)


def lift() -> dict[str, Any]:
    """Two columns against a label, with missing values, lists and weights."""
    rng = random.Random(1)
    n = 60
    pay = [rng.choice(["cash", "card", "card", None]) for _ in range(n)]
    zone = [rng.sample([1, 2, 3, 4], rng.randint(0, 3)) for _ in range(n)]
    tip = [None if rng.random() < 0.1 else int(p == "card" and rng.random() < 0.7) for p in pay]
    fare = [round(rng.uniform(0, 30), 2) for _ in range(n)]
    weight = [float(rng.randint(1, 3)) for _ in range(n)]
    columns = {"pay": pay, "zone": zone, "tip": tip, "fare": fare, "w": weight}
    return {"rows": pa.table(columns), "y": "tip", "x": ["pay", "zone"], "fare_edges": [5.0, 20.0]}


def numbers() -> pa.Table:
    """Numbers with holes and NaN, far from 0."""
    rng = random.Random(2)
    a = [1e6 + rng.gauss(0, 2) for _ in range(200)]
    b = [None if rng.random() < 0.2 else v * 3 + rng.gauss(0, 5) for v in a]
    c = [float("nan") if rng.random() < 0.1 else rng.gauss(0, 1) for _ in a]
    d = [rng.randint(-5, 5) for _ in a]
    return pa.table({"a": a, "b": b, "c": c, "d": d, "k": [7] * 200, "t": ["x"] * 200})


SPARSE_SCHEMA = """
feature { name: "v" type: FLOAT } feature { name: "i" type: INT } feature { name: "j" type: INT }
feature { name: "s" type: STRUCT struct_domain {
  feature { name: "v" type: FLOAT } feature { name: "i" type: INT }
  sparse_feature { name: "inner" value_feature { name: "v" } index_feature { name: "i" } } } }
sparse_feature { name: "vec" value_feature { name: "v" } index_feature { name: "i" } index_feature { name: "j" } }
sparse_feature { name: "gone" value_feature { name: "v" } index_feature { name: "nowhere" } }
weighted_feature { name: "vw" feature { step: "v" } weight_feature { step: "w" } }
weighted_feature { name: "sw" feature { step: "s" step: "v" } weight_feature { step: "s" step: "i" } }
"""


def sparse() -> pa.Table:
    """Values, indices and weights that do not always fit."""
    struct = pa.list_(pa.struct({"v": pa.list_(pa.float64()), "i": pa.list_(pa.int64())}))
    inner = [[{"v": [1.0], "i": [1, 2]}, {"v": None, "i": [3]}], [], None, [{"v": [2.0], "i": None}], [None]]
    return pa.table(
        {
            "v": pa.array([[1.0, 2.0], None, [3.0], None, []], pa.list_(pa.float64())),
            "i": pa.array([[1, 2], [5], [1, 2, 3], None, None], pa.list_(pa.int64())),
            "j": pa.array([[1], None, [4], None, [9]], pa.list_(pa.int64())),
            "w": pa.array([[0.5], [1.0], None, None, [2.0, 3.0]], pa.list_(pa.float64())),
            "s": pa.array(inner, struct),
        }
    )


def meanings() -> pa.Table:
    """Columns of 120 values that mean something, or almost."""
    rng = random.Random(3)
    n = 120
    day = [f"2018-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" for _ in range(n)]
    american = [f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/1{rng.randint(0, 9)}" for _ in range(n)]
    stamp = [f"{d}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:07.{rng.randint(0, 999)}" for d in day]
    words = ["bird", "house", "of", "the", "greenest", "answers", "no", "tree"]
    prose = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(n)]
    drawn = [png(3, 2), png(1, 7), bmp(5, 4)]
    pictures = [rng.choice(drawn) for _ in range(n)]
    some = [p if rng.random() < 0.85 else b"GIF8" for p in pictures]
    columns: dict[str, Any] = {
        "day": day,
        "american": american,
        "stamp": stamp,
        "half_days": [d if i % 2 else "soon" for i, d in enumerate(day)],
        "most_days": [d if i % 6 else "soon" for i, d in enumerate(day)],
        "clock": [f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}" for _ in range(n)],
        "compact": [d.replace("-", "") for d in day],
        "c_time": [f"Fri Nov {rng.randint(1, 30):02} 10:{rng.randint(10, 59)}:02 2018" for _ in range(n)],
        "seconds": [1_500_000_000 + rng.randint(0, 10**7) for _ in range(n)],
        "days": [16_000 + rng.randint(0, 100) for _ in range(n)],
        "millis": [1_500_000_000_000 + rng.randint(0, 10**9) for _ in range(n)],
        "few_days": [d if i < 99 else None for i, d in enumerate(day)],
        "count": [rng.randint(0, 10) for _ in range(n)],
        "prose": prose,
        "codes": [f"x-{rng.randint(0, 9)}" for _ in range(n)],
        "long_words": ["incomprehensibilities " * 4 for _ in range(n)],
        "pictures": pictures,
        "some_pictures": some,
        "dates_in_lists": [[d, d] for d in day],
    }
    return pa.table(columns)


TOKENS_SCHEMA = """
feature { name: "words" type: BYTES natural_language_domain {
  coverage { oov_string_tokens: "OOV" excluded_string_tokens: "[CLS]" min_coverage: 0.5 }
  token_constraints { string_value: "bird" } token_constraints { string_value: "never" }
  sequence_length_constraints { excluded_string_value: "[CLS]" } } }
"""


def tokens() -> pa.Table:
    """Sequences of tokens."""
    rng = random.Random(4)
    words = ["bird", "house", "OOV", "tree", "a"]
    rows = [["[CLS]", *rng.choices(words, k=rng.randint(1, 9))] for _ in range(50)]
    return pa.table({"words": pa.array([*rows, None, []], pa.list_(pa.string()))})


def empty() -> pa.Table:
    """Values that stand for nothing."""
    return pa.table({"n": [-1, 2, -1, None], "f": [-1.0, 0.5, None, 3.0], "s": ["", "a", None, ""]})
