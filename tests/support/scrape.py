"""
What Prometheus sees of a gateway: the operators' port asked as it asks, read by the parser of its own library.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Gateway

__all__ = ["Scrape", "read_exposition", "scrape"]

_PREFIX = "noojee_gateway_"


@dataclass
class Scrape:
    """
    One answer.

    Attributes:
        text: As it came.
        samples: Name, labels and value of each sample.
        families: The names that rules may use, without those that have no sample.
    """

    text: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    families: set[str] = field(default_factory=set)

    def find(self, name: str, **labels: str) -> list[float]:
        """
        The values of a metric's samples that have these labels, among others.
        """
        return [
            value
            for found, has, value in self.samples
            if found == _PREFIX + name and all(has.get(label) == wanted for label, wanted in labels.items())
        ]

    def total(self, name: str, **labels: str) -> float:
        """
        Their sum; 0 where there are none.
        """
        return sum(self.find(name, **labels))

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """
        A metric's values by some of its labels, without those that are 0.
        """
        values: dict[tuple[str, ...], float] = {}
        for found, has, value in self.samples:
            if found == _PREFIX + name and value:
                key = tuple(has[label] for label in labels)
                values[key] = values.get(key, 0) + value
        return values


def read_exposition(text: str) -> Scrape:
    """
    What an answer says. A series that stands in it twice is an error, as it is to Prometheus.
    """
    found = Scrape(text)
    seen = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in seen, series
            seen.add(series)
            found.samples.append((sample.name, dict(sample.labels), sample.value))
            found.families |= {sample.name, family.name}
    return found


def scrape(gateway: Gateway, ca_file: Path | None = None) -> Scrape:
    """
    `GET /metrics` on a running gateway's operators' port.

    Args:
        ca_file: Whom to trust where it speaks TLS.
    """
    if ca_file is None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=20)
    else:
        context = ssl.create_default_context(cafile=str(ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", gateway.admin_port, context=context, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        body = response.read()
    assert 200 == response.status, body
    assert "text/plain; version=0.0.4; charset=utf-8" == response.getheader("content-type")
    return read_exposition(body.decode())
