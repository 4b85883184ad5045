"""
The way to an upstream in plain words: dns, tcp, proxy and tls, each told from the others, with what to do.

TLS, of which there is most to say, is `tls_findings`'.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from gateway.diagnosis.finding import Check, Finding
from gateway.diagnosis.path import Place
from gateway.diagnosis.tls_findings import describe_error, tell_tls
from gateway.upstream.tunnel import TunnelError

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.access.upstream import Upstream
    from gateway.diagnosis.path import Path

__all__ = ["describe_egress", "find_path_findings"]


def find_path_findings(upstream: Upstream, path: Path, now: datetime) -> list[Finding]:
    """
    The four checks of the way, in their order.
    """
    return [
        _tell_dns(upstream, path),
        _tell_tcp(upstream, path),
        _tell_proxy(upstream, path),
        _tell_tls(upstream, path, now),
    ]


def describe_egress(upstream: Upstream, path: Path) -> str:
    """
    The address to be white-listed, as a sentence names it.
    """
    if upstream.proxy is not None:
        return f"the address with which the proxy {upstream.proxy.address} goes out"
    if path.egress is None:
        return "this machine's address"
    egress = ipaddress.ip_address(path.egress)
    if egress.is_private and not egress.is_loopback:
        return f"{path.egress} (or the public address in its place, where this network translates addresses)"
    return path.egress


def _tell_dns(upstream: Upstream, path: Path) -> Finding:
    hop = upstream.proxy or upstream
    whose = "the proxy's name" if upstream.proxy is not None else "the name"
    if path.ended_at is Place.NAME:
        missing = isinstance(path.error, socket.gaierror) and path.error.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
        if missing or isinstance(path.error, UnicodeError):
            return Finding(
                Check.DNS,
                False,
                f"{upstream.name}: {whose} {hop.host} is not known to DNS.",
                "Look for a spelling mistake (`noojee-gateway upstream show`), and whether this machine's resolver "
                "knows the name: `getent hosts " + hop.host + "`.",
            )
        return Finding(
            Check.DNS,
            False,
            f"{upstream.name}: DNS gave no answer for {whose} {hop.host}.",
            "Look at this machine's resolver (/etc/resolv.conf) and whether the firewall lets it ask.",
        )
    if _is_address(hop.host):
        return Finding(Check.DNS, True, f"{upstream.name}: {hop.host} is an address; there is no name to resolve.")
    return Finding(Check.DNS, True, f"{upstream.name}: {whose} {hop.host} leads to {', '.join(path.addresses)}.")


def _tell_tcp(upstream: Upstream, path: Path) -> Finding:
    if path.ended_at is Place.NAME:
        return _skip(Check.TCP, upstream)
    hop = upstream.proxy or upstream
    what = "The proxy" if upstream.proxy is not None else "The server"
    if path.ended_at is not Place.TCP:
        return Finding(Check.TCP, True, f"{upstream.name}: {path.address} port {hop.port} accepts connections.")
    where = f"{' and '.join(path.addresses)} port {hop.port}"
    if isinstance(path.error, ConnectionRefusedError):
        return Finding(
            Check.TCP,
            False,
            f"{upstream.name}: {where} refuses connections.",
            f"{what} is reached and nothing listens on that port, or a firewall says no: look at the port in the URL.",
        )
    if isinstance(path.error, TimeoutError):
        advice = "A firewall in between drops the packets: open the way from this machine."
        if upstream.proxy is None:
            advice += (
                " If it is open, Noojee may drop what comes from addresses that are not on its white-list: ask Noojee "
                f"Support to white-list {describe_egress(upstream, path)}."
            )
        return Finding(Check.TCP, False, f"{upstream.name}: {where} does not answer.", advice)
    return Finding(
        Check.TCP,
        False,
        f"{upstream.name}: no way leads to {where} ({describe_error(path.error)}).",
        "Look at this machine's routes and at the firewall; where only IPv6 addresses are named, at its IPv6.",
    )


def _tell_proxy(upstream: Upstream, path: Path) -> Finding:
    if upstream.proxy is None:
        return Finding(Check.PROXY, None, f"{upstream.name}: reached directly; no proxy is set.")
    if path.ended_at in {Place.NAME, Place.TCP}:
        return _skip(Check.PROXY, upstream)
    if path.ended_at is not Place.PROXY:
        return Finding(Check.PROXY, True, f"{upstream.name}: the proxy {upstream.proxy.address} lets us through.")
    if not isinstance(path.error, TunnelError):
        return Finding(
            Check.PROXY,
            False,
            f"{upstream.name}: the proxy {upstream.proxy.address} does not answer CONNECT.",
            "Look whether it is an HTTP proxy, and whether that is its port.",
        )
    return Finding(
        Check.PROXY, False, f"{upstream.name}: {path.error.detail}.", _advise_proxy(upstream.name, path.error.status)
    )


def _advise_proxy(name: str, status: int | None) -> str:
    if status == 407:  # noqa: PLR2004 - RFC 9110 section 15.5.8
        return (
            f"Enter user and password: `noojee-gateway upstream set {name} --proxy http://USER@HOST:PORT`, the "
            "password on standard input. Basic authentication is what the gateway speaks."
        )
    if status == 403:  # noqa: PLR2004 - RFC 9110 section 15.5.4
        return "Ask whoever keeps the proxy to allow CONNECT from this machine to Noojee's host and port."
    if status is None:
        return "Look whether it is an HTTP proxy, and whether that is its port."
    if status == 0:
        return f"Enter it again: `noojee-gateway upstream set {name} --proxy http://USER@HOST:PORT`."
    return (
        "The proxy cannot reach Noojee: look at the host and port in the upstream's URL, then ask the proxy's keeper."
    )


def _tell_tls(upstream: Upstream, path: Path, now: datetime) -> Finding:
    if path.ended_at in {Place.NAME, Place.TCP, Place.PROXY}:
        return _skip(Check.TLS, upstream)
    return tell_tls(upstream, path.error, path.seen, now)


def _skip(check: Check, upstream: Upstream) -> Finding:
    return Finding(check, None, f"{upstream.name}: not looked at, because the step before failed.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
