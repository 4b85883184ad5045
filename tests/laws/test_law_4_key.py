"""
Law 4, a caller never chooses a key: operation and grants fix its kind, and nothing that a caller sends has a say in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from installation import API, CAMPAIGN_API
from worker_in_loop import open_worker

from gateway.administration import credentials

if TYPE_CHECKING:
    from installation import Installation
    from noojee import House, Noojee

HANGUP = f"{API}/hangup?extenOrUniqueId=410"
CAMPAIGNS = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "spelling",
    [
        "apikey=x",
        "APIKEY=x",
        "api_Key=x",
        "api-key=x",
        "%61piKey%5f=x",
        "api+key=x",
        "timeStamp=1",
        "TimeStamp=1&time.stamp=2",
        "hash=x",
        "Hash=x",
        "hash",
        "apikey",
    ],
)
@pytest.mark.parametrize("place", ["before", "behind", "form"])
def test_every_credential_parameter_is_taken_out_and_ours_goes_first(
    house: House, noojee: Noojee, spelling: str, place: str
) -> None:
    """
    However it is spelled and wherever it stands; what remains is as it was.
    """
    if place == "form":
        response = house.call(f"{API}/hangup", headers=FORM, body=f"{spelling}&extenOrUniqueId=410&{spelling}".encode())
        expected = f"{API}/hangup?apiKey=GLOBAL"
    else:
        query = f"{spelling}&extenOrUniqueId=410" if place == "before" else f"extenOrUniqueId=410&{spelling}"
        response = house.call(f"{API}/hangup?{query}")
        expected = f"{API}/hangup?apiKey=GLOBAL&extenOrUniqueId=410"

    assert "reason" not in response.json(), response.body
    assert [expected] == noojee.targets()
    if place == "form":
        (request,) = noojee.requests()
        assert str(len("extenOrUniqueId=410")) == dict(request["headers"])["Content-Length"]


def test_a_token_in_the_query_is_replaced_by_the_key(house: House, noojee: Noojee) -> None:
    """
    That is how Noojee's own clients carry it, in any place and escaped as they like.
    """
    token = house.tokens["all"]

    for query in (f"extenOrUniqueId=410&apiKey={token}", f"apiKe%79={token}&extenOrUniqueId=410&apiKey={token}"):
        house.gateway.call(f"{API}/hangup?{query}")

    assert 2 * [f"{API}/hangup?apiKey=GLOBAL&extenOrUniqueId=410"] == noojee.targets()


@pytest.mark.parametrize(
    "wish",
    ["", "&kind=global", "&credential=everything", "&apikey=everything", "&api_key=global", "&key=global&owner=admin"],
)
@pytest.mark.parametrize(
    ("caller", "target", "kind"),
    [
        ("both", CAMPAIGNS, "USER"),
        ("both", HANGUP, "GLOBAL"),
        ("campaigner", CAMPAIGNS, "USER"),
        ("all", CAMPAIGNS, "GLOBAL"),
    ],
)
def test_the_least_powerful_kind_serves_whatever_the_caller_wishes(
    house: House, noojee: Noojee, caller: str, target: str, kind: str, wish: str
) -> None:
    """
    The caller `both` has the global grant first: the order of grants has no say either.
    """
    house.call(target + wish, caller, headers={"X-Credential": "everything", "X-Api-Kind": "global"})

    (sent,) = noojee.targets()
    assert sent.startswith(f"{target.partition('?')[0]}?apiKey={kind}&")


def test_a_refusal_never_tries_the_more_powerful_kind(installation: Installation, noojee: Noojee) -> None:
    """
    The user key is gone: its operations are refused, though the caller's global grant covers them as well.
    """
    token = installation.add_caller("crm", [("everything", ["*"]), ("campaigns", ["CampaignAPI/*"])])

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            assert 200 == (await worker.call(CAMPAIGNS, token)).status
            assert [CAMPAIGNS.replace("?", "?apiKey=USER&")] == noojee.targets()
            noojee.reset()
            await asyncio.to_thread(remove_user_key)

            refused = await worker.call(CAMPAIGNS, token)

            assert (503, "credential_unavailable") == (refused.status, refused.reason)
            assert [] == noojee.requests()
            assert "reason" not in (await worker.call(HANGUP, token)).json()

    def remove_user_key() -> None:
        with installation.desk() as desk:
            credentials.remove(desk, "campaigns")

    asyncio.run(transcript())


def test_no_cookie_is_stored_or_sent(house: House, noojee: Noojee) -> None:
    """
    A session that Noojee opened under one key would carry its power to a call with another.
    """
    noojee.break_next("*", "set_cookie", "JSESSIONID=1; Path=/")

    response = house.call(HANGUP, headers={"Cookie": "JSESSIONID=2"})
    house.call(HANGUP, headers={"Cookie": "JSESSIONID=2", "Cookie2": "$Version=1"})
    house.call(CAMPAIGNS, "campaigner")

    assert "set-cookie" not in response.headers
    assert 3 == len(noojee.requests())
    for request in noojee.requests():
        assert not {name.lower() for name, _ in request["headers"]} & {"cookie", "cookie2", "authorization"}
