"""
The metrics of a node as a whole, which the control plane knows by itself; and those of each process.
"""

from __future__ import annotations

from gateway.metrics.metric import Kind, Metric

__all__ = ["NodeMetric"]


class NodeMetric(Metric):
    """
    All of them, in the order in which they are shown.
    """

    UP = ("up", Kind.GAUGE, (), "Whether calls are served: a worker answers, and says so.")
    WORKERS = ("workers", Kind.GAUGE, (), "Workers that answered: 1, and 2 while one takes over from another.")
    BUILD_INFO = ("build_info", Kind.GAUGE, ("version", "python"), "Always 1; which gateway this is, on which Python.")
    PROCESS_START = (
        "process_start_time_seconds",
        Kind.GAUGE,
        ("process",),
        "When a process began, in Unix time; it changes when the process is replaced.",
    )
    PROCESS_CPU = ("process_cpu_seconds_total", Kind.COUNTER, ("process",), "CPU time of a process, all its threads.")
    PROCESS_MEMORY = (
        "process_resident_memory_bytes",
        Kind.GAUGE,
        ("process",),
        "Memory of a process; absent where there is no /proc.",
    )
    JOURNAL_DISK_FREE = (
        "journal_disk_free_bytes",
        Kind.GAUGE,
        (),
        "Free room on the journal's disk, without the reserve that is held; absent while the disk does not answer.",
    )
    JOURNAL_DISK_SIZE = ("journal_disk_size_bytes", Kind.GAUGE, (), "The size of the journal's disk.")
    PROBER_RUNNING = (
        "prober_running",
        Kind.GAUGE,
        (),
        "Whether the prober works: it could be opened and its last round was carried out; absent where it is off.",
    )
    PROBE_ROUNDS = (
        "probe_rounds_total",
        Kind.COUNTER,
        ("result",),
        "Rounds of the prober, in each of which every upstream is looked at.",
    )
    PROBE_INTERVAL = (
        "probe_interval_seconds",
        Kind.GAUGE,
        (),
        "How long the prober rests between two rounds: GATEWAY_PROBE_INTERVAL.",
    )
    UPSTREAM_PROBED = (
        "upstream_probed_timestamp_seconds",
        Kind.GAUGE,
        ("upstream",),
        "When an upstream was last looked at, in Unix time.",
    )
    UPSTREAM_REACHABLE = (
        "upstream_reachable",
        Kind.GAUGE,
        ("upstream",),
        "Whether TLS was spoken with an upstream whose certificate is trusted.",
    )
    UPSTREAM_ALLOWED = (
        "upstream_allowed",
        Kind.GAUGE,
        ("upstream",),
        "Whether Noojee lets this address in (its white-list); absent when that could not be learnt.",
    )
    UPSTREAM_ANSWERING = (
        "upstream_answering",
        Kind.GAUGE,
        ("upstream",),
        "Whether Noojee answers as one that works: 0 for an error of its own or silence; absent when it was not asked.",
    )
    UPSTREAM_CERTIFICATE = (
        "upstream_certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        ("upstream",),
        "When an upstream's certificate ends, in Unix time, trusted or not.",
    )
    UPSTREAM_CLOCK_SKEW = (
        "upstream_clock_skew_seconds",
        Kind.GAUGE,
        ("upstream",),
        "How far an upstream's clock is ahead of ours.",
    )
    CREDENTIAL_ACCEPTED = (
        "credential_accepted",
        Kind.GAUGE,
        ("upstream", "credential"),
        "Whether Noojee accepts a credential's key and shows it something; absent when that could not be learnt.",
    )
