"""
The prober in the control plane: what it finds is told as metrics, and what goes wrong with it is nobody else's trouble.
"""

from __future__ import annotations

import fcntl
import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from installation import API, wait_until
from scrape import Scrape, scrape

from gateway.administration import upstreams
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from installation import Gateway, Installation
    from noojee import Noojee

STATES = ("upstream_reachable", "upstream_allowed", "upstream_answering", "credential_accepted")


def wait_for(gateway: Gateway, condition: Callable[[Scrape], object], what: str) -> Scrape:
    """
    The first scrape of which the condition holds.
    """
    found: Scrape = wait_until(
        lambda: seen if condition(seen := scrape(gateway)) else None, what, 20, every_seconds=0.1
    )
    return found


def test_what_the_probes_find_is_told(installation: Installation, noojee: Noojee) -> None:
    """
    A white-list, keys, a certificate and a clock, each as a value with an alarm to it; on record as calls.
    """
    with installation.serve(GATEWAY_PROBE_INTERVAL="1s") as gateway:
        seen = wait_for(gateway, lambda seen: seen.find("upstream_reachable"), "the first round is over")
        noojee.break_next("Time", "status", 403, times=100)
        refused = wait_for(gateway, lambda seen: seen.find("upstream_allowed") == [0.0], "the address is refused")
        noojee.forget("faults")
        noojee.break_next("*", "status", 503, times=100)
        broken = wait_for(gateway, lambda seen: seen.find("upstream_answering") == [0.0], "it is broken")
        noojee.forget("faults")
        noojee.break_next("CampaignAPI/*", "status", 401, times=100)
        unaccepted = wait_for(
            gateway, lambda seen: seen.find("credential_accepted") == [0.0, 0.0], "the keys are not accepted"
        )

    assert [1.0] == seen.find("upstream_reachable", upstream="noojee")
    assert [1.0] == seen.find("upstream_allowed", upstream="noojee")
    assert {("noojee", "campaigns"): 1, ("noojee", "everything"): 1} == seen.by(
        "credential_accepted", "upstream", "credential"
    )
    (probed_at,), (ends_at,) = (
        seen.find("upstream_probed_timestamp_seconds"),
        seen.find("upstream_certificate_expiry_timestamp_seconds"),
    )
    assert probed_at < ends_at
    assert abs(seen.total("upstream_clock_skew_seconds")) < 5
    assert (1, 1) == (seen.total("prober_running"), seen.total("probe_interval_seconds"))
    assert [] == refused.find("credential_accepted") == refused.find("upstream_answering")
    assert ([], []) == (broken.find("upstream_allowed"), broken.find("credential_accepted"))
    assert [1.0] == unaccepted.find("upstream_allowed")
    assert 0 == unaccepted.total("probe_rounds_total", result="failed")
    records = installation.journal("control")
    assert "prober.started" == records[0]["tag"]
    intents = [record for record in records if record["tag"] == "call.intended"]
    assert {"gateway"} == {record["actor"] for record in intents}
    assert len(intents) == len([record for record in records if record["tag"] == "call.ended"])
    assert verify(installation.data_dir / "journal").ok


def test_nobody_probes_where_that_is_off(installation: Installation, noojee: Noojee) -> None:
    """
    No metric says how it would be, and no stream was begun.
    """
    with installation.serve(GATEWAY_PROBE_INTERVAL="off") as gateway:
        seen = scrape(gateway)

    assert [] == [name for name in (*STATES, "prober_running", "probe_rounds_total") if seen.find(name)]
    assert not (installation.data_dir / "journal" / "control").exists()
    assert [] == noojee.targets()


def test_a_prober_that_cannot_be_opened_is_a_metric_and_a_line(installation: Installation) -> None:
    """
    Somebody else holds its stream: health and calls are as ever, and it begins when the stream is free.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    folder = installation.data_dir / "journal" / "control"
    folder.mkdir(mode=0o700)
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with installation.serve(GATEWAY_PROBE_INTERVAL="1s") as gateway:
            closed = wait_for(
                gateway, lambda seen: seen.total("probe_rounds_total", result="failed") >= 2, "it was tried again"
            )
            ready = gateway.call("/readyz", method="GET", port=gateway.admin_port).json()
            answered = gateway.call(f"{API}/start?extenOrUniqueId=410", token)
            fcntl.flock(lock, fcntl.LOCK_UN)
            opened = wait_for(gateway, lambda seen: seen.total("probe_rounds_total", result="done"), "a round is over")

    assert [0.0] == closed.find("prober_running")
    assert ("ready", 200) == (ready["state"], answered.status)
    assert [1.0] == opened.find("prober_running")
    assert 1 == installation.log().count("the prober cannot be opened")


def test_a_registry_that_cannot_be_read_costs_rounds_and_nothing_else(installation: Installation) -> None:
    """
    The last that was found stays, and is seen to be old.
    """
    registry = installation.data_dir / "gateway.db"
    with installation.serve(GATEWAY_PROBE_INTERVAL="1s") as gateway:
        before = wait_for(gateway, lambda seen: seen.find("upstream_reachable"), "the first round is over")
        with closing(sqlite3.connect(registry)) as database:
            database.execute("ALTER TABLE upstreams RENAME TO upstreams_away")
            database.commit()
            failed = wait_for(
                gateway, lambda seen: seen.total("probe_rounds_total", result="failed") >= 2, "rounds have failed"
            )
            ready = gateway.call("/readyz", method="GET", port=gateway.admin_port)
            database.execute("ALTER TABLE upstreams_away RENAME TO upstreams")
            database.commit()
        again = wait_for(gateway, lambda seen: seen.total("prober_running"), "a round was carried out")

    probed = "upstream_probed_timestamp_seconds"
    assert [0.0] == failed.find("prober_running")
    assert 200 == ready.status
    assert before.total(probed) <= failed.total(probed) < again.total(probed)


def test_a_restart_gives_the_probes_their_new_timeouts(installation: Installation) -> None:
    """
    Somebody who never answers is waited for as long as the new setting says, as by calls.
    """
    file = installation.data_dir / "gateway.toml"
    file.write_text('connect_timeout = "1s"\n')
    installation.environment |= {"GATEWAY_PROBE_INTERVAL": "1s", "GATEWAY_CONFIG": str(file)}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        with installation.desk() as desk:
            upstreams.add(desk, "silent", url=f"https://127.0.0.1:{silent.getsockname()[1]}", ca_pem=None)
        with installation.serve():
            assert not is_waited_for(silent)
            file.write_text('connect_timeout = "1m"\n')

            done = installation.verb("restart")

            assert 0 == done.returncode, done.stderr
            wait_until(lambda: is_waited_for(silent), "a probe waits", 20)


def is_waited_for(silent: socket.socket) -> bool:
    """
    Whether the next who connects stays, though nobody answers.
    """
    with silent.accept()[0] as caller:
        caller.settimeout(3)
        try:
            while caller.recv(65536):
                pass
        except TimeoutError:
            return True
        except ConnectionResetError:
            pass
        return False


def test_the_node_ends_in_the_middle_of_a_round(installation: Installation, noojee: Noojee) -> None:
    """
    Noojee does not answer: nothing waits for the round, and what it had begun has an outcome.
    """
    noojee.break_next("Time", "delay", 5, times=10)
    with installation.serve(GATEWAY_PROBE_INTERVAL="1s"):
        wait_until(noojee.targets, "Noojee was asked")

    records = installation.journal("control")
    assert ["prober.started", "call.intended", "call.ended"] == [record["tag"] for record in records]
    assert "abandoned" == records[-1]["outcome"]
