"""
The simulator's operations: state that changes, keys with scopes, parameters from query and form.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

    from gateway.simulator import Simulator

CALLS = "/servicemanager/rest/CallManagementAPI/"
CAMPAIGNS = "/servicemanager/rest/CampaignAPI/"
LEAD_IDS = {"fTemplateId": "1", "fCampaignId": "11", "fAllocationId": "3"}


def call(noojee: httpx2.Client, method: str, **parameters: str) -> tuple[int, Any]:
    """
    Status and parsed body of a CallManagementAPI operation.
    """
    response = noojee.post(CALLS + method, params=parameters)
    return response.status_code, response.json()


def insert(noojee: httpx2.Client, body: str, **parameters: str) -> tuple[int, Any]:
    """
    Status and parsed body of an insertLeadFast.
    """
    response = noojee.post(CAMPAIGNS + "insertLeadFast", params=LEAD_IDS | parameters, content=body.encode())
    return response.status_code, response.json()


def test_a_recording_is_started_once_and_stopped_once(noojee: httpx2.Client) -> None:
    """
    Start, start again, stop, stop again: yes, no, yes, no; `SIP/410` and `410` are one extension.
    """
    assert call(noojee, "start", extenOrUniqueId="410") == (200, {"Message": "Recording started", "Code": 0})
    status, body = call(noojee, "start", extenOrUniqueId="SIP/410")
    assert status == 400
    assert body["Code"] < 0
    assert call(noojee, "stop", extenOrUniqueId="SIP/410") == (200, {"Message": "Recording stopped", "Code": 0})
    status, body = call(noojee, "stop", extenOrUniqueId="410")
    assert status == 400
    assert body == {"Code": -2, "Message": "No recording to stop"}


def test_recordings_of_two_extensions_are_apart(noojee: httpx2.Client) -> None:
    """
    A stop ends the recording of its own extension alone.
    """
    call(noojee, "start", extenOrUniqueId="410")
    assert call(noojee, "stop", extenOrUniqueId="411")[0] == 400
    assert call(noojee, "stop", extenOrUniqueId="410")[0] == 200


def test_a_dialled_call_is_placed_and_hung_up(noojee: httpx2.Client) -> None:
    """
    Dial answers with a session id, the call is listed, hangup ends it, and there is no second hangup.
    """
    status, body = call(noojee, "dial", number="0412345678", extenOrUniqueId="SIP/410")
    assert status == 200
    assert body["Code"] == 0
    assert isinstance(body["SessionID"], int)
    (placed,) = noojee.get("/simulator/calls").json()
    assert placed == {"number": "0412345678", "extenOrUniqueId": "SIP/410", "at": placed["at"]}
    assert call(noojee, "hangup", extenOrUniqueId="410") == (200, {"Message": "Channel Hungup", "Code": 0})
    assert call(noojee, "hangup", extenOrUniqueId="410")[0] == 400


def test_a_call_is_reached_by_its_unique_id(noojee: httpx2.Client) -> None:
    """
    The unique id that subscribe tells starts and stops a recording and hangs up; an unknown one is an error.
    """
    call(noojee, "dial", number="0412345678", extenOrUniqueId="SIP/410")
    _, events = call(noojee, "subscribe", exten="410", lastSequenceNumber="0", timeOut="0")
    unique_id = events["Data"]["410"][0]["CallData"]["uniqueCallId"]
    assert call(noojee, "start", extenOrUniqueId=unique_id)[0] == 200
    assert call(noojee, "stop", extenOrUniqueId="410")[0] == 200
    assert call(noojee, "hangup", extenOrUniqueId=unique_id)[0] == 200
    assert call(noojee, "start", extenOrUniqueId=unique_id)[0] == 400


def test_a_call_dialled_with_record_is_recorded_until_it_ends(noojee: httpx2.Client) -> None:
    """
    `record=true` starts the recording with the call, and hangup ends both.
    """
    call(noojee, "dial", number="0412345678", extenOrUniqueId="SIP/410", record="true")
    assert call(noojee, "start", extenOrUniqueId="410")[0] == 400
    assert call(noojee, "hangup", extenOrUniqueId="410")[0] == 200
    assert call(noojee, "stop", extenOrUniqueId="410")[0] == 400


def test_a_recording_of_an_unplaced_call_is_reached_by_its_unique_id(noojee: httpx2.Client) -> None:
    """
    An extension that is recorded without a call of ours still has a unique id that stops the recording.
    """
    call(noojee, "start", extenOrUniqueId="410")
    _, events = call(noojee, "subscribe", exten="410", lastSequenceNumber="0", timeOut="0")
    unique_id = events["Data"]["410"][0]["CallData"]["uniqueCallId"]
    assert call(noojee, "stop", extenOrUniqueId=unique_id)[0] == 200


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("start", {}),
        ("stop", {"extenOrUniqueId": ""}),
        ("dial", {"number": "0412345678"}),
        ("dial", {"extenOrUniqueId": "SIP/410"}),
        ("hangup", {"extenorUniqueId": "410"}),
        ("subscribe", {"exten": "410"}),
        ("subscribe", {"exten": "410", "lastSequenceNumber": "soon"}),
        ("subscribe", {"exten": "410", "lastSequenceNumber": "0", "timeout": "1", "timeOut": "-1"}),
    ],
)
def test_missing_and_unreadable_parameters_are_errors(
    noojee: httpx2.Client, method: str, parameters: dict[str, str]
) -> None:
    """
    Names are case-exact; every such error is a 400 with a negative code.
    """
    status, body = call(noojee, method, **parameters)
    assert status == 400
    assert body["Code"] < 0


def test_parameters_are_read_from_query_and_form_and_the_query_comes_first(
    noojee: httpx2.Client, simulator: Simulator
) -> None:
    """
    As a servlet reads them: form fields count, the first of a repeated name, and the key may stand in the form.
    """
    form = "extenOrUniqueId=SIP%2F411&extenOrUniqueId=412"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    noojee.post(CALLS + "start", content=form, headers=headers)
    assert call(noojee, "stop", extenOrUniqueId="411")[0] == 200
    noojee.post(CALLS + "start", params={"extenOrUniqueId": "410"}, content=form, headers=headers)
    assert call(noojee, "stop", extenOrUniqueId="410")[0] == 200

    key = simulator.global_key_file.read_text().strip()
    noojee.params = {}
    body = f"apiKey={key}&extenOrUniqueId=410"
    assert noojee.post(CALLS + "start", content=body, headers=headers).status_code == 200


def test_a_body_of_another_type_has_no_parameters(noojee: httpx2.Client) -> None:
    """
    Only a form is read as one.
    """
    response = noojee.post(CALLS + "start", content="extenOrUniqueId=410", headers={"Content-Type": "text/plain"})
    assert response.status_code == 400


def test_the_time_is_plain_text_in_milliseconds_and_needs_no_key(noojee: httpx2.Client) -> None:
    """
    Thirteen digits, near the clock's.
    """
    noojee.params = {}
    response = noojee.post("/servicemanager/rest/Time")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert len(response.text) == 13
    assert abs(int(response.text) - time.time() * 1000) < 10_000


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 401), ("9f4cc51c-c499-4a9a-a324-984b991a639e", 403), ("00000000-0000-0000-0000-000000000000", 403)],
)
def test_a_missing_or_unknown_key_is_refused(noojee: httpx2.Client, key: str, status: int) -> None:
    """
    Nothing is carried out, and the reply is JSON with a negative code.
    """
    response = noojee.post(CALLS + "dial", params={"apiKey": key, "number": "1", "extenOrUniqueId": "SIP/410"})
    assert response.status_code == status
    assert response.json()["Code"] < 0
    assert noojee.get("/simulator/calls").json() == []


def test_the_name_of_the_key_is_case_exact(noojee: httpx2.Client, simulator: Simulator) -> None:
    """
    `apikey` is no key.
    """
    noojee.params = {"apikey": simulator.global_key_file.read_text().strip()}
    assert call(noojee, "start", extenOrUniqueId="410")[0] == 401


def test_a_user_key_opens_campaign_operations_alone(noojee: httpx2.Client, simulator: Simulator) -> None:
    """
    Alice lists and inserts in her team's template; calls and subscribe are refused.
    """
    noojee.params = {"apiKey": simulator.user_key_files["alice"].read_text().strip()}
    assert call(noojee, "start", extenOrUniqueId="410")[0] == 403
    assert call(noojee, "subscribe", exten="410", lastSequenceNumber="0", timeOut="0")[0] == 403
    assert insert(noojee, '{"phone": "0412345678"}') == (200, {"code": 0, "message": "OK"})
    assert insert(noojee, '{"phone": "0412345679"}', fTemplateId="2")[0] == 403


def test_a_user_sees_the_campaigns_of_the_team_and_the_global_key_all(
    noojee: httpx2.Client, simulator: Simulator
) -> None:
    """
    The lists carry `code`, `message` and `entities` in lower case, with whole-number ids.
    """
    every = noojee.post(CAMPAIGNS + "getCampaignTemplateList").json()
    assert every["code"] == 0
    assert [entity["id"] for entity in every["entities"]] == [1, 2]
    assert noojee.post(CAMPAIGNS + "getCampaignList", params={"fTemplateId": "2"}).json()["entities"]

    noojee.params = {"apiKey": simulator.user_key_files["alice"].read_text().strip()}
    own = noojee.post(CAMPAIGNS + "getCampaignTemplateList").json()
    assert [entity["id"] for entity in own["entities"]] == [1]
    assert noojee.post(CAMPAIGNS + "getCampaignList", params={"fTemplateId": "1"}).json()["entities"]
    assert noojee.post(CAMPAIGNS + "getCampaignList", params={"fTemplateId": "2"}).json()["entities"] == []


@pytest.mark.parametrize(
    "body",
    [
        '{"phone": "0412345678"}',
        '[{"phone": "0412345678"}, {"mobileNumber": "0412345679"}]',
        '{"phone": "0412345678"}, {"phone": "0412345679"}',
    ],
)
def test_leads_come_in_any_documented_shape(noojee: httpx2.Client, body: str) -> None:
    """
    An object, an array, or objects with bare commas between.
    """
    assert insert(noojee, body) == (200, {"code": 0, "message": "OK"})


def test_a_lead_is_refused_by_the_documented_codes(noojee: httpx2.Client) -> None:
    """
    No telephone field 102, a known number 105 unless allowed, nothing readable 103 with status 500.
    """
    assert insert(noojee, '{"firstName": "Ada"}') == (400, {"code": 102, "message": "NO_PHONE_FIELDS"})
    assert insert(noojee, '{"phone": "0412 345 678"}')[0] == 200
    assert insert(noojee, '{"phone": "0412345678"}') == (400, {"code": 105, "message": "DUPLICATE"})
    assert insert(noojee, '{"phone": "0412345678"}', allowDuplicates="true")[0] == 200
    for body in ("", "[1]", "{", "\x00"):
        assert insert(noojee, body) == (500, {"code": 103, "message": "EXCEPTION"})


def test_a_lead_needs_its_three_ids(noojee: httpx2.Client) -> None:
    """
    A missing id is a 400 in the campaign envelope, and no lead is inserted.
    """
    status, body = insert(noojee, '{"phone": "0412345678"}', fAllocationId="")
    assert status == 400
    assert body["code"] < 0
    assert insert(noojee, '{"phone": "0412345678"}')[0] == 200


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_accepted(noojee: httpx2.Client, verb: str) -> None:
    """
    Any other verb on an operation is 405 with `Allow: POST` and a JSON body.
    """
    response = noojee.request(verb, CALLS + "start", params={"extenOrUniqueId": "410"})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["Code"] < 0


@pytest.mark.parametrize(
    "path", ["/", CALLS, CALLS + "Start", CALLS + "start/", "/rest/CallManagementAPI/stop", "/servicemanager/rest/time"]
)
def test_an_unknown_path_is_a_404_in_html(noojee: httpx2.Client, path: str) -> None:
    """
    As a servlet container answers; paths are compared exactly.
    """
    response = noojee.post(path, params={"extenOrUniqueId": "410"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
