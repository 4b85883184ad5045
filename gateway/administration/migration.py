"""
The verb `migrate`: the registry's schema at another revision, on record.

`serve` and every verb bring an older schema up to this release's by themselves. This verb does it on its own, and steps
down before an older release is run again. What that release could not hold is never dropped silently: a grant that lost
its rules would allow every value (law 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.administration.actor import find_actor
from gateway.administration.change import settle_changes
from gateway.administration.data_folder import lock_serving
from gateway.administration.desk import open_admin_journal
from gateway.audit.event import Tag
from gateway.audit.recovery import recover_change
from gateway.clock import create_request_id
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.migrating import REVISIONS
from gateway.registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.journal import Journal
    from gateway.clock import Clock

__all__ = ["migrate"]


def migrate(*, data_dir: Path, node: str, clock: Clock, revision: str | None) -> dict[str, object]:
    """
    Move the schema to a revision, this release's when none is given, while no gateway runs.

    Returns:
        `{"from", "to", "migrated", "newest"}`; `migrated` is false where it was there already.

    Raises:
        OperatorError: `schema_unknown` for a revision that this release does not know, `already_running`, `in_use`
            when something would be lost, `registry_unavailable`, `journal_busy` or `journal_unavailable`.
    """
    target = REVISIONS[-1] if revision is None else revision
    if target not in REVISIONS:
        raise OperatorError(
            OperatorReason.SCHEMA_UNKNOWN,
            f"This release knows no such revision of the schema. It knows: {', '.join(REVISIONS)}.",
        )
    try:
        with Store.open(data_dir / "gateway.db", brings_up_to_date=False) as store:
            before = store.revision()
            if before != target:
                with lock_serving(data_dir):
                    _migrate(store, data_dir, target, node=node, clock=clock)
    except StorageError as error:
        raise OperatorError(OperatorReason.REGISTRY_UNAVAILABLE, error.detail) from error
    return {"from": before, "to": target, "migrated": before != target, "newest": REVISIONS[-1]}


def _migrate(store: Store, data_dir: Path, target: str, *, node: str, clock: Clock) -> None:
    journal = open_admin_journal(data_dir, node=node, clock=clock)
    try:
        settle_changes(journal, store)
        before = store.revision()  # no other verb can change it from here on
        if target < before and (losses := store.find_losses(target, clock.now())):
            raise OperatorError(
                OperatorReason.IN_USE,
                f"Revision {target} cannot hold {'; nor '.join(losses)}. Nothing was changed.",
            )
        _move(store, journal, before, target)
    finally:
        journal.close()


def _move(store: Store, journal: Journal, before: str, target: str) -> None:
    event = {"actor": find_actor(), "subject": "registry", "request_id": create_request_id()}
    details = {"from": before, "to": target}
    version = store.version()
    intended = {"tag": Tag.REGISTRY_MIGRATED, **details}
    journal.record_now({**event, "tag": Tag.CHANGE_INTENDED, "change": intended, "policy_version": version})
    # A crash from here on is closed by the next verb, by the version, which the migration raises when it commits.
    try:
        store.move_schema(target, raises_version=True)
    except BaseException:
        recover_change(journal, store.version())
        raise
    journal.record_now(
        {**event, "tag": Tag.REGISTRY_MIGRATED, "change": details, "policy_version": version + 1}, may_use_reserve=True
    )
