"""
Dockerfile, docker-compose.yml and .dockerignore agree with each other, with the tree and with README.

No engine runs here, so no image is built. What can go wrong without one is looked at: a copied path that is not there,
a wheel that lacks a file, keys that enter the build, a port open to the network, a service that README invents.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def _read_instructions(dockerfile: str) -> list[list[str]]:
    """
    Each instruction as its words; continued lines are joined, comments dropped.
    """
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    return [line.split() for line in joined.splitlines() if line.strip()]


def _read_compose(text: str) -> dict[str, Any]:
    """
    The mappings, lists and scalars that the file is made of; no YAML library is among our dependencies.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    rows = [(len(line) - len(line.lstrip()), line.strip()) for line in lines]
    read: dict[str, Any] = _read_value(rows)
    return read


def _read_value(rows: list[tuple[int, str]]) -> Any:
    if not rows:
        return None
    if rows[0][1].startswith("- "):
        return [text.removeprefix("- ").strip('"') for _, text in rows]
    found = {}
    for (_, text), inner in _split(rows):
        name, _, value = text.partition(":")
        found[name] = _read_value(inner) if not value else _read_scalar(value.strip())
    return found


def _split(rows: list[tuple[int, str]]) -> Iterator[tuple[tuple[int, str], list[tuple[int, str]]]]:
    """
    Each row of the outermost indentation with the rows below it.
    """
    starts = [number for number, row in enumerate(rows) if row[0] == rows[0][0]]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield rows[start], rows[start + 1 : end]


def _read_scalar(text: str) -> Any:
    if text.startswith("["):
        return [item.strip() for item in text.strip("[]").split(",")]
    return text.strip('"')


@pytest.fixture
def instructions(repository: Path) -> list[list[str]]:
    """
    The Dockerfile's instructions.
    """
    return _read_instructions((repository / "Dockerfile").read_text())


@pytest.fixture
def compose(repository: Path) -> Mapping[str, Any]:
    """
    What docker-compose.yml says.
    """
    return _read_compose((repository / "docker-compose.yml").read_text())


@pytest.fixture
def copied(instructions: list[list[str]]) -> list[str]:
    """
    The paths that the image's build takes from the tree.
    """
    copies = [words[1:-1] for words in instructions if words[0] == "COPY" and not words[1].startswith("--from")]
    return [path for words in copies for path in words]


def test_the_image_takes_paths_that_are_there_and_that_the_build_may_see(repository: Path, copied: list[str]) -> None:
    """
    .dockerignore shuts everything out but the copied paths, and of these whatever looks like a key or a data folder.
    """
    patterns = [line for line in (repository / ".dockerignore").read_text().splitlines() if line[:1] not in {"", "#"}]

    assert ["requirements", "pyproject.toml", "README.md", "LICENSE", "gateway"] == copied
    assert [] == [path for path in copied if not (repository / path).exists()]
    assert "*" == patterns[0]
    assert set(copied) == {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert {"data/", "**/data/", "**/*.key"} <= set(patterns)
    assert [] == [path for path in copied if any(fnmatch.fnmatch(path, pattern) for pattern in patterns[1:])]


def test_what_the_image_copies_makes_a_whole_wheel(repository: Path, copied: list[str], tmp_path: Path) -> None:
    """
    The build back end needs nothing that was not copied, and what the gateway reads at run time is in the wheel.
    """
    for path in copied:
        source = repository / path
        if source.is_dir():
            shutil.copytree(source, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / path)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "wheels"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    [wheel] = (tmp_path / "wheels").glob("noojee_gateway-*-py3-none-any.whl")
    package = [path for path in (tmp_path / "gateway").rglob("*") if path.is_file()]
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    assert {"gateway/noojee/catalogue.json", "gateway/registry/migrations/env.py"} <= held
    assert set() == {str(path.relative_to(tmp_path)) for path in package} - held


def test_the_image_installs_from_the_locks_alone_and_runs_without_rights(instructions: list[list[str]]) -> None:
    """
    Every installation asks for hashes or brings no dependency; the base has a version; the user is not root.
    """
    runs = [" ".join(words) for words in instructions if words[0] == "RUN"]
    installs = [part for run in runs for part in re.split("&&", run) if "pip install" in part or "pip wheel" in part]
    bases = [words[1] for words in instructions if words[0] == "FROM"]
    last = {words[0]: words[1:] for words in instructions}

    assert 4 == len(installs)
    assert [] == [each for each in installs if "--require-hashes" not in each and "--no-deps" not in each]
    assert 1 == len(set(bases))
    assert re.fullmatch(r"python:3\.[0-9]+\.[0-9]+-slim-\w+", bases[0])
    assert ["noojee-gateway"] == last["USER"]
    assert ['["noojee-gateway"]'] == last["ENTRYPOINT"]
    assert ['["serve"]'] == last["CMD"]


def test_the_node_keeps_its_data_on_a_volume_and_is_reached_from_this_machine_alone(
    compose: Mapping[str, Any], instructions: list[list[str]]
) -> None:
    """
    The volume is where the image's data folder is, the port is published on loopback, and the settings are settings.
    """
    node = compose["services"]["gateway"]
    environment = dict(word.split("=", 1) for words in instructions if words[0] == "ENV" for word in words[1:])
    [volume] = node["volumes"]
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}

    assert f"data:{environment['GATEWAY_DATA_DIR']}" == volume
    assert {"data": None} == compose["volumes"]
    assert ["127.0.0.1:8080:8080"] == node["ports"]
    assert {name for name in environment if name.startswith("GATEWAY_")} | set(node["environment"]) <= known


def test_the_demo_is_asked_for_by_name_and_uses_the_machines_own_loopback(compose: Mapping[str, Any]) -> None:
    """
    The demo binds 127.0.0.1 only, so a network of the container's own would hide it.
    """
    demo = compose["services"]["demo"]

    assert ["demo"] == demo["profiles"]
    assert ["demo"] == demo["command"]
    assert "host" == demo["network_mode"]


def test_readme_names_the_services_that_there_are(repository: Path, compose: Mapping[str, Any]) -> None:
    """
    Each line of README's `docker` blocks is a verb of `docker compose` for one of the services, or builds them all.
    """
    found = re.findall(r"^```sh docker\n(.*?)^```$", (repository / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split() for text in found for line in text.splitlines()]

    assert {"build", "run", "up", "exec"} == {words[2] for words in lines}
    for words in lines:
        assert ["docker", "compose"] == words[:2]
        assert words[2] == "build" or set(compose["services"]) & set(words[3:]), words
