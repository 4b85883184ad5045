"""
What an operator does with a gateway that serves behind a proxy with a password: each verb of it, and what goes wrong.
"""

from __future__ import annotations

import base64
import os
import signal
from typing import TYPE_CHECKING

from connect_proxy import run_connect_proxy
from installation import wait_until
from leak_story import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from installation import Gateway
    from leak_story import Story

__all__ = ["PROXY_PASSWORD", "operate"]

PROXY_PASSWORD = "pR0xy/Pa55+w0rd=mark3d"
_BASIC = base64.b64encode(f"gateway:{PROXY_PASSWORD}".encode()).decode()
_CALL = "/servicemanager/rest/CampaignAPI/getCampaignTemplateList"
_DECLARED = """
[[credentials]]
name = "declared"
upstream = "noojee"
kind = "global"
key = "stdin"
"""


def operate(story: Story, folder: Path, settings: Mapping[str, str]) -> None:
    """
    A `serve` of its own, with a file of settings that is read again.
    """
    story.secrets |= {"proxy password": PROXY_PASSWORD, "proxy password as it is sent": _BASIC}
    config = folder / "operated.toml"
    config.write_text('keep_alive_timeout = "70s"\n')
    with (
        run_connect_proxy(authorization=f"Basic {_BASIC}") as proxy,
        story.installation.serve(**settings, GATEWAY_CONFIG=str(config)) as gateway,
    ):
        url = f"http://gateway@127.0.0.1:{proxy.port}"
        story.run(f"upstream set noojee --proxy {url}", stdin=PROXY_PASSWORD)
        story.run(f"upstream set noojee --proxy {url} --json", stdin=f"{PROXY_PASSWORD}\n")
        assert 200 == story.call(gateway, _CALL).status
        _look(story)
        _declare(story, folder)
        _replace_the_master_key(story)
        _replace_the_worker(story, gateway)
        _reload(story, gateway, config)
        assert 200 == story.call(gateway, _CALL).status
        assert f"Proxy-Authorization: Basic {_BASIC}".encode() in proxy.heads[-1]
        proxy.authorization = "Basic another"
        _replace_the_worker(story, gateway)
        assert "upstream_unreachable" == story.call(gateway, _CALL).reason
        _look(story)
        _give_the_password_away(story, folder, proxy.port)
        story.gather("operated", gateway)
        story.run("upstream set noojee --proxy none")


def _look(story: Story) -> None:
    """
    Three of the upstreams will not do, so the exit code is 1.
    """
    for line in ("check", "check --with-key"):
        story.run(line, code=1)
        story.run(f"{line} --json", code=1)
    for line in ("upstream show noojee", "export-config", "export-config --format yaml", "migrate"):
        story.run(line)
        story.run(f"{line} --json")


def _declare(story: Story, folder: Path) -> None:
    document = folder / "declared.toml"
    document.write_text(story.run("export-config").out + _DECLARED)
    story.run(f"apply -f {document} --dry-run")
    story.run(f"apply -f {document} --dry-run --json")
    story.run(f"apply -f {document}", stdin=KEYS["global key"])
    story.run("credential remove declared")
    story.run(f"apply -f {document} --json", stdin=f"{KEYS['global key']}\n")
    story.run("credential remove declared")


def _replace_the_master_key(story: Story) -> None:
    for line in ("master-key rotate", "master-key rotate --json", "master-key prune", "master-key prune --json"):
        story.run(line)
        for text in (story.installation.data_dir / "master.key").read_text().splitlines():
            version, key = text.split()[:2]
            story.secrets[f"master key {version}"] = base64.b64decode(key)
            story.secrets[f"master key {version}'s text"] = key


def _replace_the_worker(story: Story, gateway: Gateway) -> None:
    for line in ("restart", "restart --json"):
        story.run(line)
        wait_until(lambda: len(gateway.worker_pids) == 1, "the old worker has left", 20)


def _reload(story: Story, gateway: Gateway, config: Path) -> None:
    """
    SIGHUP, with a setting that changed, and with a password where a setting should stand.
    """
    for text, said in (
        ('keep_alive_timeout = "60s"\n', "reloaded: certificates"),
        (f'hash_pair_lifetime = "{PROXY_PASSWORD}"\n', "the settings were not reloaded"),
        (f'"{PROXY_PASSWORD}" = 1\n', "the settings were not reloaded"),
        ('keep_alive_timeout = "60s"\n', "reloaded: certificates"),
    ):
        config.write_text(text)
        before = len(story.installation.log())
        os.kill(gateway.process.pid, signal.SIGHUP)
        wait_until(lambda: said in story.installation.log()[before:], "it says what came of it")  # noqa: B023 - at once


def _give_the_password_away(story: Story, folder: Path, port: int) -> None:
    """
    In a URL, in a document, in the wrong verb, and too long. All are refused.
    """
    password = PROXY_PASSWORD.replace("/", "%2F")
    for line in (
        f"upstream set noojee --proxy http://gateway:{password}@127.0.0.1:{port}",
        f"upstream set noojee --proxy http://{PROXY_PASSWORD}@127.0.0.1",
        f"upstream set noojee --pin {PROXY_PASSWORD}",
        f"upstream show {PROXY_PASSWORD}",
        f"export-config --format {PROXY_PASSWORD}",
        f"migrate --to {PROXY_PASSWORD}",
        f"check {PROXY_PASSWORD}",
        f"restart {PROXY_PASSWORD}",
        f"master-key {PROXY_PASSWORD}",
    ):
        done = story.command_line.run(line, log_level="debug")
        story.outputs.add(f"output of a password in {line.split()[0]}", done.out + done.err)
        assert done.code in {1, 2}, done.err
    story.run(f"upstream set noojee --proxy http://gateway@127.0.0.1:{port}", stdin=PROXY_PASSWORD * 20, code=1)
    story.run("upstream set noojee --proxy none", stdin=PROXY_PASSWORD)  # not asked for, and not read
    document = folder / "given-away.toml"
    proxy = f'proxy = "http://gateway:{password}@127.0.0.1:{port}"'
    for text in (f"{PROXY_PASSWORD}\n", f'[[upstreams]]\nname = "noojee"\nurl = "https://a.example.com"\n{proxy}\n'):
        document.write_text(f"version = 1\n{text}")
        story.run(f"apply -f {document}", code=1)
        story.run(f"apply -f {document} --dry-run --json", code=1)
