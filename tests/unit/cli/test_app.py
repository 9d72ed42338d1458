from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from typer.main import get_command

from whence.cli import app as door
from whence.cli import main
from whence.cli.help import SECTIONS
from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    UsageError,
    WhenceError,
)

Raising: TypeAlias = Callable[[BaseException], None]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Raising:
    """Make the next command raise."""

    def make(error: BaseException) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise error

        monkeypatch.setattr(door, "app", fail)

    return make


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataRejectedError("r"), 1),
        (UsageError("u"), 2),
        (NotFoundError("table", "t"), 2),
        (DeniedError("d"), 2),
        (ConflictError("c"), 3),
        (IntegrityError("i"), 3),
        (BackendError("b"), 3),
        (RuntimeError("bug"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes_say_what_kind_of_no_it_is(
    raising: Raising, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    raising(error)
    assert main(["table", "list"]) == code
    assert capsys.readouterr().out == ""


def test_an_error_is_one_line_on_standard_error(raising: Raising, capsys: pytest.CaptureFixture[str]) -> None:
    raising(NotFoundError("table", "flight", near=["flights"], hint="whence table list"))
    assert main(["table", "show", "flight"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "error: table 'flight' not found (table-not-found). Near: 'flights'. Hint: whence table list\n"
    )


def test_an_error_has_one_shape_in_json(raising: Raising, capsys: pytest.CaptureFixture[str]) -> None:
    errors: list[BaseException] = [
        WhenceError("x"),
        UsageError("x", near=["y"], details={"when": 1}),
        NotFoundError("table", "t"),
        BackendError("x", retryable=True),
        RuntimeError("bug"),
    ]
    for error in errors:
        raising(error)
        main(["table", "list", "--json"])
        shown = json.loads(capsys.readouterr().out)
        assert list(shown) == ["error"]
        assert set(shown["error"]) == {"code", "type", "message", "hint", "near", "details"}


def test_a_bug_is_not_an_answer(raising: Raising, capsys: pytest.CaptureFixture[str]) -> None:
    raising(ZeroDivisionError("division by zero"))
    assert main(["reproduce", "run:1"]) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith(
        "error: ZeroDivisionError: division by zero (internal). Hint: this is a bug of whence\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tabel"], "No such command 'tabel' (bad-command). Near: 'table', 'trace'. Hint: whence --help"),
        (["table", "lst"], "No such command 'lst' (bad-command). Near: 'list'. Hint: whence table --help"),
        (["--verison"], "No such option: --verison (bad-command). Near: '--version'. Hint: whence --help"),
        (["table", "list", "--nope"], "No such option: --nope (bad-command). Hint: whence table list --help"),
        (
            ["config"],
            "whence config needs a command: path, show (bad-command). Hint: whence config --help explains them",
        ),
    ],
)
def test_wrong_words_are_answered(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_without_words_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: whence" in capsys.readouterr().out


def test_every_command_stands_under_one_heading() -> None:
    """A command that nobody has placed would stand apart from those it belongs to."""
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(get_command(door.app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [[], ["table"], ["anomalies"], ["import"]])
def test_the_help_of_a_group_cuts_no_sentence_short(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main([*words, "--help"]) == 0
    said = capsys.readouterr().out
    assert "..." not in said.partition("Options:")[2]
    assert max(map(len, said.splitlines())) <= 52


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from whence._version import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"whence {__version__}\n"


def test_help_loads_no_heavy_client() -> None:
    """A person asks for help often; the stores are loaded by the commands that use them."""
    code = (
        "import sys\nfrom whence.cli import main\nassert main(['--help']) == 0\n"
        "heavy = {'pyarrow', 'numpy', 'pandas', 'duckdb', 'deltalake', 'sqlalchemy', 'sklearn', 'fastapi', 'rich'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_config_show_says_whence_each_value_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whence.toml").write_text(
        '[compute]\nthreads = 2\n[metadata]\nurl = "postgresql://a:b@c/d"\n'
    )
    monkeypatch.setenv("WHENCE_PROJECT", "mine")
    assert main(["--workspace", str(tmp_path), "config", "show", "--json"]) == 0
    shown = {s["name"]: (s["value"], s["source"]) for s in json.loads(capsys.readouterr().out)["settings"]}
    assert shown["project"] == ("mine", "environment WHENCE_PROJECT")
    assert shown["compute.threads"] == (2, f"file {tmp_path}/whence.toml")
    assert shown["metadata.url"] == ("postgresql://a:***@c/d", f"file {tmp_path}/whence.toml")
    assert shown["lake.url"] == ("file:./lake", "default")
    assert main(["config", "show", "-w", str(tmp_path)]) == 0
    assert "compute.threads       2 " in capsys.readouterr().out


def test_config_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "path", "-w", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path), "file": None}


def test_a_misspelt_setting_stops_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "whence.toml").write_text('[lak]\nurl = "file:./x"\n')
    assert main(["config", "show", "-w", str(tmp_path)]) == 2
    assert (
        "sets 'lak.url', which is not a setting (unknown-setting). Near: 'lake.url'"
        in capsys.readouterr().err
    )
