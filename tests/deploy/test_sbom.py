"""
`make sbom`: the bill of materials says what requirements/run.txt installs, no more and no less.

Its generator is no dependency of ours and has an environment of its own, which `make sbom` makes from the index.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _parse_lock(path: Path) -> list[Requirement]:
    """
    What a lock file installs on this machine: one exact version a line, without its hashes.
    """
    lines = re.findall(r"^[a-z0-9].*?(?= \\$)", path.read_text(), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return [each for each in requirements if each.marker is None or each.marker.evaluate()]


def _find_obstacle(repository: Path) -> str | None:
    made = repository / ".venv-sbom" / ".ready"
    locks = [repository / "requirements" / name for name in ("sbom.txt", "run.txt")]
    if shutil.which("make") is None:
        return "there is no make here"
    if not made.exists() or made.stat().st_mtime < max(lock.stat().st_mtime for lock in locks):
        return "there is no .venv-sbom of these locks here; `make sbom` makes it, from the package index"
    return None


@pytest.fixture
def made(repository: Path, environment: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    """
    What `make sbom` wrote.
    """
    obstacle = _find_obstacle(repository)
    if obstacle is not None:
        pytest.skip(f"no bill of materials was made: {obstacle}")
    words = ["make", "--assume-old=.venv-sbom/.ready", "sbom", f"SBOM={tmp_path}/sbom.json"]
    subprocess.run(words, cwd=repository, env=environment, capture_output=True, timeout=60, check=True)
    read: dict[str, Any] = json.loads((tmp_path / "sbom.json").read_bytes())
    return read


def test_the_bill_of_materials_has_what_the_lock_installs(repository: Path, made: dict[str, Any]) -> None:
    """
    Name by name and version by version, each with its licence; the gateway itself is what is made of them.
    """
    locked = {f"{canonicalize_name(each.name)}{each.specifier}" for each in _parse_lock(_run_lock(repository))}
    named = {f"{canonicalize_name(each['name'])}=={each['version']}" for each in made["components"]}
    product = made["metadata"]["component"]

    assert ("CycloneDX", "application") == (made["bomFormat"], product["type"])
    assert ("noojee-gateway", __version__) == (product["name"], product["version"])
    assert locked == named
    assert [] == [each["name"] for each in made["components"] if not each.get("licenses") or not each.get("purl")]


def test_the_bill_of_materials_says_who_needs_whom(repository: Path, made: dict[str, Any]) -> None:
    """
    The gateway needs what pyproject.toml says, and everything else is needed by somebody.
    """
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    names = {each["bom-ref"]: canonicalize_name(each["name"]) for each in made["components"]}
    needs = {each["ref"]: set(each.get("dependsOn", [])) for each in made["dependencies"]}
    direct = needs[made["metadata"]["component"]["bom-ref"]]

    assert declared == {names[ref] for ref in direct}
    assert set(names) == set().union(*needs.values())


def test_every_lock_has_hashes_and_names_no_index(repository: Path) -> None:
    """
    Each requirement is one exact version with at least one hash; where it comes from is said on the machine.
    """
    locks = sorted((repository / "requirements").glob("*.txt"))

    assert {"run.txt", "dev.txt", "build.txt", "sbom.txt"} <= {path.name for path in locks}
    for path in locks:
        entries = re.split(r"\n(?=[a-z0-9])", path.read_text().strip())
        assert [] == [each for each in entries if not re.match(r"[a-z0-9.-]+(\[[a-z,-]+\])?==", each)], path.name
        assert [] == [each for each in entries if "--hash=sha256:" not in each], path.name
        assert "://" not in path.read_text(), path.name


def _run_lock(repository: Path) -> Path:
    return repository / "requirements" / "run.txt"
