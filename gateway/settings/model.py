"""
Every setting, in one model.

Owns names, types, units, defaults and bounds. Refuses to know where a value comes from, which is `sources`', and what a
setting is used for.

Law 3: an error names a setting and never its value, whatever was put there by mistake. Nothing is ignored: an unknown
name is an error, in the environment as in the file.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping  # noqa: TC003 - pydantic resolves annotations at run time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.duration import parse_duration, render_duration
from gateway.size import parse_size, render_size

__all__ = ["ENVIRONMENT_PREFIX", "LONGEST_TIMEOUT", "Settings"]

ENVIRONMENT_PREFIX = "GATEWAY_"
LONGEST_TIMEOUT = timedelta(hours=24)
SHORTEST_PROBE_INTERVAL = timedelta(seconds=1)
LONGEST_PROBE_INTERVAL = timedelta(hours=24)
LEAST_RESERVE_BYTES = 64 * 1024
MOST_RESERVE_BYTES = 16 * 1024**3
LEAST_BODY_MEMORY_BYTES = 4 * 1024**2
MOST_BODY_MEMORY_BYTES = 16 * 1024**3
SHORTEST_PAIR_LIFETIME = timedelta(seconds=10)
LONGEST_PAIR_LIFETIME = timedelta(hours=1)
SHORTEST_SNAPSHOT_AGE = timedelta(seconds=5)
LONGEST_SNAPSHOT_AGE = timedelta(days=30)
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_COUNTRY = re.compile(r"[1-9][0-9]{0,2}")


def _parse_path(value: object) -> Path:
    if isinstance(value, Path):
        return value.absolute()
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a path and not empty")
    return Path(value).absolute()


def _parse_whole_number(value: object) -> int:
    # int() alone would take True, " 8_0 " and full-width digits.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    raise ValueError("must be a whole number")


def _parse_duration(value: object) -> timedelta:
    if isinstance(value, str):
        value = parse_duration(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError("must be text: a whole number and s, m, h or d, as in 30s or 5m")


def _check_timeout(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= LONGEST_TIMEOUT:
        raise ValueError(f"must be more than 0s and at most {render_duration(LONGEST_TIMEOUT)}")
    return value


def _check_pair_lifetime(value: timedelta) -> timedelta:
    # Shorter than Noojee's own shortest it would make a handshake of every call; an hour is the documented most.
    if not SHORTEST_PAIR_LIFETIME <= value <= LONGEST_PAIR_LIFETIME:
        shortest, longest = render_duration(SHORTEST_PAIR_LIFETIME), render_duration(LONGEST_PAIR_LIFETIME)
        raise ValueError(f"must be at least {shortest} and at most {longest}")
    return value


def _check_snapshot_age(value: timedelta) -> timedelta:
    # It is read twice a second: less than a few seconds would refuse calls for one slow reading.
    if not SHORTEST_SNAPSHOT_AGE <= value <= LONGEST_SNAPSHOT_AGE:
        shortest, longest = render_duration(SHORTEST_SNAPSHOT_AGE), render_duration(LONGEST_SNAPSHOT_AGE)
        raise ValueError(f"must be at least {shortest} and at most {longest}")
    return value


def _parse_reserve(value: object) -> int:
    return _parse_size(value, LEAST_RESERVE_BYTES, MOST_RESERVE_BYTES)


def _parse_body_memory(value: object) -> int:
    # Of less, one caller's share would hold only one of the largest bodies.
    return _parse_size(value, LEAST_BODY_MEMORY_BYTES, MOST_BODY_MEMORY_BYTES)


def _parse_size(value: object, least_bytes: int, most_bytes: int) -> int:
    size_bytes = parse_size(value) if isinstance(value, str) else value
    if type(size_bytes) is int and least_bytes <= size_bytes <= most_bytes:
        return size_bytes
    least, most = render_size(least_bytes), render_size(most_bytes)
    raise ValueError(f"must be text, a whole number and KiB, MiB or GiB, from {least} to {most}")


def _parse_address(value: object) -> str:
    # A name could come to stand for another address later and open a port to a network, so it must be an address.
    if value == "localhost":
        return "127.0.0.1"
    if isinstance(value, str):
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            pass  # told below, without the value
    raise ValueError("must be an IP address, as in 127.0.0.1 or 0.0.0.0")


def _parse_networks(value: object) -> str | None:
    # One text, because the environment knows no lists; kept in its one form, with blanks between.
    if value is None:
        return None
    texts = value.replace(",", " ").split() if isinstance(value, str) else value
    if isinstance(texts, list) and texts and all(isinstance(each, str) for each in texts):
        try:
            networks = [ipaddress.ip_network(each) for each in texts]
        except ValueError:
            pass  # told below, without the value
        else:
            if any(network.prefixlen == 0 for network in networks):
                raise ValueError("must not be every address, or any caller may say where it calls from")
            return " ".join(map(str, networks))
    raise ValueError("must be networks without host bits, as in 10.0.0.0/8, with commas between them")


def _parse_yes(value: object) -> bool:
    # The danger is switched on by one exact word, so that `GATEWAY_ALLOW_PLAINTEXT=no` cannot do it.
    if value == "yes" or value is True or value is False:
        return value is not False
    raise ValueError("must be exactly yes, or not set")


def _parse_probe_interval(value: object) -> timedelta:
    if isinstance(value, str) and value in {"off", "0"}:
        return timedelta(0)
    interval = _parse_duration(value)
    if interval and not SHORTEST_PROBE_INTERVAL <= interval <= LONGEST_PROBE_INTERVAL:
        shortest, longest = render_duration(SHORTEST_PROBE_INTERVAL), render_duration(LONGEST_PROBE_INTERVAL)
        raise ValueError(f"must be at least {shortest} and at most {longest}, or off")
    return interval


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    raise ValueError("must be true or false")


def _check_node(value: str) -> str:
    if not _NODE.fullmatch(value):
        raise ValueError("must be a name of ASCII letters, digits, dots, hyphens and underscores")
    return value


def _check_country(value: str) -> str:
    if not _COUNTRY.fullmatch(value):
        raise ValueError("must be a country calling code of 1 to 3 digits, as in 61")
    return value


# In all of the above a ValueError is raised for a wrong type too: pydantic lets a TypeError through as a crash.
_AnyPath = Annotated[Path, BeforeValidator(_parse_path)]
_WholeNumber = Annotated[int, BeforeValidator(_parse_whole_number)]
_Port = Annotated[_WholeNumber, Field(ge=0, le=65_535)]
_Address = Annotated[
    str, BeforeValidator(_parse_address), Field(json_schema_extra={"type_text": "IP address, or `localhost`"})
]
_Yes = Annotated[bool, BeforeValidator(_parse_yes)]
_Timeout = Annotated[timedelta, BeforeValidator(_parse_duration), AfterValidator(_check_timeout)]

_PairLifetime = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    AfterValidator(_check_pair_lifetime),
    Field(json_schema_extra={"type_text": "duration, 10s to 1h"}),
]

_SnapshotAge = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    AfterValidator(_check_snapshot_age),
    Field(json_schema_extra={"type_text": "duration, 5s to 30d"}),
]


def _below_data_dir(name: str) -> Any:
    def find_default(values: Mapping[str, Any]) -> Path:
        return Path(values["data_dir"]) / name

    return find_default


def _find_host_name() -> str:
    return socket.gethostname()


class Settings(BaseModel):
    """
    What an operator can set. Immutable; built from plain values here, and by `load_settings` from the outside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    config: _AnyPath | None = None
    """The TOML file with settings: the names of this table in lower case, without `GATEWAY_`. There is no search for
    one."""

    data_dir: _AnyPath = Field(default=Path("data"), json_schema_extra={"default_text": "`./data`"})
    """The folder with the registry, the journal and the keys; only `noojee-gateway init` makes it."""

    run_dir: _AnyPath = Field(
        default_factory=_below_data_dir("run"), json_schema_extra={"default_text": "`<GATEWAY_DATA_DIR>/run`"}
    )
    """The folder with the sockets over which the command line tells a running gateway of a change; a short path."""

    master_key_file: _AnyPath = Field(
        default_factory=_below_data_dir("master.key"),
        json_schema_extra={
            "default_text": "`$CREDENTIALS_DIRECTORY/master.key` if there, else `<GATEWAY_DATA_DIR>/master.key`"
        },
    )
    """The file with the master key that seals every other key; readable by its owner alone."""

    host: _Address = "127.0.0.1"
    """The address on which callers are served; unused where systemd hands over the socket (`LISTEN_FDS`)."""

    port: _Port = 8080
    """The port on which callers are served; 0 takes a free one. Unused as `GATEWAY_HOST` is."""

    admin_host: _Address = "127.0.0.1"
    """The address on which health and metrics are served to operators."""

    admin_port: _Port = 8081
    """The port on which health and metrics are served to operators; 0 takes a free one."""

    tls_cert_file: _AnyPath | None = None
    """The certificate chain, PEM, with which both ports speak TLS; set together with `GATEWAY_TLS_KEY_FILE`."""

    tls_key_file: _AnyPath | None = None
    """The certificate's private key, PEM, without a pass phrase."""

    allow_plaintext: _Yes = Field(
        default=False, json_schema_extra={"default_text": "not set", "type_text": "`yes`, or `true` in the file"}
    )
    """Whether tokens may cross a network unencrypted: needed to listen beyond loopback without TLS, exactly `yes`."""

    node: Annotated[str, AfterValidator(_check_node)] = Field(
        default_factory=_find_host_name, json_schema_extra={"default_text": "the host name", "type_text": "name"}
    )
    """The name of this machine's gateway in the journal."""

    journal_reserve: Annotated[int, BeforeValidator(_parse_reserve)] = Field(
        default=64 * 1024**2, json_schema_extra={"default_text": "`64MiB`", "type_text": "size, `64KiB` to `16GiB`"}
    )
    """How much of the journal's disk is held for the outcomes of calls that are under way, about 2 KiB each: when less
    than that is left, new calls are refused until there is room again."""

    number_country: Annotated[
        str, AfterValidator(_check_country), Field(json_schema_extra={"type_text": "1 to 3 digits"})
    ] = "61"
    """The country calling code that is written as a leading 0 before telephone numbers are compared or recorded."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged to standard error; no level logs a URL, a token or a key."""

    log_format: Literal["human", "json"] = "human"
    """How a line of the log looks: for a person, or one JSON object with the same fields."""

    log_calls: Annotated[bool, BeforeValidator(_parse_flag)] = Field(
        default=False, json_schema_extra={"default_text": "`false`", "type_text": "`true`, `false`"}
    )
    """Whether each call of a caller is logged, too, one line at level `info` with its request id, caller, operation,
    outcome and times, and never its parameters. Not needed: the journal is the record, and a line costs as much CPU as
    a quarter of a call."""

    probe_interval: Annotated[timedelta, BeforeValidator(_parse_probe_interval)] = Field(
        default=timedelta(minutes=5), json_schema_extra={"type_text": "duration, 1s to 1d, or `off`"}
    )
    """How often each upstream is looked at: whether it is reached and answers this address, until when its certificate
    is good, and with one read operation, on the journal as a call, whether each key is accepted. Told as metrics."""

    trusted_proxies: Annotated[
        str | None,
        BeforeValidator(_parse_networks),
        Field(json_schema_extra={"type_text": "CIDRs, or a list in the file"}),
    ] = Field(default=None, json_schema_extra={"default_text": "nobody"})
    """The networks of the proxies before the gateway whose word is taken for a caller's address: `caller --from` and
    the journal's `client` then go by it, and not by the proxy's own. Callers that sit in these networks are not told
    from the proxies."""

    forwarded_header: Literal["forwarded", "x-forwarded-for"] = "x-forwarded-for"
    """The header in which these proxies tell it. They must add to it or replace it, and never pass on a caller's own
    unread."""

    max_connections: Annotated[_WholeNumber, Field(ge=1, le=1_000_000)] = 10_000
    """How many callers' connections are held at once, a quarter of them at most from one source (an IPv4 address or an
    IPv6 /64); lowered with a warning to what the limit of open files allows."""

    snapshot_max_age: _SnapshotAge = timedelta(hours=24)
    """How long callers that are known are still served while the registry cannot be read; then they get 503
    `snapshot_stale`."""

    head_timeout: _Timeout = timedelta(seconds=10)
    """How long a caller may take for the TLS handshake and the head of a request."""

    body_timeout: _Timeout = timedelta(seconds=60)
    """How long a caller may take for the body of a request."""

    body_memory: Annotated[int, BeforeValidator(_parse_body_memory)] = Field(
        default=256 * 1024**2, json_schema_extra={"default_text": "`256MiB`", "type_text": "size, `4MiB` to `16GiB`"}
    )
    """How much of requests' bodies a worker holds at once, those of up to 64 KiB aside: while there is no room for the
    next one, it is not read on, as long as `GATEWAY_BODY_TIMEOUT` lets it. No caller may hold more than it leaves free,
    which is half when no other has any. A call can take twice its body's size, and a restart has two workers."""

    keep_alive_timeout: _Timeout = timedelta(seconds=75)
    """How long a caller's idle connection is kept open."""

    caller_stalled_timeout: _Timeout = timedelta(seconds=60)
    """How long a caller may take no bytes of a reply before its connection is aborted."""

    connect_timeout: _Timeout = timedelta(seconds=5)
    """How long connecting to Noojee may take, TLS included."""

    send_timeout: _Timeout = timedelta(seconds=10)
    """How long sending a request to Noojee may take."""

    reply_timeout: _Timeout = timedelta(seconds=30)
    """How long Noojee may take to the first byte of its reply to a read."""

    write_reply_timeout: _Timeout = timedelta(seconds=60)
    """The same for operations that write or dial."""

    lead_reply_timeout: _Timeout = timedelta(seconds=75)
    """The same for lead calls, which Noojee may queue for a minute."""

    poll_margin: _Timeout = timedelta(seconds=10)
    """How much longer than its own `timeOut` a long poll may wait for its reply."""

    recording_timeout: _Timeout = timedelta(seconds=60)
    """How long Noojee may pause between the bytes of a recording."""

    call_timeout: _Timeout = timedelta(minutes=10)
    """How long any call may take that is neither a poll nor a recording."""

    upstream_connections: Annotated[_WholeNumber, Field(ge=1, le=10_000)] = 100
    """How many connections are held to one upstream at once for calls; whoever finds all of them taken waits his turn,
    as long as connecting may take, and then gets 503 `upstream_busy`."""

    upstream_polls: Annotated[_WholeNumber, Field(ge=1, le=100_000)] = 10_000
    """The same for long polls, of which each holds a connection while it waits."""

    hash_pair_lifetime: _PairLifetime = timedelta(hours=1)
    """How long a pair of Noojee's hash method is used after it was first accepted: `10s` for an Administrator that
    knows no hour, which is told by calls that Noojee refuses with `Expired TimeStamp`."""

    drain_timeout: _Timeout = timedelta(seconds=90)
    """How long running calls may still take once the gateway was told to stop, or a worker to leave: more than the
    longest a call that dials may take, `GATEWAY_LEAD_REPLY_TIMEOUT`. What ends the gateway must wait 20 s longer."""
