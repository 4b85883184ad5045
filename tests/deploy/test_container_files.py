"""
Dockerfile, docker-compose.yml and .dockerignore agree with each other, with the tree and with README.

No engine runs here, so no image is built: `deploy/build-without-docker.sh` does that, and docs/recorded-runs/ has what
came of it. What can go wrong without an engine is looked at here: a copied path that is not there, a wheel that lacks a
file, keys that enter the build, a port open to the network, a service that README invents.
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
import yaml

from gateway import __version__
from gateway.cli.node import _END_MARGIN_SECONDS
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_CHECK = "deploy/container/healthcheck.py"


def _read_instructions(dockerfile: str) -> list[list[str]]:
    """
    Each instruction as its words; continued lines are joined, comments dropped.
    """
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    return [line.split() for line in joined.splitlines() if line.strip()]


class _ComposeLoader(yaml.SafeLoader):  # type: ignore[misc]  # ships no types
    """
    YAML with the two tags of Compose: what is laid over another file takes a value away, or takes its place.
    """


_ComposeLoader.add_constructor("!reset", lambda _loader, _node: None)
_ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))


def _read_compose(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(path.read_text(), Loader=_ComposeLoader)  # noqa: S506 - a safe loader, see above
    return read


def _fill_in(text: str) -> str:
    """
    What Compose makes of a text when no variable is set: the default of each.
    """
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


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
    return _read_compose(repository / "docker-compose.yml")


@pytest.fixture
def copied(instructions: list[list[str]]) -> list[str]:
    """
    The paths that the image's build takes from the tree.
    """
    defaults = dict(words[1].split("=", 1) for words in instructions if words[0] == "ARG" and "=" in words[1])
    copies = [words[1:-1] for words in instructions if words[0] == "COPY" and not words[1].startswith("--from")]
    return [re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], path) for words in copies for path in words]


def test_the_image_takes_paths_that_are_there_and_that_the_build_may_see(repository: Path, copied: list[str]) -> None:
    """
    .dockerignore shuts everything out but the copied paths, and of these whatever looks like a key or a data folder.
    """
    patterns = [line for line in (repository / ".dockerignore").read_text().splitlines() if line[:1] not in {"", "#"}]
    let_in = {pattern[1:] for pattern in patterns if pattern.startswith("!")}

    assert ["requirements", "requirements", "pyproject.toml", "README.md", "LICENSE", "gateway", _CHECK] == copied
    assert [] == [path for path in copied if not (repository / path).exists()]
    assert "*" == patterns[0]
    # A folder is let in for one of its files, and its other files are shut out again.
    assert {*copied, "wheels", "deploy", "deploy/container"} == let_in
    assert {"deploy/*", "deploy/container/*"} <= set(patterns)
    assert {"data/", "**/data/", "**/*.key", "**/*.pem", "**/.env"} <= set(patterns)
    names = [path for path in copied if not path.startswith("deploy/")]
    assert [] == [path for path in names if any(fnmatch.fnmatch(path, pattern) for pattern in patterns[1:])]


def test_git_keeps_no_data_folder_no_secret_and_no_settings(repository: Path) -> None:
    """
    What an operator makes beside docker-compose.yml is in no commit.
    """
    ignored = (repository / ".gitignore").read_text().splitlines()

    assert {"data/", "secrets/", ".env", "wheels/"} <= set(ignored)


def test_what_the_image_copies_makes_a_whole_wheel(repository: Path, copied: list[str], tmp_path: Path) -> None:
    """
    The build back end needs nothing that was not copied, and what the gateway reads at run time is in the wheel.
    """
    for path in dict.fromkeys(copied[:-1]):
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
    commands = [part for run in runs for part in run.split("&&")]
    installs = [part for part in commands if re.search(r"/pip .*\b(install|wheel)\b", part)]
    bases = [words[1] for words in instructions if words[0] == "FROM"]
    [base] = [words[1] for words in instructions if words[0] == "ARG" and words[1].startswith("BASE_IMAGE=")]
    last = {words[0]: words[1:] for words in instructions}

    assert 4 == len(installs)
    assert [] == [each for each in installs if "--require-hashes" not in each and "--no-deps" not in each]
    assert {"${BASE_IMAGE}"} == set(bases)
    assert re.fullmatch(r"BASE_IMAGE=python:3\.[0-9]+\.[0-9]+-slim-\w+", base)
    assert ["10001:10001"] == last["USER"]
    assert ['["noojee-gateway"]'] == last["ENTRYPOINT"]
    assert ['["serve"]'] == last["CMD"]


def test_the_handbook_says_how_to_hold_the_base_still(repository: Path, instructions: list[list[str]]) -> None:
    """
    By its digest, since the one that is written in the file is a tag.
    """
    [base] = [words[1] for words in instructions if words[0] == "ARG" and words[1].startswith("BASE_IMAGE=")]

    assert f"--build-arg {base}@sha256:" in (repository / "docs" / "operating.md").read_text()


def test_the_image_says_what_it_is(repository: Path) -> None:
    """
    Its labels: the version and the licence are those of the package.
    """
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', (repository / "Dockerfile").read_text()))

    assert {"title", "description", "version", "licenses"} == set(labels)
    assert __version__ == labels["version"]
    assert "Apache-2.0" == labels["licenses"]


def test_nothing_in_the_image_leaves_its_caution_to_a_default_of_the_engine(compose: Mapping[str, Any]) -> None:
    """
    Both services: nothing can be written but volumes and /tmp, no capability, no new privilege, bounds on everything.
    """
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert ["ALL"] == service["cap_drop"]
        assert "cap_add" not in service
        assert "privileged" not in service
        assert ["no-new-privileges:true"] == service["security_opt"]
        assert service["mem_limit"] == service["memswap_limit"]
        assert 128 == service["pids_limit"]
        assert 0 == service["ulimits"]["core"], "a core dump would hold every open key"
        assert all(text.startswith("/tmp:") and "noexec" in text for text in service["tmpfs"])  # noqa: S108
        assert all(text.startswith("127.0.0.1:") for text in service["ports"])


def test_the_node_keeps_data_and_journal_on_volumes_and_its_master_key_apart(
    compose: Mapping[str, Any], instructions: list[list[str]]
) -> None:
    """
    The volumes are where the image's folders are, the key is a secret of Compose's, and the settings are settings.
    """
    node = compose["services"]["gateway"]
    environment = dict(word.split("=", 1) for words in instructions if words[0] == "ENV" for word in words[1:])
    data = environment["GATEWAY_DATA_DIR"]
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    named = {name for name in {*environment, *node["environment"]} if name.startswith("GATEWAY_")}

    assert [f"data:{data}", f"journal:{data}/journal"] == node["volumes"]
    assert {"data": None, "journal": None} == compose["volumes"]
    assert ["master.key"] == node["secrets"]
    assert "/run/secrets/master.key" == node["environment"]["GATEWAY_MASTER_KEY_FILE"]
    assert named <= known
    assert "unless-stopped" == node["restart"]
    assert {"soft": 65536, "hard": 65536} == node["ulimits"]["nofile"]


def test_the_node_is_given_the_time_that_its_calls_may_take_to_end(compose: Mapping[str, Any], tmp_path: Path) -> None:
    """
    Killed before that, calls would end without an answer and without an outcome.
    """
    seconds = int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s"))

    assert seconds > Settings(data_dir=tmp_path).drain_timeout.total_seconds() + _END_MARGIN_SECONDS


def test_plain_text_is_allowed_on_this_machine_alone_and_taken_back_with_tls(
    repository: Path, compose: Mapping[str, Any]
) -> None:
    """
    The image itself allows nothing: without docker-compose.yml's word `serve` refuses to listen beyond loopback.
    """
    node = compose["services"]["gateway"]
    over = _read_compose(repository / "deploy" / "compose.tls.yml")["services"]["gateway"]
    ours = {"GATEWAY_TLS_CERT_FILE": "/run/secrets/tls.pem", "GATEWAY_TLS_KEY_FILE": "/run/secrets/tls.key"}

    assert "ALLOW_PLAINTEXT" not in (repository / "Dockerfile").read_text()
    assert ["127.0.0.1:8080:8080", "127.0.0.1:8081:8081"] == [_fill_in(text) for text in node["ports"]]
    assert {"GATEWAY_ALLOW_PLAINTEXT": None} | ours == over["environment"]
    assert ["tls.pem", "tls.key"] == over["secrets"]
    assert [True, False] == ["PUBLISH_ADDRESS" in text for text in over["ports"]], "operators' port stays here"


def test_one_file_sets_a_node_up(repository: Path, compose: Mapping[str, Any]) -> None:
    """
    Every variable of both files is in .env.example, whose values are the defaults; and nothing in it is a secret.
    """
    text = (repository / ".env.example").read_text()
    told = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    files = [(repository / name).read_text() for name in ("docker-compose.yml", "deploy/compose.tls.yml")]
    used = set(re.findall(r"\$\{(\w+)", "".join(files)))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", files[0]))
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}

    assert used <= set(told)
    assert defaults == {name: told[name] for name in defaults}
    assert set(told) - used == {"COMPOSE_PROFILES", "COMPOSE_FILE", "GATEWAY_LOG_LEVEL"}
    assert {name for name in told if name.startswith("GATEWAY_")} <= known
    assert [told["COMPOSE_PROFILES"]] == compose["services"]["gateway"]["profiles"]
    assert all((repository / name).exists() for name in told["COMPOSE_FILE"].split(":"))


def test_the_compose_file_begins_with_the_steps_of_readme(repository: Path) -> None:
    """
    In their order, and none left out: `up` without `init` before it would end at once, again and again.
    """
    [block] = re.findall(
        r"^```sh docker\n(cp .*?)^```$", (repository / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    steps = [line for line in block.splitlines() if line.split()[2] in {"build", "run", "up"}]
    head = (repository / "docker-compose.yml").read_text().partition("\nname:")[0]
    told = [line.strip("# ") for line in head.splitlines()]

    assert 3 == len(steps)
    assert steps == [line for line in told if line in steps]


def test_the_demo_needs_no_file_and_no_secret(repository: Path, compose: Mapping[str, Any]) -> None:
    """
    It is asked for by its profile, and what it runs is in the repository.
    """
    demo = compose["services"]["demo"]

    assert ["demo"] == demo["profiles"]
    assert {"env_file", "secrets", "volumes"}.isdisjoint(demo)
    assert [{"source": "demo.sh", "target": "/demo.sh"}] == demo["configs"]
    assert (repository / compose["configs"]["demo.sh"]["file"]).exists()
    assert ["/bin/sh", "/demo.sh"] == demo["entrypoint"]


def test_readme_names_the_services_that_there_are(repository: Path, compose: Mapping[str, Any]) -> None:
    """
    Each line of README's `docker` blocks is `docker compose` with one of the services, or stands in .env.example.
    """
    found = re.findall(r"^```sh docker\n(.*?)^```$", (repository / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for text in found for line in text.splitlines()]
    known = (repository / ".env.example").read_text() + (repository / "docker-compose.yml").read_text()
    composed = [line.split() for line in lines if line.startswith("docker compose ")]

    assert {"build", "up", "exec"} <= {words[2] for words in composed}
    for words in composed:
        assert words[2] == "build" or set(compose["services"]) & set(words[3:]), words
    for line in set(lines) - {" ".join(words) for words in composed}:
        assert line in known, line
