"""``validate``: whether rows are what they should be; and the commands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence._base.progress import progress
from whence._base.refs import Ref
from whence.cli import anomalies, options, schemas, skew, statistics
from whence.cli.described import (
    Html,
    SourceName,
    check_page,
    is_file,
    is_schema_file,
    maybe_opened,
    read_schema,
    statistics_of,
    write_page,
)
from whence.cli.output import print_json, print_text
from whence.cli.session import resolve
from whence.errors import UsageError

if TYPE_CHECKING:
    from whence.validation import Report, Schema, Statistics
    from whence.workspace import Workspace


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    statistics.add_to(app)
    schemas.add_to(app)
    app.command()(validate)
    skew.add_to(app)
    anomalies.add_to(app)


def validate(
    source: SourceName,
    workspace: options.Workspace = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION]|FILE",
            help="The schema, kept or a .json, .yaml or .pbtxt file. [default: the table's name]",
        ),
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Such as TRAINING or SERVING.")] = None,
    previous: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|TABLE[@VERSION]|FILE",
            help="What it is compared with for drift: a version of the same table by its number, or other rows.",
        ),
    ] = None,
    serving: Annotated[
        str | None,
        typer.Option(metavar="TABLE[@VERSION]|FILE", help="What it is compared with for skew."),
    ] = None,
    html: Html = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Hold a table version or a file against a schema.

    The exit code is 1 when it does not fit; warnings alone are 0. A file with a schema in a file needs
    no workspace.
    """
    check_page(html)
    named = schema or _schema_of(source)
    before = None if previous is None else _previous(source, previous)
    rows = [r for r in (source, before, serving) if r is not None]
    with maybe_opened(workspace, needed=not (is_schema_file(named) and all(map(is_file, rows)))) as ws:
        rules, label = read_schema(ws, named)
        rules.expected(environment)  # an unknown environment is refused before anything is read
        controls = [None if r is None else statistics_of(ws, r) for r in (before, serving)]
        report, described = _judged(ws, source, rules, label, named, environment, controls)
        page = None if html is None else _page(report, described, controls[0], rules)
    written = None if html is None or page is None else write_page(html, page)
    if as_json:
        print_json(report)
    else:
        print_text("\n".join([report.text(), *_unjudged(report)]))
        if written:
            print_text(written)
    if not report.ok:
        raise typer.Exit(1)


def _unjudged(report: Report) -> list[str]:
    """A line for drift, for skew, that was measured and that no threshold judged: silence would read as "none"."""
    lines = []
    for side in ("drift", "skew"):
        measured = [d for d in report.distances if d.side == side]
        if measured and all(d.threshold is None for d in measured):
            rule = f"{side}: {{l_infinity: 0.1}} for text and {side}: {{js: 0.1}} for numbers"
            lines.append(f"note: {side} was measured and not judged: no column has a threshold ({rule})")
    return lines


def _schema_of(source: str) -> str:
    if is_file(source):
        raise UsageError(
            f"{source} is a file: say which schema it must fit",
            code="bad-command",
            hint="--schema NAME or --schema FILE.yaml; whence schema infer FILE --output FILE.yaml makes one of rows you trust",
        )
    return Ref.parse(source, kind="table").name


def _previous(source: str, word: str) -> str:
    """What drift is measured against: a number is a version of the same table."""
    if not word.isdecimal():
        return word
    if is_file(source):
        raise UsageError(
            f"{source} is a file and has no version {word}",
            code="bad-command",
            hint="--previous TABLE@VERSION or FILE",
        )
    return f"{Ref.parse(source, kind='table').name}@{word}"


def _judged(
    ws: Workspace | None,
    source: str,
    rules: Schema,
    label: str,
    named: str,
    environment: str | None,
    controls: Sequence[Statistics | None],
) -> tuple[Report, Statistics]:
    """The report, and the statistics it is about; of a version both are kept."""
    previous, serving = controls
    if is_file(source):
        from whence._base.clock import WallClock
        from whence.validation.files import validate_file

        with progress(f"statistics of {Path(source).name}") as step:
            return validate_file(
                source,
                rules,
                label=label,
                environment=environment,
                previous=previous,
                serving=serving,
                now=WallClock().now(),
                progress=step,
            )
    assert ws is not None
    version = resolve(ws, source)
    report = ws.validation.validate(
        version,
        rules if is_schema_file(named) else named,
        environment=environment,
        previous=previous,
        serving=serving,
    )
    return report, ws.validation.statistics(version)


def _page(report: Report, statistics: Statistics, previous: Statistics | None, rules: Schema) -> str:
    from whence.validation.page import statistics_page

    sides = [statistics] if previous is None else [previous, statistics]
    return statistics_page(*sides, schema=rules, report=report)
