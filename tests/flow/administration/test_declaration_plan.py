"""
A document is made so: step by step on record, once, in an order that gives nobody more, and on from where it broke off.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import killed_step
import pytest
from admin_office import Office
from declaring import ALICE, CRM, EVERYTHING, NOOJEE, apply, document, find_allowed, grant, plan, tell
from killed_step import BOTH_KEYS

from gateway.administration import callers, grants, tokens
from gateway.administration.declaration import parse_declaration
from gateway.administration.declaration_plan import carry_out
from gateway.errors import OperatorError, OperatorReason
from gateway.evidence.verify import verify
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.administration.desk import Desk

DIAL = grant("CallManagementAPI/dial", params={"number": "04*"})


def test_each_step_is_one_change_on_record_and_a_second_time_there_is_none(
    office: Office, desk: Desk, tmp_path: Path
) -> None:
    """
    By the verbs' own tags, each intended and then done.
    """
    before = len(office.read_journal())
    values = document(
        {**CRM, "networks": ["10.1.0.0/16"], "limits": {"rate": "20/s"}, "grants": [DIAL]},
        {"name": "web", "networks": ["10.2.0.7"], "query_token_allowed": False, "disabled": True},
    )
    steps = apply(desk, values, tmp_path)
    tags = office.read_tags()[before:]
    again = apply(desk, values, tmp_path)

    assert ["add caller web", "change caller web", "change caller crm", "add grant crm"] == steps
    assert ["change.intended"] * 4 == tags[::2]
    assert ["caller.added", "caller.disabled", "caller.changed", "grant.added"] == tags[1::2]
    assert [] == again
    assert len(tags) == len(office.read_journal()) - before


def test_what_is_left_out_has_the_default_of_the_verbs(desk: Desk, tmp_path: Path) -> None:
    """
    A limit, a network, a flag that is taken out of the document is taken back.
    """
    full = {**CRM, "query_token_allowed": False, "limits": {"rate": "90/m", "burst": 7, "concurrency": 5}}
    first = apply(desk, document(full), tmp_path)
    limited = callers.get(desk, "crm")
    second = apply(desk, document(CRM), tmp_path)
    plain = callers.get(desk, "crm")

    assert ["change caller crm"] == first == second
    assert ("90/m", 7, 5, False) == tuple(
        limited[name] for name in ("rate", "burst", "concurrency", "query_token_allowed")
    )
    assert ("1000/s", 10000, 2500, True) == tuple(
        plain[name] for name in ("rate", "burst", "concurrency", "query_token_allowed")
    )


def test_nothing_is_removed_unasked(desk: Desk, tmp_path: Path) -> None:
    """
    What the document does not have is told, and stays; with prune it goes, grants before what they name.
    """
    apply(desk, document({**CRM, "grants": [DIAL, grant("CampaignAPI/*", "alice")]}), tmp_path)
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    [dial, _] = grants.find_all(desk, "crm")
    less = {"version": 1, "upstreams": [NOOJEE], "credentials": [EVERYTHING], "callers": [{**CRM, "grants": [DIAL]}]}
    kept = plan(desk, less, tmp_path)
    pruned = apply(desk, less, tmp_path, prune=True)
    remaining = grants.find_all(desk, "crm")
    all_gone = apply(desk, {"version": 1}, tmp_path, prune=True)

    assert [] == tell(kept)
    assert ["credential", "grant"] == [each.what for each in kept.left]
    assert ["remove grant crm", "remove credential alice"] == pruned
    assert [dial] == remaining
    assert ["remove caller crm", "remove credential everything", "remove upstream noojee"] == all_gone
    assert [] == tokens.find_all(desk)
    assert issued["caller"] == "crm"


def test_tokens_are_left_alone(desk: Desk, tmp_path: Path) -> None:
    """
    Whatever becomes of their caller, but its removal.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    apply(desk, document({**CRM, "disabled": True, "grants": [DIAL]}), tmp_path)
    apply(desk, document({**CRM, "networks": ["10.1.0.0/16"]}), tmp_path, prune=True)

    assert [issued["token_id"]] == [each["token_id"] for each in tokens.find_all(desk)]


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one grant for another": (
        document({**CRM, "grants": [grant("CallManagementAPI/dial")]}),
        document({**CRM, "grants": [grant("CallManagementAPI/stop")]}),
    ),
    "other networks and other grants": (
        document({**CRM, "networks": ["10.1.0.0/16"], "grants": [DIAL, grant("*/stop")]}),
        document({**CRM, "networks": ["10.2.0.0/16"], "grants": [DIAL, grant("*/start")]}),
    ),
    "a wider network and a narrower grant": (
        document({**CRM, "networks": ["10.1.0.0/16"], "grants": [grant("CallManagementAPI/*")]}),
        document({**CRM, "grants": [DIAL]}),
    ),
    "a narrower network, a wider grant, another Noojee": (
        document({**CRM, "grants": [DIAL]}),
        document(
            {**CRM, "networks": ["10.1.0.0/16"], "grants": [grant("CallManagementAPI/*")]},
            upstreams=[{**NOOJEE, "url": "https://other.example.com"}],
        ),
    ),
    "a wider network, fewer grants, another Noojee": (
        document({**CRM, "networks": ["10.1.0.0/16"], "grants": [DIAL, grant("CampaignAPI/*", "alice")]}),
        document({**CRM, "grants": [DIAL]}, upstreams=[{**NOOJEE, "url": "https://other.example.com"}]),
    ),
    "back from being disabled, to less": (
        document({**CRM, "disabled": True, "grants": [grant("CallManagementAPI/*")]}),
        document({**CRM, "networks": ["10.1.0.0/16"], "grants": [DIAL]}),
    ),
    "two callers, what one loses the other gets": (
        document({**CRM, "grants": [grant("*/dial")]}, {"name": "web", "networks": "anywhere"}),
        document(CRM, {"name": "web", "networks": ["10.1.0.0/16"], "grants": [grant("*/dial")]}),
    ),
    "a caller and a credential that go": (
        document({**CRM, "grants": [grant("CampaignAPI/*", "alice")]}),
        document({"name": "web", "networks": "anywhere", "grants": [DIAL]}, credentials=[EVERYTHING]),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_at_no_step_has_a_caller_more_than_before_or_after(name: str, desk: Desk, tmp_path: Path) -> None:
    """
    Each state that a crash could leave is within the one or the other, for each caller.
    """
    before, after = CHANGES[name]
    apply(desk, before, tmp_path)
    states = [find_allowed(desk)]
    for step in plan(desk, after, tmp_path, prune=True).steps:
        step.make(desk, BOTH_KEYS)
        states.append(find_allowed(desk))
    end = tell(plan(desk, after, tmp_path, prune=True))

    assert [] == end
    assert states[0] != states[-1]
    for number, state in enumerate(states):
        for caller, allowed in state.items():
            assert allowed <= states[0].get(caller, set()) or allowed <= states[-1].get(caller, set()), (number, caller)


def test_what_was_broken_off_is_gone_on_with(office: Office, tmp_path: Path) -> None:
    """
    Killed before each system call that changes a file and each commit: the same document again ends as it would have.
    """
    before, after = CHANGES["a wider network, fewer grants, another Noojee"]
    with office.open_desk() as desk:
        apply(desk, before, tmp_path)
    prepared, work = tmp_path / "prepared", tmp_path / "work"
    shutil.copytree(office.data_dir, prepared / "data")
    (prepared / "document.json").write_text(json.dumps(after))
    done = subprocess.run(
        [sys.executable, killed_step.__file__, "apply", str(prepared), str(work)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(killed_step.__file__).parents[2])},
    )
    assert (0, "") == (done.returncode, done.stderr)
    steps = done.stdout.split()
    ends = [_go_on(Office(work / str(number) / "data", office.run_dir), after) for number in range(1, len(steps) + 2)]

    assert {"write", "fdatasync", "commit"} <= set(steps)
    assert [ends[-1]] * len(ends) == ends


def _go_on(office: Office, values: dict[str, Any]) -> dict[str, set[tuple[str, ...]]]:
    """
    What is allowed when the document was applied once more; then nothing is left to be done, and the record is whole.
    """
    with office.open_desk() as desk:
        apply(desk, values, office.data_dir, prune=True, keys=BOTH_KEYS)
        assert [] == tell(plan(desk, values, office.data_dir, prune=True))
        allowed = find_allowed(desk)
        # Where only the last record was missing, there was nothing to be done: the next change puts it on record.
        callers.disable(desk, "crm")
    assert verify(office.data_dir / "journal").first_bad is None
    ends: dict[str, list[str]] = {}
    for record in office.read_journal():
        if "request_id" in record:
            ends.setdefault(record["request_id"], []).append(record["tag"])
    assert [] == [tags for tags in ends.values() if len(tags) != 2 or tags[0] != "change.intended"]
    return allowed


def test_the_registry_must_be_as_it_was_planned_for(desk: Desk, office: Office, tmp_path: Path) -> None:
    """
    Another verb in between: nothing is done, and the new plan is there to be seen.
    """
    declaration = parse_declaration(document({**CRM, "grants": [DIAL]}))
    planned = plan(desk, document({**CRM, "grants": [DIAL]}), tmp_path)
    callers.change(desk, "crm", query_token_allowed=False)
    before = office.read_journal()
    with pytest.raises(OperatorError, match="Nothing was done") as caught:
        carry_out(desk, planned, declaration, {}, folder=tmp_path, prune=False)

    assert OperatorReason.IN_USE == caught.value.reason
    assert before == office.read_journal()


def test_no_other_verb_comes_between_the_steps(
    desk: Desk, office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The operators' stream is held from the first to the last, and free afterwards.
    """
    told = []

    def try_another(*_: object, **__: object) -> dict[str, object]:
        from gateway.administration import desk as desks

        monkeypatch.setattr(desks, "_LOCK_WAIT_SECONDS", 0.0)
        with office.open_desk() as other, pytest.raises(OperatorError) as caught:
            callers.disable(other, "crm")
        told.append(caught.value.reason)
        return {}

    monkeypatch.setattr(grants, "add", try_another)
    apply(desk, document({**CRM, "grants": [DIAL]}), tmp_path)
    callers.disable(desk, "crm")

    assert [OperatorReason.JOURNAL_BUSY] == told


def test_a_step_that_fails_says_how_far_it_came(
    desk: Desk, office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was made stays, and the same document goes on from there.
    """

    def fail(*_: object, **__: object) -> dict[str, object]:
        raise OperatorError(OperatorReason.JOURNAL_UNAVAILABLE, "The disk is full.")

    values = document({**CRM, "networks": ["10.1.0.0/16"], "grants": [DIAL, grant("*/stop")]})
    with monkeypatch.context() as patched:
        patched.setattr(grants, "add", fail)
        with pytest.raises(OperatorError) as caught:
            apply(desk, values, tmp_path)
    rest = apply(desk, values, tmp_path)

    assert OperatorReason.JOURNAL_UNAVAILABLE == caught.value.reason
    assert caught.value.detail.startswith("The disk is full. That was step 2 of 3; those before it are made.")
    assert ["add grant crm", "add grant crm"] == rest
    assert "caller.changed" in office.read_tags()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "glob",
        document({**CRM, "grants": [DIAL, grant("Nothing/*")]}),
        "callers[0].grants[1].operations: Nothing/* match",
    ),
    ("path", document({**CRM, "grants": [grant("/x")]}), "callers[0].grants[0].operations: "),
    (
        "rule",
        document({**CRM, "grants": [grant("*/dial", params={"number": "61*x"})]}),
        "callers[0].grants[0].params: ",
    ),
    (
        "bound",
        document({**CRM, "grants": [grant("*/dial", params={"seq": "1"})]}),
        "callers[0].grants[0].params: No oper",
    ),
    ("who", document({**CRM, "grants": [grant("*/dial", "bob")]}), "callers[0].grants[0].credential: There is no cred"),
    (
        "kind",
        document({**CRM, "grants": [grant("*/dial", "alice")]}),
        "callers[0].grants[0].credential: alice is a user",
    ),
    (
        "owners",
        document(
            {**CRM, "grants": [grant("CampaignAPI/*", "alice"), grant("*/getCampaignList", "bob")]},
            credentials=[EVERYTHING, ALICE, {**ALICE, "name": "bob", "owner": "bob"}],
        ),
        "callers[0].grants[1]: crm has the grant at callers[0].grants[0] for another owner",
    ),
    (
        "upstreams",
        document(
            {**CRM, "grants": [DIAL, grant("*/stop", "second")]},
            upstreams=[NOOJEE, {"name": "two", "url": "https://two.example.com"}],
            credentials=[EVERYTHING, ALICE, {**EVERYTHING, "name": "second", "upstream": "two"}],
        ),
        "callers[0].grants[1]: crm has a grant on the upstream noojee",
    ),
    (
        "upstream",
        document(credentials=[{**EVERYTHING, "upstream": "two"}, ALICE]),
        "credentials[0].upstream: There is no",
    ),
    (
        "owner",
        document(credentials=[EVERYTHING, {**ALICE, "owner": "bob"}]),
        "credentials[1].owner: The credential alice",
    ),
    (
        "other kind",
        document(credentials=[{**EVERYTHING, "name": "alice"}]),
        "credentials[0].kind: The credential alice",
    ),
    ("CA", document(upstreams=[{**NOOJEE, "ca_pem": "nothing"}]), "upstreams[0]: The CA file holds no certificates"),
    ("CA file", document(upstreams=[{**NOOJEE, "ca_file": "no.pem"}]), "upstreams[0].ca_file: The file cannot be read"),
]


@pytest.mark.parametrize(("values", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_a_step_would_refuse_is_refused_before_the_first(
    desk: Desk, office: Office, tmp_path: Path, values: dict[str, Any], told: str
) -> None:
    """
    With its place; nothing is changed, though there would be much to do before it.
    """
    values = {**values, "callers": [*values["callers"], {"name": "web", "networks": "anywhere"}]}
    before = office.read_journal()
    with pytest.raises(OperatorError) as caught:
        apply(desk, values, tmp_path, keys={**BOTH_KEYS, "bob": BOTH_KEYS["alice"], "second": BOTH_KEYS["everything"]})

    assert caught.value.detail.startswith(told)
    assert before == office.read_journal()


def test_what_is_pruned_cannot_be_granted(desk: Desk, tmp_path: Path) -> None:
    """
    A grant may name a credential that a verb has set up, until the document is to be all there is.
    """
    values = document({**CRM, "grants": [DIAL]}, credentials=[])
    steps = tell(plan(desk, values, tmp_path))
    with pytest.raises(OperatorError, match=r"callers\[0\]\.grants\[0\]\.credential: There is no credential"):
        plan(desk, values, tmp_path, prune=True)

    assert ["add grant crm"] == steps


def test_a_left_grant_that_stands_in_the_way_is_named_with_what_helps(desk: Desk, tmp_path: Path) -> None:
    """
    An edited grant is a new one beside the old one, and the two may not go together.
    """
    apply(desk, document({**CRM, "grants": [grant("CampaignAPI/*", "alice")]}), tmp_path)
    bob = {**ALICE, "name": "bob", "owner": "bob"}
    values = document({**CRM, "grants": [grant("CampaignAPI/*", "bob")]}, credentials=[EVERYTHING, ALICE, bob])
    with pytest.raises(OperatorError, match="removed with --prune"):
        plan(desk, values, tmp_path)
    steps = apply(desk, values, tmp_path, prune=True, keys={"bob": Secret("7d0c1c52-4a9e-4a0b-9a53-00000000cccc")})

    assert ["add credential bob", "remove grant crm", "add grant crm"] == steps


def test_grants_are_the_same_when_they_say_the_same(desk: Desk, tmp_path: Path) -> None:
    """
    Whatever the order of their operations and rules. Two that say the same are two.
    """
    long = grant(["*/dial", "*/stop"], params={"number": "04*", "extension": "410"})
    turned = grant(["*/stop", "*/dial"], params={"extension": "410", "number": "04*"})
    first = apply(desk, document({**CRM, "grants": [long]}), tmp_path)
    same = plan(desk, document({**CRM, "grants": [turned]}), tmp_path, prune=True)
    twice = apply(desk, document({**CRM, "grants": [turned, long]}), tmp_path)

    assert ["add grant crm"] == first == twice
    assert [] == tell(same)


def test_an_order_that_a_document_cannot_give_is_told(desk: Desk, tmp_path: Path) -> None:
    """
    The oldest grant serves, and moving one in the document does not make it older.
    """
    other = {**EVERYTHING, "name": "spare"}
    parts = {"credentials": [EVERYTHING, ALICE, other]}
    ours, spare = grant("*/dial"), grant("*/dial", "spare")
    apply(desk, document({**CRM, "grants": [ours, spare]}, **parts), tmp_path, keys={"spare": BOTH_KEYS["everything"]})
    turned = plan(desk, document({**CRM, "grants": [spare, ours]}, **parts), tmp_path)

    assert [] == tell(turned)
    assert 1 == len(turned.notes)
    assert turned.notes[0].startswith("callers[0].grants: They stand in another order")
