"""
The files that a house of this kind is expected to have, and that nothing else reads.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _make_dry(target: str, repository: Path, environment: Mapping[str, str]) -> list[str]:
    words = ["make", "--dry-run", "--assume-old=.venv/.ready", target]
    done = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_the_pre_commit_hooks_are_what_make_check_runs(repository: Path, environment: Mapping[str, str]) -> None:
    """
    A commit is looked at by the same commands in the same order, from .venv, with nothing downloaded.
    """
    hooks = (repository / ".pre-commit-config.yaml").read_text()

    assert _make_dry("check", repository, environment) == re.findall(r"^ +entry: (.+)$", hooks, re.MULTILINE)
    assert ["local"] == re.findall(r"repo: (.+)$", hooks, re.MULTILINE)


def test_what_contributors_are_told_to_run_is_there(repository: Path) -> None:
    """
    Every target that CONTRIBUTING.md names is one of the Makefile's, and every program a file.
    """
    told = (repository / "CONTRIBUTING.md").read_text()
    makefile = (repository / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    programs = re.findall(r"`python (\S+\.py)", told)

    assert {"test", "check", "bench", "soak", "sbom", "lock"} <= set(re.findall(r"\bmake (\w+)", told))
    assert set(re.findall(r"`make (\w+)", told)) <= set(phony.split())
    assert programs
    assert all((repository / program).is_file() for program in programs)


def test_continuous_integration_runs_what_a_person_would(repository: Path) -> None:
    """
    `.ci/run` is `make check` and `make test`, and whatever it takes to be in the right folder.
    """
    lines = (repository / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]

    assert ["make check", "make test"] == commands


def test_the_licence_is_the_whole_apache_licence(repository: Path) -> None:
    """
    The text from its title to its appendix, and the name that the package's metadata gives it.
    """
    licence = (repository / "LICENSE").read_text()

    assert licence.lstrip().startswith("Apache License\n")
    assert "END OF TERMS AND CONDITIONS" in licence
    assert 'license = "Apache-2.0"' in (repository / "pyproject.toml").read_text()


def test_the_changelog_begins_with_this_version(repository: Path) -> None:
    """
    The newest heading names the version of the package.
    """
    headings = re.findall(r"^## (.+)$", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert __version__ in headings[0]


def test_every_decision_tells_its_context_its_choice_and_what_would_change_it(repository: Path) -> None:
    """
    The form that docs/decisions/README.md promises, under a number of its own.
    """
    files = sorted((repository / "docs" / "decisions").glob("0*.md"))
    numbers = [path.name[:4] for path in files]
    sections = ["## Context", "## Choice", "## Consequences", "## What would make us change it"]

    assert len(files) == len(set(numbers))
    for path in files:
        text = path.read_text()
        assert re.match(rf"# 0*{int(path.name[:4])}[:.] ", text), path.name
        assert sections == re.findall(r"^## .+$", text, re.MULTILINE), path.name
