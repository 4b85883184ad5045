"""
The metrics that a worker tells. Each has the worker's name as a label: several are there while one takes over.

Counters begin at 0 with each worker, as Prometheus expects of a process that was replaced. What one counted between its
last scrape and its end is in no metric; the journal is the record.
"""

from __future__ import annotations

from gateway.metrics.metric import Kind, Metric

__all__ = ["WorkerMetric"]

_OWN_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_UPSTREAM_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600)
_WRITE_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 4)
_GROUP_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class WorkerMetric(Metric):
    """
    All of them, in the order in which they are shown.
    """

    READY = (
        "worker_ready",
        Kind.GAUGE,
        ("worker",),
        "Whether the worker serves calls: 1 when /readyz says ready or degraded.",
    )
    DRAINING = ("worker_draining", Kind.GAUGE, ("worker",), "Whether the worker is ending and takes no new calls.")
    CALLS = (
        "calls_total",
        Kind.COUNTER,
        ("worker", "operation", "outcome"),
        "Calls of callers with a valid token that are over, by what became of them.",
    )
    REFUSALS = (
        "refusals_total",
        Kind.COUNTER,
        ("worker", "reason"),
        "Requests that were refused before anything was sent, of callers and of strangers.",
    )
    CALL_ERRORS = (
        "call_errors_total",
        Kind.COUNTER,
        ("worker", "reason"),
        "Calls that were allowed and could not be answered with a reply of Noojee's.",
    )
    SECOND_ATTEMPTS = (
        "second_attempts_total",
        Kind.COUNTER,
        ("worker",),
        "Calls that were sent once more: the first attempt was proven not sent, or its hash pair was too old.",
    )
    OWN_SECONDS = (
        "call_own_seconds",
        Kind.HISTOGRAM,
        ("worker", "effect"),
        "What the gateway itself took of a call, its journal included; not the wait for the caller's body.",
        _OWN_BOUNDS,
    )
    UPSTREAM_SECONDS = (
        "call_upstream_seconds",
        Kind.HISTOGRAM,
        ("worker", "upstream", "effect"),
        "What a call then took to its whole reply: the wait for a connection, Noojee, passing on a long reply.",
        _UPSTREAM_BOUNDS,
    )
    RUNNING_CALLS = ("running_calls", Kind.GAUGE, ("worker", "kind"), "Calls of known callers that are under way.")
    OPEN_INTENTS = (
        "open_intents",
        Kind.GAUGE,
        ("worker",),
        "Attempts whose intent is on disk and whose outcome is not known yet.",
    )
    RECOVERED_INTENTS = (
        "recovered_intents_total",
        Kind.COUNTER,
        ("worker",),
        "Intents that an earlier worker left open and that this one closed as unknown when it started.",
    )
    CONNECTIONS = ("connections", Kind.GAUGE, ("worker",), "Connections of callers that are served.")
    CONNECTIONS_LIMIT = (
        "connections_limit",
        Kind.GAUGE,
        ("worker",),
        "The most there may be: GATEWAY_MAX_CONNECTIONS, or what the limit of open files allows.",
    )
    CONNECTIONS_ACCEPTED = ("connections_accepted_total", Kind.COUNTER, ("worker",), "Connections that were served.")
    CONNECTIONS_REFUSED = (
        "connections_refused_total",
        Kind.COUNTER,
        ("worker", "how"),
        "Connections beyond the cap, or beyond the share of it that one source has.",
    )
    UPSTREAM_CONNECTIONS = (
        "upstream_connections",
        Kind.GAUGE,
        ("worker", "upstream", "pool", "state"),
        "Connections to an upstream.",
    )
    UPSTREAM_CONNECTIONS_LIMIT = (
        "upstream_connections_limit",
        Kind.GAUGE,
        ("worker", "upstream", "pool"),
        "The most connections to an upstream, those being opened included.",
    )
    UPSTREAM_CONNECTIONS_OPENED = (
        "upstream_connections_opened_total",
        Kind.COUNTER,
        ("worker", "upstream", "pool"),
        "Connections that were opened to an upstream.",
    )
    UPSTREAM_WAITING = (
        "upstream_waiting_calls",
        Kind.GAUGE,
        ("worker", "upstream", "pool"),
        "Calls that wait for a connection to an upstream.",
    )
    JOURNAL_WRITABLE = (
        "journal_writable",
        Kind.GAUGE,
        ("worker",),
        "Whether something new can be recorded; while it is 0 every call is refused with audit_unavailable.",
    )
    JOURNAL_FAILURES = (
        "journal_failures_total",
        Kind.COUNTER,
        ("worker", "reason"),
        "How often the journal became unwritable.",
    )
    JOURNAL_GROUP_RECORDS = (
        "journal_group_records",
        Kind.HISTOGRAM,
        ("worker",),
        "Records that were written together, with one sync; the sum is all of them.",
        _GROUP_BOUNDS,
    )
    JOURNAL_WRITE_SECONDS = (
        "journal_write_seconds",
        Kind.HISTOGRAM,
        ("worker",),
        "What it took to write and sync a group of records.",
        _WRITE_BOUNDS,
    )
    JOURNAL_BACKLOG_RECORDS = (
        "journal_backlog_records",
        Kind.GAUGE,
        ("worker",),
        "Records that were handed in and have not been taken to the disk yet.",
    )
    JOURNAL_BACKLOG_BYTES = (
        "journal_backlog_bytes",
        Kind.GAUGE,
        ("worker",),
        "At most so many bytes of records are handed in and not on the disk yet.",
    )
    JOURNAL_RESERVE = (
        "journal_reserve_bytes",
        Kind.GAUGE,
        ("worker",),
        "How much of the journal's disk is to be held for outcomes: GATEWAY_JOURNAL_RESERVE.",
    )
    JOURNAL_RESERVE_HELD = (
        "journal_reserve_held_bytes",
        Kind.GAUGE,
        ("worker",),
        "How much of it is held now, a step beyond it included; 0 before the first record.",
    )
    SNAPSHOT_AGE = (
        "snapshot_age_seconds",
        Kind.GAUGE,
        ("worker",),
        "How long ago the registry was last read, whether it had changed or not.",
    )
    SNAPSHOT_AGE_LIMIT = (
        "snapshot_age_limit_seconds",
        Kind.GAUGE,
        ("worker",),
        "When calls are refused with snapshot_stale: GATEWAY_SNAPSHOT_MAX_AGE.",
    )
    SNAPSHOT_VERSION = ("snapshot_version", Kind.GAUGE, ("worker",), "The registry's version that is in force.")
    REGISTRY_READABLE = (
        "registry_readable",
        Kind.GAUGE,
        ("worker",),
        "Whether the registry could be read the last time.",
    )
    TOKENS = ("tokens", Kind.GAUGE, ("worker",), "Tokens that are neither revoked nor of a disabled caller.")
    TOKENS_EXPIRING = (
        "tokens_expiring",
        Kind.GAUGE,
        ("worker",),
        "Those of them that expire within 30 days and have not yet; counted once a minute.",
    )
    CERTIFICATE = (
        "certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        ("worker",),
        "When the certificate ends that callers are shown, in Unix time; absent without TLS.",
    )
