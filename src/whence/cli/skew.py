"""``skew``: whether training and serving saw the same values for the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whence._base.progress import progress
from whence.cli import options
from whence.cli.described import is_file, maybe_opened
from whence.cli.output import print_json, print_text
from whence.cli.session import resolve
from whence.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Hang this command into `app`."""
    app.command()(skew)


def skew(
    training: Annotated[
        str,
        typer.Argument(
            metavar="TRAINING",
            help="What the model was trained on: TABLE[@VERSION], or a CSV or Parquet file.",
        ),
    ],
    serving: Annotated[
        str, typer.Argument(metavar="SERVING", help="What it was asked with: the same kinds.")
    ],
    keys: Annotated[
        list[str],
        typer.Option(
            "--on", metavar="A,B", help="The columns that name a row on both sides; may be repeated."
        ),
    ],
    workspace: options.Workspace = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="A,B",
            help="Only these columns; may be repeated. [default: all that both have]",
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[COLUMN=]NUMBER",
            help="The largest difference of numbers that does not count, of all columns or of one; may be repeated.",
        ),
    ] = None,
    allow: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0.0, max=1.0, help="The share of pairs that may differ in a column."
        ),
    ] = 0.0,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Compare training and serving rows of the same keys, column by column.

    The exit code is 1 when pairs differ, or there is none to compare. Files need no workspace. Whether the
    distributions of two sides differ, without keys: ``whence stats A B``, and ``whence validate --serving``.
    """
    from whence.compute import open_engine
    from whence.validation.find import rows_of
    from whence.validation.skew import detect_skew

    on, chosen = _listed(keys), None if columns is None else _listed(columns)
    near = _tolerances(tolerance or ())
    both = (training, serving)
    with maybe_opened(workspace, needed=not all(map(is_file, both))) as ws:
        if ws is not None and not any(map(is_file, both)):
            a, b = (resolve(ws, side) for side in both)
            report = ws.validation.skew(a, b, on, columns=chosen, tolerance=near)
        else:
            with progress("skew"):
                sides = [
                    rows_of(Path(s)) if is_file(s) or ws is None else rows_of(resolve(ws, s)) for s in both
                ]
                report = detect_skew(sides[0], sides[1], on, open_engine(), columns=chosen, tolerance=near)
    ok = report.within(allow)
    if as_json:
        print_json({"ok": ok, "artifact": report.ref, **report.to_dict()})
    else:
        print_text(report.text())
    if not ok:
        raise typer.Exit(1)


def _listed(words: list[str]) -> list[str]:
    return [c.strip() for names in words for c in names.split(",") if c.strip()]


def _tolerances(words: list[str] | tuple[str, ...]) -> dict[str, float] | float:
    """``0.1`` for all columns, or ``eur=0.1`` for each that is named.

    Raises:
        UsageError: It is no number (``bad-tolerance``).
    """
    named: dict[str, float] = {}
    for word in words:
        column, _, number = word.rpartition("=")
        try:
            named[column] = float(number)
        except ValueError:
            raise UsageError(
                f"the tolerance {word!r} is no number", code="bad-tolerance", hint="0.01, or COLUMN=0.01"
            ) from None
    if "" in named:
        if len(named) > 1:
            raise UsageError(
                "a tolerance is for all columns or for named ones",
                code="bad-tolerance",
                hint="COLUMN=NUMBER for each",
            )
        return named[""]
    return named
