"""``stats``: what the columns of a version or a file hold, beside other versions, as text, JSON or a page."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from whence.cli import options
from whence.cli.described import (
    Html,
    check_page,
    is_file,
    is_schema_file,
    maybe_opened,
    read_schema,
    statistics_of,
    terminal_width,
    write_page,
)
from whence.cli.output import print_json, print_text

if TYPE_CHECKING:
    from whence.validation import Extra, Statistics, StatisticsOptions

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE[@VERSION]|FILE",
        help="Versions of tables, the newest when none is named, or CSV and Parquet files; several are compared.",
    ),
]


_STRONGEST: Final = 20
"""So many lines of an optional statistic are shown; a column of numbers of its own has thousands."""


def add_to(app: typer.Typer) -> None:
    """Hang this command into `app`."""
    app.command()(stats)


def stats(
    sources: Sources,
    workspace: options.Workspace = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="A,B", help="Only these columns; may be repeated."),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option(
            "--slices",
            metavar="COLUMN",
            help="Also describe the rows of each value of a column; A,B crosses two; NAME:CONDITION takes an SQL condition; may be repeated.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Each row also counts by its weight in this column.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="How many of the commonest values are shown.")
    ] = 1,
    sample: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Describe a sample of the rows, such as 0.01.")
    ] = None,
    lift: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="Also the lift of values towards a label: P(label | value) / P(label)."
        ),
    ] = None,
    mutual_information: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Also how many bits each column tells of a label.")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION]|FILE",
            help="With --html: the page also says what this schema expects of each column.",
        ),
    ] = None,
    html: Html = None,
    *,
    correlations: Annotated[
        bool, typer.Option("--correlations", help="Also correlations between columns of numbers.")
    ] = False,
    meanings: Annotated[
        bool,
        typer.Option("--meanings", help="Also what text seems to be: times, addresses, language, images."),
    ] = False,
    empty_values: Annotated[
        bool,
        typer.Option(
            "--empty-values",
            help="Also how many values are there and may stand for nothing: -1, empty text, empty lists.",
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Describe the columns of a table version or a file; two or more are compared.

    A version is described once and kept. Files need no workspace.
    """
    check_page(html)
    asked = _options(
        columns,
        slices,
        weights,
        top,
        sample,
        _extras(
            lift, mutual_information, correlations=correlations, meanings=meanings, empty_values=empty_values
        ),
    )
    in_workspace = not all(map(is_file, sources)) or (schema is not None and not is_schema_file(schema))
    with maybe_opened(workspace, needed=in_workspace) as ws:
        found = [statistics_of(ws, source, asked) for source in sources]
        expected = None if schema is None else read_schema(ws, schema)[0]
    written = None if html is None else write_page(html, _page(found, expected))
    if as_json:
        print_json(_as_json(found, top))
    else:
        print_text(_as_text(found, top))
        if written:
            print_text(written)


def _options(
    columns: list[str] | None,
    slices: list[str] | None,
    weights: str | None,
    top: int,
    sample: float | None,
    extras: tuple[Extra, ...],
) -> StatisticsOptions:
    from whence.validation import StatisticsOptions

    more: dict[str, Any] = {"num_top_values": top} if top > 20 else {}  # Any: fields of the options
    if columns:
        more["columns"] = tuple(c.strip() for names in columns for c in names.split(",") if c.strip())
    if slices:
        more["slices"] = tuple(map(_slice, slices))
    if sample is not None:
        more["sample_rate"] = sample
    return StatisticsOptions(weight=weights, extras=extras, **more)


def _slice(word: str) -> Any:  # Any: columns or a Slice, as the options take them
    from whence.validation import Slice

    name, colon, where = word.partition(":")
    if colon:
        return Slice(name.strip(), where.strip())
    return tuple(c.strip() for c in word.split(",") if c.strip())


def _extras(
    lift: str | None, information: str | None, *, correlations: bool, meanings: bool, empty_values: bool
) -> tuple[Extra, ...]:
    if not (lift or information or correlations or meanings or empty_values):
        return ()
    from whence.validation.extra import Correlation, EmptyValues, Lift, Meanings, MutualInformation

    found: list[Extra] = []
    if correlations:
        found.append(Correlation())
    if lift:
        found.append(Lift(lift))
    if information:
        found.append(MutualInformation(information))
    if meanings:
        found.append(Meanings())
    if empty_values:
        found.append(EmptyValues())
    return tuple(found)


def _page(found: list[Statistics], schema: Any) -> str:
    from whence.validation.page import statistics_page

    return statistics_page(*found, schema=schema)


def _as_json(found: list[Statistics], top: int) -> Any:
    """One set of statistics as it is; several with the distances of each to the one before."""
    from whence.validation import compare_statistics

    said = [s.summary(top=max(top, 20)) for s in found]
    if len(found) == 1:
        return said[0]
    distances = [
        {"of": b.name, "to": a.name, "distances": [d.to_dict() for d in compare_statistics(b, a)]}
        for a, b in itertools.pairwise(found)
    ]
    return {"statistics": said, "compared": distances}


def _as_text(found: list[Statistics], top: int) -> str:
    from whence.validation.lines import compared_table, terminal_table
    from whence.validation.slicings import slice_words

    width = terminal_width()
    if len(found) > 1:
        return compared_table(found, width=width)
    one = found[0]
    parts = [terminal_table(one, width=width, top=top)]
    parts += [
        terminal_table(replace(s, name=slice_words(key)), width=width, top=top)
        for key, s in one.slices.items()
    ]
    parts += [_extra(key, extra) for key, extra in one.extras.items() if not extra.by_feature()]
    parts += [_of_columns(one)]
    return "\n\n".join(p for p in parts if p)


def _of_columns(one: Statistics) -> str:
    """What optional statistics say of single columns."""
    from whence.drawing import text_table
    from whence.validation.figures import custom_lines

    rows = [(f.name, name, told) for f in one for name, told in custom_lines(f)]
    return text_table(("column", "optional statistic", "value"), rows) if rows else ""


def _extra(key: str, extra: Extra) -> str:
    from whence.drawing import text_table
    from whence.validation.figures import extra_table

    heads, rows, left = extra_table(key, extra.finish(), most=_STRONGEST)
    more = f"\n… and {left:,} more; --json has all" if left else ""
    return f"{key}\n{text_table(heads, rows)}{more}"
