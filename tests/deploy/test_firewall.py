"""
The nftables example: nft understands it, and in a network of its own it does what its comments say.

Both need root, for nft asks the kernel; nothing is loaded outside of a network namespace that the test makes itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_UNSHARE = ["unshare", "--net", "--mount"]


def _find_obstacle() -> str | None:
    if shutil.which("nft") is None or shutil.which("ip") is None:
        return "there is no nft or no ip here (Debian's packages nftables and iproute2)"
    if os.geteuid() != 0:
        return "nft asks the kernel, which answers root alone"
    try_it = subprocess.run([*_UNSHARE, "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return None if try_it.returncode == 0 else f"no network of our own can be made here: {try_it.stderr.strip()}"


@pytest.fixture
def rules(repository: Path, tmp_path: Path) -> Path:
    """
    The example, with a user that is on every machine in place of the service's.
    """
    obstacle = _find_obstacle()
    if obstacle is not None:
        pytest.skip(f"the firewall was not tried: {obstacle}")
    text = (repository / "deploy" / "nftables" / "noojee-gateway.nft").read_text()
    assert 1 == text.count('meta skuid "noojee-gateway"')
    (tmp_path / "rules.nft").write_text(text.replace('skuid "noojee-gateway"', 'skuid "nobody"'))
    return tmp_path / "rules.nft"


def test_nft_understands_the_example(rules: Path) -> None:
    """
    `nft -c`, which loads nothing.
    """
    words = [*_UNSHARE, "nft", "--check", "--file", str(rules)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    assert (0, "") == (done.returncode, done.stderr)


_SCRIPT = """
set -eu
# Two machines: ours, and one that is Noojee, a stranger and every caller by the addresses that it has.
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip netns add outside
ip link add name wire type veth peer name wire netns outside
ip link set lo up
ip addr add 10.1.2.1/24 dev wire
ip link set wire up
ip route add default via 10.1.2.2
ip -n outside link set lo up
ip -n outside addr add 10.1.2.2/24 dev wire
for address in 203.0.113.10 198.51.100.1 10.1.9.1 10.8.8.8; do ip -n outside addr add $address/32 dev wire; done
ip -n outside link set wire up
ip netns exec outside "$PYTHON" "$TRY" serve 203.0.113.10:443 198.51.100.1:443 &
outside=$!
"$PYTHON" "$TRY" serve 10.1.2.1:8080 10.1.2.1:8081 10.1.2.1:22 &
inside=$!
trap 'kill $outside $inside' EXIT
"$PYTHON" "$TRY" wait 203.0.113.10:443 198.51.100.1:443 10.1.2.1:8080 10.1.2.1:8081 10.1.2.1:22
nft -f "$RULES"
nft -f "$RULES"
"$PYTHON" "$TRY" ask nobody - 203.0.113.10:443 198.51.100.1:443 198.51.100.1:25
"$PYTHON" "$TRY" ask root - 203.0.113.10:443 198.51.100.1:443
for address in 10.1.2.2 10.1.9.1 10.8.8.8; do
    ip netns exec outside "$PYTHON" "$TRY" ask root $address 10.1.2.1:8080 10.1.2.1:8081 10.1.2.1:22
done
"""

_TRY = """
import os, pwd, select, socket, sys, time

def parse(word):
    host, port = word.split(":")
    return host, int(port)

def reaches(target, source):
    with socket.socket() as one:
        one.settimeout(3)
        if source != "-":
            one.bind((source, 0))
        return one.connect_ex(parse(target)) == 0

what, *words = sys.argv[1:]
if what == "serve":
    listeners = [socket.create_server(parse(word)) for word in words]
    while True:
        for one in select.select(listeners, [], [])[0]:
            one.accept()[0].close()
elif what == "wait":
    while not all(reaches(word, "-") for word in words):
        time.sleep(0.02)
else:
    user, source, *targets = words
    os.setuid(pwd.getpwnam(user).pw_uid)
    for target in targets:
        print(user, source, target, "yes" if reaches(target, source) else "no", flush=True)
"""


def test_egress_is_to_noojee_and_only_for_the_service_and_ingress_from_the_apps_alone(
    rules: Path, tmp_path: Path
) -> None:
    """
    Real connections between two network namespaces, with the rules loaded twice.
    """
    (tmp_path / "try.py").write_text(_TRY)
    settings = {"PYTHON": sys.executable, "TRY": str(tmp_path / "try.py"), "RULES": str(rules)}
    done = subprocess.run(
        [*_UNSHARE, "/bin/sh", "-c", _SCRIPT],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    served, others = "nobody - ", "root - "
    expected = [
        f"{served}203.0.113.10:443 yes",
        f"{served}198.51.100.1:443 no",
        f"{served}198.51.100.1:25 no",
        f"{others}203.0.113.10:443 no",
        f"{others}198.51.100.1:443 yes",
        "root 10.1.2.2 10.1.2.1:8080 yes",
        "root 10.1.2.2 10.1.2.1:8081 no",
        "root 10.1.2.2 10.1.2.1:22 yes",
        "root 10.1.9.1 10.1.2.1:8080 no",
        "root 10.1.9.1 10.1.2.1:8081 yes",
        "root 10.1.9.1 10.1.2.1:22 yes",
        "root 10.8.8.8 10.1.2.1:8080 no",
        "root 10.8.8.8 10.1.2.1:8081 no",
        "root 10.8.8.8 10.1.2.1:22 yes",
    ]

    assert expected == done.stdout.splitlines(), done.stderr
