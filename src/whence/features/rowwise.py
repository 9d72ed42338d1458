"""Features computed from the spine's row alone, without any table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import NotFoundError, UsageError
from whence.features.calendars import calendar_columns
from whence.features.types import Calendar, Category


def row_columns(spine: pa.Table, view: Calendar | Category) -> list[pa.Array]:
    """The columns `view` makes of the spine, in the order of its outputs."""
    return calendar_columns(spine, view) if isinstance(view, Calendar) else [category_column(spine, view)]


def category_column(spine: pa.Table, view: Category) -> pa.Array:
    """The place of each value in the declared list: 0, 1, …; -1 for any other value, null for null.

    Raises:
        NotFoundError: The spine has no such column.
        UsageError: The column is not text (``bad-category``).
    """
    if view.column not in spine.column_names:
        raise NotFoundError("column", view.column, near=spine.column_names)
    column = spine.column(view.column)
    if not pa.types.is_string(column.type):
        raise UsageError(
            f"category reads {view.column!r}, which is {column.type}, not string", code="bad-category"
        )
    values = column.combine_chunks()
    code = pc.fill_null(pc.index_in(values, value_set=pa.array(view.values, pa.string())), -1)
    if values.null_count:
        code = pc.if_else(values.is_null(), pa.scalar(None, code.type), code)
    return code.cast(pa.int64())
