"""Settings: one list feeds ``whence.toml``, ``WHENCE_*``, the arguments of `connect`, and the docs.

A value comes from the first of these that names it: an argument, the environment, the file, the
default. `Config.source` says which it was. Unknown keys and unknown ``WHENCE_*`` variables are
errors, because a misspelt setting that is silently ignored is the worst kind of default.

Addresses may be relative: ``file:./lake`` and ``sqlite:///whence.db`` mean places inside the
workspace folder; `Config.value` hands them out absolute, `Config.written` as they were written.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from whence.errors import NotFoundError, UsageError, near_names

FILE_NAME: Final = "whence.toml"
PREFIX: Final = "WHENCE_"
MASK: Final = "***"

Value: TypeAlias = str | int | None
SettingType: TypeAlias = Literal["text", "integer", "size", "url", "choice"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set.

    Args:
        name: ``section.key``, or a bare key of the top level.
        type: How its text is read; a `url` may be relative to the workspace folder.
        default: The value when nobody says otherwise; None leaves the choice to the room.
        help: What it does, as one sentence.
        choices: The allowed words of a `choice`.
        minimum: The smallest allowed `integer`.
        secret: Whether it is never shown.
        read: Whether this version reads it; a setting that is not read is shown as such.
    """

    name: str
    type: SettingType
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    secret: bool = False
    read: bool = True

    @property
    def variable(self) -> str:
        """The environment variable: ``metadata.url`` is ``WHENCE_METADATA_URL``."""
        return PREFIX + self.argument.upper()

    @property
    def argument(self) -> str:
        """The keyword of `load_config` and `whence.connect`: ``metadata_url``."""
        return self.name.replace(".", "_")


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("project", "text", "default", "The project whose context every execution belongs to."),
    Setting("metadata.url", "url", "sqlite:///whence.db", "Where the provenance graph lives."),
    Setting(
        "metadata.namespace",
        "text",
        "default",
        "The namespace of the graph that the workspace writes into and looks names up in.",
    ),
    Setting(
        "metadata.synchronous",
        "choice",
        "full",
        "What SQLite does at a commit: `full` survives a power cut, `normal` may lose the last commits but no order.",
        choices=("full", "normal"),
    ),
    Setting("lake.url", "url", "file:./lake", "Where the tables live."),
    Setting("blobs.url", "url", "file:./blobs", "Where bytes live, named by their digest."),
    Setting("compute.url", "url", "duckdb://", "The engine that runs SQL."),
    Setting(
        "compute.threads", "integer", None, "Threads of the engine; unset means one per core.", minimum=1
    ),
    Setting(
        "compute.memory_limit",
        "size",
        None,
        "Memory of the engine, such as `2GB`; unset is the engine's own limit.",
    ),
    Setting("features.online", "url", "sqlite:///online.db", "Where the online feature store lives."),
    Setting("log.url", "url", "file:./log", "The durable log rows arrive in.", read=False),
    Setting("server.host", "text", "127.0.0.1", "The address the server binds to.", read=False),
    Setting("server.port", "integer", 8732, "The port the server binds to.", minimum=0, read=False),
)

#: Variables that begin with WHENCE_ and are not settings of a workspace.
OTHER_VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "WHENCE_WORKSPACE": "The workspace commands use when none is named with `--workspace`.",
        "WHENCE_REPRODUCING": "Set in the process that makes a step again: nothing can be opened for writing there.",
        "WHENCE_CRASH_AT": "A crash point at which the process kills itself; for tests.",
    }
)
#: Variables of the project's own tests: never read by the product.
TEST_PREFIX: Final = "WHENCE_TEST_"

_BY_NAME: Final = {s.name: s for s in SETTINGS}


def is_reproducing() -> bool:
    """Whether this process makes a recorded step again, and so may change nothing."""
    return bool(os.environ.get("WHENCE_REPRODUCING"))


def calm_learners() -> None:
    """Let the threads of learners sleep while they wait for each other, unless the environment says otherwise.

    OpenMP's default is to spin: on a machine that does anything else, a fit of seconds then takes minutes. It
    is read when a learner's library is loaded, so this is called first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def get_setting(name: str) -> Setting:
    """The setting called `name`.

    Raises:
        NotFoundError: There is none; near names are given.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise NotFoundError("setting", name, near=_BY_NAME, hint="whence config show lists all") from None


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and whence it came."""

    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one workspace, each with the place it came from.

    Args:
        root: The folder that relative addresses are relative to.
        file: The ``whence.toml`` that was read; None when there is none.

    Example:
        >>> config = load_config("flights.whence", environment={}, compute_threads=2)
        >>> config.value("compute.threads"), config.source("compute.threads"), config.source("project")
        (2, 'argument', 'default')
    """

    root: Path
    file: Path | None
    entries: Mapping[str, Entry] = field(repr=False)

    @property
    def address(self) -> str:
        """The workspace in one word: its file, else its folder."""
        return str(self.file or self.root)

    def value(self, name: str) -> Value:
        """The value of a setting; addresses are absolute."""
        value = self.written(name)
        if get_setting(name).type == "url" and isinstance(value, str):
            return absolute_url(value, self.root)
        return value

    def written(self, name: str) -> Value:
        """The value of a setting as it was written."""
        get_setting(name)
        return self.entries[name].value

    def text(self, name: str) -> str:
        """The value of a setting that is always text."""
        value = self.value(name)
        assert isinstance(value, str), name
        return value

    def number(self, name: str) -> int | None:
        """The value of a setting that is a whole number or unset."""
        value = self.value(name)
        assert value is None or isinstance(value, int), name
        return value

    def source(self, name: str) -> str:
        """Whence the value came: ``argument``, ``environment WHENCE_…``, ``file …`` or ``default``."""
        get_setting(name)
        return self.entries[name].source

    def shown(self, name: str) -> Value:
        """The value as it may be shown: secrets and passwords inside addresses are masked."""
        value = self.written(name)
        if get_setting(name).secret and value is not None:
            return MASK
        return mask_url(value) if isinstance(value, str) else value

    def to_dict(self) -> dict[str, object]:
        """All settings with value, source and meaning, as ``whence config show --json`` prints them."""
        return {
            "root": str(self.root),
            "file": None if self.file is None else str(self.file),
            "settings": [
                {
                    "name": s.name,
                    "value": self.shown(s.name),
                    "source": self.source(s.name),
                    "variable": s.variable,
                    "help": s.help,
                    "read": s.read,
                }
                for s in SETTINGS
            ],
        }


def load_config(
    target: str | Path | Config | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **overrides: Value,
) -> Config:
    """The settings of a workspace.

    Args:
        target: A folder (with or without ``whence.toml``), a toml file, the URL of a metadata store,
            or None for the workspace of ``WHENCE_WORKSPACE``, else the nearest ``whence.toml``
            upwards from the working directory.
        environment: Instead of the process's environment.
        **overrides: Settings by their argument name, ``metadata_url="…"``; None means not given.

    Raises:
        UsageError: A key, variable or argument is unknown, a value has the wrong type, the file is not
            TOML, no workspace is found, or a URL is given without the URLs of lake and blobs.

    Example:
        >>> load_config("a.whence", environment={"WHENCE_PROJECT": "x"}).source("project")
        'environment WHENCE_PROJECT'
    """
    env = os.environ if environment is None else environment
    arguments = _arguments(overrides)
    if isinstance(target, Config):
        return Config(target.root, target.file, MappingProxyType({**target.entries, **arguments}))
    if isinstance(target, str) and "://" in target:
        arguments.setdefault("metadata.url", Entry(target, "argument"))
        root, file = Path.cwd(), None
    else:
        root, file = _locate(target, env)
    entries = {s.name: Entry(s.default, "default") for s in SETTINGS}
    if file is not None:
        entries |= _from_file(file)
    entries |= _from_environment(env)
    entries |= arguments
    if isinstance(target, str) and "://" in target:
        _require_places(entries, target)
    return Config(root, file, MappingProxyType(entries))


def find_file(start: Path) -> Path | None:
    """The nearest ``whence.toml`` in `start` or a folder above it."""
    start = start.resolve()
    return next((f / FILE_NAME for f in (start, *start.parents) if (f / FILE_NAME).is_file()), None)


def _locate(target: str | Path | None, env: Mapping[str, str]) -> tuple[Path, Path | None]:
    if target is None:
        named = env.get("WHENCE_WORKSPACE")
        if named:
            return _locate(named, {})
        file = find_file(Path.cwd())
        if file is None:
            raise UsageError(
                f"no workspace: neither --workspace nor WHENCE_WORKSPACE is given, and no {FILE_NAME} lies here or above",
                code="no-workspace",
                hint="whence init makes one here",
            )
        return file.parent, file
    path = Path(target).expanduser().absolute()
    if path.suffix == ".toml":
        if not path.is_file():
            raise NotFoundError("settings file", str(target), hint="whence init writes one")
        return path.parent, path
    if path.exists() and not path.is_dir():
        raise UsageError(f"workspace {str(target)!r} is a file, a folder is wanted", code="bad-workspace")
    file = path / FILE_NAME
    return path, file if file.is_file() else None


def _require_places(entries: Mapping[str, Entry], target: str) -> None:
    """With a URL there is no folder, so the places of tables and blobs must be said, not guessed."""
    missing = [n for n in ("lake.url", "blobs.url") if entries[n].source == "default"]
    if missing:
        arguments = ", ".join(f'{_BY_NAME[n].argument}="…"' for n in missing)
        raise UsageError(
            f"{mask_url(target)} is the metadata store; {' and '.join(missing)} must be given too",
            code="incomplete-urls",
            hint=f"pass {arguments}, or name a folder or a whence.toml instead",
        )


def _arguments(overrides: Mapping[str, Value]) -> dict[str, Entry]:
    by_argument = {s.argument: s for s in SETTINGS}
    out = {}
    for name, value in overrides.items():
        setting = by_argument.get(name)
        if setting is None:
            raise UsageError(
                f"argument {name!r} is not a setting",
                code="unknown-setting",
                near=near_names(name, by_argument),
            )
        if value is not None:
            out[setting.name] = Entry(_checked(setting, value, "argument"), "argument")
    return out


def _from_environment(env: Mapping[str, str]) -> dict[str, Entry]:
    by_variable = {s.variable: s for s in SETTINGS}
    out = {}
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or variable.startswith(TEST_PREFIX) or variable in OTHER_VARIABLES:
            continue
        setting = by_variable.get(variable)
        if setting is None:
            raise UsageError(
                f"environment variable {variable} is not a setting",
                code="unknown-setting",
                near=near_names(variable, [*by_variable, *OTHER_VARIABLES]),
                hint="unset it; whence config show lists the variables",
            )
        source = f"environment {variable}"
        out[setting.name] = Entry(_checked(setting, _parsed(setting, text, source), source), source)
    return out


def _from_file(file: Path) -> dict[str, Entry]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}", code="bad-settings-file") from error
    out = {}
    for name, value in _flat(document):
        setting = _BY_NAME.get(name)
        if setting is None:
            raise UsageError(
                f"{file} sets {name!r}, which is not a setting",
                code="unknown-setting",
                near=near_names(name, _BY_NAME),
                hint="whence config show lists the settings",
            )
        source = f"file {file}"
        out[name] = Entry(_checked(setting, value, source), source)
    return out


def _flat(document: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    out: list[tuple[str, object]] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append((prefix + key, value))
    return out


def _parsed(setting: Setting, text: str, source: str) -> Value:
    if setting.type != "integer":
        return text
    try:
        return int(text)
    except ValueError:
        raise _wrong(setting, text, source, "a whole number") from None


_SIZE: Final = re.compile(r"[1-9][0-9]*(\.[0-9]+)? ?([KMGT]i?)?B", re.IGNORECASE)


def _checked(setting: Setting, value: object, source: str) -> Value:
    if setting.type == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(setting, value, source, "a whole number")
        if setting.minimum is not None and value < setting.minimum:
            raise _wrong(setting, value, source, f"at least {setting.minimum}")
        return value
    if not isinstance(value, str) or not value.strip():
        raise _wrong(setting, value, source, "text that is not empty")
    if setting.type == "choice" and value not in setting.choices:
        raise _wrong(setting, value, source, "one of " + ", ".join(setting.choices))
    if setting.type == "size" and not _SIZE.fullmatch(value):
        raise _wrong(setting, value, source, "a size such as 512MB or 2GiB")
    if setting.type == "url" and not re.match(r"[a-z][a-z0-9+.-]*:", value):
        raise _wrong(setting, value, source, "a URL such as file:./place or sqlite:///file.db")
    return value


def _wrong(setting: Setting, value: object, source: str, wanted: str) -> UsageError:
    shown = MASK if setting.secret else mask_url(value) if isinstance(value, str) else value
    return UsageError(f"{setting.name} must be {wanted}, {source} says {shown!r}", code="bad-setting")


def absolute_url(url: str, root: Path) -> str:
    """`url` with a relative path made absolute inside `root`; other addresses stay as they are.

    Example:
        >>> absolute_url("file:./lake", Path("/data")), absolute_url("sqlite:///whence.db", Path("/data"))
        ('file:/data/lake', 'sqlite:////data/whence.db')
        >>> absolute_url("s3://bucket/lake", Path("/data"))
        's3://bucket/lake'
    """
    scheme, _, rest = url.partition(":")
    if scheme == "file" and not rest.startswith("/"):
        return f"file:{os.path.normpath(_in_url(root) / rest)}"
    if scheme.startswith("sqlite") and rest.startswith("///") and not rest.startswith("////"):
        path = rest[3:]
        if path and not path.startswith(":memory:"):
            return f"{scheme}:///{os.path.normpath(_in_url(root) / path)}"
    return url


def _in_url(root: Path) -> Path:
    """A folder as the path of a URL: what would mean something else there is percent-encoded."""
    return Path(re.sub("[%?#]", lambda found: quote(found[0]), str(root)))


def mask_url(url: str) -> str:
    """`url` without the password it may carry.

    Example:
        >>> mask_url("postgresql://ada:secret@db/whence")
        'postgresql://ada:***@db/whence'
    """
    url = re.sub(r"(?<=://)([^/@:]*):[^/]*@", rf"\1:{MASK}@", url)
    return re.sub(r"([?&](?:password|secret|token|[a-z_]*key)=)[^&]*", rf"\1{MASK}", url, flags=re.IGNORECASE)


def settings_file(*, project: str | None = None) -> str:
    """The text of a new ``whence.toml``: every setting this version reads, with its meaning, as a comment.

    Example:
        >>> print(settings_file(project="flights").splitlines()[3])
        project = "flights"
    """
    lines = ["# Settings of this whence workspace. A line that is commented out shows the default.", ""]
    section = ""
    for s in SETTINGS:
        if not s.read:
            continue
        head, dot, key = s.name.rpartition(".")
        if dot and head != section:
            section = head
            lines += ["", f"[{head}]"]
        lines.append(f"# {s.help}")
        if s.name == "project" and project is not None:
            lines.append(f"project = {_toml(project)}")
        else:
            lines.append(f"# {key or s.name} = {_toml(s.default) if s.default is not None else '…'}")
    return "\n".join(lines) + "\n"


def _toml(value: Value) -> str:
    # JSON escapes what a TOML basic string must escape, in the same way.
    return json.dumps(value, ensure_ascii=False)
