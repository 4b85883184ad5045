"""
From settings to a node's processes: what is looked at and taken before, and what supervisor and planes are told.

`serve` and `demo` both start a node here. The wiring is here because neither plane may know the other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.administration.change import settle_changes
from gateway.administration.desk import RESERVE_BYTES
from gateway.audit.journal import Journal, StreamBusyError
from gateway.audit.recovery import close_attempts
from gateway.cli.timeouts import create_timeouts
from gateway.clock import SystemClock
from gateway.control_plane.plan import ControlPlanePlan, ProbePlan
from gateway.custody import AuditKey, Ring
from gateway.data_plane.bounds import Bounds
from gateway.data_plane.plan import WorkerPlan
from gateway.registry.store import Store
from gateway.settings.in_force import render_settings
from gateway.supervisor.assignment import Assignment
from gateway.supervisor.plan import PlanePlan, SupervisorPlan
from gateway.supervisor.signals import block_signals

if TYPE_CHECKING:
    import socket
    from typing import IO, NoReturn

    from gateway.settings.model import Settings

__all__ = [
    "Addresses",
    "become_supervisor",
    "plan_again",
    "plan_node",
    "prepare",
    "raise_file_limit",
    "start_supervisor",
]

_logger = logging.getLogger(__name__)

_FILES_BESIDE_CALLERS = 64
"""Descriptors that are no connection: the journal, the registry, sockets, the event loop's own."""

_FILES_A_CALL = 2
"""A caller's connection and the upstream's."""

_END_MARGIN_SECONDS = 20.0
"""What a plane may take to end beyond its drain: two for answers, five to take in who waits, five for
connections, the rest for a slow disk."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """
    Where a node listens, as URLs with the real ports.
    """

    callers: str
    admin: str

    @classmethod
    def find(cls, settings: Settings, callers: socket.socket, admin: socket.socket) -> Addresses:
        """
        Those of two bound sockets.
        """
        scheme = "http" if settings.tls_cert_file is None else "https"
        return cls(_render_url(scheme, callers), _render_url(scheme, admin))

    def render_ready_line(self, *, as_json: bool) -> str:
        """
        What `serve` prints, newline included (contract section 3).
        """
        if as_json:
            ready = {"event": "ready", "callers": self.callers, "admin": self.admin, "pid": os.getpid()}
            return json.dumps(ready) + "\n"
        return f"ready callers={self.callers} admin={self.admin}\n"


def prepare(settings: Settings) -> None:
    """
    Refuse keys and a registry that cannot be used, before anything listens; and close what a killed verb left open.

    That is a change, and the attempt of a `check` (law 2). A verb that is at work now closes its own.

    Raises:
        OperatorError: With what to do.
        StorageError: The journal cannot be opened.
    """
    AuditKey.load(settings.data_dir / "audit.key", Ring.load(settings.master_key_file))
    with Store.open(settings.data_dir / "gateway.db") as store, contextlib.suppress(StreamBusyError):
        journal = Journal.open(
            settings.data_dir / "journal",
            "admin",
            node=settings.node,
            clock=SystemClock(),
            reserve_bytes=RESERVE_BYTES,
        )
        try:
            settle_changes(journal, store)
            close_attempts(settings.data_dir / "journal", journal)
        finally:
            journal.close()


def raise_file_limit(max_connections: int, *, warns: bool) -> int:
    """
    Raise the soft limit of open files to the hard one, and say how many connections it allows.

    Args:
        warns: Whether it is news that they are fewer.

    Returns:
        `max_connections`, or fewer where the limit is too low for that many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS names a hard limit that it does not allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return max_connections
    allowed = max((soft - _FILES_BESIDE_CALLERS) // _FILES_A_CALL, 1)
    if warns and allowed < max_connections:
        _logger.warning(
            "the limit of %d open files allows %d connections and not the %d of GATEWAY_MAX_CONNECTIONS; "
            "raise it (ulimit -n, LimitNOFILE=)",
            soft,
            allowed,
            max_connections,
        )
    return min(max_connections, allowed)


def plan_node(
    settings: Settings,
    callers: socket.socket,
    admin: socket.socket,
    *,
    ready: str,
    as_json: bool,
    lock: int | None = None,
    ends_with_input: bool = False,
    reads_again: bool = False,
) -> SupervisorPlan:
    """
    What the supervisor is told. See `SupervisorPlan`.

    Args:
        reads_again: Whether the settings came from where they can be read again, and were not made up.
    """
    worker, control_plane = _plan_planes(settings, callers.fileno(), admin.fileno(), warns=True)
    return SupervisorPlan(
        worker=worker,
        control_plane=control_plane,
        ready=ready,
        end_seconds=_find_end_seconds(settings),
        keep_alive_seconds=settings.keep_alive_timeout.total_seconds(),
        run_dir=str(settings.run_dir),
        reader=[*_find_python(), "-m", "gateway.cli.reread"] if reads_again else [],
        settings=render_settings(settings) if reads_again else {},
        log_level=settings.log_level,
        log_format=settings.log_format,
        as_json=as_json,
        lock=lock,
        ends_with_input=ends_with_input,
    )


def plan_again(settings: Settings, callers: int, admin: int, *, warns: bool) -> dict[str, object]:
    """
    What a supervisor that runs is told of other settings. See `SupervisorPlan.renew`.

    Args:
        callers: The descriptor that the supervisor's worker serves on.
        admin: That of its control plane.
        warns: As for `raise_file_limit`.
    """
    worker, control_plane = _plan_planes(settings, callers, admin, warns=warns)
    return {
        "worker": worker.assignment,
        "control_plane": control_plane.assignment,
        "end_seconds": _find_end_seconds(settings),
        "keep_alive_seconds": settings.keep_alive_timeout.total_seconds(),
        "log_level": settings.log_level,
        "log_format": settings.log_format,
    }


def become_supervisor(plan: SupervisorPlan) -> NoReturn:
    """
    Go on as the supervisor, under the same process id and with none of what was loaded to read settings.
    """
    told = _write_plan(plan)
    for descriptor in (told, *plan.descriptors):
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    with block_signals():  # until the supervisor hears them: none may find it without a handler
        # The last words are for whoever reads the list of processes.
        os.execv(sys.executable, [*_supervise(told), "noojee-gateway", "serve"])  # noqa: S606 - our own interpreter


def start_supervisor(plan: SupervisorPlan) -> subprocess.Popen[bytes]:
    """
    A supervisor as a process of its own, with both its standard streams in our hand.
    """
    told = _write_plan(plan)
    try:
        with block_signals():
            return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                _supervise(told),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(told, *plan.descriptors),
            )
    finally:
        os.close(told)


def _write_plan(plan: SupervisorPlan) -> int:
    """
    The descriptor of a file without a name, from which the plan can be read. A pipe would not hold any length of it.
    """
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("plan"), "w+b")  # needs no disk
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    with file:
        file.write(plan.render().encode())
        file.seek(0)
        return os.dup(file.fileno())


def _supervise(told: int) -> list[str]:
    return [*_find_python(), "-m", "gateway.cli.supervise", str(told)]


def _find_python() -> list[str]:
    """
    Our interpreter, which is not to look for modules in the working folder, unless we ourselves were found so.
    """
    return [sys.executable] if sys.path[:1] == [os.getcwd()] else [sys.executable, "-P"]  # noqa: PTH109 - a text


def _find_end_seconds(settings: Settings) -> float:
    return settings.drain_timeout.total_seconds() + _END_MARGIN_SECONDS


def _plan_planes(settings: Settings, callers: int, admin: int, *, warns: bool) -> tuple[PlanePlan, PlanePlan]:
    connections = raise_file_limit(settings.max_connections, warns=warns)
    return (
        _plan_plane(settings, "gateway.data_plane", callers, _plan(settings, connections).render()),
        _plan_plane(settings, "gateway.control_plane", admin, _plan_control_plane(settings).render()),
    )


def _plan_plane(settings: Settings, module: str, listener: int, plan: dict[str, object]) -> PlanePlan:
    tls_files = (settings.tls_cert_file, settings.tls_key_file)
    assignment = Assignment(
        listener=listener,
        log_level=settings.log_level,
        log_format=settings.log_format,
        tls_files=[str(path) for path in tls_files if path is not None],
        plan=plan,
    )
    return PlanePlan([*_find_python(), "-m", module], assignment.render(), listener)


def _plan_control_plane(settings: Settings) -> ControlPlanePlan:
    interval_seconds = settings.probe_interval.total_seconds()
    timeouts = create_timeouts(settings)
    probe = ProbePlan(settings.data_dir, settings.master_key_file, interval_seconds, timeouts)
    return ControlPlanePlan(settings.run_dir, settings.node, settings.data_dir, probe if interval_seconds else None)


def _plan(settings: Settings, connections: int) -> WorkerPlan:
    return WorkerPlan(
        data_dir=settings.data_dir,
        run_dir=settings.run_dir,
        master_key_file=settings.master_key_file,
        node=settings.node,
        number_country=settings.number_country,
        bounds=Bounds(
            handshake_seconds=settings.head_timeout.total_seconds(),
            head_seconds=settings.head_timeout.total_seconds(),
            body_seconds=settings.body_timeout.total_seconds(),
            body_room_bytes=settings.body_memory,
            keep_alive_seconds=settings.keep_alive_timeout.total_seconds(),
            stalled_seconds=settings.caller_stalled_timeout.total_seconds(),
            connections=connections,
        ),
        timeouts=create_timeouts(settings),
        upstream_connections=settings.upstream_connections,
        upstream_polls=settings.upstream_polls,
        hash_pair_seconds=settings.hash_pair_lifetime.total_seconds(),
        snapshot_max_age_seconds=settings.snapshot_max_age.total_seconds(),
        drain_seconds=settings.drain_timeout.total_seconds(),
        journal_reserve_bytes=settings.journal_reserve,
        trusted_proxies=tuple((settings.trusted_proxies or "").split()),
        forwarded_header=settings.forwarded_header,
        logs_calls=settings.log_calls,
    )


def _render_url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
