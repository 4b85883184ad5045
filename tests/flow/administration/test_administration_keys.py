"""
Rotating what is secret: what each verb does, records and refuses.
"""

from __future__ import annotations

import dataclasses
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from admin_office import GLOBAL_KEY, USER_KEY

from gateway.access.token import digest_token
from gateway.administration import credentials, grants, keys, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.custody import Ring, open_key
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_office import Office

NEW_KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-00000000cccc")
DAY = timedelta(days=1)


def read_keys(desk: Desk) -> list[Secret]:
    """
    The keys of `alice` and `everything`, opened as a worker would that starts now.
    """
    ring, held = Ring.load(desk.ring.path), desk.read_snapshot().credentials
    return [open_key(ring, held[name]) for name in ("alice", "everything")]


def read_ring(office: Office) -> list[int]:
    """
    The versions in the ring's file.
    """
    return Ring.load(office.data_dir / "master.key").versions


def test_a_rotated_credential_has_the_new_key_and_fingerprint(office: Office, desk: Desk) -> None:
    """
    Under its old name and id, with its grants as they were; on record without a word of either key.
    """
    grants.add(desk, "crm", credential="everything", operations=["*"])
    before = desk.read_snapshot()
    rotated = credentials.rotate(desk, "everything", key=NEW_KEY)
    after = desk.read_snapshot()

    assert {
        "name": "everything",
        "upstream": "noojee",
        "kind": "global",
        "owner": None,
        "state": "active",
        "rotated": True,
    } == rotated
    assert [USER_KEY, NEW_KEY] == read_keys(desk)
    assert "everything" == after.fingerprints[desk.audit_key.fingerprint(NEW_KEY.reveal())]
    assert desk.audit_key.fingerprint(GLOBAL_KEY.reveal()) not in after.fingerprints
    assert before.version + 1 == after.version
    old, new = before.credentials["everything"], after.credentials["everything"]
    assert dataclasses.replace(old, sealed=None) == dataclasses.replace(new, sealed=None)
    assert [new] == [grant.credential for grant in after.callers["crm"].grants]
    intent, outcome = office.read_journal()[-2:]
    assert ("change.intended", "credential.rotated") == (intent["tag"], outcome["tag"])
    assert {"upstream": "noojee", "kind": "global"} == outcome["change"]


def test_the_key_that_is_held_already_changes_nothing(office: Office, desk: Desk) -> None:
    """
    So the command can be repeated when a worker did not acknowledge.
    """
    before = office.read_journal(), desk.read_snapshot()
    rotated = credentials.rotate(desk, "everything", key=GLOBAL_KEY)

    assert not rotated["rotated"]
    assert before == (office.read_journal(), desk.read_snapshot())


def test_a_removed_credential_is_not_rotated(desk: Desk) -> None:
    """
    Its key was taken away to end access; `add` gives it back, and asks again whose it is.
    """
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"])
    credentials.remove(desk, "alice")
    with pytest.raises(OperatorError, match="credential add alice") as caught:
        credentials.rotate(desk, "alice", key=NEW_KEY)

    assert OperatorReason.NOT_FOUND == caught.value.reason
    assert not desk.read_snapshot().credentials["alice"].is_available


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda desk: credentials.rotate(desk, "nobody", key=NEW_KEY), OperatorReason.NOT_FOUND),
        (lambda desk: credentials.rotate(desk, "alice", key=Secret("short")), OperatorReason.INVALID),
        (lambda desk: tokens.rotate(desk, "000000000000", overlap=DAY), OperatorReason.NOT_FOUND),
        (lambda desk: tokens.rotate(desk, "no id", overlap=DAY), OperatorReason.INVALID),
    ],
)
def test_what_is_not_there_is_not_rotated(
    office: Office, desk: Desk, act: Callable[[Desk], object], reason: OperatorReason
) -> None:
    """
    Refused before anything is written.
    """
    before = office.read_journal()
    with pytest.raises(OperatorError) as caught:
        act(desk)

    assert (reason, before) == (caught.value.reason, office.read_journal())


def test_a_rotated_token_ends_after_the_overlap(office: Office, desk: Desk) -> None:
    """
    The new one lives as long as the old one was made to live; both are known until then.
    """
    issued, old = tokens.issue(desk, "crm", expires_in=90 * DAY)
    office.clock.instant += 80 * DAY
    rotated, new = tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)

    assert {
        "token_id": new.reveal()[4:16],
        "caller": "crm",
        "expires_at": "2026-10-20T09:15:00.000000Z",
        "replaces": issued["token_id"],
        "old_expires_at": "2026-07-23T09:15:00.000000Z",
    } == rotated
    assert {digest_token(text.reveal()) for text in (old, new)} == set(desk.read_snapshot().tokens)
    assert ["active", "active"] == [each["state"] for each in tokens.find_all(desk)]
    office.clock.instant += DAY
    assert ["expired", "active"] == [each["state"] for each in tokens.find_all(desk)]
    outcome = office.read_journal()[-1]
    assert ("token.rotated", issued["token_id"]) == (outcome["tag"], outcome["subject"])
    assert {
        "token_id": rotated["token_id"],
        "caller": "crm",
        "expires_at": rotated["expires_at"],
        "old_expires_at": rotated["old_expires_at"],
    } == outcome["change"]


@pytest.mark.parametrize("lifetime", [90 * DAY, None])
def test_a_token_rotated_twice_gets_two_successors_of_its_own_lifetime(desk: Desk, lifetime: timedelta | None) -> None:
    """
    Whoever lost the first output rotates again: what the overlap left of the old one is not what it was made for.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=lifetime)

    first, _ = tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)
    second, _ = tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)

    assert issued["expires_at"] == first["expires_at"] == second["expires_at"]


def test_a_token_without_end_gets_a_successor_without_end(desk: Desk) -> None:
    """
    The policy goes over to the new one, whatever it was.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    rotated, _ = tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)

    assert (None, "2026-05-04T09:15:00.000000Z") == (rotated["expires_at"], rotated["old_expires_at"])


def test_an_overlap_never_prolongs_a_token(desk: Desk) -> None:
    """
    One that ends in an hour ends in an hour.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=timedelta(hours=1))
    rotated, _ = tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)

    assert issued["expires_at"] == rotated["old_expires_at"]


def test_without_an_overlap_a_token_is_revoked_in_the_same_change(office: Office, desk: Desk) -> None:
    """
    One record tells both; and what has ended is not rotated again.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    token_id = str(issued["token_id"])
    _, new = tokens.rotate(desk, token_id, overlap=timedelta())

    assert {digest_token(new.reveal())} == set(desk.read_snapshot().tokens)
    assert "revoked" == next(each for each in tokens.find_all(desk) if each["token_id"] == token_id)["state"]
    assert ["change.intended", "token.rotated"] == office.read_tags()[-2:]
    with pytest.raises(OperatorError, match="is revoked already"):
        tokens.rotate(desk, token_id, overlap=DAY)


def test_an_expired_token_is_not_rotated(office: Office, desk: Desk) -> None:
    """
    Its caller could not call any more; whoever wants that again issues a token.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=DAY)
    office.clock.instant += DAY
    with pytest.raises(OperatorError, match="token issue crm"):
        tokens.rotate(desk, str(issued["token_id"]), overlap=DAY)


def test_an_overlap_beyond_the_calendar_is_refused(desk: Desk) -> None:
    """
    With a sentence, and nothing changed.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    with pytest.raises(OperatorError, match="year 9999"):
        tokens.rotate(desk, str(issued["token_id"]), overlap=timedelta(days=9_999_999))

    assert 1 == len(tokens.find_all(desk))


def test_the_master_key_is_rotated_and_pruned(office: Office, desk: Desk) -> None:
    """
    Everything that is sealed opens all the while; on record are versions, and nothing else.
    """
    marks = desk.audit_key.for_caller("crm"), desk.read_snapshot().fingerprints
    rotated = keys.rotate(desk)
    between = read_ring(office)
    pruned = keys.prune(desk)
    with office.open_desk() as anew:
        assert [USER_KEY, GLOBAL_KEY] == read_keys(anew)
        assert marks == (anew.audit_key.for_caller("crm"), anew.read_snapshot().fingerprints)

    assert {"version": 2, "versions": [1, 2], "credentials": 2} == rotated
    assert ([1, 2], [2]) == (between, read_ring(office))
    assert {"version": 2, "removed": [1]} == pruned
    records = office.read_journal()[-4:]
    assert ["change.intended", "master_key.rotated", "change.intended", "master_key.pruned"] == [
        record["tag"] for record in records
    ]
    assert {"version": 2, "replaces": [1], "credentials": 2} == records[1]["change"]
    assert {"version": 2, "removed": [1]} == records[3]["change"]
    assert {"master_key"} == {record["subject"] for record in records}


def test_a_single_version_is_not_pruned(office: Office, desk: Desk) -> None:
    """
    There is nothing to do, and nothing to record.
    """
    before = office.read_journal()

    assert {"version": 1, "removed": []} == keys.prune(desk)
    assert before == office.read_journal()


def test_a_version_in_use_is_not_pruned(office: Office, desk: Desk) -> None:
    """
    Told with what is sealed under it: a version that was added by hand and not used yet, for one.
    """
    office_ring = Ring.load(office.data_dir / "master.key")
    office_ring.add_version()
    credentials.rotate(desk, "alice", key=NEW_KEY)  # sealed under the new version, the rest is not
    with pytest.raises(OperatorError, match=r"audit\.key, credential everything\.") as caught:
        keys.prune(desk)

    assert OperatorReason.IN_USE == caught.value.reason
    assert [1, 2] == read_ring(office)


def test_a_version_that_was_added_by_hand_is_used_and_no_other_made(office: Office, desk: Desk) -> None:
    """
    That is how a ring that only its keeper may write is rotated, and how an interrupted rotation goes on.
    """
    Ring.load(office.data_dir / "master.key").add_version()

    assert {"version": 2, "versions": [1, 2], "credentials": 2} == keys.rotate(desk)
    assert [USER_KEY, GLOBAL_KEY] == read_keys(desk)
    assert {"version": 2, "removed": [1]} == keys.prune(desk)


def test_a_desk_that_was_open_before_a_rotation_seals_under_the_new_version(office: Office, desk: Desk) -> None:
    """
    Two commands at once: what the slower one seals must open when the old version was pruned meanwhile.
    """
    with office.open_desk() as faster:
        keys.rotate(faster)
        keys.prune(faster)
    credentials.rotate(desk, "alice", key=NEW_KEY)
    credentials.add(desk, "bob", upstream="noojee", kind="user", owner="bob", key=USER_KEY)
    upstreams.change(desk, "noojee", url="https://noojee.example.com/prefix")

    assert [NEW_KEY, GLOBAL_KEY] == read_keys(desk)
    assert USER_KEY == open_key(Ring.load(desk.ring.path), desk.read_snapshot().credentials["bob"])


def test_an_installation_without_a_key_rotates_its_audit_key(office: Office, desk: Desk) -> None:
    """
    A removed credential that grants still name has nothing to seal.
    """
    grants.add(desk, "crm", credential="alice", operations=["CampaignAPI/*"])
    for name in ("alice", "everything"):
        credentials.remove(desk, name)

    assert 0 == keys.rotate(desk)["credentials"]
    assert [1] == keys.prune(desk)["removed"]
    with office.open_desk() as anew:
        assert desk.audit_key.fingerprint("key") == anew.audit_key.fingerprint("key")


def test_a_key_that_does_not_open_stops_a_rotation_before_anything_changes(office: Office, desk: Desk) -> None:
    """
    Its row was moved or damaged: what would be lost with the old version is named while that is still there.
    """
    credential = desk.read_snapshot().credentials["alice"]
    with desk.changing(), desk._store.transaction() as registry:
        registry.set_seal(credential.credential_id, b"\x01\x00\x00\x00\x01" + bytes(60))
    before = office.read_journal()
    with pytest.raises(OperatorError, match="credential rotate alice"):
        keys.rotate(desk)
    assert ([1], before) == (read_ring(office), office.read_journal())
    credentials.rotate(desk, "alice", key=NEW_KEY)

    assert 2 == keys.rotate(desk)["version"]
    assert [NEW_KEY, GLOBAL_KEY] == read_keys(desk)


def test_a_ring_in_the_credentials_of_a_unit_is_refused(office: Office) -> None:
    """
    A copy that systemd made: told with what its keeper has to do, and done when he has.
    """
    folder = office.data_dir.parent / "credentials"
    folder.mkdir()
    shutil.move(office.data_dir / "master.key", folder / "master.key")
    with Desk.open(**{**office.place, "master_key_file": folder / "master.key"}) as desk:
        before = office.read_journal(), (folder / "master.key").read_bytes()
        with pytest.raises(OperatorError, match=r"add a line `2 KEY`") as rotating:
            keys.rotate(desk, credentials_dir=folder)
        after = office.read_journal(), (folder / "master.key").read_bytes()
        Ring.load(folder / "master.key").add_version()
        rotated = keys.rotate(desk, credentials_dir=folder)
        with pytest.raises(OperatorError, match="remove version 1 from it") as pruning:
            keys.prune(desk, credentials_dir=folder)

    assert before == after
    assert 2 == rotated["version"]
    assert {OperatorReason.KEY_FILE_READ_ONLY} == {rotating.value.reason, pruning.value.reason}


def test_a_linked_ring_is_refused_and_the_link_stays(office: Office) -> None:
    """
    As Kubernetes mounts secrets.
    """
    ring = office.data_dir / "master.key"
    ring.rename(ring.with_name("real"))
    ring.symlink_to("real")
    with office.open_desk() as desk, pytest.raises(OperatorError, match="it is a link"):
        keys.rotate(desk)

    assert ring.is_symlink()
    assert [1] == read_ring(office)


def test_a_worker_that_lacks_the_version_keeps_everything_under_the_old_one(office: Office, desk: Desk) -> None:
    """
    The version is in the ring, the failure on record, and the next attempt finishes.
    """
    listener = office.listen("worker-0.sock", lambda line: b"" if line.startswith(b"ring") else line)
    with pytest.raises(OperatorError, match="has not got version 2") as caught:
        keys.rotate(desk)
    listener.close()

    assert OperatorReason.NOT_ACKNOWLEDGED == caught.value.reason
    assert {b"ring 2\n"} == {line for line in listener.lines if line.startswith(b"ring")}
    assert ("change.failed", "not_acknowledged") == (
        office.read_journal()[-1]["tag"],
        office.read_journal()[-1]["reason"],
    )
    with pytest.raises(OperatorError, match="Still sealed"):
        keys.prune(desk)
    assert {"version": 2, "versions": [1, 2], "credentials": 2} == keys.rotate(desk)


def test_no_key_of_the_ring_is_on_record(office: Office, desk: Desk) -> None:
    """
    Law 3, for the key under which all others are.
    """
    lines = [(office.data_dir / "master.key").read_text().split()[1]]
    keys.rotate(desk)
    lines += [line.split()[1] for line in (office.data_dir / "master.key").read_text().splitlines()]
    keys.prune(desk)

    for path in (office.data_dir / "journal").rglob("*.jsonl"):
        assert not any(line in path.read_text() for line in lines)
