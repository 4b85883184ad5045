"""
Rules on parameters: how they are written, what they allow, and what a grant with one refuses besides.
"""

from __future__ import annotations

import time

import pytest

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.grant import Grant
from gateway.access.policy import Decision, decide, name_operation, resolve
from gateway.access.rules import parse_rule
from gateway.access.upstream import Upstream
from gateway.errors import Reason
from gateway.noojee.catalogue import Operation, load_catalogue
from gateway.noojee.parameters import Parameter

UPSTREAM = Upstream("main", "noojee.example.com", 443)
GLOBAL = Credential("c1", "everything", UPSTREAM, Kind.GLOBAL, None, b"sealed")
USER = Credential("c2", "alice-key", UPSTREAM, Kind.USER, "alice", b"sealed")

DIAL = "CallManagementAPI/dial"
STOP = "CallManagementAPI/stop"
ANSWER = "CallManagementAPI/answer"


def operation(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


def grant(
    grant_id: str, *rules: str, credential: Credential = GLOBAL, glob: str = "*", allow_unique_ids: bool = False
) -> Grant:
    """
    A grant with rules, each written NAME=RULE.
    """
    split = [rule.partition("=") for rule in rules]
    parsed = tuple(parse_rule(name, text) for name, _, text in split)
    return Grant(grant_id, credential, (glob,), parsed, allow_unique_ids)


def decided(name: str, sent: dict[str, str], *grants: Grant, country: str = "61") -> Decision:
    """
    What is decided of a call by a caller with these grants.
    """
    resolved = resolve(Caller("crm", (), query_token_allowed=True, grants=grants), operation(name))
    if not resolved.allowed:
        return resolved
    return decide(resolved, operation(name), tuple(Parameter(*pair) for pair in sent.items()), country)


@pytest.mark.parametrize(
    ("rule", "value", "allowed", "why"),
    [
        ("410", "410", True, "the number itself"),
        ("410", "SIP/410", True, "with its technology"),
        ("410", "PJSIP/410", True, "with the other"),
        ("410", "sip/410", False, "case-exact"),
        ("410", "IAX2/410", False, "no technology of Noojee's"),
        ("410", "Local/410@x", False, "a channel of another kind"),
        ("410", "SIP/trunk/0412345678", False, "dials out through a trunk"),
        ("410", "SIP/410&SIP/411", False, "Asterisk rings both"),
        ("410", "0410", False, "another number: equal length"),
        ("410", " 410", False, "a space"),
        ("410", "410\u0660", False, "a digit of another script"),
        ("410", "\uff14\uff11\uff10", False, "full-width digits"),
        ("410", "", False, "empty"),
        ("400-450", "400", True, "the first"),
        ("400-450", "450", True, "the last"),
        ("400-450", "451", False, "beyond"),
        ("400-450", "4100", False, "longer"),
        ("400-450", "41", False, "shorter"),
        ("08-12", "09", True, "with its zero"),
        ("08-12", "9", False, "without it"),
        ("41*", "41", True, "the prefix alone"),
        ("41*", "4199", True, "and more"),
        ("41*", "SIP/4199", True, "of the number, not of the text"),
        ("41*", "4", False, "less"),
        ("41*", "41\uff11", False, "a full-width digit behind the prefix"),
        ("41*", "41999999999", False, "11 digits are no extension"),
        ("400-450,500", "410,500", True, "a list, each of it allowed"),
        ("400-450,500", "SIP/410,PJSIP/500", True, "with technologies"),
        ("400-450,500", "410,451", False, "one of it not"),
        ("400-450,500", "410,", False, "an empty item at the end"),
        ("400-450,500", ",410", False, "at the beginning"),
        ("400-450,500", "410,,500", False, "in the middle"),
        ("400-450,500", "410, 500", False, "a space after the comma"),
        ("400-450,500", "1700000000.1", False, "a unique id could name any call"),
        ("400-450,500", "410,1700000000.1", False, "as an item too"),
    ],
)
def test_an_extension_is_compared_by_its_number(rule: str, value: str, *, allowed: bool, why: str) -> None:
    """
    Under `exten` as under `extenOrUniqueId`, item by item of a list.
    """
    for name, parameter, more in (
        (STOP, "extenOrUniqueId", {}),
        ("CallManagementAPI/subscribe", "exten", {"lastSequenceNumber": "0"}),
    ):
        decision = decided(name, {parameter: value} | more, grant("g1", f"extension={rule}"))

        assert allowed is decision.allowed, why
        assert allowed or (Reason.PARAMETER_NOT_GRANTED, f"extension={rule}") == (decision.reason, decision.rule)


@pytest.mark.parametrize(
    ("rule", "value", "allowed", "why"),
    [
        ("04*", "0412345678", True, "as written"),
        ("04*", "+61412345678", True, "the same number"),
        ("04*", " 61412345678", True, "its + read as a space"),
        ("04*", "61412345678", False, "stays as written: nobody said that it is international"),
        ("04*", "0061412345678", False, "stays as written"),
        ("+614*", "0412345678", True, "the rule passes the same function"),
        ("+614*", "+61412345678", True, "and the call's number"),
        ("+61412345678", "0412345678", True, "an exact one too"),
        ("0412345678", "+61412345678", True, "the other way round"),
        ("04*", "0011442012345678", False, "abroad"),
        ("04*", "0412345678;ext=0900", False, "an extension that some would dial"),
        ("04*", "0412345678,,1900123456", False, "pauses and more digits"),
        ("04*", "0412345678,0412345679", False, "no list"),
        ("04*", "0412 345 678", False, "spaces within"),
        ("04*", "0412\u0663", False, "an Arabic digit behind the prefix"),
        ("04*", "04", False, "fewer than 3 digits"),
        ("04*", "04123456789012345", False, "more than 16"),
        ("04*", "\uff10\uff14\uff11\uff12", False, "full-width digits"),
        ("0400-0450", "0410", True, "a range"),
        ("+44*", "+442012345678", True, "another country stays as written"),
        ("+44*", " 442012345678", False, "there the space stays a space"),
        ("000,1300*", "000", True, "one of several"),
    ],
)
def test_telephone_numbers_are_compared_by_one_form(rule: str, value: str, *, allowed: bool, why: str) -> None:
    """
    `number` and `callerId`: a leading +61 or space 61 is a 0, on both sides.
    """
    for parameter in ("number", "callerId"):
        sent = {"extenOrUniqueId": "410", "number": "0412345678"} | {parameter: value}

        assert allowed is decided(DIAL, sent, grant("g1", f"{parameter}={rule}")).allowed, why


@pytest.mark.parametrize("rule", ["+61*", "+6*", "+*"])
def test_a_prefix_within_the_country_code_allows_nothing(rule: str) -> None:
    """
    It would become `0*` and let calls go abroad; also when the country has become another after it was granted.
    """
    numbers = ["0412345678", "+61412345678", "0011442012345678", "0900123456"]

    assert [False] * 4 == [
        decided(DIAL, {"extenOrUniqueId": "410", "number": number}, grant("g1", f"number={rule}")).allowed
        for number in numbers
    ]


def test_another_country_changes_rule_and_call_alike() -> None:
    """
    What a rule allows in writing it allows in any country; the two sides never part.
    """
    written = ["+61412345678", "+442012345678", "0412345678"]
    for country in ("61", "44", "1", "614"):
        for number in written:
            sent = {"extenOrUniqueId": "410", "number": number}

            assert decided(DIAL, sent, grant("g1", f"number={number}"), country=country).allowed
            assert decided(DIAL, sent, grant("g1", f"number={number[:7]}*"), country=country).allowed


@pytest.mark.parametrize(
    ("rule", "value", "allowed"),
    [
        ("vip,gold", "gold", True),
        ("vip,gold", "vip,gold", False),
        ("vip,gold", "VIP", False),
        ("crm-*", "crm-7,8", True),
        ("crm-*", "crm", False),
        ("1-3", "2", True),
        ("1-3", "\u0662", False),
        ("2026-05-03", "2026-05-03", True),
        ("a b", "a b", True),
        ("Zo\u00eb", "Zoe\u0308", False),
    ],
)
def test_any_other_parameter_is_compared_as_a_whole(rule: str, value: str, *, allowed: bool) -> None:
    """
    Exact texts, ranges and prefixes; a comma in a value makes no list.
    """
    assert allowed is decided("RecordingAPI/retrieveMetaData", {"tag": value}, grant("g1", f"tag={rule}")).allowed


@pytest.mark.parametrize(
    ("name", "sent", "rules", "unique_ids", "sentence"),
    [
        (STOP, {}, ["extension=410"], False, "extenOrUniqueId must be sent"),
        (STOP, {"exten": "410"}, ["extension=410"], False, "extenOrUniqueId must be sent"),
        (DIAL, {"number": "0412345678"}, ["extension=410", "number=04*"], False, "extenOrUniqueId must be sent"),
        (DIAL, {"extenOrUniqueId": "410"}, ["extension=410", "number=04*"], False, "number must be sent"),
        (STOP, {"extenOrUniqueId": "410"}, ["extension=410"], False, None),
        (STOP, {"extenOrUniqueId": "410", "agentLoginName": "bob"}, ["extension=410"], False, "agentLoginName is not"),
        (
            STOP,
            {"extenOrUniqueId": "410", "agentLoginName": "bob"},
            ["extension=410", "agentLoginName=bob"],
            False,
            None,
        ),
        (
            DIAL,
            {"extenOrUniqueId": "410", "number": "1", "callerId": "123"},
            ["extension=410"],
            False,
            "callerId is not",
        ),
        (DIAL, {"extenOrUniqueId": "410", "number": "1"}, ["extension=410"], False, None),
        (DIAL, {"extenOrUniqueId": "x", "number": "123", "callerId": "9"}, ["number=123"], False, None),
        (STOP, {"extenOrUniqueId": "410", "tag": "x"}, ["extension=410"], False, "documented parameters alone"),
        (STOP, {"extenOrUniqueId": "410", "secret": "x"}, ["extension=410"], False, "documented parameters alone"),
        (STOP, {"extenOrUniqueId": "1.2"}, ["extension=410"], False, "unique id"),
        (STOP, {"extenOrUniqueId": "1.2"}, ["extension=410"], True, None),
        (STOP, {"extenOrUniqueId": "410,1.2"}, ["extension=410"], True, None),
        (STOP, {"extenOrUniqueId": "411,1.2"}, ["extension=410"], True, "value of extenOrUniqueId"),
        (STOP, {"extenOrUniqueId": "1.2.3"}, ["extension=410"], True, "1 to 10 digits"),
        (ANSWER, {"exten": "410", "uniqueId": "1.2"}, ["extension=410"], False, "uniqueId is not granted"),
        (ANSWER, {"exten": "410", "uniqueId": "1.2"}, ["extension=410"], True, None),
        (ANSWER, {"exten": "410", "uniqueId": "SIP/9"}, ["extension=410"], True, "digits.digits"),
        (ANSWER, {"exten": "410", "uniqueId": "1.2"}, ["extension=410", "uniqueId=1.3"], True, "value of uniqueId"),
        (ANSWER, {"exten": "410", "uniqueId": "1.2", "answerString": "a;b&c"}, ["extension=410"], True, None),
    ],
)
def test_what_a_rule_asks_of_the_whole_call(
    name: str, sent: dict[str, str], rules: list[str], sentence: str | None, *, unique_ids: bool
) -> None:
    """
    A ruled parameter must be there, and what could get round the rule must not. The sentence tells which it was.
    """
    decision = decided(name, sent, grant("g1", *rules, allow_unique_ids=unique_ids))

    assert (sentence is None) is decision.allowed, decision
    if sentence is not None:
        assert decision.reason is Reason.PARAMETER_NOT_GRANTED
        assert decision.detail is not None
        assert sentence in decision.detail
        assert decision.rule in rules
        assert not set(decision.detail.split()) & {"bob", "123", "x", "1.2", "411,1.2"}


def test_a_grant_covers_only_operations_on_which_a_rule_binds() -> None:
    """
    With a rule on extensions those that have one; with two rules those that have either.
    """
    extension, both = grant("g1", "extension=410"), grant("g2", "extension=410", "tag=vip")
    covered = {each.name for each in load_catalogue().operations if extension.covers(each)}
    more = {each.name for each in load_catalogue().operations if both.covers(each)}
    api = "CallManagementAPI"

    assert {
        f"{api}/{each}" for each in ("dial", "hangup", "answer", "subscribe", "checkState", "start", "stop")
    } == covered
    assert {"RecordingAPI/retrieveMetaData", f"{api}/retrieveMetaData"} == more - covered


def test_the_kind_of_key_depends_on_what_the_rules_reach_and_never_on_values() -> None:
    """
    Law 4: a user key whose rules do not reach an operation is not in its way; one whose rules refuse is the end.
    """
    name = "CampaignAPI/getCampaignList"
    user = grant("u", "fTemplateId=1", credential=USER)
    beside = grant("g", credential=GLOBAL)
    served = decided(name, {"fTemplateId": "1"}, beside, user)
    refused = decided(name, {"fTemplateId": "2"}, beside, user)
    unreached = decided("CampaignAPI/getAllocationList", {"fCampaignId": "2"}, beside, user)

    assert served.grant is user
    assert (Reason.PARAMETER_NOT_GRANTED, user) == (refused.reason, refused.grant)
    assert unreached.grant is beside


def test_the_oldest_grant_whose_rules_pass_serves() -> None:
    """
    Else the reason is the first's: its grant and its rule.
    """
    old, young = grant("1", "extension=410"), grant("2", "extension=411")
    removed = Credential("c3", "gone", UPSTREAM, Kind.GLOBAL, None, None)
    gone = grant("3", "extension=412", credential=removed)

    assert decided(STOP, {"extenOrUniqueId": "411"}, old, young).grant is young
    refused = decided(STOP, {"extenOrUniqueId": "412"}, old, young, gone)
    assert (Reason.PARAMETER_NOT_GRANTED, old, "extension=410") == (refused.reason, refused.grant, refused.rule)
    assert Reason.CREDENTIAL_UNAVAILABLE is decided(STOP, {"extenOrUniqueId": "412"}, gone, old).reason


@pytest.mark.parametrize(
    ("parameter", "text", "match"),
    [
        ("extension", "", "empty item"),
        ("extension", "410,", "empty item"),
        ("extension", "410, 411", "space around"),
        ("extension", "SIP/410", "without a technology"),
        ("extension", "12345678901", "1 to 10 digits"),
        ("extension", "\uff14\uff11\uff10", "1 to 10 digits"),
        ("extension", "41x*", "1 to 10 digits"),
        ("extension", "410-", "1 to 10 digits"),
        ("extension", "90-110", "90-99,100-110"),
        ("extension", "450-400", "Write 400-450"),
        ("extension", "*", "no prefix"),
        ("extension", "4*0", "no prefix"),
        ("extension", "41**", "no prefix"),
        ("number", "0412 345 678", "no telephone number"),
        ("number", "04", "no telephone number"),
        ("number", " 61412345678", "space around"),
        ("number", "++614*", "no telephone number"),
        ("number", "12345678901234567", "no telephone number"),
        ("callerId", "alice", "no telephone number"),
        ("tag", "10-2026", "same number of digits"),
        ("tag", "*", "no prefix"),
        ("tag", "*x", "no prefix"),
        ("tag", "a\tb", "printed"),
        ("tag", "a\u200bb", "printed"),
        ("tag", "7d0c1c52-4a9e-4a0b-9a53-00000000aaaa", "key or a token"),
        ("tag", "x7D0C1C524A9E4A0B9A5300000000AAAA*", "key or a token"),
        ("tag", "njg_short", "key or a token"),
        ("number", "7d0c1c52-4a9e-4a0b-9a53-00000000aaaa", "key or a token"),
    ],
)
def test_a_rule_that_is_not_one_is_refused_with_what_to_write(parameter: str, text: str, match: str) -> None:
    """
    And without repeating what may be a key that was pasted.
    """
    with pytest.raises(ValueError, match=match) as caught:
        parse_rule(parameter, text)

    assert "aaaa" not in str(caught.value).lower()


def test_a_rule_shows_itself_as_it_was_written() -> None:
    """
    So that an operator finds it.
    """
    assert "extension=400-450,500" == str(parse_rule("extension", "400-450,500"))


def test_a_long_list_is_refused_before_it_is_compared() -> None:
    """
    A form can hold half a million items, and the most a rule can hold is some hundreds.
    """
    text = ",".join(f"{number:03}-{number:03}" for number in range(250))
    rules = grant("g1", f"extension={text}")
    few = ",".join(f"{number % 250:03}" for number in range(4096))
    started_at = time.perf_counter()

    assert decided(STOP, {"extenOrUniqueId": few}, rules).allowed
    refused = decided(STOP, {"extenOrUniqueId": "249," * 250_000 + "249"}, rules)
    assert time.perf_counter() - started_at < 0.5
    assert refused.detail is not None
    assert "at most 4096" in refused.detail


def test_a_path_outside_the_catalogue_exists_for_whom_it_is_granted() -> None:
    """
    Exactly those bytes, for that caller; a glob, also `*`, never covers it.
    """
    path = "/servicemanager/rest/SmsAPI/send"
    granted = Caller("crm", (), query_token_allowed=True, grants=(Grant("g1", GLOBAL, ("AgentAPI/*", path)),))
    other = Caller("other", (), query_token_allowed=True, grants=(grant("g2"),))
    named = name_operation(load_catalogue(), granted, path.encode())

    assert named is not None
    assert (path, "system", "dials", True) == (named.name, named.scope.value, named.effect.value, named.takes_json)
    assert resolve(granted, named).allowed
    assert name_operation(load_catalogue(), other, path.encode()) is None
    assert Reason.OPERATION_NOT_GRANTED is resolve(other, named).reason
    for close in (path + "/", path.lower(), path.replace("A", "%41", 1), "/" + path, path + "x"):
        assert name_operation(load_catalogue(), granted, close.encode()) is None


def test_a_path_that_a_later_catalogue_knows_stays_granted() -> None:
    """
    The grant names the path, whoever has learnt of it since; then the catalogue says what is done there.
    """
    stop = operation(STOP)
    by_path = Grant("g1", GLOBAL, (stop.path.decode(),))

    assert by_path.covers(stop)
    assert not by_path.covers(operation("CallManagementAPI/start"))
    assert not Grant("g1", GLOBAL, (operation("Time").path.decode(),)).covers(operation("Time"))


def test_a_user_key_never_reaches_what_nobody_documented() -> None:
    """
    An operation outside the catalogue is system (law 6).
    """
    path = "/servicemanager/rest/CampaignAPI/somethingNew"
    caller = Caller("crm", (), query_token_allowed=True, grants=(Grant("g1", USER, (path,)),))
    named = name_operation(load_catalogue(), caller, path.encode())

    assert named is not None
    assert Reason.OPERATION_NEEDS_GLOBAL_CREDENTIAL is resolve(caller, named).reason
