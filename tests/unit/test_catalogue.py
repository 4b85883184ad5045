"""
The catalogue: the package's own data is the shared file's, every path is plain, globs cover what they say.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.noojee.catalogue import (
    CREDENTIAL_PARAMETERS,
    Catalogue,
    Effect,
    Scope,
    create_uncatalogued,
    glob_matches,
    load_catalogue,
)

OWN = Path(__file__).parents[2] / "gateway" / "noojee" / "catalogue.json"
SHARED = Path(__file__).parents[2].parent / "shared" / "noojee" / "catalogue.json"

NOT_SERVED = {"Time", "njadmin-api-recording", "NoojeeClickCallerId"}


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared catalogue is not beside this repository")
def test_our_catalogue_is_the_shared_one() -> None:
    """
    The package's own data is byte for byte the file it was made from.
    """
    assert SHARED.read_bytes() == OWN.read_bytes()


def test_names_and_paths_are_each_an_operation_of_their_own() -> None:
    """
    No two entries share a name or a path, so that a path decides on one operation, and a grant too.
    """
    operations = load_catalogue().operations

    assert len(operations) == len({each.name for each in operations}) == len({each.path for each in operations})


def test_paths_are_plain_bytes() -> None:
    """
    What goes up needs no escape and cannot climb: letters, digits, dashes and single slashes.
    """
    for operation in load_catalogue().operations:
        assert re.fullmatch(rb"(/[A-Za-z0-9-]+)+", operation.path)


def test_only_time_and_the_legacy_entries_are_not_served() -> None:
    """
    Those three are found by their paths, so that they can be named, and covered by no glob.
    """
    catalogue = load_catalogue()

    assert NOT_SERVED == {each.name for each in catalogue.operations if not each.is_served}
    assert not NOT_SERVED & {each.name for each in catalogue.match("*")}
    assert catalogue.match("Time") == ()


def test_credential_parameters_are_no_parameters_of_an_operation() -> None:
    """
    They are the gateway's to send, so no operation has them, in any case.
    """
    for operation in load_catalogue().operations:
        assert CREDENTIAL_PARAMETERS.isdisjoint(name.lower() for name in operation.parameters)
        assert operation.sensitive <= operation.parameters


def test_only_campaign_operations_are_within_reach_of_a_user_key() -> None:
    """
    What the vendor's page calls campaign-related is `campaign`; everything else, the unknown too, is `system`.
    """
    for operation in load_catalogue().operations:
        expected = Scope.CAMPAIGN if operation.family == "CampaignAPI" else Scope.SYSTEM

        assert expected is operation.scope


@pytest.mark.parametrize(
    ("name", "effect", "takes_json", "is_lead_call", "is_recording_call"),
    [
        ("CallManagementAPI/dial", Effect.DIALS, False, False, False),
        ("CallManagementAPI/stop", Effect.WRITE, False, False, False),
        ("CallManagementAPI/subscribe", Effect.LONG_POLL, False, False, False),
        ("CallManagementAPI/checkState", Effect.LONG_POLL, False, False, False),
        ("RecordingAPI/retrieveMetaData", Effect.READ, False, False, True),
        ("CallManagementAPI/retrieveMetaData", Effect.READ, False, False, False),
        ("CampaignAPI/getCampaignList", Effect.READ, False, False, False),
        ("CampaignAPI/insertLeadFast", Effect.WRITE, True, True, False),
        ("CampaignAPI/updateLead", Effect.WRITE, True, True, False),
    ],
)
def test_an_operation_is_what_the_documents_say(
    name: str, effect: Effect, *, takes_json: bool, is_lead_call: bool, is_recording_call: bool
) -> None:
    """
    Effect, body and the two families with rules of their own.
    """
    operation = load_catalogue().find_by_name(name)

    assert operation is not None
    assert (effect, takes_json, is_lead_call, is_recording_call) == (
        operation.effect,
        operation.takes_json,
        operation.is_lead_call,
        operation.is_recording_call,
    )


@pytest.mark.parametrize("effect", list(Effect))
def test_only_what_changes_nothing_may_be_abandoned(effect: Effect) -> None:
    """
    A `write` and a `dials` are never given up because their caller left (law 2).
    """
    assert (effect in {Effect.READ, Effect.LONG_POLL}) is effect.is_abandonable


def test_the_parameters_of_dial_are_those_of_its_query() -> None:
    """
    Spelt as Noojee spells them, without the credentials.
    """
    dial = load_catalogue().find_by_name("CallManagementAPI/dial")

    assert dial is not None
    assert {
        "number",
        "extenOrUniqueId",
        "autoAnswer",
        "callerId",
        "phoneCaption",
        "monitored",
        "record",
        "tag",
    } == dial.parameters


def test_fields_of_a_json_body_are_no_parameters() -> None:
    """
    `njExternalLeadId` is in the query of updateLead and in the body of insertLead.
    """
    catalogue = load_catalogue()
    insert, update = (catalogue.find_by_name(f"CampaignAPI/{method}") for method in ("insertLead", "updateLead"))

    assert insert is not None
    assert update is not None
    assert (False, True) == ("njExternalLeadId" in insert.parameters, "njExternalLeadId" in update.sensitive)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/servicemanager/rest/CallManagementAPI/Stop",
        b"/servicemanager/rest/callmanagementapi/stop",
        b"/servicemanager/rest/CallManagementAPI/stop/",
        b"/servicemanager/rest/CallManagementAPI//stop",
        b"//servicemanager/rest/CallManagementAPI/stop",
        b"/servicemanager/rest/CallManagementAPI/st%6Fp",
        b"/servicemanager/rest/CallManagementAPI/x/../stop",
        b"/servicemanager/rest/CallManagementAPI%2Fstop",
        b"/servicemanager/rest/CallManagementAPI/stop ",
        b"/servicemanager/rest/CallManagementAPI/stop\x00",
        b"/servicemanager/rest/CallManagementAPI/stop.json",
        b"/rest/CallManagementAPI/stop",
    ],
)
def test_a_path_is_compared_byte_for_byte(path: bytes) -> None:
    """
    No decoding, no normalisation, no case folding: what is not exactly a catalogue path is none (law 9).
    """
    assert load_catalogue().find_by_path(path) is None


def test_an_operation_is_found_by_its_own_path_and_name() -> None:
    """
    Both ways lead to the same entry.
    """
    catalogue = load_catalogue()
    for operation in catalogue.operations:
        assert operation is catalogue.find_by_path(operation.path) is catalogue.find_by_name(operation.name)


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/servicemanager/rest/CallManagementAPI/stop", "CallManagementAPI/stop. Grant it by that name"),
        ("/servicemanager/rest/callmanagementapi/STOP", "CallManagementAPI/stop"),
        ("/NJADMIN/rest/RecordingAPI/retrieveMetaData", "must be"),
        ("/njadmin/rest/recordingapi/retrieveMetaData", "RecordingAPI/retrieveMetaData"),
        ("/servicemanager/rest/Time", "must be"),
        ("/servicemanager/rest/Time/now", "takes no key"),
        ("/njadmin/rest/TIME/now", "takes no key"),
        ("/servicemanager/rest/SmsAPI/*", "must be"),
        ("/servicemanager/rest/SmsAPI/send/", "must be"),
        ("/servicemanager/rest/SmsAPI", "must be"),
        ("/servicemanager/rest/SmsAPI/send?x=1", "must be"),
        ("/servicemanager/rest/Sms%41PI/send", "must be"),
        ("/servicemanager/rest/../rest/SmsAPI", "must be"),
        ("/servicemanager/rest/SmsAPI/sénd", "must be"),
        ("/servicemanager/rest/SmsAPI/send\n", "must be"),
        ("/other/rest/SmsAPI/send", "must be"),
        ("servicemanager/rest/SmsAPI/send", "must be"),
    ],
)
def test_a_path_that_cannot_be_granted_is_refused(path: str, match: str) -> None:
    """
    Plain ASCII of two names below the two roots, nothing that the catalogue has in another case, and not `Time`.
    """
    with pytest.raises(ValueError, match=match):
        create_uncatalogued(path)


def test_of_a_granted_path_the_least_is_assumed() -> None:
    """
    It rings telephones, needs a global key, and has no parameter that might be read; its name collides with none.
    """
    sms = create_uncatalogued("/njadmin/rest/CallManagementAPI/stop")

    assert (Scope.SYSTEM, Effect.DIALS, frozenset()) == (sms.scope, sms.effect, sms.parameters)
    assert (b"/njadmin/rest/CallManagementAPI/stop", "/njadmin/rest/CallManagementAPI/stop") == (sms.path, sms.name)
    assert sms.takes_json
    assert sms.is_served
    assert not sms.is_lead_call
    assert load_catalogue().find_by_name(sms.name) is None


def test_the_catalogue_tells_how_much_it_holds() -> None:
    """
    Its repr is its size, not its content.
    """
    assert "<Catalogue of 0 operations>" == repr(Catalogue(()))


@pytest.mark.parametrize(
    ("glob", "name", "expected", "why"),
    [
        ("CampaignAPI/*", "CampaignAPI/insertLead", True, "a run at the end"),
        ("*", "CampaignAPI/insertLead", True, "a run may hold a slash"),
        ("*/stop", "CallManagementAPI/stop", True, "a run at the start"),
        ("C*/get*List", "CampaignAPI/getCampaignList", True, "runs in between"),
        ("CampaignAPI/*", "CampaignAPI/", True, "a run may be empty"),
        ("**", "", True, "so may two"),
        ("campaignapi/*", "CampaignAPI/insertLead", False, "case-exact"),
        ("CallManagementAPI/sto?", "CallManagementAPI/stop", False, "? is not special"),
        ("CallManagementAPI/[s]top", "CallManagementAPI/stop", False, "brackets are not special"),
        ("CallManagementAPI/sto.", "CallManagementAPI/stop", False, "a dot is not special"),
        ("CallManagementAPI/stop", "CallManagementAPI/stopAll", False, "the whole name counts"),
        ("stop", "CallManagementAPI/stop", False, "from its start"),
        ("ab*ba", "aba", False, "the pieces on both sides do not overlap"),
        ("a*b*b", "ab", False, "nor do those in between"),
        ("", "CallManagementAPI/stop", False, "an empty glob covers nothing"),
        ("Time*", "Time\n", True, "no special line ends"),
        ("Time", "Time\n", False, "a line end is a character"),
    ],
)
def test_globs_cover_what_they_say(glob: str, name: str, *, expected: bool, why: str) -> None:
    """
    `*` is any run of characters and nothing else is special (contract section 3).
    """
    assert expected is glob_matches(glob, name), why


@settings(max_examples=300, deadline=None)
@given(st.text("ab*/.", max_size=8), st.text("ab/.\n", max_size=10))
def test_globs_agree_with_a_regular_expression(glob: str, name: str) -> None:
    """
    The naive translation into a regular expression gives the same answer.
    """
    oracle = ".*".join(re.escape(piece) for piece in glob.split("*"))

    assert (re.fullmatch(oracle, name, re.DOTALL) is not None) is glob_matches(glob, name)
