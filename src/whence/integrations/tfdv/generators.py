"""Statistics of one's own, as programs write them for TFDV: a combiner over record batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa

from whence.integrations.tfdv.messages import Message
from whence.integrations.tfdv.statistics_in import DEFAULT_SLICE

State = TypeVar("State")


class CombinerStatsGenerator(ABC, Generic[State]):
    """A statistic of one's own: a state, how rows are added to it, and what it says in the end.

    It is given to ``StatsOptions(generators=[…])``. Rows come as record batches in which every column is a
    list of values. What it says is put into the statistics, feature by feature.

    Args:
        name: What it is called.
        schema: A schema it may look at.

    Source:
        TFDV's class of this name. Differs: rows come in one stream, so the ``merge_accumulators`` and
        ``compact`` of a program are not called.

    Example:
        >>> from whence.integrations import tfdv
        >>> class Rows(tfdv.CombinerStatsGenerator):
        ...     def create_accumulator(self):
        ...         return 0
        ...     def add_input(self, accumulator, input_record_batch):
        ...         return accumulator + input_record_batch.num_rows
        ...     def extract_output(self, accumulator):
        ...         out = tfdv.statistics_pb2.DatasetFeatureStatistics()
        ...         out.features.add(path={"step": ["x"]}).custom_stats.add(name="rows", num=accumulator)
        ...         return out
        >>> generate = tfdv.statistics.stats_impl.generate_statistics_in_memory
        >>> made = generate(pa.table({"x": [1, None]}), tfdv.StatsOptions(generators=[Rows("rows")]))
        >>> made.datasets[0].features[0].custom_stats[0].num
        2.0
    """

    def __init__(self, name: str, schema: Message | None = None) -> None:
        self._name = name
        self._schema = schema

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def schema(self) -> Message | None:
        """The schema it was given."""
        return self._schema

    def setup(self) -> None:
        """Called once before the first row."""

    @abstractmethod
    def create_accumulator(self) -> State:
        """The state of no rows."""

    @abstractmethod
    def add_input(self, accumulator: State, input_record_batch: pa.RecordBatch) -> State:
        """The state with some rows more; the one given may be changed."""

    @abstractmethod
    def extract_output(self, accumulator: State) -> Message:
        """What it says, a ``DatasetFeatureStatistics``."""


class Own:
    """The statistics of one's own of one run, by slice."""

    def __init__(self, generators: Sequence[CombinerStatsGenerator[Any]]) -> None:
        self.generators = generators
        self._states: dict[str, list[Any]] = {}
        for generator in generators:
            generator.setup()
        self.add(DEFAULT_SLICE, None)

    def add(self, slice_: str, rows: pa.RecordBatch | None) -> None:
        """Add rows of a slice; None only makes the slice known."""
        states = self._states.setdefault(slice_, [g.create_accumulator() for g in self.generators])
        if rows is not None:
            states[:] = [g.add_input(s, rows) for g, s in zip(self.generators, states, strict=True)]

    def into(self, statistics: Message) -> None:
        """Put what they say into the data sets of statistics; one without a name is that of all rows."""
        for dataset in statistics.datasets:
            states = self._states.get(dataset.name or DEFAULT_SLICE, ())
            for generator, state in zip(self.generators, states, strict=bool(states)):
                _merge(dataset, generator.extract_output(state))


def _merge(dataset: Message, said: Message) -> None:
    known = {tuple(f.path.step) or (f.name,): f for f in dataset.features}
    for feature in said.features:
        path = tuple(feature.path.step) or (feature.name,)
        if path in known:
            rest = type(feature).FromString(feature.SerializeToString())
            rest.ClearField("field_id")
            known[path].MergeFrom(rest)
        else:
            dataset.features.add().CopyFrom(feature)
    dataset.cross_features.extend(said.cross_features)
