"""
A line of the log for each call, where an operator wants that: what it says, and that it is not there otherwise.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from installation import API, CAMPAIGN_API, wait_until

from gateway.data_plane.call_log import FIELDS

if TYPE_CHECKING:
    from installation import Installation
    from noojee import Noojee

LIST = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
START = f"{API}/start?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def read_lines(installation: Installation, count: int) -> list[dict[str, Any]]:
    """
    The lines of calls, once there are so many, without what every line has.
    """

    def find() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in installation.log().splitlines()]
        return [line for line in lines if line["logger"] == "gateway.calls"]

    found: list[dict[str, Any]] = wait_until(lambda: found if len(found := find()) >= count else None, "lines of calls")
    assert {("INFO", "call")} == {(line["level"], line["message"]) for line in found}
    return [{name: value for name, value in line.items() if name in FIELDS} for line in found]


def test_each_call_of_a_known_caller_is_one_line(installation: Installation, noojee: Noojee) -> None:
    """
    What it was and what came of it, in one order; strangers and health have none.
    """
    token = installation.add_caller("crm", [("everything", ["CallManagementAPI/*", "CampaignAPI/*"])])
    with installation.serve(GATEWAY_LOG_CALLS="true", GATEWAY_LOG_FORMAT="json") as gateway:
        listed = gateway.call(LIST, token)
        started = gateway.call(START, token, headers=FORM, body=b"tag=abc")
        noojee.break_next("CallManagementAPI/dial", "reset_after")
        broken = gateway.call(DIAL, token)
        unknown = gateway.call("/nowhere", token)
        assert 401 == gateway.call(START).status
        assert 200 == gateway.call("/readyz", method="GET").status
        lines = read_lines(installation, 4)

    for line in lines[:3]:
        assert 0 < line.pop("own_ms") < 5000
        assert 0 < line.pop("upstream_ms") < 5000
        assert [name for name in FIELDS if name in line] == list(line)
    assert [
        {
            "request_id": listed.headers["x-request-id"],
            "caller": "crm",
            "operation": "CampaignAPI/getCampaignList",
            "outcome": "succeeded",
            "status": 200,
            "reply_bytes": len(listed.body),
        },
        {
            "request_id": started.headers["x-request-id"],
            "caller": "crm",
            "operation": "CallManagementAPI/start",
            "outcome": "succeeded",
            "status": 200,
            "body_bytes": 7,
            "reply_bytes": len(started.body),
        },
        {
            "request_id": broken.headers["x-request-id"],
            "caller": "crm",
            "operation": "CallManagementAPI/dial",
            "outcome": "unknown",
            "reason": "upstream_broke",
            "status": 502,
        },
        {
            "request_id": unknown.headers["x-request-id"],
            "caller": "crm",
            "outcome": "denied",
            "reason": "operation_unknown",
            "status": 404,
        },
    ] == lines
    assert 4 == len(lines)
    assert "0412345678" not in installation.log()


def test_for_a_person_the_same_fields_stand_in_the_line(installation: Installation) -> None:
    """
    Name and value, in the same order.
    """
    token = installation.add_caller("crm", [("everything", ["CampaignAPI/*"])])
    with installation.serve(GATEWAY_LOG_CALLS="true") as gateway:
        listed = gateway.call(LIST, token)
        wait_until(lambda: "gateway.calls" in installation.log(), "the call is logged")

    (line,) = [line for line in installation.log().splitlines() if "gateway.calls" in line]
    _, _, told = line.partition(" INFO gateway.calls call ")
    assert f"request_id={listed.headers['x-request-id']} caller=crm operation=CampaignAPI/getCampaignList" in told
    assert " status=200 " in told
    assert told.endswith(f" reply_bytes={len(listed.body)}")


def test_no_call_is_logged_unless_that_is_wanted(installation: Installation) -> None:
    """
    The journal is the record.
    """
    token = installation.add_caller("crm", [("everything", ["CampaignAPI/*"])])
    with installation.serve(GATEWAY_LOG_LEVEL="debug", GATEWAY_LOG_FORMAT="json") as gateway:
        assert 200 == gateway.call(LIST, token).status

    assert [] == [line for line in installation.log().splitlines() if json.loads(line)["logger"] == "gateway.calls"]


def test_every_process_of_a_node_logs_in_the_form_that_was_chosen(installation: Installation) -> None:
    """
    The supervisor, both planes, and `serve` before it becomes them.
    """
    with installation.serve(
        GATEWAY_LOG_LEVEL="debug", GATEWAY_LOG_FORMAT="json", GATEWAY_MAX_CONNECTIONS="1000000"
    ) as gateway:
        for pid in (gateway.worker_pid, gateway.control_plane_pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: installation.log().count("is ready again") == 2, "both were replaced")

    loggers = {json.loads(line)["logger"] for line in installation.log().splitlines()}
    assert {"gateway.cli.node", "gateway.supervisor.supervisor"} <= loggers


def test_every_field_of_a_line_is_documented() -> None:
    """
    docs/logs.md says of each what it is, in the order in which they stand.
    """
    document = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()

    assert list(FIELDS.items()) == re.findall(r"^\| `(\w+)` \| (.*) \|$", document, re.MULTILINE)
