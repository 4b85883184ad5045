"""
`init`: the data folder with its keys, registry and journal.

Idempotent, also after a crash anywhere in it, and careful with what is there: no key is ever replaced, and none is made
beside data that only the lost one could read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import durable
from gateway.administration.actor import find_actor
from gateway.administration.change import settle_changes
from gateway.administration.desk import open_admin_journal
from gateway.audit.event import Tag
from gateway.audit.recovery import recover_change
from gateway.clock import create_request_id
from gateway.custody import AuditKey, Ring
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from gateway.audit.journal import Journal
    from gateway.clock import Clock

__all__ = ["init"]


def init(*, data_dir: Path, run_dir: Path, master_key_file: Path, node: str, clock: Clock) -> dict[str, Any]:
    """
    Make what is missing of an installation.

    Returns:
        `{"data_dir", "created": [names]}`; a name is relative to the data folder where the thing is in it.

    Raises:
        OperatorError: A folder or file cannot be made (`data_dir_unusable`, `registry_unavailable`,
            `journal_unavailable`), a key was lost or is not this installation's (`master_key_unusable`), or others can
            read it (`key_file_unsafe`).
    """
    created = [path for path in (data_dir, data_dir / "journal", run_dir) if _create_folder(path)]
    journal = open_admin_journal(data_dir, node=node, clock=clock)  # held: two at once would make two keys
    try:
        created += _create_keys(data_dir, master_key_file)
        created += _create_registry(data_dir / "gateway.db", journal, [_name(path, data_dir) for path in created])
    except StorageError as error:
        raise OperatorError(OperatorReason.JOURNAL_UNAVAILABLE, error.detail) from error
    finally:
        journal.close()
    return {"data_dir": str(data_dir), "created": [_name(path, data_dir) for path in created]}


def _create_folder(folder: Path) -> bool:
    if folder.is_dir():
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        durable.create_folder(folder)
    except OSError as error:
        raise OperatorError(
            OperatorReason.DATA_DIR_UNUSABLE,
            f"The folder {folder} cannot be made: {durable.describe(error)}. Make it for this user, or name another "
            "with GATEWAY_DATA_DIR or GATEWAY_RUN_DIR.",
        ) from None
    return True


def _create_keys(data_dir: Path, master_key_file: Path) -> list[Path]:
    """
    Make the ring and the audit key, in this order, where none ever was; otherwise prove that they belong together.
    """
    audit_key_file, registry_file = data_dir / "audit.key", data_dir / "gateway.db"
    created = []
    has_registry = registry_file.exists()  # or what an `init` left that was killed: the keys were made before it
    if master_key_file.exists():
        ring = Ring.load(master_key_file)
    elif has_registry or audit_key_file.exists():
        raise _lost(master_key_file, "everything in the data folder is sealed under it. Set GATEWAY_MASTER_KEY_FILE")
    else:
        ring = Ring.create(master_key_file)
        created.append(master_key_file)
    if audit_key_file.exists():
        AuditKey.load(audit_key_file, ring)
    elif has_registry:
        raise _lost(audit_key_file, "the journal's marks were made with it. Look")
    else:
        AuditKey.create(audit_key_file, ring)
        created.append(audit_key_file)
    return created


def _create_registry(path: Path, journal: Journal, made_before: list[str]) -> list[Path]:
    """
    Make the registry, on record; when there is one, put on record what an earlier verb could not.
    """
    try:
        store = Store.open(path)
    except OperatorError as error:
        if error.reason is not OperatorReason.REGISTRY_UNAVAILABLE:
            raise
    else:
        with store:
            settle_changes(journal, store)
        return []
    recover_change(journal, 0)  # no registry: what was intended was not made
    event = {"actor": find_actor(), "subject": "registry", "request_id": create_request_id()}
    details = {"created": made_before}
    journal.record_now(
        {
            **event,
            "tag": Tag.CHANGE_INTENDED,
            "change": {"tag": Tag.REGISTRY_INITIALISED, **details},
            "policy_version": 0,
        }
    )
    # A crash from here on is closed by the next `init`: as done when the registry can be opened, as failed otherwise.
    try:
        with Store.create(path) as store:
            version = store.version()
        store.reserve.keep()
    except StorageError as error:
        raise OperatorError(OperatorReason.REGISTRY_UNAVAILABLE, error.detail) from error
    journal.record_now({**event, "tag": Tag.REGISTRY_INITIALISED, "change": details, "policy_version": version})
    return [path]


def _lost(path: Path, why: str) -> OperatorError:
    return OperatorError(
        OperatorReason.MASTER_KEY_UNUSABLE,
        f"{path} is missing, and {why} for it in your backup: a new one would open nothing. No key was made.",
    )


def _name(path: Path, data_dir: Path) -> str:
    if path == data_dir:
        return "data folder"
    return path.relative_to(data_dir).as_posix() if path.is_relative_to(data_dir) else str(path)
