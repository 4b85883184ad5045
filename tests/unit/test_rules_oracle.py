"""
Rules held against a second, naive opinion, over what a hostile caller may write (laws 6 and 9).

From the raw bytes of query and form: what is decided on is read from the very bytes that go up, by the call's own
reader, and the oracle reads them by itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import rule_oracle
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.grant import Grant
from gateway.access.policy import decide, resolve
from gateway.access.rules import parse_rule
from gateway.access.upstream import Upstream
from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import Effect, Operation, load_catalogue
from gateway.noojee.parameters import parse_parameters, strip_credentials

GLOBAL = Credential("c1", "everything", Upstream("main", "noojee.example.com", 443), Kind.GLOBAL, None, b"sealed")

WORDS = {
    Reason.PARAMETER_MALFORMED: "malformed",
    Reason.PARAMETER_REPEATED: "repeated",
    Reason.PARAMETER_NOT_GRANTED: "refused",
}

OPERATIONS = [
    "CallManagementAPI/dial",
    "CallManagementAPI/hangup",
    "CallManagementAPI/answer",
    "CallManagementAPI/subscribe",
    "CallManagementAPI/start",
    "CallManagementAPI/stop",
    "RecordingAPI/retrieveMetaData",
    "RecordingAPI/retrieveMetaDataByUniqueId",
    "CampaignAPI/getCampaignList",
    "CampaignAPI/insertLeadFast",
]

RULES = {
    "extension": ["410", "400-450,500", "4*", "0010-0020", "410,41*,9", "1234567890", "07-12"],
    "number": ["04*", "0412345678", "+614*,02*", "+61412345678", "1300*", "000", "0400-0450", "+44*", "+61*,0412*"],
    "callerId": ["0390001111", "+61390001111", "03*"],
    "agentLoginName": ["alice,bob", "crm-*", "Zo\u00eb"],
    "tag": ["vip", "a b", "crm-*", "1-3", "\u0664\u0661\u0660"],
    "uniqueId": ["1700000000.1", "17*"],
    "record": ["true"],
    "fTemplateId": ["1,2", "10-19"],
    "allowDuplicates": ["false"],
    "timeOut": ["0-9", "10"],
}

HOSTILE = [
    "410",
    "SIP/410",
    "PJSIP/410",
    "sip/410",
    "Local/410@x",
    "SIP/410&SIP/411",
    "SIP/trunk/0412345678",
    "SIP/SIP/410",
    "SIP/",
    "IAX2/410",
    "\uff14\uff11\uff10",
    "\u0664\u0661\u0660",
    "41\u2070",
    "4\uff11\uff10",
    "SIP/41\u0660",
    "04\u0661\u0662",
    "410,",
    ",410",
    "410,,500",
    "410,500",
    "410, 500",
    "SIP/410,PJSIP/450",
    "410,451",
    ",",
    "",
    " 410",
    "410 ",
    "410\n",
    "0410",
    "00410",
    "-410",
    "4.10",
    "1700000000.1",
    "410,1700000000.1",
    "1700000000.1.2",
    ".1",
    "\u0661.1",
    "12345678901",
    "0412345678",
    "+61412345678",
    " 61412345678",
    "61412345678",
    "++61412345678",
    "+61+61412345678",
    "0011442012345678",
    "+44201234",
    " 44201234",
    "0412345678;ext=0900",
    "0412345678,,1900123456",
    "0412345678,0412345678",
    "0412345678#",
    "0412 345 678",
    "04",
    "041",
    "04123456789012345",
    "+61",
    "+612",
    "0",
    "0412345678\x00",
    "\u06f0\u06f4\u06f1\u06f2",
    "alice",
    "Alice",
    "crm-7",
    "crm-",
    "Zo\u00eb",
    "Zoe\u0308",
    "true",
    "1",
    "15",
    "019",
    "vip",
    "a b",
]

names = st.sampled_from([*RULES, "exten", "extenOrUniqueId", "Extenoruniqueid", "NUMBER", "unheardOf", "x", "apiKey"])
raw_values = st.one_of(
    st.sampled_from(HOSTILE).map(str.encode),
    st.text(st.sampled_from("0123456789SIP/,.+- *"), max_size=8).map(str.encode),
    st.lists(st.sampled_from(["410", "SIP/450", "500", "451", "", "1.2"]), min_size=1, max_size=4).map(
        lambda items: ",".join(items).encode()
    ),
    st.binary(max_size=6),
)


@st.composite
def written(draw: st.DrawFn, raw: bytes) -> bytes:
    """
    Bytes as they may stand in a query: each as itself or escaped, a space as a plus, and at times a broken escape.
    """
    style = draw(st.sampled_from(["plain", "escaped", "mixed", "bare"]))
    which = draw(st.integers(0, 2**16 - 1))
    text = b""
    for place, byte in enumerate(raw):
        chance = which >> place % 16 & 1
        plain = bytes([byte])
        must_escape = plain in {b"&", b"=", b"+", b"%", b";", b" ", b"#"} or not 0x20 < byte < 0x7F
        if style == "bare":
            text += plain.replace(b"&", b"%26")
        elif style == "escaped" or must_escape or (style == "mixed" and chance):
            text += b"+" if plain == b" " and chance else (b"%%%02X" if chance else b"%%%02x") % byte
        else:
            text += plain
    return text


@st.composite
def items(draw: st.DrawFn, operation: Operation) -> list[bytes]:
    """
    Parameters as they may be sent to an operation: some of its own, some of none, in any order, some of them twice.
    """
    own = st.sampled_from(sorted(operation.parameters))
    chosen = draw(st.lists(st.one_of(own, own, own, names), max_size=5, unique=draw(st.integers(0, 7)) > 0))
    found = []
    for name in chosen:
        likely = [text.encode() for rule in RULES.get(name, []) for text in rule.split(",")]
        value = draw(st.one_of(raw_values, st.sampled_from(likely))) if likely else draw(raw_values)
        found.append(draw(written(name.encode())) + b"=" + draw(written(value)))
    return found


@st.composite
def calls(draw: st.DrawFn) -> tuple[Operation, rule_oracle.Grant, bytes, bytes]:
    """
    An operation, rules of which one binds on it, and a query and a form.
    """
    operation = load_catalogue().find_by_name(draw(st.sampled_from(OPERATIONS)))
    assert operation is not None
    binding = [name for name in RULES if parse_rule(name, RULES[name][0]).names & operation.parameters]
    if not binding:
        return operation, rule_oracle.Grant(()), b"", b""
    ruled = {draw(st.sampled_from(binding))} | draw(st.sets(st.sampled_from(sorted(RULES)), max_size=2))
    rules = tuple((name, draw(st.sampled_from(RULES[name]))) for name in sorted(ruled))
    split = draw(items(operation))
    place = draw(st.integers(0, len(split)))
    grant = rule_oracle.Grant(rules, draw(st.booleans()))
    return operation, grant, b"&".join(split[:place]), b"&".join(split[place:])


def decided(operation: Operation, grant: rule_oracle.Grant, query: bytes, form: bytes, country: str) -> str:
    """
    What the gateway decides of bytes that go up.
    """
    rules = tuple(parse_rule(name, text) for name, text in grant.rules)
    ours = Grant("g1", GLOBAL, ("*",), rules, grant.allow_unique_ids)
    resolved = resolve(Caller("crm", (), query_token_allowed=True, grants=(ours,)), operation)
    assert resolved.allowed
    try:
        parameters = parse_parameters(operation, query, form)
    except CallerError as error:
        return WORDS[error.reason]
    decision = decide(resolved, operation, parameters, country)
    assert decision.allowed == (decision.rule is None)
    return "allowed" if decision.reason is None else WORDS[decision.reason]


def named(name: str) -> Operation:
    """
    An operation of the catalogue.
    """
    found = load_catalogue().find_by_name(name)
    assert found is not None
    return found


@settings(max_examples=600, deadline=None)
@given(calls(), st.sampled_from(["61", "61", "44", "1"]))
@example(
    (named("CallManagementAPI/stop"), rule_oracle.Grant((("extension", "410"),)), b"extenOrUniqueId=410", b""), "61"
)
@example(
    (named("CallManagementAPI/dial"), rule_oracle.Grant((("number", "+61*"),)), b"number=0011442012345678", b""), "61"
)
def test_the_gateway_and_the_oracle_agree(
    call: tuple[Operation, rule_oracle.Grant, bytes, bytes], country: str
) -> None:
    """
    Of any bytes in query and form, under any rules: malformed, repeated, refused or allowed, and the same by both.
    """
    operation, grant, raw_query, raw_form = call
    query, form = strip_credentials(raw_query), strip_credentials(raw_form)
    is_poll = operation.effect is Effect.LONG_POLL
    expected = rule_oracle.judge(grant, operation.parameters, query, form, country, is_poll=is_poll)

    assert expected == decided(operation, grant, query, form, country)


def test_they_agree_on_every_hostile_value_under_every_rule() -> None:
    """
    The whole table, each value plain and with every byte escaped, in the query and in a form; both answers occur often.
    """
    told: Counter[str] = Counter()
    for name in OPERATIONS:
        operation = named(name)
        for parameter in sorted(operation.parameters):
            ruled = "extension" if parameter in {"exten", "extenOrUniqueId"} else parameter
            for text in RULES.get(ruled, []):
                for value in HOSTILE:
                    escaped = "".join(f"%{byte:02x}" for byte in value.encode()).encode()
                    item = parameter.encode() + b"=" + escaped
                    grant = rule_oracle.Grant(((ruled, text),), allow_unique_ids=len(text) % 2 == 0)
                    for query, form in ((item, b""), (b"", item)):
                        got = decided(operation, grant, query, form, "61")
                        told[got] += 1

                        assert got == rule_oracle.judge(
                            grant,
                            operation.parameters,
                            query,
                            form,
                            "61",
                            is_poll=operation.effect is Effect.LONG_POLL,
                        ), (name, parameter, text, value)

    assert min(told["allowed"], told["refused"], told["malformed"]) > 200


def test_they_agree_on_every_byte_raw_and_escaped() -> None:
    """
    After, before and within a value that is allowed, in the query and in a form.
    """
    dial = named("CallManagementAPI/dial")
    grant = rule_oracle.Grant((("extension", "410"), ("number", "04*")))
    for byte in range(256):
        for text in (b"%%%02X" % byte, b"%%%02x" % byte, bytes([byte])):
            for exten, number in (
                (b"410" + text, b"0412"),
                (text + b"410", b"0412"),
                (b"SIP/4" + text + b"10", b"0412"),
                (b"410", b"0412345678" + text + b"0900"),
                (b"410", text + b"0412345678"),
            ):
                item = b"extenOrUniqueId=" + exten + b"&number=" + number
                for query, form in ((item, b""), (b"", item)):
                    expected = rule_oracle.judge(grant, dial.parameters, query, form, "61", is_poll=False)

                    assert expected == decided(dial, grant, query, form, "61"), (exten, number)


def test_without_its_rules_the_oracle_would_tell() -> None:
    """
    The comparison is worth something: a grant that forgets its rules, or reads one differently, is found out.
    """
    stop = named("CallManagementAPI/stop")
    strict = rule_oracle.Grant((("extension", "400-450"),))
    query = b"extenOrUniqueId=451"

    assert "refused" == rule_oracle.judge(strict, stop.parameters, query, b"", "61", is_poll=False)
    assert "allowed" == decided(stop, dataclasses.replace(strict, rules=()), query, b"", "61")
