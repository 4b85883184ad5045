"""
The simulator beside the catalogue: every operation that the gateway serves is there, and asks for what it must.

The catalogue is read as a file: the simulator knows nothing of the gateway's reading of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

    from gateway.simulator import Simulator

CATALOGUE = Path(__file__).parents[2] / "gateway" / "noojee" / "catalogue.json"
LEGACY = {"njadmin-api-recording", "NoojeeClickCallerId"}
OPERATIONS = [each for each in json.loads(CATALOGUE.read_text()) if each["api"] not in LEGACY]
LOWER_CASE = ("CampaignAPI", "rosterApi", "systemHealth")
LEAD = b'{"phone": "0491570006", "njDisposition": "Sale", "njExternalLeadId": "7"}'
VALUES = {
    "extenOrUniqueId": "410",
    "exten": "410",
    "number": "0491570006",
    "uniqueId": "1700000000.1",
    "tag": "vip",
    "date": "2026/11/24",
    "hour": "9",
    "teamName": "Sales",
    "njExternalLeadId": "7",
}


def create_parameters(operation: dict[str, Any]) -> dict[str, str]:
    """
    A value for each parameter of the query that must be there, besides the key; polls do not wait.
    """
    required = [each["name"] for each in operation["params"] if each["required"] and each["in"] == "query"]
    values = {name: VALUES.get(name, "1") for name in required if name != "apiKey"}
    return values | ({"timeOut": "0"} if operation["effect"] == "long-poll" else {})


def name(operation: dict[str, Any]) -> str:
    """
    What a test's id calls an operation.
    """
    return f"{operation['api']}-{operation['method']}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=name)
def test_every_operation_that_is_served_is_there(noojee: httpx2.Client, operation: dict[str, Any]) -> None:
    """
    With what it must have, no operation of the catalogue is a 404, a 405 or a page; a 400 tells of the state alone.
    """
    response = noojee.post(operation["path"], params=create_parameters(operation), content=LEAD)

    assert response.status_code in {200, 400}
    assert "Missing" not in response.text
    assert not response.headers["content-type"].startswith("text/html")


ASKING = [each for each in OPERATIONS if create_parameters(each).keys() - {"timeOut"}]


@pytest.mark.parametrize("operation", ASKING, ids=name)
def test_every_parameter_that_must_be_there_is_asked_for(noojee: httpx2.Client, operation: dict[str, Any]) -> None:
    """
    Without any one of them the answer is 400 in the envelope of the family, and names it.
    """
    parameters = create_parameters(operation)
    for missing in parameters.keys() - {"timeOut"}:
        rest = {key: value for key, value in parameters.items() if key != missing}
        response = noojee.post(operation["path"], params=rest, content=LEAD)

        told = f"Missing parameter {missing}"
        is_lower = operation["api"] in LOWER_CASE
        expected = {"code": -2, "message": told} if is_lower else {"Code": -2, "Message": told}
        assert (400, expected) == (response.status_code, response.json())


KEYED = [each for each in OPERATIONS if each["api"] != "Time"]


@pytest.mark.parametrize("operation", KEYED, ids=name)
def test_a_user_key_opens_what_the_catalogue_calls_campaign(
    noojee: httpx2.Client, simulator: Simulator, operation: dict[str, Any]
) -> None:
    """
    And nothing else; no key opens nothing. Both refusals are in the envelope of the family.
    """
    code = "code" if operation["api"] in LOWER_CASE else "Code"
    noojee.params = {}
    keyless = noojee.post(operation["path"], params=create_parameters(operation), content=LEAD)
    key = simulator.user_key_files["alice"].read_text().strip()
    answered = noojee.post(operation["path"], params=create_parameters(operation) | {"apiKey": key}, content=LEAD)

    assert (401, -2) == (keyless.status_code, keyless.json()[code])
    if operation["scope"] == "campaign":
        assert answered.status_code in {200, 400}
    else:
        assert (403, -2) == (answered.status_code, answered.json()[code])
