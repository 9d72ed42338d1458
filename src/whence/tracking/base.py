"""The port of the metric store: what any backend must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from whence.errors import ConflictError, NotFoundError
from whence.tracking.filter import Condition, Order
from whence.tracking.types import Batch, Metric, ParamValue, RunInfo


class MetricStore(ABC):
    """Metrics, params and tags of runs. Every write is one transaction; any number of writers."""

    @abstractmethod
    def put_runs(self, infos: Sequence[RunInfo]) -> None:
        """Make runs known, or bring what is known of them up to date; all of them or none."""

    @abstractmethod
    def write(self, uid: str, batch: Batch, *, info: RunInfo | None = None) -> None:
        """Write a batch, atomically.

        Args:
            uid: The run.
            batch: Metrics, params, tags.
            info: What is known of the run, put in the same transaction.

        The latest value of a metric is that of the largest (step, time); of equals, the one logged last.

        Raises:
            NotFoundError: The run is not known (``run-not-found``).
            ConflictError: A param of the batch was logged with another value (``param-changed``).
        """

    @abstractmethod
    def get_runs(self, uids: Sequence[str]) -> list[RunInfo]:
        """The runs with these uids, in that order; unknown ones are left out."""

    @abstractmethod
    def list_open(self) -> list[str]:
        """The uids of the runs whose last known state is not final, ascending."""

    @abstractmethod
    def params(self, uids: Collection[str]) -> dict[str, dict[str, ParamValue]]:
        """The params of each run, by key in key order."""

    @abstractmethod
    def tags(self, uids: Collection[str]) -> dict[str, dict[str, str]]:
        """The tags of each run, by key in key order."""

    @abstractmethod
    def latest(self, uids: Collection[str]) -> dict[str, dict[str, Metric]]:
        """The latest value of each metric of each run, by key in key order."""

    @abstractmethod
    def history(self, uid: str, key: str) -> list[Metric]:
        """Every value of a metric, by step, then time, then the order of logging."""

    @abstractmethod
    def find(
        self,
        where: Condition | None = None,
        *,
        order_by: Sequence[Order] = (),
        limit: int = 100,
        offset: int = 0,
    ) -> list[str]:
        """The uids of the runs for which `where` holds (see `whence.tracking.filter.holds`).

        In the given order: params by number, then by text; what a run has not, and NaN, last whichever way;
        equals newest first.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the store holds open; it is not used afterwards."""


def unknown_run(uid: str) -> NotFoundError:
    """The error for a run the store does not know."""
    return NotFoundError("run", uid, hint="whence runs list shows all")


def param_changed(uid: str, key: str, have: ParamValue, want: ParamValue) -> ConflictError:
    """The error for a param that was logged with another value: what a run was made with does not change."""
    return ConflictError(
        f"param {key!r} of run {uid} is {have!r} and cannot become {want!r}",
        code="param-changed",
        hint="start another run; what may change is a metric or a tag",
        details={"key": key, "have": have, "want": want},
    )
