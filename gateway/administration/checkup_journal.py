"""
`check`: the journal, whether it can be written, and whether its recent calls can be told apart by where they came from.

Behind the bridge of a container engine all callers come from one address, the bridge's: then `caller --from` keeps
nobody out, and the auditor reads one address for everybody.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any

from gateway.audit.chain import parse_record
from gateway.audit.ending import find_stream_ending
from gateway.audit.event import Tag
from gateway.audit.recovery import recover_attempts
from gateway.audit.segment import list_segments
from gateway.diagnosis.finding import Check, Finding
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.audit.journal import Journal

__all__ = ["check_journal", "find_bridge"]

_TAIL_BYTES = 256 * 1024
"""What is read of each worker's stream: some 500 records."""

_FEW_CALLS = 10
_GIB = 1024**3


def check_journal(root: Path, journal: Journal) -> Finding:
    """
    Write to the journal, by closing what an earlier check left open and saying that this one begins.

    Args:
        root: The folder of all streams.
        journal: The operators' stream.
    """
    try:
        recover_attempts(root, journal, Tag.CHECK_STARTED)
    except StorageError as error:
        return Finding(
            Check.JOURNAL,
            False,
            f"The journal cannot be written: {error.detail.rstrip('.')}.",
            "Look at the disk of the journal's folder. Until it can be written the gateway refuses every call.",
        )
    found = os.statvfs(root)
    free_gib = found.f_bavail * found.f_frsize / _GIB
    detail = f"The journal in {root} can be written; its disk has {free_gib:.1f} GiB left."
    bridge = find_bridge(_read_recent(root))
    if bridge is None:
        return Finding(Check.JOURNAL, True, detail)
    return Finding(
        Check.JOURNAL,
        True,
        detail,
        f"All recent calls came from {bridge}, which looks like a container engine's bridge: `caller --from` cannot "
        "tell callers apart. Let the container share the machine's network, or set GATEWAY_TRUSTED_PROXIES where a "
        "proxy stands in between.",
    )


def find_bridge(records: Iterable[dict[str, Any]]) -> str | None:
    """
    The one address from which several callers' calls came, when it is like a bridge's: private, first of its network.

    None where calls can be told apart, are few, or came through a proxy that is trusted.
    """
    calls = [each for each in records if each.get("tag") in {Tag.CALL_INTENDED, Tag.CALL_DENIED} and "peer" in each]
    peers = {str(each["peer"]) for each in calls}
    callers = {each.get("caller") for each in calls}
    if len(calls) < _FEW_CALLS or len(callers) < 2 or len(peers) != 1 or any("client" in each for each in calls):  # noqa: PLR2004 - one caller comes from one place
        return None
    (peer,) = peers
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    is_first = address.packed[-1] == 1
    return peer if address.is_private and is_first and not address.is_loopback else None


def _read_recent(root: Path) -> list[dict[str, Any]]:
    records = []
    for folder in sorted(root.glob("worker-*")):
        try:
            ending = find_stream_ending(list_segments(folder))
            if ending is None:
                continue
            with ending.path.open("rb") as file:
                start = max(0, ending.length - _TAIL_BYTES)
                file.seek(start)
                lines = file.read(ending.length - start).splitlines(keepends=True)
        except (OSError, StorageError):
            continue  # what cannot be read is `audit verify`'s to tell
        records += [record for line in lines if (record := parse_record(line)) is not None]
    return records
