"""
The verb `check`: everything that a call needs, from the folder on disk to Noojee's answer, in the order of the need.

Works beside a running gateway and without one. The operators' stream is held for each step that records, and not
between them: whoever must revoke a token meanwhile waits no longer than one reply.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.administration.actor import find_actor
from gateway.administration.checkup_files import check_files, tell_error
from gateway.administration.checkup_journal import check_journal
from gateway.administration.checkup_registry import check_registry
from gateway.administration.desk import Desk, open_admin_journal
from gateway.diagnosis.attempt import Attempts
from gateway.diagnosis.finding import Check, Finding
from gateway.diagnosis.upstream_check import UpstreamCheck
from gateway.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.access.credential import Credential
    from gateway.audit.journal import Journal
    from gateway.clock import Clock
    from gateway.upstream.request import Timeouts

__all__ = ["NETWORK_CHECKS", "check_installation", "skip"]

_PAUSE_SECONDS = 0.2

NETWORK_CHECKS = (Check.DNS, Check.TCP, Check.PROXY, Check.TLS, Check.WHITELIST, Check.KEY, Check.CLOCK)


def check_installation(
    *,
    data_dir: Path,
    run_dir: Path,
    master_key_file: Path,
    node: str,
    clock: Clock,
    timeouts: Timeouts,
    with_key: bool,
) -> list[Finding]:
    """
    All checks behind that of the settings. Raises nothing for what is found.

    Args:
        with_key: Whether each key is tried, with one read operation.
    """
    findings = [check_files(data_dir, master_key_file)]
    if not findings[0].ok:
        return findings + skip(Check.REGISTRY, Check.JOURNAL, *NETWORK_CHECKS)
    try:
        with Desk.open(
            data_dir=data_dir, run_dir=run_dir, master_key_file=master_key_file, node=node, clock=clock
        ) as desk:
            findings.append(check_registry(desk))
            findings.append(_check_journal(desk))
            is_writable = findings[-1].ok is True
            return findings + asyncio.run(_check_upstreams(desk, timeouts, is_writable=is_writable, with_key=with_key))
    except OperatorError as error:
        findings.append(tell_error(Check.REGISTRY, error))
        return findings + skip(Check.JOURNAL, *NETWORK_CHECKS)


def skip(*checks: Check, reason: str = "an earlier check failed") -> list[Finding]:
    """
    Checks that were not made.
    """
    return [Finding(each, None, f"Not looked at, because {reason}.") for each in checks]


def _check_journal(desk: Desk) -> Finding:
    try:
        journal = open_admin_journal(desk.data_dir, node=desk.node, clock=desk.clock)
    except OperatorError as error:
        return tell_error(Check.JOURNAL, error)
    try:
        return check_journal(desk.data_dir / "journal", journal)
    finally:
        journal.close()


async def _check_upstreams(desk: Desk, timeouts: Timeouts, *, is_writable: bool, with_key: bool) -> list[Finding]:
    @contextlib.asynccontextmanager
    async def hold() -> AsyncIterator[Journal]:
        journal = await asyncio.to_thread(open_admin_journal, desk.data_dir, node=desk.node, clock=desk.clock)
        try:
            yield journal
        finally:
            await asyncio.to_thread(journal.close)
            # A verb that waits for the stream looks now and then: without a pause it would wait until all is checked.
            await asyncio.sleep(_PAUSE_SECONDS)

    async def find_credential(name: str) -> Credential | None:
        # Whoever holds the stream keeps all verbs from changing anything: what is read then is so until it is sent.
        with desk.reading() as registry:
            return registry.find_credential(name)

    with desk.reading() as registry:
        version = registry.version
        upstreams, credentials = registry.find_upstreams().values(), registry.find_credentials().values()
    attempts = Attempts(hold, desk.clock, find_actor(), version) if is_writable else None
    check = UpstreamCheck(
        ring=desk.ring, timeouts=timeouts, clock=desk.clock, attempts=attempts, find_credential=find_credential
    )
    findings = []
    for upstream in upstreams:
        found, _ = await check.look(
            upstream, [each for each in credentials if each.upstream == upstream], with_key=with_key
        )
        findings += found
    return findings or skip(*NETWORK_CHECKS, reason="there is no upstream yet")
