"""Statistics that went through a proto are still those of the naive loop."""

from __future__ import annotations

from hypothesis import given, settings

from tests.unit.validation import oracle
from tests.unit.validation.test_oracle import ROWS, Rows, leaves, table
from whence.integrations.tfdv.messages import statistics_pb2
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.statistics_out import statistics_to_proto
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.validation import describe


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_all(rows: Rows) -> None:
    proto = statistics_to_proto(describe(table(rows)))
    cls = statistics_pb2.DatasetFeatureStatisticsList
    for back in (read_text(cls, to_text(proto)), read_binary(cls, proto.SerializeToString())):
        by_path = {f.path: f for f in statistics_from_proto(back)}
        for leaf in leaves(rows):
            oracle.check(by_path[leaf.path], leaf, states=False)
