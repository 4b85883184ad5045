"""
What each verb does, and what it refuses, each with a sentence that says what to do.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from admin_office import GLOBAL_KEY, USER_KEY

from gateway.access.token import create_token_text, digest_token
from gateway.administration import callers, credentials, grants, tokens, upstreams
from gateway.custody import SealError, open_key
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret
from gateway.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from admin_office import Office

    from gateway.administration.desk import Desk

    Act = Callable[[Desk], object]

NEW_KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-00000000cccc")
TOKEN_ID, TOKEN = create_token_text()


def test_verbs_return_what_json_shows(desk: Desk) -> None:
    """
    The fields of each noun, instants as RFC 3339 text or null, and never a key or a token.
    """
    grant = grants.add(desk, "crm", credential="everything", operations=["CallManagementAPI/stop"])
    issued, token = tokens.issue(desk, "crm", expires_in=timedelta(days=90))
    caller = callers.get(desk, "crm")

    assert {
        "name": "noojee",
        "url": "https://noojee.example.com",
        "auth": "api-key",
        "ca": False,
        "proxy": None,
        "pins": [],
        "allow_old_tls": False,
    } == upstreams.get(desk, "noojee")
    assert {
        "name": "alice",
        "upstream": "noojee",
        "kind": "user",
        "owner": "alice@example.com",
        "state": "active",
    } == credentials.find_all(desk)[0]
    assert {
        "name": "crm",
        "networks": [],
        "query_token_allowed": True,
        "rate": "1000/s",
        "burst": 10000,
        "concurrency": 2500,
        "state": "active",
    } == callers.find_all(desk)[0]
    assert {"caller": "crm", "credential": "everything", "operations": ["CallManagementAPI/stop"]} == {
        name: grant[name] for name in ("caller", "credential", "operations")
    }
    assert {"token_id": token.reveal()[4:16], "caller": "crm", "expires_at": "2026-08-01T09:15:00.000000Z"} == issued
    assert [
        {
            "token_id": issued["token_id"],
            "caller": "crm",
            "state": "active",
            "issued_at": "2026-05-03T09:15:00.000000Z",
            "expires_at": "2026-08-01T09:15:00.000000Z",
            "revoked_at": None,
        }
    ] == tokens.find_all(desk, "crm")
    assert ([grant], tokens.find_all(desk)) == (caller["grants"], caller["tokens"])


def test_a_token_is_issued_seen_expired_and_revoked_for_good(office: Office, desk: Desk) -> None:
    """
    The registry holds its digest; a second revocation keeps the first instant.
    """
    issued, token = tokens.issue(desk, "crm", expires_in=timedelta(hours=1))
    token_id = str(issued["token_id"])
    states = [tokens.find_all(desk)[0]["state"]]
    assert {digest_token(token.reveal())} == set(desk.read_snapshot().tokens)
    office.clock.instant += timedelta(hours=1)
    states.append(tokens.find_all(desk)[0]["state"])
    first = tokens.revoke(desk, token_id)
    office.clock.instant += timedelta(hours=1)
    second = tokens.revoke(desk, token_id)

    assert ["active", "expired"] == states
    assert "2026-05-03T10:15:00.000000Z" == first["revoked_at"] == second["revoked_at"]
    assert {} == desk.read_snapshot().tokens
    assert 1 == office.read_tags().count("token.revoked")


def test_a_caller_is_changed_disabled_enabled_and_removed(office: Office, desk: Desk) -> None:
    """
    What is not given stays; disabling twice is once; removal takes tokens and grants along.
    """
    callers.change(desk, "crm", networks=["10.0.0.0/8", "192.0.2.7", "2001:DB8::/32"])
    changed = callers.change(desk, "crm", query_token_allowed=False)
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"])
    tokens.issue(desk, "crm", expires_in=None)
    for _ in range(2):
        callers.disable(desk, "crm")
    disabled = desk.read_snapshot()
    for _ in range(2):
        callers.enable(desk, "crm")
    enabled = desk.read_snapshot()
    callers.remove(desk, "crm")

    assert ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"] == changed["networks"]
    assert not changed["query_token_allowed"]
    assert (set(), {"crm"}) == (set(disabled.callers), set(enabled.callers))
    assert ([], []) == (callers.find_all(desk), tokens.find_all(desk))
    assert (1, 1) == (office.read_tags().count("caller.disabled"), office.read_tags().count("caller.enabled"))


def test_a_removed_credential_keeps_its_name_for_its_grants_and_may_come_back(desk: Desk) -> None:
    """
    Only as what it was: otherwise a grant would quietly use another key.
    """
    grant = grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"])
    credentials.remove(desk, "alice")
    states = [credentials.find_all(desk)[0]["state"]]
    assert credentials.remove(desk, "alice")["state"] == "removed"
    with pytest.raises(OperatorError, match="Remove these grants first"):
        credentials.add(desk, "alice", upstream="noojee", kind="user", owner="bob@example.com", key=NEW_KEY)
    credentials.add(desk, "alice", upstream="noojee", kind="user", owner="alice@example.com", key=NEW_KEY)
    back = desk.read_snapshot()
    credentials.remove(desk, "alice")
    grants.remove(desk, str(grant["grant_id"]))

    assert ["removed"] == states
    assert NEW_KEY == open_key(desk.ring, back.callers["crm"].grants[0].credential)
    assert {"everything"} == set(desk.read_snapshot().credentials)


def test_keys_are_sealed_where_they_belong_and_recognised_by_a_mark(desk: Desk) -> None:
    """
    Each opens for its credential; the mark of a key that is presented at our door leads to its name.
    """
    snapshot = desk.read_snapshot()
    swapped = dataclasses.replace(snapshot.credentials["alice"], sealed=snapshot.credentials["everything"].sealed)

    assert GLOBAL_KEY == open_key(desk.ring, snapshot.credentials["everything"])
    assert USER_KEY == open_key(desk.ring, snapshot.credentials["alice"])
    assert "alice" == snapshot.fingerprints[desk.audit_key.fingerprint(USER_KEY.reveal())]
    with pytest.raises(SealError):
        open_key(desk.ring, swapped)


def test_an_upstream_that_moves_takes_every_key_again(office: Office, desk: Desk) -> None:
    """
    To another host or port: the keys of all credentials that hold one, or nothing changes. Another prefix needs none.
    """
    credentials.add(desk, "bob", upstream="noojee", kind="user", owner="bob@example.com", key=NEW_KEY)
    credentials.remove(desk, "bob")
    url = "https://other.example.com:8443/contact"
    assert [] == upstreams.credentials_to_enter(desk, "noojee", "https://noojee.example.com/contact")
    assert ["alice", "everything"] == upstreams.credentials_to_enter(desk, "noojee", url)
    before = desk.read_snapshot()
    for keys in (None, {}, {"alice": NEW_KEY}, {"alice": NEW_KEY, "everything": NEW_KEY, "bob": NEW_KEY}):
        with pytest.raises(OperatorError, match="enter"):
            upstreams.change(desk, "noojee", url=url, keys=keys)
    assert before == desk.read_snapshot()
    changed = upstreams.change(desk, "noojee", url=url, keys={"alice": USER_KEY, "everything": NEW_KEY})
    after = desk.read_snapshot().credentials
    moved_back = dataclasses.replace(after["alice"], upstream=before.credentials["alice"].upstream)

    assert url == changed["url"]
    assert (USER_KEY, NEW_KEY) == tuple(open_key(desk.ring, after[name]) for name in ("alice", "everything"))
    assert ["alice", "everything"] == office.read_journal()[-1]["change"]["keys_entered"]
    with pytest.raises(SealError):
        open_key(desk.ring, moved_back)


def test_certificates_to_trust_are_kept_with_the_upstream(desk: Desk, tmp_path: Path) -> None:
    """
    As text in the registry: the file may go. On the journal stands only that there are some.
    """
    ca_pem = Simulator(tmp_path / "simulator").ca_file.read_text()
    changed = upstreams.change(desk, "noojee", ca_pem=ca_pem)

    assert changed["ca"]
    assert ca_pem == desk.read_snapshot().credentials["alice"].upstream.ca_pem


def test_grants_of_both_kinds_and_of_one_owner_go_together(desk: Desk) -> None:
    """
    A global one beside a user's, and a user's twice over the same operations.
    """
    grants.add(desk, "crm", credential="everything", operations=["*"])
    grants.add(desk, "crm", credential="alice", operations=["*"])
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*", "CampaignAPI/*"])

    assert [["*"], ["*"], ["CampaignAPI/*"]] == [each["operations"] for each in grants.find_all(desk, "crm")]


def _add_credential(desk: Desk, name: str = "new", key: Secret = NEW_KEY, **changed: Any) -> object:
    return credentials.add(desk, name, key=key, **({"upstream": "noojee", "kind": "global", "owner": None} | changed))


def _add_other_upstream(desk: Desk) -> None:
    grants.add(desk, "crm", credential="everything", operations=["*"])
    upstreams.add(desk, "other", url="https://other.example.com")
    _add_credential(desk, upstream="other")
    grants.add(desk, "crm", credential="new", operations=["*"])


def _add_other_owner(desk: Desk) -> None:
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"])
    _add_credential(desk, kind="user", owner="bob@example.com")
    grants.add(desk, "crm", credential="new", operations=["*"])


def test_a_rule_that_keeps_a_grant_off_an_operation_leaves_it_to_another_owner(desk: Desk) -> None:
    """
    A grant none of whose ruled parameters an operation has does not cover it, so nothing overlaps there.
    """
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"], rules=[("fAllocationId", "1")])
    _add_credential(desk, kind="user", owner="bob@example.com")

    added = grants.add(desk, "crm", credential="new", operations=["CampaignAPI/getCampaignTemplateList"])

    assert "new" == added["credential"]


def _grant_on_removed(desk: Desk) -> None:
    grants.add(desk, "crm", credential="everything", operations=["*"])
    credentials.remove(desk, "everything")
    grants.add(desk, "crm", credential="everything", operations=["*"])


def _rule_and_path(desk: Desk) -> None:
    operations = ["*/stop", "/servicemanager/rest/A/b"]
    grants.add(desk, "crm", credential="everything", operations=operations, rules=[("extension", "410")])


def _grant(*operations: str, credential: str = "everything", caller: str = "crm") -> Act:
    return lambda desk: grants.add(desk, caller, credential=credential, operations=operations)


def _ruled(*rules: str, glob: str = "*", unique_ids: bool = False, credential: str = "everything") -> Act:
    split = [rule.partition("=") for rule in rules]
    pairs = [(name, text) for name, _, text in split]
    return lambda desk: grants.add(
        desk, "crm", credential=credential, operations=[glob], rules=pairs, allow_unique_ids=unique_ids
    )


def _caller(name: str = "new", *networks: str) -> Act:
    return lambda desk: callers.add(desk, name, networks=networks, query_token_allowed=True)


def _upstream(url: str, name: str = "new", **changed: Any) -> Act:
    return lambda desk: upstreams.add(desk, name, url=url, **changed)


URL = "https://new.example.com"
INVALID, NOT_FOUND = OperatorReason.INVALID, OperatorReason.NOT_FOUND
EXISTS, IN_USE = OperatorReason.EXISTS, OperatorReason.IN_USE
REFUSED: list[tuple[str, Act, OperatorReason, str]] = [
    ("http", _upstream("http://new.example.com"), INVALID, "https://"),
    ("userinfo", _upstream("https://me:pw@new.example.com"), INVALID, "user name"),
    ("query", _upstream(f"{URL}/?apiKey=marked"), INVALID, "query"),
    ("fragment", _upstream(f"{URL}/#x"), INVALID, "fragment"),
    ("method", _upstream(URL, auth="basic"), INVALID, "api-key or hash"),
    ("CA text", _upstream(URL, ca_pem="nothing"), INVALID, "PEM"),
    ("CA empty", _upstream(URL, ca_pem=""), INVALID, "PEM"),
    ("CA key", _upstream(URL, ca_pem="-----BEGIN PRIVATE KEY-----"), INVALID, "private key"),
    ("CA large", _upstream(URL, ca_pem="x" * 300_000), INVALID, "256 KiB"),
    ("upstream name", _upstream(URL, name="New"), INVALID, "an upstream"),
    ("upstream exists", _upstream(URL, name="noojee"), EXISTS, "upstream set"),
    ("upstream missing", lambda desk: upstreams.get(desk, "none"), NOT_FOUND, "upstream list"),
    ("upstream used", lambda desk: upstreams.remove(desk, "noojee"), IN_USE, "alice, everything"),
    ("upstream nothing", lambda desk: upstreams.change(desk, "noojee"), INVALID, "Nothing to change"),
    (
        "key too many",
        lambda desk: upstreams.change(desk, "noojee", url="https://noojee.example.com/x", keys={"alice": NEW_KEY}),
        INVALID,
        "No key needs",
    ),
    ("credential exists", lambda desk: _add_credential(desk, "alice"), EXISTS, "remove it first"),
    ("credential name", lambda desk: _add_credential(desk, "a" * 64), INVALID, "1 to 63"),
    ("key as name", lambda desk: _add_credential(desk, NEW_KEY.reveal()), INVALID, "looks like a Noojee API key"),
    ("upstream of credential", lambda desk: _add_credential(desk, upstream="none"), NOT_FOUND, "upstream list"),
    ("kind", lambda desk: _add_credential(desk, kind="both"), INVALID, "global or user"),
    ("user without owner", lambda desk: _add_credential(desk, kind="user"), INVALID, "--owner"),
    ("global with owner", lambda desk: _add_credential(desk, owner="bob"), INVALID, "Leave --owner out"),
    ("owner text", lambda desk: _add_credential(desk, kind="user", owner="a\nb"), INVALID, "printable"),
    ("owner empty", lambda desk: _add_credential(desk, kind="user", owner=""), INVALID, "1 to 128"),
    ("key as owner", lambda desk: _add_credential(desk, kind="user", owner=NEW_KEY.reveal()), INVALID, "looks like"),
    ("key short", lambda desk: _add_credential(desk, key=Secret("marked7")), INVALID, "8 to 256"),
    ("key long", lambda desk: _add_credential(desk, key=Secret("marked-" * 40)), INVALID, "8 to 256"),
    ("key of two lines", lambda desk: _add_credential(desk, key=Secret("marked-1\nmarked-2")), INVALID, "one line"),
    ("key not ASCII", lambda desk: _add_credential(desk, key=Secret("marked-\u00e9\u00e9")), INVALID, "ASCII"),
    ("token as key", lambda desk: _add_credential(desk, key=TOKEN), INVALID, "token of this gateway"),
    ("credential missing", lambda desk: credentials.remove(desk, "none"), NOT_FOUND, "credential list"),
    ("caller exists", _caller("crm"), EXISTS, "caller set"),
    ("caller name", _caller("-crm"), INVALID, "a caller"),
    ("network", _caller("new", "10.0.0.0/33"), INVALID, "CIDR"),
    ("network name", _caller("new", "localhost"), INVALID, "CIDR"),
    ("network bits", _caller("new", "10.1.2.3/8"), INVALID, r"Write 10\.0\.0\.0/8"),
    ("networks", _caller("new", *(f"10.0.{number}.0/24" for number in range(65))), INVALID, "64 networks"),
    ("caller missing", lambda desk: callers.get(desk, "none"), NOT_FOUND, "caller list"),
    ("caller nothing", lambda desk: callers.change(desk, "crm"), INVALID, "Nothing to change"),
    ("glob matches nothing", _grant("CampaignAPI/*", "campaignapi/*"), INVALID, "campaignapi/.* matches no operation"),
    ("glob not served", _grant("Time"), INVALID, "matches no operation"),
    ("full path", _grant("/servicemanager/rest/A/b/c"), INVALID, "FAMILY/METHOD"),
    ("glob text", _grant("Campaign\nAPI"), INVALID, "printable"),
    ("glob long", _grant("*" * 129), INVALID, "128"),
    ("no glob", _grant(), INVALID, "1 to 64"),
    ("globs", _grant(*("*" * number for number in range(1, 66))), INVALID, "1 to 64"),
    ("user on system", _grant("CallManagementAPI/*", credential="alice"), INVALID, "Name a global credential"),
    ("known path", _grant("/servicemanager/rest/CallManagementAPI/stop"), INVALID, "Grant it by that name"),
    ("Time's path", _grant("/servicemanager/rest/Time/x"), INVALID, "takes no key"),
    ("user on path", _grant("/servicemanager/rest/A/b", credential="alice"), INVALID, "Name a global credential"),
    ("rule on exten", _ruled("exten=410"), INVALID, "Write --param extension=RULE"),
    ("rule on extenOrUniqueId", _ruled("extenOrUniqueId=410"), INVALID, "Write --param extension=RULE"),
    ("rule on nothing", _ruled("colour=red"), INVALID, "has a parameter colour"),
    ("rule beyond globs", _ruled("number=04*", glob="*/stop"), INVALID, "has a parameter number"),
    ("rule on extension beyond", _ruled("extension=4", glob="CampaignAPI/*"), INVALID, "has a parameter extension"),
    ("rule on JSON", _ruled("njPriority=1"), INVALID, "JSON body cannot be ruled"),
    ("rule on a key", _ruled("apiKey=x"), INVALID, "has a parameter apiKey"),
    ("key as parameter", _ruled(f"{NEW_KEY.reveal()}=x"), INVALID, "has a parameter of that name"),
    ("key as rule", _ruled(f"tag={NEW_KEY.reveal()}"), INVALID, "key or a token"),
    ("rule twice", _ruled("tag=a", "tag=b"), INVALID, "two rules on tag"),
    ("rule text", _ruled("extension=400-4500"), INVALID, "same number of digits"),
    ("rule no text", _ruled("tag=a\udcff"), INVALID, "printed"),
    ("rule on abroad", _ruled("number=02*,+61*"), INVALID, "02.,03.,04"),
    ("rules", _ruled(*(f"p{number}=1" for number in range(17))), INVALID, "at most 16 rules"),
    ("rules long", _ruled("tag=" + ",".join(["abcdefg"] * 300)), INVALID, "2048 bytes"),
    ("uniqueId", _ruled("extension=410", "uniqueId=1.2"), INVALID, "Say --allow-unique-ids"),
    ("user on ruled system", _ruled("extension=410", credential="alice"), INVALID, "Name a global credential"),
    ("rule on path", _rule_and_path, INVALID, "a grant of its own"),
    ("grant's caller", _grant("*", caller="none"), NOT_FOUND, "caller list"),
    ("grant's credential", _grant("*", credential="none"), NOT_FOUND, "credential list"),
    ("grant on removed", _grant_on_removed, NOT_FOUND, "credential add"),
    ("second upstream", _add_other_upstream, INVALID, "one upstream"),
    ("two owners", _add_other_owner, INVALID, "another owner"),
    ("grant missing", lambda desk: grants.remove(desk, "g0123456789ab"), NOT_FOUND, "grant list"),
    ("grant id", lambda desk: grants.remove(desk, NEW_KEY.reveal()), INVALID, "grant list"),
    ("grants' caller", lambda desk: grants.find_all(desk, "none"), NOT_FOUND, "caller list"),
    ("token's caller", lambda desk: tokens.issue(desk, "none", expires_in=None), NOT_FOUND, "caller list"),
    ("token past", lambda desk: tokens.issue(desk, "crm", expires_in=timedelta(0)), INVALID, "in the future"),
    ("token far", lambda desk: tokens.issue(desk, "crm", expires_in=timedelta(days=3_000_000)), INVALID, "9999"),
    ("token missing", lambda desk: tokens.revoke(desk, "000000000000"), NOT_FOUND, "token list"),
    ("token id", lambda desk: tokens.revoke(desk, "marked"), INVALID, "token list"),
    ("whole token", lambda desk: tokens.revoke(desk, TOKEN.reveal()), INVALID, "id alone"),
    ("tokens' caller", lambda desk: tokens.find_all(desk, "none"), NOT_FOUND, "caller list"),
]


@pytest.mark.parametrize(("act", "reason", "match"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_refused_with_what_to_do(desk: Desk, act: Act, reason: OperatorReason, match: str) -> None:
    """
    Each with its reason and a sentence; what may be a secret in the wrong place is never repeated.
    """
    with pytest.raises(OperatorError, match=match) as caught:
        act(desk)

    assert reason == caught.value.reason
    assert caught.value.detail.endswith(".")
    for secret in (NEW_KEY.reveal(), TOKEN.reveal(), "marked"):
        assert secret not in caught.value.detail


def test_a_verb_is_quick_with_many_tokens(office: Office, desk: Desk) -> None:
    """
    A change reads what it needs, not everything.
    """
    with desk._store._connect(writes=True) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO tokens "
            "SELECT printf('%012d', i), 'crm', randomblob(32), '2026-05-03T09:15:00.000000Z', "
            "NULL, NULL, NULL, 1 FROM n"
        )
    started = time.monotonic()
    tokens.revoke(desk, "000000000777")

    assert time.monotonic() - started < 1
    assert "token.revoked" == office.read_tags()[-1]
