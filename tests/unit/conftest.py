"""
Fixtures that several unit test modules share.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx2
import pytest

from gateway.simulator import Simulator, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    """
    A running simulator with a global key and the user alice.
    """
    with run_in_background(tmp_path / "simulator") as running:
        yield running


@pytest.fixture
def noojee(simulator: Simulator) -> Iterator[httpx2.Client]:
    """
    A client of the simulator that trusts its CA and holds the global key; paths are relative to its address.
    """
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    key = simulator.global_key_file.read_text().strip()
    with httpx2.Client(base_url=simulator.url, params={"apiKey": key}, verify=context, trust_env=False) as client:
        yield client


@pytest.fixture
def connect(simulator: Simulator) -> Callable[[], ssl.SSLSocket]:
    """
    Opens a bare TLS socket to the simulator. It fails after 5 seconds of silence and at an end without close_notify.
    """
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    port = int(simulator.url.rpartition(":")[2])

    def open_socket() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        return context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)

    return open_socket
