"""
The simulator's hash method: 10 seconds, 1 hour, 5 attempts at once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from gateway.simulator.hash_pairs import HashPairs, compute_hash
from gateway.simulator.messages import RefusalError

if TYPE_CHECKING:
    from gateway.simulator import Simulator

HANGUP = "/servicemanager/rest/CallManagementAPI/hangup"
SUBSCRIBE = "/servicemanager/rest/CallManagementAPI/subscribe"
TEMPLATES = "/servicemanager/rest/CampaignAPI/getCampaignTemplateList"
TIME = "/servicemanager/rest/Time"
BEGIN = 1_700_000_000.0
EXPIRED = {"Message": "Expired TimeStamp", "Code": -1}


class Server:
    """
    `HashPairs` on a clock that stands until it is moved.
    """

    def __init__(self) -> None:
        self.now = BEGIN
        self.pairs = HashPairs(now=lambda: self.now)

    def present(self, time_stamp: int, digest: str = "d") -> int:
        """
        What a call with a pair gets: 0, or the code of the refusal.
        """
        try:
            self.pairs.check(str(time_stamp), digest)
        except RefusalError as refusal:
            return refusal.code
        self.pairs.note_use(str(time_stamp), digest, "global")
        return 0


def test_a_pair_is_first_used_within_ten_seconds() -> None:
    """
    At 10 seconds it is good, a millisecond later it has expired; so has a time that has not come yet.
    """
    server = Server()
    told = server.pairs.tell_time()
    server.now = BEGIN + 10

    assert 0 == server.present(told)
    server.now = BEGIN + 10.002
    assert -1 == server.present(told, "another hash")
    assert -1 == server.present(told + 3_600_000, "a third")


def test_a_pair_is_good_for_an_hour_after_its_first_use() -> None:
    """
    Each use within the hour, none after it.
    """
    server = Server()
    told = server.pairs.tell_time()
    server.now = BEGIN + 5
    assert 0 == server.present(told)

    server.now = BEGIN + 5 + 3599.9
    assert 0 == server.present(told)
    server.now = BEGIN + 5 + 3600.1
    assert -1 == server.present(told)


def test_expired_pairs_stay_expired() -> None:
    """
    After a reset every pair of a time told before is refused, young ones too, and a new one is good.
    """
    server = Server()
    told = server.pairs.tell_time()
    assert 0 == server.present(told)
    server.now = BEGIN + 1
    server.pairs.expire()

    assert -1 == server.present(told)
    assert 0 == server.present(server.pairs.tell_time(), "new")
    assert [("global",)] == [(pair["holder"],) for pair in server.pairs.render()]


def test_five_attempts_run_at_once() -> None:
    """
    A sixth `Time` is refused until a pair was used or a timestamp has become too old.
    """
    server = Server()
    told = [server.pairs.tell_time() for _ in range(5)]
    with pytest.raises(RefusalError) as refusal:
        server.pairs.tell_time()
    assert 429 == refusal.value.status

    assert 0 == server.present(told[0])
    server.pairs.tell_time()
    with pytest.raises(RefusalError):
        server.pairs.tell_time()
    server.now = BEGIN + 10.002
    assert server.pairs.tell_time() > told[0]


@pytest.mark.parametrize("time_stamp", ["", "-1", "1.0", "1e3", "１", "9" * 16])  # noqa: RUF001  # full-width digit
def test_a_timestamp_is_a_number(time_stamp: str) -> None:
    """
    Anything else is a malformed parameter.
    """
    with pytest.raises(RefusalError) as refusal:
        HashPairs().check(time_stamp, "d")
    assert (400, -2) == (refusal.value.status, refusal.value.code)


@pytest.fixture
def bare(noojee: httpx2.Client) -> httpx2.Client:
    """
    The client without its key.
    """
    noojee.params = httpx2.QueryParams()
    return noojee


def shake_hands(client: httpx2.Client, key: str) -> dict[str, str]:
    """
    A pair of the simulator's time, computed here by itself.
    """
    time_stamp = client.post(TIME).text
    return {"timeStamp": time_stamp, "hash": hashlib.sha256(f"{key}:{time_stamp}".encode()).hexdigest()}


def test_time_is_told_in_plain_text_to_anybody(bare: httpx2.Client) -> None:
    """
    One number of 13 digits, no key needed; by POST alone.
    """
    reply = bare.post(TIME)

    assert (200, "text/plain") == (reply.status_code, reply.headers["content-type"])
    assert reply.text.isdigit()
    assert 13 == len(reply.text)
    assert 405 == bare.get(TIME).status_code


def test_a_pair_stands_in_place_of_its_key(bare: httpx2.Client, simulator: Simulator) -> None:
    """
    It opens what the key opens, for any method and in any order of the query; and no more.
    """
    whole = shake_hands(bare, simulator.global_key_file.read_text().strip())
    reply = bare.post(SUBSCRIBE, params={"exten": "410", "lastSequenceNumber": "0", "timeOut": "0", **whole})
    assert 0 == reply.json()["Code"]
    assert 0 == bare.post(TEMPLATES, params=whole).json()["code"]

    users = shake_hands(bare, simulator.user_key_files["alice"].read_text().strip())
    assert 0 == bare.post(TEMPLATES, params=users).json()["code"]
    assert 403 == bare.post(HANGUP, params={"extenOrUniqueId": "410", **users}).status_code
    assert ["global", "alice"] == [pair["holder"] for pair in bare.get("/simulator/pairs").json()]


@pytest.mark.parametrize(
    "change", [{"hash": "0" * 64}, {"timeStamp": "1700000000000"}, {"hash": ""}, {"timeStamp": ""}]
)
def test_half_a_pair_or_a_wrong_one_opens_nothing(
    bare: httpx2.Client, simulator: Simulator, change: dict[str, str]
) -> None:
    """
    The hash must be that of the timestamp; without either there is no key at all.
    """
    pair = shake_hands(bare, simulator.global_key_file.read_text().strip()) | change

    reply = bare.post(HANGUP, params={"extenOrUniqueId": "410", **pair})

    assert (401 if "" in change.values() else 403) == reply.status_code


def test_an_expired_pair_is_told_as_documented(bare: httpx2.Client, simulator: Simulator) -> None:
    """
    `Code` -1, in capitals for every family, with the status of our choice; the operation is not carried out.
    """
    pair: dict[str, Any] = shake_hands(bare, simulator.global_key_file.read_text().strip())
    dial = {"number": "0412345678", "extenOrUniqueId": "SIP/410"}
    assert 0 == bare.post(HANGUP.replace("hangup", "dial"), params=dial | pair).json()["Code"]
    bare.delete("/simulator/pairs")

    reply = bare.post(HANGUP.replace("hangup", "dial"), params=dial | pair)

    assert (200, EXPIRED) == (reply.status_code, reply.json())
    assert EXPIRED == bare.post(TEMPLATES, params=pair).json()
    assert 1 == len(bare.get("/simulator/calls").json())


def test_the_hash_is_hexadecimal_sha_256_of_key_colon_time() -> None:
    """
    A vector of our own: the documents show hashes, and never the key that made them.
    """
    expected = "039572e33ecaa7c1ce6b16f43484f4dccb8410afda83324a9765a064babd0814"

    assert expected == compute_hash("00000000-0000-0000-0000-000000000000", "1700000000000")
