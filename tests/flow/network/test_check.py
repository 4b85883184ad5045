"""
`check` before a Noojee that refuses in each of the ways in which one can: which check says so, and in which words.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from installation import Installation
from noojee import Noojee, run_noojee

from gateway.administration import credentials, upstreams
from gateway.administration.checkup import check_installation
from gateway.administration.desk import open_admin_journal
from gateway.audit.event import Tag
from gateway.clock import SystemClock
from gateway.diagnosis.finding import Check
from gateway.secret import Secret
from gateway.simulator import run_in_background
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.diagnosis.finding import Finding

TEMPLATES = "CampaignAPI/getCampaignTemplateList"
GOOD = {
    "settings": True,
    "files": True,
    "registry": True,
    "journal": True,
    "dns": True,
    "tcp": True,
    "proxy": None,
    "tls": True,
    "whitelist": True,
    "key": True,
    "clock": True,
}


@pytest.fixture(scope="module")
def running_noojee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noojee]:
    """
    One that soon forgets whom it told the time: it tells five at once, and more ask here than ever in a house.
    """
    with run_in_background(tmp_path_factory.mktemp("noojee"), pair_first_use_seconds=0.05) as simulator:
        noojee = Noojee(simulator)
        yield noojee
        noojee.close()


def check(installation: Installation, *, with_key: bool = False) -> dict[str, list[Finding]]:
    """
    The findings, by check.
    """
    found: dict[str, list[Finding]] = {}
    for finding in check_installation(
        **installation.settings, clock=SystemClock(), timeouts=Timeouts(connect_seconds=2.0), with_key=with_key
    ):
        found.setdefault(finding.check.value, []).append(finding)
    return found


def summarise(found: Mapping[str, list[Finding]]) -> dict[str, bool | None]:
    """
    What is not as it is where all is well: check -> ok, the worst where there are several.
    """
    worst = {
        name: next((ok for ok in (False, None, True) if any(each.ok is ok for each in findings)), None)
        for name, findings in found.items()
    }
    return {name: ok for name, ok in worst.items() if GOOD[name] is not ok}


def change(installation: Installation, **parts: Any) -> None:
    """
    Change the upstream.
    """
    with installation.desk() as desk:
        upstreams.change(desk, "noojee", **parts)


def test_all_is_well_with_and_without_a_running_gateway(installation: Installation, noojee: Noojee) -> None:
    """
    One JSON value with the contract's members in the contract's order; only Time is sent, and without any key.
    """
    done = installation.verb("check", "--json")
    with installation.serve():
        beside = installation.verb("check")

    found = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert list(GOOD) == [each["check"] for each in found]
    assert [{"check", "ok", "detail", "advice"}] * len(found) == [set(each) for each in found]
    assert GOOD | {"key": None} == {each["check"]: each["ok"] for each in found}
    assert 0 == beside.returncode, beside.stderr
    assert "ok      whitelist  noojee: Noojee answers 127.0.0.1.\n" in beside.stdout
    assert ["/servicemanager/rest/Time"] * 2 == noojee.targets()


def test_keys_are_tried_with_one_read_operation_each_on_record(installation: Installation, noojee: Noojee) -> None:
    """
    Intent before, outcome after, on the operators' stream: who, which upstream, which credential, and no key.
    """
    found = check(installation, with_key=True)

    assert {} == summarise(found)
    assert 2 == len(found["key"])
    assert [
        "/servicemanager/rest/Time",
        f"/servicemanager/rest/{TEMPLATES}?apiKey=USER",
        f"/servicemanager/rest/{TEMPLATES}?apiKey=GLOBAL",
    ] == noojee.targets()
    records = installation.journal("admin")
    begun = next(number for number, each in enumerate(records) if each["tag"] == "check.started")
    assert [
        ("call.intended", "Time", None, None),
        ("call.ended", "Time", None, "succeeded"),
        ("call.intended", TEMPLATES, "campaigns", None),
        ("call.ended", TEMPLATES, "campaigns", "succeeded"),
        ("call.intended", TEMPLATES, "everything", None),
        ("call.ended", TEMPLATES, "everything", "succeeded"),
    ] == [
        (each["tag"], each["operation"], each.get("credential"), each.get("outcome")) for each in records[begun + 1 :]
    ]
    assert {"noojee"} == {each["subject"] for each in records[begun + 1 :] if each["tag"] == "call.intended"}
    told = json.dumps(records) + repr(found)
    assert noojee.global_key not in told
    assert noojee.user_key not in told


def test_an_address_that_is_not_white_listed_is_told_with_what_to_ask_for(tmp_path: Path) -> None:
    """
    The egress address as seen on the socket; and no key is tried, because it would not be the key's fault.
    """
    with run_in_background(tmp_path / "noojee", allow=["192.0.2.0/24"]) as simulator:
        installation = Installation(tmp_path / "data", simulator)
        installation.set_up()
        found = check(installation, with_key=True)

    assert {"whitelist": False, "key": None, "clock": None} == summarise(found)
    (finding,) = found["whitelist"]
    assert "noojee: the server answered but refused this address (403)." == finding.detail
    assert "Ask Noojee Support to white-list 127.0.0.1." == finding.advice


@pytest.mark.parametrize(
    ("kind", "value", "ok", "said"),
    [
        ("status", 401, False, "the server answered but refused this address (401)"),
        ("status", 404, None, "the server knows no /servicemanager/rest/Time (404)"),
        ("status", 429, True, "Noojee answers 127.0.0.1, and asks us to wait (429)"),
        ("status", 503, False, "the server answers with an error of its own (503)"),
        ("redirect", "https://sign-in.example.com/", False, "the server answers with a redirect"),
        ("body", "<html>Welcome</html>", False, "told no time"),
        ("reset_after", None, False, "closed the connection without an answer"),
    ],
)
def test_what_answers_time_otherwise_is_told_apart(
    installation: Installation,
    noojee: Noojee,
    kind: str,
    value: object,
    ok: bool | None,  # noqa: FBT001 - a column of the table
    said: str,
) -> None:
    """
    Refused, unknown, busy, broken, redirected, something else altogether, cut off.
    """
    noojee.break_next("Time", kind, value)

    (finding,) = check(installation)["whitelist"]
    assert finding.ok is ok
    assert said in finding.detail


def test_a_key_that_noojee_refuses_is_told_from_one_that_works(installation: Installation) -> None:
    """
    The address was answered before, so it is the key; its text is nowhere.
    """
    wrong = "7f0e1b52-1111-4222-8333-abcdefabcdef"
    with installation.desk() as desk:
        credentials.rotate(desk, "everything", key=Secret(wrong))
    found = check(installation, with_key=True)

    campaigns, everything = found["key"]
    assert {"key": False} == summarise(found)
    assert campaigns.ok
    assert "noojee: the key of the credential everything is refused by Noojee (403)." == everything.detail
    assert "`noojee-gateway credential rotate everything`" in (everything.advice or "")
    assert wrong not in repr(found)


def test_a_user_key_that_sees_nothing_is_told_with_the_steps(installation: Installation, noojee: Noojee) -> None:
    """
    It is accepted, and shows no campaign template: what must be set in Noojee, step by step.
    """
    noojee.break_next(TEMPLATES, "body", '{"code":0,"message":"","entities":[]}')
    found = check(installation, with_key=True)

    campaigns, everything = found["key"]
    assert (False, True) == (campaigns.ok, everything.ok)
    assert "works, and sees nothing: no campaign template is shown to alice" in campaigns.detail
    for step in ("group Outbound Agent", "an Agent in a Team", "set on the Campaign Template"):
        assert step in (campaigns.advice or "")


def test_clocks_that_differ_are_told_and_break_no_hash_pair(tmp_path: Path) -> None:
    """
    The pair is made of Noojee's time, so it works; the journal's instants are what differs.
    """
    with run_noojee(tmp_path / "noojee") as noojee:
        installation = Installation(tmp_path / "data", noojee.simulator)
        installation.set_up()
        change(installation, auth="hash")
        noojee.break_next("Time", "body", str(int((time.time() + 3600) * 1000)))
        found = check(installation, with_key=True)

    (clock,) = found["clock"]
    assert {} == summarise(found)
    assert "s ahead of ours" in clock.detail
    assert "NTP" in (clock.advice or "")


def test_a_pair_that_is_expired_at_once_is_clock_trouble_and_not_the_keys(tmp_path: Path) -> None:
    """
    Noojee's own clocks differ: nothing is said against the key.
    """
    with run_in_background(tmp_path / "noojee", pair_first_use_seconds=-1) as simulator:
        installation = Installation(tmp_path / "data", simulator)
        installation.set_up()
        change(installation, auth="hash")
        found = check(installation, with_key=True)

    assert {"key": None, "clock": False} == summarise(found)
    assert "called a hash pair made of it expired at once" in found["clock"][0].detail


def test_a_noojee_without_time_is_told_where_the_hash_method_needs_it(
    installation: Installation, noojee: Noojee
) -> None:
    """
    404 means little to an upstream that takes keys as they are, and everything to one that takes pairs.
    """
    change(installation, auth="hash")
    noojee.break_next("Time", "status", 404)

    assert {"whitelist": False, "key": None, "clock": None} == summarise(check(installation))


def leave_open(installation: Installation) -> None:
    """
    What a `check` leaves that was killed.
    """
    journal = open_admin_journal(installation.data_dir, node="test", clock=SystemClock())
    journal.record_now(
        {"tag": Tag.CALL_INTENDED, "subject": "noojee", "request_id": "r1", "attempt": 1, "operation": "Time"}
    )
    journal.close()


def test_an_attempt_that_a_killed_check_left_open_is_closed_by_the_next_start(installation: Installation) -> None:
    """
    Once, and also where nobody checks again; a start that finds nothing open writes nothing to that stream.
    """
    leave_open(installation)
    with installation.serve():
        records = installation.journal("admin")
    with installation.serve():
        pass

    assert records == installation.journal("admin")
    closed = records[-1]
    assert ("call.ended", "r1", "unknown", "recovered", "Time") == tuple(
        closed[name] for name in ("tag", "request_id", "outcome", "reason", "operation")
    )


def test_an_attempt_that_a_killed_check_left_open_is_closed_by_the_next(installation: Installation) -> None:
    """
    As `unknown`, with the fields of its intent (law 2), before anything else is sent.
    """
    leave_open(installation)
    check(installation)

    records = installation.journal("admin")
    (closed,) = [each for each in records if each["tag"] == "call.ended" and each["request_id"] == "r1"]
    started = next(each for each in records if each["tag"] == "check.started")
    assert ("unknown", "recovered", "Time") == (closed["outcome"], closed["reason"], closed["operation"])
    assert ({"unknown": 1}, closed["seq"] + 1) == (started["counts"], started["seq"])


def test_an_earlier_check_that_fails_leaves_the_later_ones_unlooked_at(installation: Installation) -> None:
    """
    A wrong setting, a folder that others can read: told first, and all else is null.
    """
    wrong = dataclasses.replace(installation, environment={"GATEWAY_PORTS": "1"}).verb("check", "--json")
    (installation.data_dir / "audit.key").chmod(0o644)
    open_key = installation.verb("check", "--json")

    found = json.loads(wrong.stdout)
    assert 1 == wrong.returncode == open_key.returncode
    assert [("settings", False), *((each, None) for each in list(GOOD)[1:])] == [
        (each["check"], each["ok"]) for each in found
    ]
    assert "GATEWAY_PORTS is no setting" in found[0]["detail"]
    found = json.loads(open_key.stdout)
    assert [True, False, *[None] * 9] == [each["ok"] for each in found]
    assert "chmod 600" in found[1]["advice"]


def test_master_key_and_registry_in_one_folder_are_warned_of(installation: Installation, tmp_path: Path) -> None:
    """
    Not with the master key elsewhere.
    """
    (together,) = check(installation)["files"]
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    (installation.data_dir / "master.key").rename(elsewhere / "master.key")
    place = {**installation.settings, "master_key_file": elsewhere / "master.key"}
    apart = check_installation(**place, clock=SystemClock(), timeouts=Timeouts(), with_key=False)[0]

    assert "in one folder" in (together.advice or "")
    assert (Check.FILES, True, None) == (apart.check, apart.ok, apart.advice)
