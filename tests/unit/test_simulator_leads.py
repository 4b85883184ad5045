"""
The simulator's leads: inserted, found again, changed, and refused by the vendor's codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

    from gateway.simulator import Simulator

CAMPAIGNS = "/servicemanager/rest/CampaignAPI/"
IDS = {"fTemplateId": "1", "fCampaignId": "11", "fAllocationId": "3"}
LEAD = {"njExternalLeadId": "7", "phone": "0491570006"}
ACCEPTED = (200, {"code": 0, "message": "OK"})


def send(noojee: httpx2.Client, method: str, lead: Any, **parameters: str) -> tuple[int, Any]:
    """
    Status and parsed body of a lead operation.
    """
    response = noojee.post(CAMPAIGNS + method, params=IDS | parameters, json=lead)
    return response.status_code, response.json()


def read_leads(noojee: httpx2.Client) -> list[Any]:
    """
    The fields of the leads that are there.
    """
    return [each["lead"] for each in noojee.get("/simulator/leads").json()]


@pytest.mark.parametrize("method", ["insertLead", "insertLeads", "insertLeadFast", "insertLeadsFast"])
def test_a_lead_that_was_inserted_is_there(noojee: httpx2.Client, method: str) -> None:
    """
    With its ids; a reset forgets it.
    """
    assert 200 == send(noojee, method, LEAD)[0]
    expected = {"fTemplateId": 1, "fCampaignId": 11, "fAllocationId": 3, "lead": LEAD}
    assert [expected] == noojee.get("/simulator/leads").json()
    noojee.delete("/simulator/leads")
    assert [] == read_leads(noojee)
    assert 200 == send(noojee, method, LEAD)[0]
    noojee.delete("/simulator/calls")
    assert [] == read_leads(noojee)


def test_the_old_inserts_take_what_they_can_and_tell_the_rest(noojee: httpx2.Client) -> None:
    """
    Counts, then a row for each lead that was rejected.
    """
    assert (200, {"code": 0, "message": "Imported 1 Updated 0 Rejected 0 leads"}) == send(noojee, "insertLead", LEAD)
    leads = [LEAD, {"name": "Ada, Lady"}, {"phone": "<No Change>"}, {"phone": "0491570110"}]
    status, told = send(noojee, "insertLeads", leads)

    assert (200, 0) == (status, told["code"])
    assert told["message"].splitlines() == [
        "Imported 1 Updated 0 Rejected 3 leads",
        "DUPLICATE,7,0491570006",
        'NO_PHONE_FIELDS,"Ada, Lady"',
        "IMPORT_BUT_NOCHANGE_SPECIFIED,<No Change>",
    ]
    assert "Imported 1 " in send(noojee, "insertLead", LEAD, allowDuplicates="true")[1]["message"]
    assert 3 == len(read_leads(noojee))


@pytest.mark.parametrize("method", ["insertLead", "updateLead", "updateLeadFast"])
def test_an_operation_of_one_lead_takes_one(noojee: httpx2.Client, method: str) -> None:
    """
    Two leads, or none, are the code of an unreadable body.
    """
    for body in ([LEAD, LEAD], []):
        answered = send(noojee, method, body, njExternalLeadId="7")
        assert (500, {"code": 103, "message": "EXCEPTION"}) == answered


def test_an_insert_is_all_or_nothing_where_it_is_fast(noojee: httpx2.Client) -> None:
    """
    Two leads of one number, or one with the marker for no change, leave nothing behind.
    """
    assert (400, 105) == told_code(send(noojee, "insertLeadFast", [LEAD, LEAD]))
    assert (400, 108) == told_code(send(noojee, "insertLeadFast", LEAD | {"name": "<No Change>"}))
    assert [] == read_leads(noojee)
    assert ACCEPTED == send(noojee, "insertLeadFast", [LEAD, LEAD], allowDuplicates="true")


def told_code(answered: tuple[int, Any]) -> tuple[int, int]:
    """
    Status and code of an answer.
    """
    return answered[0], answered[1]["code"]


def test_a_lead_is_updated_by_its_reference_in_query_or_body(noojee: httpx2.Client) -> None:
    """
    What is given changes, what has the marker stays, and the old number is free again.
    """
    send(noojee, "insertLeadFast", LEAD | {"name": "Ada"})
    change = {"phone": "0491570110", "name": "<No Change>", "njDisposition": "Call Back"}
    assert ACCEPTED == send(noojee, "updateLead", change, njExternalLeadId="7")
    expected = LEAD | {"name": "Ada", "phone": "0491570110", "njDisposition": "Call Back"}
    assert [expected] == read_leads(noojee)

    change = {"phone": "<No Change>", "njDisposition": "<No Change>", "name": "Grace"}
    assert ACCEPTED == send(noojee, "updateLeadFast", change | {"njExternalLeadId": 7})
    assert ACCEPTED == send(noojee, "updateLeadFast", change, njExternalLeadId="7")
    assert "Grace" == read_leads(noojee)[0]["name"]
    assert ACCEPTED == send(noojee, "insertLeadFast", {"phone": "0491570006"})
    assert (400, 105) == told_code(send(noojee, "insertLeadFast", {"phone": "0491570110"}))


@pytest.mark.parametrize("method", ["updateLead", "updateLeadFast"])
@pytest.mark.parametrize(
    ("change", "parameters", "code"),
    [
        ({}, {"njExternalLeadId": "8"}, 101),
        ({}, {"fAllocationId": "4"}, 101),
        ({"phone": ""}, {}, 102),
        ({"phone": "0491 570 110"}, {}, 105),
        ({"njDisposition": "Sold"}, {}, 106),
        ({"njDisposition": "<No Change>"}, {}, 107),
        ({"njDisposition": ""}, {}, -2),
    ],
)
def test_an_update_is_refused_by_the_documented_codes(
    noojee: httpx2.Client, method: str, change: dict[str, str], parameters: dict[str, str], code: int
) -> None:
    """
    And changes nothing then.
    """
    other = {"phone": "0491570110"}
    send(noojee, "insertLeadFast", [LEAD, other])
    lead = {"phone": "0491570006", "njDisposition": "Sale"} | change

    assert (400, code) == told_code(send(noojee, method, lead, **({"njExternalLeadId": "7"} | parameters)))
    assert [LEAD, other] == read_leads(noojee)


@pytest.mark.parametrize("method", ["insertLead", "insertLeads", "insertLeadsFast", "updateLead", "updateLeadFast"])
def test_a_user_reaches_the_leads_of_the_team_alone(noojee: httpx2.Client, simulator: Simulator, method: str) -> None:
    """
    403 for another template, with the code of a refusal.
    """
    noojee.params = {"apiKey": simulator.user_key_files["alice"].read_text().strip()}
    send(noojee, "insertLeadFast", LEAD, allowDuplicates="true")
    lead = LEAD | {"njDisposition": "Sale"}

    assert (403, -2) == told_code(send(noojee, method, lead, fTemplateId="2", njExternalLeadId="7"))
    assert 200 == send(noojee, method, lead, allowDuplicates="true", njExternalLeadId="7")[0]


def test_allocations_and_call_records_are_listed(noojee: httpx2.Client, simulator: Simulator) -> None:
    """
    Those of a campaign of the user's team; the global key sees all. No lead was ever dialled, so there is no record.
    """

    def list_allocations(campaign_id: str) -> Any:
        answered = noojee.post(CAMPAIGNS + "getAllocationList", params={"fCampaignId": campaign_id}).json()
        assert (0, "OK") == (answered["code"], answered["message"])
        return answered["entities"]

    assert [3, 4] == [each["id"] for each in list_allocations("11")]
    assert [6] == [each["id"] for each in list_allocations("21")]
    noojee.params = {"apiKey": simulator.user_key_files["alice"].read_text().strip()}
    assert [5] == [each["id"] for each in list_allocations("12")]
    assert [] == list_allocations("21")
    assert [] == list_allocations("99")
    ids = {"fTemplateId": "1", "campaignId": "11", "allocationId": "3"}
    assert [] == noojee.post(CAMPAIGNS + "getCallRecordList", params=ids).json()["entities"]
