"""
Law 3 over everything: a key is found nowhere but sealed, a token nowhere but where it was issued.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from command_line import VERBS
from installation import wait_until
from leak_calls import (
    carry_everywhere,
    die_while_dialling,
    drain,
    exhaust_connections,
    lose_the_journal,
    meet_every_fault,
    meet_every_refusal,
)
from leak_operating import operate
from leak_scanner import Scanner
from leak_story import KEYS, Story, ask_for_metrics, plant_keys
from leak_words import (
    damage_the_registry,
    err_unexpectedly,
    say_every_verb,
    say_secrets_in_wrong_places,
    wait_for_a_key,
    write_secrets_into_wrong_files,
)
from noojee import run_noojee
from trap import open_trap

from gateway.errors import Reason
from gateway.simulator.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATER = {
    Reason.PARAMETER_NOT_GRANTED,
    Reason.IDEMPOTENCY_IN_FLIGHT,
    Reason.OUTCOME_UNKNOWN,
    Reason.REPLY_NOT_KEPT,
    Reason.IDEMPOTENCY_MISMATCH,
    Reason.RATE_LIMITED,
    Reason.CONCURRENCY_LIMITED,
    Reason.SNAPSHOT_STALE,
    Reason.UPSTREAM_BUSY,
    Reason.RUNAWAY_BRAKED,
    Reason.COORDINATION_UNAVAILABLE,
}
"""Reasons that no call can meet yet, and one that takes a day."""

CONNECTIONS = 20

EXPLODING = """
from pathlib import Path
from gateway.upstream import client

send = client.PooledUpstreams.send

async def explode(self, request):
    if request.operation.name == "CallManagementAPI/hangup":
        raise RuntimeError("https://noojee/?apiKey=" + Path({key_file!r}).read_text())
    return await send(self, request)

client.PooledUpstreams.send = explode
"""
"""An error of ours with a key in its text, put into the process by Python's own way of starting."""


class Life:
    """
    The story once it was told, and what it was about.
    """

    def __init__(self, story: Story) -> None:
        self.story = story
        self.kinds: set[Kind] = set()
        self.strangers = 0


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """
    A gateway from its first verb to its last, killed once, in an environment that would have it talk.
    """
    folder = tmp_path_factory.mktemp("leaks")
    plant_keys(folder / "noojee")
    with (
        run_noojee(folder / "noojee") as noojee,
        run_noojee(folder / "stranger") as stranger,
        open_trap() as trap,
    ):
        (folder / "installed").mkdir()
        life = Life(Story(folder / "installed", noojee, stranger.simulator.ca_file))
        tell(life, folder, _create_hostile_environment(folder, trap.port))
        life.strangers = trap.connections
        yield life


def tell(life: Life, folder: Path, environment: dict[str, str]) -> None:
    """
    The story.
    """
    story = life.story
    story.set_up()
    settings = environment | {
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_BODY_TIMEOUT": "1s",
        "GATEWAY_HEAD_TIMEOUT": "1s",
        "GATEWAY_REPLY_TIMEOUT": "1s",
        "GATEWAY_WRITE_REPLY_TIMEOUT": "1s",
        "GATEWAY_MAX_CONNECTIONS": str(CONNECTIONS),
        "GATEWAY_LOG_CALLS": "true",
    }
    with story.installation.serve(**settings) as gateway:
        carry_everywhere(story, gateway)
        meet_every_refusal(story, gateway)
        life.kinds = meet_every_fault(story, gateway)
        story.gather("in full swing", gateway)
        say_every_verb(story)
        wait_for_a_key(story)
        die_while_dialling(story, gateway)
    story.gather("after the kill")
    (folder / "sitecustomize.py").write_text(EXPLODING.format(key_file=str(folder / "noojee" / "global.key")))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    # The other form of a log, and probes, which no fault that is meant for a call must meet.
    settings |= {"GATEWAY_LOG_FORMAT": "json", "GATEWAY_PROBE_INTERVAL": "1s"}
    with story.installation.serve(**settings, PYTHONPATH=path) as gateway:
        story.call(gateway, "/servicemanager/rest/CallManagementAPI/hangup?extenOrUniqueId=410")
        if sys.platform.startswith("linux"):  # only there can a running process be limited
            lose_the_journal(story, gateway)
        exhaust_connections(story, gateway, CONNECTIONS)
        wait_until(lambda: b"credential_accepted{" in ask_for_metrics(gateway), "the keys were probed", 30)
        story.gather("recovered", gateway)
        drain(story, gateway)
    operate(story, folder, settings)
    say_secrets_in_wrong_places(story)
    write_secrets_into_wrong_files(story, folder)
    damage_the_registry(story, folder)
    err_unexpectedly(story)
    story.gather("in the end")


def _create_hostile_environment(folder: Path, port: int) -> dict[str, str]:
    """
    What makes libraries print, trace, export or go elsewhere, where they listen to it.
    """
    address = f"http://127.0.0.1:{port}"
    exporters = {f"OTEL_{signal}_EXPORTER": "otlp,console" for signal in ("TRACES", "METRICS", "LOGS")}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"), address)
    return {
        **exporters,
        **proxies,
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOG_LEVEL": "debug",
        "HTTPX_LOG_LEVEL": "trace",
        "HTTPX2_LOG_LEVEL": "trace",
        "UVICORN_ACCESS_LOG": "true",
        "UVICORN_LOG_LEVEL": "trace",
        "SQLALCHEMY_WARN_20": "1",
        "SSLKEYLOGFILE": str(folder / "installed" / "data" / "tls-keys"),
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def test_no_key_and_no_token_shows_anywhere(life: Life) -> None:
    """
    In no file, no output, no reply, no process list, in no form.
    """
    story = life.story

    found = Scanner(story.secrets).search(story.outputs)

    assert "" == "\n".join(f"{each.place}: {each.secret} as {each.form}" for each in found)


def test_the_keys_were_the_real_ones(life: Life) -> None:
    """
    Each key that is held has gone up, so that a leak of it would have been one.
    """
    targets = " ".join(request["target"] for request in life.story.noojee.requests())

    for name in ("global key", "user key", "key that Noojee does not know"):
        assert f"apiKey={quote(KEYS[name], safe='')}" in targets


def test_every_verb_was_said(life: Life) -> None:
    """
    Whoever adds one comes by here. Those that serve are other tests': `test_leak_programs`, and `serve` above all.
    """
    start = "standard output of "
    places = [place.removeprefix(start) for place in life.story.outputs.places if place.startswith(start)]
    said = [place.partition(", ")[2] or place for place in places]
    missing = [verb for verb in VERBS if not any(f"{each} ".startswith(f"{verb} ") for each in said)]

    assert ["demo", "simulate"] == [verb for verb in missing if verb != "serve"]


def test_every_refusal_and_fault_was_met(life: Life) -> None:
    """
    What a call cannot meet yet is listed, so that whoever makes it possible comes by here.
    """
    reasons = {reason for reason in Reason if reason not in LATER}
    if not sys.platform.startswith("linux"):
        reasons.discard(Reason.AUDIT_UNAVAILABLE)

    assert {reason.code for reason in reasons} == life.story.reasons
    assert set(Kind) == life.kinds


def test_every_kind_of_output_was_searched(life: Life) -> None:
    """
    The write-ahead log, sockets, both logs, processes: whatever the gateway has, by name.
    """
    places = "\n".join(life.story.outputs.places)
    kinds = ["journal/worker-0/00000001.jsonl", "journal/admin/00000001.jsonl", "gateway.db", "gateway.db-wal"]
    kinds += ["metrics in full swing", "metrics recovered", "journal/control/00000001.jsonl"]
    kinds += ["journal/worker-1/00000001.jsonl", "metrics operated", "environ of the worker operated"]
    kinds += ["gateway.db-shm", "serve.log", "run/worker-0.sock", "reply to call 99", "standard output of token issue"]
    if sys.platform.startswith("linux"):
        kinds += ["cmdline of serve in full swing", "environ of serve recovered", "environ of a verb that waits"]
        kinds += ["cmdline of the worker in full swing", "environ of the control plane recovered"]

    assert [] == [kind for kind in kinds if kind not in places]


def test_nothing_of_the_environment_was_obeyed(life: Life) -> None:
    """
    No proxy was asked, nothing exported, no TLS secret written.
    """
    assert 0 == life.strangers
    assert [] == [place for place in life.story.outputs.places if "tls-keys" in place]


def test_debug_logging_was_on(life: Life) -> None:
    """
    Otherwise silence would prove little.
    """
    log = life.story.installation.log()

    assert "RuntimeError" in log  # the error of ours, by its type
    assert " INFO gateway.calls call " in log
    assert '"logger": "gateway.calls"' in log
    assert "CRITICAL" not in log
