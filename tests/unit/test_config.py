from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.config import (
    SETTINGS,
    absolute_url,
    find_file,
    get_setting,
    load_config,
    mask_url,
    settings_file,
)
from whence.errors import NotFoundError, UsageError


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "whence.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_folder_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    config = load_config(tmp_path / "new.whence", environment={})
    assert {s.name: config.source(s.name) for s in SETTINGS} == {s.name: "default" for s in SETTINGS}
    assert config.value("metadata.url") == f"sqlite:///{tmp_path}/new.whence/whence.db"
    assert config.value("lake.url") == f"file:{tmp_path}/new.whence/lake"
    assert config.written("lake.url") == "file:./lake"
    assert config.address == f"{tmp_path}/new.whence"
    assert not (tmp_path / "new.whence").exists()


def test_argument_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = write(tmp_path, 'project = "from file"\n[compute]\nthreads = 3\n')
    env = {"WHENCE_PROJECT": "from environment"}
    assert load_config(tmp_path, environment={}).value("project") == "from file"
    assert load_config(tmp_path, environment={}).source("project") == f"file {file}"
    assert load_config(tmp_path, environment=env).value("project") == "from environment"
    assert load_config(tmp_path, environment=env).source("project") == "environment WHENCE_PROJECT"
    config = load_config(tmp_path, environment=env, project="from argument", compute_memory_limit=None)
    assert (config.value("project"), config.source("project")) == ("from argument", "argument")
    assert (config.value("compute.threads"), config.source("compute.memory_limit")) == (3, "default")


def test_a_toml_file_may_be_named_itself(tmp_path: Path) -> None:
    file = write(tmp_path, '[lake]\nurl = "file:../tables"\n')
    config = load_config(file, environment={})
    assert config.value("lake.url") == f"file:{tmp_path.parent}/tables"
    assert (config.root, config.file, config.address) == (tmp_path, file, str(file))
    with pytest.raises(NotFoundError, match=r"settings file .* not found \(settings-file-not-found\)"):
        load_config(tmp_path / "other.toml", environment={})


def test_without_a_target_the_nearest_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_file(below) == file
    assert load_config(environment={}).root == tmp_path
    other = tmp_path / "other.whence"
    assert load_config(environment={"WHENCE_WORKSPACE": str(other)}).root == other


def test_no_workspace_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"no workspace: .* \(no-workspace\)\. Hint: whence init makes one here"
    ):
        load_config(environment={})


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match="is a file, a folder is wanted") as raised:
        load_config(tmp_path / "data.csv", environment={})
    assert raised.value.code == "bad-workspace"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[metadata]\nurll = "sqlite:///x.db"',
            r"sets 'metadata.urll', which is not a setting .*Near: 'metadata.url'",
        ),
        ("[compute]\nthreads = true", "compute.threads must be a whole number, file .* says True"),
        ('[compute]\nthreads = "2"', "compute.threads must be a whole number, file .* says '2'"),
        ("[compute]\nthreads = 0", "compute.threads must be at least 1, file .* says 0"),
        ('[compute]\nmemory_limit = "lots"', "compute.memory_limit must be a size such as 512MB or 2GiB"),
        ('[metadata]\nsynchronous = "off"', "metadata.synchronous must be one of full, normal"),
        ('[lake]\nurl = "./lake"', "lake.url must be a URL such as file:./place"),
        ('project = ""', "project must be text that is not empty"),
        ("metadata = 3", "sets 'metadata', which is not a setting"),
        ("project = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        load_config(tmp_path, environment={})


def test_unknown_variables_and_arguments_are_refused_with_near_names(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"WHENCE_METADATA_URI is not a setting .*Near: 'WHENCE_METADATA_URL'"
    ):
        load_config(tmp_path, environment={"WHENCE_METADATA_URI": "x"})
    with pytest.raises(UsageError, match=r"argument 'metadata_uri' is not a setting .*Near: 'metadata_url'"):
        load_config(tmp_path, environment={}, metadata_uri="x")
    with pytest.raises(UsageError, match="environment WHENCE_COMPUTE_THREADS says 'two'"):
        load_config(tmp_path, environment={"WHENCE_COMPUTE_THREADS": "two"})
    load_config(tmp_path, environment={"WHENCE_TEST_DATA": "x", "WHENCE_CRASH_AT": "x", "OTHER": "x"})


def test_a_url_needs_the_places_of_tables_and_blobs() -> None:
    with pytest.raises(UsageError, match=r"postgresql://ada:\*\*\*@db/w is the metadata store") as raised:
        load_config("postgresql://ada:secret@db/w", environment={}, lake_url="s3://b/lake")
    assert raised.value.code == "incomplete-urls"
    assert "secret" not in str(raised.value)
    config = load_config(
        "postgresql://ada:secret@db/w", environment={}, lake_url="s3://b/l", blobs_url="s3://b/b"
    )
    assert config.value("metadata.url") == "postgresql://ada:secret@db/w"
    assert config.shown("metadata.url") == "postgresql://ada:***@db/w"


def test_a_config_may_be_overridden(tmp_path: Path) -> None:
    config = load_config(load_config(tmp_path, environment={"WHENCE_PROJECT": "a"}), compute_threads=2)
    assert (config.value("project"), config.value("compute.threads")) == ("a", 2)
    assert config.source("project") == "environment WHENCE_PROJECT"


def test_an_unknown_name_asks_for_near_names() -> None:
    with pytest.raises(
        NotFoundError, match=r"setting 'lake.uri' not found \(setting-not-found\)\. Near: 'lake.url'"
    ):
        get_setting("lake.uri")


def test_the_written_file_is_read_back_and_shows_every_setting(tmp_path: Path) -> None:
    name = 'a "quoted" \\ name\twith ü'
    write(tmp_path, settings_file(project=name))
    assert load_config(tmp_path, environment={}).value("project") == name
    text = settings_file()
    assert all(s.help in text for s in SETTINGS if s.read)
    shown = [line.removeprefix("# ") for line in text.splitlines() if " = " in line or line.startswith("[")]
    flat = tomllib.loads("\n".join(line for line in shown if "…" not in line))
    assert flat["metadata"] == {"url": "sqlite:///whence.db", "namespace": "default", "synchronous": "full"}


def test_paths_stay_what_they_are() -> None:
    root = Path("/data/100% mine")
    assert absolute_url("file:./lake", root) == "file:/data/100%25 mine/lake"
    assert absolute_url("file:///srv/lake", root) == "file:///srv/lake"
    assert absolute_url("sqlite:////srv/x.db", root) == "sqlite:////srv/x.db"
    assert absolute_url("sqlite:///:memory:", root) == "sqlite:///:memory:"
    assert absolute_url("duckdb://", root) == "duckdb://"


@given(st.text(alphabet=st.characters(blacklist_characters="/"), min_size=1))
def test_a_password_is_never_shown(password: str) -> None:
    shown = mask_url(f"postgresql://ada:{password}@db/whence")
    assert shown == "postgresql://ada:***@db/whence"
    assert (
        mask_url("s3://b/lake?secret_access_key=abc&region=x") == "s3://b/lake?secret_access_key=***&region=x"
    )


def test_to_dict_says_whence_each_value_came(tmp_path: Path) -> None:
    settings = load_config(tmp_path, environment={"WHENCE_PROJECT": "x"}).to_dict()["settings"]
    assert isinstance(settings, list)
    assert settings[0] == {
        "name": "project",
        "value": "x",
        "source": "environment WHENCE_PROJECT",
        "variable": "WHENCE_PROJECT",
        "help": "The project whose context every execution belongs to.",
        "read": True,
    }
    assert [s["name"] for s in settings] == [s.name for s in SETTINGS]
