"""Pages while somebody else writes: each node once."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.metadata.lifeworld import STORES, open_kind
from whence.metadata import Artifact, Change, MetadataStore, Put


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_kind(request, tmp_path)
    yield store
    store.close()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("matching", [None, "name LIKE 't-%' AND custom_properties.n >= 0"])
def test_each_node_shows_once_however_fast_they_change(
    store: MetadataStore, matching: str | None, descending: bool
) -> None:
    nodes = [Artifact(type="mlmd.Dataset", name=f"t-{i}", custom={"n": 0}) for i in range(60)]
    store.load([Change([Put(node) for node in nodes])])
    wanted: queue.Queue[bool] = queue.Queue()
    done: queue.Queue[str] = queue.Queue()

    def write() -> None:
        chance = random.Random(7)
        while wanted.get():
            for _ in range(4):
                node = chance.choice(nodes)
                store.write(Change([Put(replace(node, custom={"n": chance.randrange(9)}), "update")]))
            done.put("written")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen: list[str] = []
        cursor = None
        while True:
            wanted.put(True)  # beside the page that is read now
            page = store.find_nodes(
                "artifact", matching=matching, order_by="updated_at", descending=descending, limit=9, cursor=cursor
            )  # fmt: skip
            seen += [node.uid for node in page.nodes]
            cursor = page.cursor
            if cursor is None:
                break
            assert done.get(timeout=60) == "written"
        assert sorted(seen) == sorted(node.uid for node in nodes)
    finally:
        wanted.put(False)
        writer.join()
