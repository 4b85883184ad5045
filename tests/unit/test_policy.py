"""
The decision: which grants may serve, which one does, and why none does.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.grant import Grant
from gateway.access.policy import Decision, decide, resolve
from gateway.access.upstream import Upstream
from gateway.errors import Reason
from gateway.noojee.catalogue import Operation, Scope, load_catalogue
from gateway.noojee.parameters import Parameter

UPSTREAM = Upstream("main", "noojee.example.com", 443)

SYSTEM = "CallManagementAPI/stop"
CAMPAIGN = "CampaignAPI/getCampaignList"


def operation(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


def grant(grant_id: str, kind: Kind, *operations: str, available: bool = True) -> Grant:
    """
    A grant with a credential of its own.
    """
    owner = "alice" if kind is Kind.USER else None
    credential = Credential(f"c-{grant_id}", f"key-{grant_id}", UPSTREAM, kind, owner, b"sealed" if available else None)
    return Grant(grant_id, credential, operations)


def caller(*grants: Grant) -> Caller:
    """
    A caller with these grants, the oldest first.
    """
    return Caller("crm", (), query_token_allowed=True, grants=grants)


@pytest.mark.parametrize(
    ("grants", "name", "reason", "grant_ids", "why"),
    [
        ([], SYSTEM, Reason.OPERATION_NOT_GRANTED, [], "no grant at all"),
        ([("g", "global", "CampaignAPI/*")], SYSTEM, Reason.OPERATION_NOT_GRANTED, [], "none covers it"),
        ([("g", "global", SYSTEM)], SYSTEM, None, ["g"], "a global key serves a system operation"),
        ([("g", "global", "*")], CAMPAIGN, None, ["g"], "and a campaign operation"),
        ([("u", "user", "*")], CAMPAIGN, None, ["u"], "a user key serves a campaign operation"),
        ([("u", "user", "*")], SYSTEM, Reason.OPERATION_NEEDS_GLOBAL_CREDENTIAL, [], "never a system one (law 6)"),
        ([("u", "user", "*")], "systemHealth/test", Reason.OPERATION_NEEDS_GLOBAL_CREDENTIAL, [], "unknown is system"),
        (
            [("g", "global", "*"), ("u", "user", "*")],
            CAMPAIGN,
            None,
            ["u"],
            "the least powerful kind, whatever its age",
        ),
        ([("u", "user", "*"), ("g", "global", "*")], SYSTEM, None, ["g"], "the user key does not reach it"),
        (
            [("u", "user", "CampaignAPI/insert*"), ("g", "global", "*")],
            CAMPAIGN,
            None,
            ["g"],
            "only covering ones count",
        ),
        ([("1", "global", "*"), ("2", "global", SYSTEM)], SYSTEM, None, ["1", "2"], "all of that kind, oldest first"),
        ([("g", "global", "*")], "Time", Reason.OPERATION_NOT_SERVED, [], "no glob covers Time"),
        ([("g", "global", "Time")], "Time", Reason.OPERATION_NOT_SERVED, [], "not even its name"),
        (
            [],
            "NoojeeClickCallerId",
            Reason.OPERATION_NOT_SERVED,
            [],
            "a legacy entry, told before the grants are asked",
        ),
    ],
)
def test_the_kind_is_fixed_by_operation_and_grants(
    grants: list[tuple[str, str, str]], name: str, reason: Reason | None, grant_ids: list[str], why: str
) -> None:
    """
    `resolve` gives the grants of the least powerful kind that serves, or the denial (laws 4 and 6).
    """
    resolved = resolve(caller(*(grant(each, Kind(kind), glob) for each, kind, glob in grants)), operation(name))

    assert (reason, grant_ids) == (resolved.reason, [each.grant_id for each in resolved.grants]), why


def test_a_denial_for_want_of_a_global_key_names_the_grant_that_covers() -> None:
    """
    So that the journal and `explain` can tell which grant was not enough.
    """
    resolved = resolve(caller(grant("u1", Kind.USER, "*"), grant("u2", Kind.USER, "*")), operation(SYSTEM))

    assert resolved.grant is not None
    assert "u1" == resolved.grant.grant_id


def test_no_user_key_ever_serves_a_system_operation() -> None:
    """
    For every operation and every order of grants: law 6, and the least powerful kind of law 4.
    """
    grants = [grant("u", Kind.USER, "*"), grant("g", Kind.GLOBAL, "*"), grant("u2", Kind.USER, "C*")]
    for each in load_catalogue().operations:
        for order in permutations(grants):
            resolved = resolve(caller(*order), each)
            kinds = {one.credential.kind for one in resolved.grants}
            expected = set()
            if each.is_served:
                expected = {Kind.USER} if each.scope is Scope.CAMPAIGN else {Kind.GLOBAL}

            assert expected == kinds


def test_the_oldest_grant_that_passes_serves() -> None:
    """
    The first of those resolved.
    """
    resolved = resolve(caller(grant("1", Kind.GLOBAL, "*"), grant("2", Kind.GLOBAL, "*")), operation(SYSTEM))
    decision = decide(resolved, operation(SYSTEM), (Parameter("extenOrUniqueId", "410"),), "61")

    assert decision.allowed
    assert decision.grant is resolved.grants[0]


def test_a_removed_credential_serves_nothing() -> None:
    """
    The reason is that of the first; a later grant of the same kind serves in its place.
    """
    gone, here = grant("1", Kind.GLOBAL, "*", available=False), grant("2", Kind.GLOBAL, "*")
    both = decide(resolve(caller(gone, here), operation(SYSTEM)), operation(SYSTEM), (), "61")
    alone = decide(resolve(caller(gone), operation(SYSTEM)), operation(SYSTEM), (), "61")

    assert (None, here) == (both.reason, both.grant)
    assert (Reason.CREDENTIAL_UNAVAILABLE, gone) == (alone.reason, alone.grant)


def test_no_more_powerful_key_is_tried() -> None:
    """
    A user key that is gone is not replaced by a global one (law 4).
    """
    gone = grant("u", Kind.USER, "*", available=False)
    resolved = resolve(caller(gone, grant("g", Kind.GLOBAL, "*")), operation(CAMPAIGN))
    decision = decide(resolved, operation(CAMPAIGN), (), "61")

    assert (Reason.CREDENTIAL_UNAVAILABLE, gone) == (decision.reason, decision.grant)


def test_deciding_without_grants_denies() -> None:
    """
    An allowance that names no grant is no allowance (law 6).
    """
    decision = decide(Decision(None), operation(SYSTEM), (), "61")

    assert not decision.allowed
    assert Reason.OPERATION_NOT_GRANTED is decision.reason


@pytest.mark.parametrize(
    ("networks", "peer", "expected"),
    [
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::1", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::5", True),
        (("192.0.2.7/32",), "192.0.2.7", True),
        (("192.0.2.7/32",), "192.0.2.8", False),
    ],
)
def test_a_caller_calls_from_its_networks(networks: tuple[str, ...], peer: str, *, expected: bool) -> None:
    """
    From anywhere when there are none; a network of the other family never holds a peer.
    """
    each = Caller("crm", tuple(map(ip_network, networks)), query_token_allowed=True, grants=())

    assert expected is each.allows_network(ip_address(peer))


def test_a_credential_shows_its_name_and_kind_and_no_key() -> None:
    """
    Not even the sealed one.
    """
    here, gone = grant("1", Kind.USER, "*"), grant("2", Kind.GLOBAL, "*", available=False)

    assert "<Credential key-1 (user) of main>" == repr(here.credential)
    assert "<Credential key-2 (global) of main, removed>" == repr(gone.credential)
    assert "sealed" not in repr(here)
