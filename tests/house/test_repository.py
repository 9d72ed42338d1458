"""The files around the source: pins, changelog fragments, targets, the licence."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.house.source import ROOT, tracked

PINS = sorted((ROOT / "requirements").glob("*.txt"))
PINNED = [p for p in PINS if p.name != "excludes.txt"]


@pytest.mark.parametrize("file", PINNED, ids=lambda p: p.name)
def test_pins_have_hashes_and_no_address(file: object) -> None:
    from pathlib import Path

    assert isinstance(file, Path)
    text = file.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert not [line for line in lines if line.startswith("-") or "://" in line]
    packages = [line for line in lines if not line.startswith(" ")]
    assert packages
    for line in packages:
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+( ; .*)? \\$", line), line
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert all("--hash=sha256:" in b for b in blocks if re.match(r"[a-z0-9-]+(\[.*\])?==", b))


def test_the_pins_fit_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
    )
    for requirement in project["dependencies"]:
        name, least = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", requirement).groups()  # type: ignore[union-attr]
        have = tuple(int(n) for n in re.findall(r"\d+", pinned[name]))
        assert have >= tuple(int(n) for n in least.split(".")), f"{name} {pinned[name]} is older than {least}"
    assert "pandas" not in pinned, "the demo reads the data's files; it does not import their package"


def test_run_is_a_part_of_dev() -> None:
    def read(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))

    run, dev = read("run.txt"), read("dev.txt")
    assert {n: v for n, v in run.items() if dev.get(n) != v} == {}
    assert read("bootstrap.txt")["uv"] == dev["uv"], "syncing must not take the installer away"


def test_changelog_fragments_have_a_name_a_kind_and_a_sentence() -> None:
    fragments = sorted((ROOT / "changelog.d").iterdir())
    assert fragments
    for file in fragments:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|removed)\.md", file.name), (
            file.name
        )
        text = file.read_text(encoding="utf-8").strip()
        assert text.endswith("."), f"{file.name} is a sentence"
        assert "\n\n" not in text, f"{file.name} says one thing"


def test_nothing_large_and_nothing_foreign_is_kept() -> None:
    large = {str(f.relative_to(ROOT)): f.stat().st_size for f in tracked() if f.stat().st_size > 1 << 20}
    assert large == {}
    assert [
        f.name for f in tracked() if re.search(r"\.min\.(js|css)$|\.(pkl|pickle|so|whl|jar)$", f.name)
    ] == []
    assert not any((ROOT / name).exists() for name in ("uv.lock", "poetry.lock"))


def test_the_wheel_carries_its_licence_and_types() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert (ROOT / "src" / "whence" / "py.typed").is_file()


def test_make_help_names_every_target() -> None:
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run([make, "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in (
        "demo",
        "test",
        "lint",
        "types",
        "contracts",
        "docs",
        "wheel",
        "bench",
        "pins",
        "clean",
        "help",
    ):
        assert f"make {target} " in done.stdout
