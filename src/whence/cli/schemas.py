"""``schema``: what the data should look like: infer, read, change, compare, in JSON, YAML and TFDV's pbtxt."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from whence._base.refs import Ref
from whence.cli import options
from whence.cli.described import (
    ENDINGS,
    FormatName,
    SourceName,
    is_file,
    is_schema_file,
    known_format,
    maybe_opened,
    parse_schema,
    read_schema,
    schema_of_file,
    schema_text,
    statistics_of,
)
from whence.cli.help import Group
from whence.cli.output import print_error, print_facts, print_json, print_rows, print_text
from whence.cli.session import opened
from whence.errors import UsageError, WhenceError

if TYPE_CHECKING:
    from whence.metadata import Artifact
    from whence.validation import Schema

EDITOR: Final = "vi"

schema_app = typer.Typer(
    cls=Group, help="Schemas: what the data should look like.", no_args_is_help=True, rich_markup_mode=None
)

SchemaName = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]|FILE",
        help="A schema, the newest version when none is named; or a .json, .yaml or .pbtxt file.",
    ),
]
KeptName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schema.")]
Enforce = Annotated[
    bool | None,
    typer.Option(
        "--enforce/--no-enforce", help="Whether rows that break it may enter the table of that name."
    ),
]

Fill = Annotated[
    bool | None,
    typer.Option(
        "--fill/--no-fill",
        help="Whether rows that enter get the schema's defaults in place of missing values; only where it is enforced.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `app`."""
    app.add_typer(schema_app, name="schema")


@schema_app.command("list")
def schema_list(workspace: options.Workspace = None, *, as_json: options.AsJson = False) -> None:
    """List the stored schemas."""
    with opened(workspace) as ws:
        rows = [
            {"schema": name, "versions": len(ws.validation.schema_versions(name))}
            for name in ws.validation.list_schemas()
        ]
    print_rows(rows, as_json=as_json, empty="no schemas yet: whence schema infer TABLE --name NAME")


@schema_app.command("show")
def schema_show(
    name: SchemaName,
    workspace: options.Workspace = None,
    format_: FormatName = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show a schema; --json and --format print what `put` reads."""
    with maybe_opened(workspace, needed=not is_schema_file(name)) as ws:
        schema, _ = read_schema(ws, name)
    _print(schema, format_, as_json=as_json)


@schema_app.command("infer")
def schema_infer(
    source: SourceName,
    workspace: options.Workspace = None,
    name: Annotated[
        str | None, typer.Option(help="Store it under this name; without it, it is only shown.")
    ] = None,
    max_values: Annotated[
        int, typer.Option(min=0, help="Text of at most so many different values has them listed.")
    ] = 100,
    format_: FormatName = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write it to a file, in the format of its ending."
        ),
    ] = None,
    *,
    robust: Annotated[
        bool, typer.Option("--robust", help="Give numbers ranges that a few odd values do not widen.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Infer a schema from a table version or a file, for review."""
    from whence.validation import infer_schema

    with maybe_opened(workspace, needed=not is_file(source) or name is not None) as ws:
        statistics = statistics_of(ws, source)
        schema = infer_schema(statistics, max_string_domain_size=max_values, robust_ranges=robust)
        stored = ws.validation.put_schema(name, schema) if ws is not None and name else None
    if output is not None:
        _write(schema, output, format_)
    _print(schema, None if output is not None else format_, as_json=as_json)
    if not as_json and (format_ is None or output is not None):
        if stored is not None:
            print_text(f"stored as schema:{stored.name}")
        if output is not None:
            print_text(f"written: {output}")


@schema_app.command("put")
def schema_put(
    name: KeptName,
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON as `schema show --json` prints it, YAML (.yaml) or a TFDV schema (.pbtxt); - is standard input."
        ),
    ],
    workspace: options.Workspace = None,
    format_: FormatName = None,
    enforce: Enforce = None,
    fill: Fill = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Store a reviewed schema as a new version."""
    schema = _from_input(format_) if str(file) == "-" else schema_of_file(file, format_)
    with opened(workspace) as ws:
        stored = ws.validation.put_schema(name, schema, enforce=enforce, fill=fill)
    print_facts({"schema": stored.name}, as_json=as_json)


@schema_app.command("diff")
def schema_diff(
    first: SchemaName,
    second: SchemaName,
    workspace: options.Workspace = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List what differs between two schemas, kept ones or files."""
    with maybe_opened(workspace, needed=not (is_schema_file(first) and is_schema_file(second))) as ws:
        changes = read_schema(ws, first)[0].diff(read_schema(ws, second)[0])
    rows = [{"where": c.path, "before": c.before, "after": c.after} for c in changes]
    print_rows(rows, as_json=as_json, empty="no difference")


@schema_app.command("history")
def schema_history(
    name: KeptName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """List the versions of a schema, oldest first, each with what it changed."""
    with opened(workspace) as ws:
        ref = Ref.parse(name, kind="schema")
        ws.validation.get_schema(ref.name)  # one that is not there has no history, but that is another answer
        rows = [_version_line(a) for a in ws.validation.schema_versions(ref.name)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        changes = row["changes"]
        assert isinstance(changes, list)
        told = [word for word in ("enforced", "fills") if row[word]]
        print_text(", ".join([f"{row['schema']}  {row['features']} features", *told]))
        print_text("\n".join(f"  {c}" for c in changes) or "  (the first)")


def _version_line(a: Artifact) -> dict[str, object]:
    changes = a.get("changes")
    return {
        "schema": a.name,
        "features": a.get("n_features"),
        "enforced": a.get("enforced") is True,
        "fills": a.get("fills") is True,
        "digest": a.get("digest"),
        "changes": list(changes) if isinstance(changes, (list, tuple)) else [],
    }


@schema_app.command("edit")
def schema_edit(
    name: KeptName,
    workspace: options.Workspace = None,
    enforce: Enforce = None,
    fill: Fill = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Open a schema as YAML in your editor (VISUAL or EDITOR) and store what you make of it."""
    with opened(workspace) as ws:
        before = ws.validation.get_schema(name)
        after = _edited(before, name)
        changes = [str(c) for c in before.diff(after)]
        stored = ws.validation.put_schema(
            Ref.parse(name, kind="schema").name, after, enforce=enforce, fill=fill
        )
    if as_json:
        print_json({"schema": stored.name, "changes": changes})
    else:
        print_text("\n".join([*(changes or ["no difference"]), f"schema:{stored.name}"]))


@schema_app.command("check")
def schema_check(
    name: SchemaName, workspace: options.Workspace = None, *, as_json: options.AsJson = False
) -> None:
    """Read a schema and list what makes no sense in it; the exit code is 1 when anything does.

    Of a file each has its line.
    """
    from whence.validation.checks.specification import schema_notes

    n_features: int | None = None
    with maybe_opened(workspace, needed=not is_schema_file(name)) as ws:
        try:
            schema, label = read_schema(ws, name)
            n_features, notes = len(schema), schema_notes(schema)
        except UsageError as error:
            label, notes = Path(name).name, _faults_in(error)
            if not notes:
                raise  # it does not read
    if as_json:
        print_json({"schema": label, "ok": not notes, "features": n_features, "contradictions": notes})
    else:
        counted = "" if n_features is None else f"{n_features} features, "
        print_text(
            "\n".join(
                [
                    f"{label}: {counted}{len(notes) or 'no'} contradiction{'' if len(notes) == 1 else 's'}",
                    *notes,
                ]
            )
        )
    if notes:
        raise typer.Exit(1)


def _faults_in(error: UsageError) -> list[str]:
    """Everything that made no sense in a file, with the lines and the way out."""
    told = error.details.get("faults")
    return [_fault_line(f) for f in told] if isinstance(told, list) else []


def _fault_line(fault: Mapping[str, Any]) -> str:
    line, near, hint = fault.get("line"), fault["near"], fault["hint"]
    parts = [
        fault["text"],
        f"Near: {', '.join(map(repr, near))}" if near else "",
        f"Hint: {hint}" if hint else "",
    ]
    return ("" if line is None else f"line {line}: ") + ". ".join(p for p in parts if p)


@schema_app.command("convert")
def schema_convert(
    file: Annotated[Path, typer.Argument(help="A .json, .yaml or .pbtxt file.")],
    output: Annotated[Path, typer.Argument(help="The file to write, in the format of its ending.")],
    *,
    as_json: options.AsJson = False,
) -> None:
    """Write a schema in another format: JSON, YAML and TFDV's pbtxt, from each into each."""
    _write(schema_of_file(file), output, None)
    print_facts({"schema": str(output)}, as_json=as_json)


def _print(schema: Schema, format_: str | None, *, as_json: bool) -> None:
    if format_ is not None:
        print_text(schema_text(schema, format_))
    elif as_json:
        print_json(schema)
    else:
        print_text(schema.text())


def _write(schema: Schema, output: Path, format_: str | None) -> None:
    wanted = format_ or ENDINGS.get(output.suffix.lower())
    if wanted is None:
        raise UsageError(
            f"{output.name} does not tell its format",
            code="bad-format",
            hint="end it in .json, .yaml or .pbtxt",
        )
    output.write_text(schema_text(schema, wanted).rstrip("\n") + "\n", encoding="utf-8")


def _from_input(format_: str | None) -> Schema:
    known_format(format_ or "json")
    return parse_schema(sys.stdin.buffer.read(), format_ or "json", name="standard input")


def _edited(before: Schema, name: str) -> Schema:
    """What comes back from the editor; a mistake is shown and edited again, an unchanged mistake ends it.

    Raises:
        UsageError: The editor failed (``editor-failed``), or what it left does not read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name.replace('@', '-')}.yaml"
        text = schema_text(before, "yaml")
        file.write_text(text, encoding="utf-8")
        while True:
            _run_editor(file)
            left = file.read_text(encoding="utf-8")
            try:
                return parse_schema(left.encode(), "yaml", name=file.name)
            except WhenceError as error:
                if left == text:
                    raise
                text = left
                print_error(error, as_json=False)


def _run_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR
    try:
        code = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603 - the user's own editor
    except OSError as error:
        raise UsageError(
            f"{editor}: {error.strerror}", code="editor-failed", hint="set VISUAL or EDITOR"
        ) from error
    if code:
        raise UsageError(f"{editor} ended with {code}: nothing is stored", code="editor-failed")
