"""
The feed: what of the registry the data plane sees, and what it must not see.
"""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from gateway.access.credential import Credential, Kind
from gateway.access.token import Token
from gateway.access.token_map import TokenMap
from gateway.access.upstream import Upstream
from gateway.errors import StorageError
from gateway.registry.feed import Feed, load_snapshot
from gateway.registry.rows import CallerRow, OwedEvent, TokenRow
from gateway.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 5, 3, 9, 15, 0, 1, tzinfo=UTC)
UPSTREAM = Upstream("noojee", "noojee.example.com", 8443, "/pbx", ca_pem="PEM")
GLOBAL = Credential("c1", "everything", UPSTREAM, Kind.GLOBAL, None, b"sealed 1")
USER = Credential("c2", "alice", UPSTREAM, Kind.USER, "alice@example.com", b"sealed 2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """
    A registry with an upstream, two credentials, a caller `crm` and a disabled caller `old`.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        with store.transaction() as registry:
            registry.add_upstream(UPSTREAM)
            registry.add_credential(GLOBAL, b"mark 1")
            registry.add_credential(USER, b"mark 2")
            registry.add_caller(
                CallerRow("crm", ("10.0.0.0/8", "2001:db8::/32"), query_token_allowed=False, is_enabled=True)
            )
            registry.add_caller(CallerRow("old", (), query_token_allowed=True, is_enabled=False))
        yield store


def test_what_was_stored_comes_back_as_values(store: Store) -> None:
    """
    Upstream, credentials, callers and their networks are what was put in; the version is the registry's.
    """
    snapshot = load_snapshot(store)

    assert 2 == snapshot.version
    assert {"alice": USER, "everything": GLOBAL} == snapshot.credentials
    assert {b"mark 1": "everything", b"mark 2": "alice"} == snapshot.fingerprints
    assert (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")) == snapshot.callers["crm"].networks
    assert not snapshot.callers["crm"].query_token_allowed


def test_revoked_tokens_and_disabled_callers_are_not_there(store: Store) -> None:
    """
    Unknown, revoked and disabled are one look-up that finds nothing. An expired token is there: time is for the call.
    """
    with store.transaction() as registry:
        for token_id, caller, expires_at in (
            ("valid", "crm", None),
            ("expired", "crm", NOW),
            ("revoked", "crm", None),
            ("disabled", "old", None),
        ):
            row = TokenRow(token_id, caller, NOW - timedelta(days=1), expires_at, None)
            registry.add_token(row, token_id.encode())
        registry.revoke_token("revoked", NOW)
    snapshot = load_snapshot(store)

    assert {b"valid": Token("valid", "crm", None), b"expired": Token("expired", "crm", NOW)} == snapshot.tokens
    assert {"crm"} == set(snapshot.callers)


def test_grants_come_the_oldest_first_also_after_removals(store: Store) -> None:
    """
    Of the grants that pass, the oldest serves; a removed one does not give its place to a younger.
    """
    with store.transaction() as registry:
        for grant_id in ("g3", "g1", "g2"):
            registry.add_grant(grant_id, "crm", "c1", ["CallManagementAPI/*", "AgentAPI/*"])
    with store.transaction() as registry:
        registry.remove_grant("g2")
        registry.remove_grant("g3")
        registry.add_grant("g0", "crm", "c2", ["CampaignAPI/*"])
    grants = load_snapshot(store).callers["crm"].grants

    assert ["g1", "g0"] == [grant.grant_id for grant in grants]
    assert [GLOBAL, USER] == [grant.credential for grant in grants]
    assert ("CallManagementAPI/*", "AgentAPI/*") == grants[0].operations


def test_a_removed_credential_stays_without_key_while_a_grant_names_it(store: Store) -> None:
    """
    Then its calls are refused by name; with the last grant it goes. Its fingerprint is gone at once.
    """
    with store.transaction() as registry:
        registry.add_grant("g1", "crm", "c1", ["AgentAPI/*"])
        for credential_id in ("c1", "c2"):
            registry.set_key(credential_id, None, None)
        registry.prune_removed_credentials()
    named = load_snapshot(store)
    with store.transaction() as registry:
        registry.remove_grant("g1")
        registry.prune_removed_credentials()

    assert {"everything"} == set(named.credentials)
    assert not named.callers["crm"].grants[0].credential.is_available
    assert {} == named.fingerprints
    assert {} == load_snapshot(store).credentials


def test_a_key_under_two_names_is_recognised_by_the_first(store: Store) -> None:
    """
    The answer does not depend on the order in which they were added.
    """
    with store.transaction() as registry:
        registry.set_key("c2", b"sealed", b"mark 1")

    assert {b"mark 1": "alice"} == load_snapshot(store).fingerprints


def test_a_snapshot_does_not_change(store: Store) -> None:
    """
    It is a value: nobody can write to it, and later changes are in a later one.
    """
    before = load_snapshot(store)
    with store.transaction() as registry:
        registry.remove_caller("crm")
    with pytest.raises(TypeError):
        before.callers["crm"] = before.callers["crm"]  # type: ignore[index]  # what the test is about

    assert {"crm"} == set(before.callers)
    assert set() == set(load_snapshot(store).callers)


def test_a_damaged_row_is_an_error_of_storage_without_the_row(store: Store) -> None:
    """
    The worker keeps its last snapshot on a StorageError; what stands in the row is not repeated.
    """
    with store._connect(writes=True) as connection:
        connection.execute("UPDATE callers SET networks = '[\"marked-secret\"]'")
    with pytest.raises(StorageError, match="damaged") as caught:
        load_snapshot(store)

    assert "marked-secret" not in str(caught.value)


def test_an_expiry_that_is_none_is_damage_too(store: Store) -> None:
    """
    It is told when the registry is read, not by the call that presents the token.
    """
    with store.transaction() as registry:
        registry.add_token(TokenRow("damaged", "crm", NOW, NOW, None), b"digest")
    with store._connect(writes=True) as connection:
        connection.execute("UPDATE tokens SET expires_at = 'never'")
    with pytest.raises(StorageError, match="damaged"):
        load_snapshot(store)


def test_tokens_are_nothing_to_the_garbage_collector(store: Store) -> None:
    """
    It follows containers of containers; going through a hundred thousand tokens would hold up every call.
    """
    with store.transaction() as registry:
        registry.add_token(TokenRow("first", "crm", NOW, NOW + timedelta(days=1), None), b"first")
    feed = Feed(store, pause_seconds=0.0)
    known = feed.load()
    tokens = known.tokens
    with store.transaction() as registry:
        registry.add_token(TokenRow("second", "crm", NOW, None, None), b"second")
    feed.read(known).finish()

    assert isinstance(tokens, TokenMap)
    assert {b"first", b"second"} == set(tokens)
    assert not gc.is_tracked(tokens._packed)


def test_a_snapshot_without_tokens_has_everything_else(store: Store) -> None:
    """
    For verbs that ask by a caller's name, which must not wait for a hundred thousand tokens.
    """
    with store.transaction() as registry:
        registry.add_token(TokenRow("unread", "crm", NOW, None, None), b"digest")
    whole, lean = load_snapshot(store), load_snapshot(store, with_tokens=False)

    assert (1, 0) == (len(whole.tokens), len(lean.tokens))
    assert (whole.version, whole.callers, whole.credentials) == (lean.version, lean.callers, lean.credentials)


def test_owed_events_come_in_the_order_of_their_changes(store: Store) -> None:
    """
    And go one by one, when the journal has them.
    """
    events = [OwedEvent("r9", 3, '{"a":1}'), OwedEvent("r1", 12, "{}")]
    with store.transaction(raises_version=False) as registry:
        for event in reversed(events):
            registry.add_owed_event(event)
    with store.reading() as reading:
        owed = reading.find_owed_events()
    with store.transaction(raises_version=False) as registry:
        registry.remove_owed_event("r9")
        left = registry.find_owed_events()

    assert events == owed
    assert events[1:] == left


def test_a_hundred_thousand_tokens_are_read_in_a_moment(store: Store) -> None:
    """
    A whole reload follows every change, so it must not take seconds (measured: 0.4-0.8 s on two shared cores).
    """
    with store._connect(writes=True) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
            "INSERT INTO tokens SELECT printf('%012d', i), 'crm', randomblob(32), '2026-05-03T09:15:00.000000Z', "
            "'2026-05-03T09:15:00.000000Z', NULL, NULL, 1 FROM n"
        )
    started = time.monotonic()
    snapshot = load_snapshot(store)
    seconds = time.monotonic() - started

    assert 100_000 == len(snapshot.tokens)
    assert seconds < 5  # generous for a busy machine; ten times that would be a mistake in the reading
