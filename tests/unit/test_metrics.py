"""
How numbers are kept, passed on and shown; read back by the parser of Prometheus' own library.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics.catalogue import LABELS, METRICS
from gateway.metrics.exposition import render
from gateway.metrics.histogram import Histogram
from gateway.metrics.metric import Kind
from gateway.metrics.node_metrics import NodeMetric
from gateway.metrics.reference import render_reference
from gateway.metrics.samples import LIMIT_BYTES, Samples
from gateway.metrics.worker_metrics import WorkerMetric

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = Path(__file__).parents[2] / "docs" / "metrics.md"


def read_back(samples: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """
    What Prometheus' parser makes of the exposition: each sample by its name and labels.
    """
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(samples))
        for sample in family.samples
    }


def labelled(**labels: str) -> frozenset[tuple[str, str]]:
    """
    Labels as `read_back` has them.
    """
    return frozenset(labels.items())


def test_a_histogram_puts_each_value_below_the_first_bound_that_holds_it() -> None:
    """
    A bound counts what is equal to it (`le`); what is above the last has a place of its own.
    """
    histogram = Histogram(WorkerMetric.JOURNAL_GROUP_RECORDS)
    for value in (1, 2, 2, 3, 1024, 1025, 9999):
        histogram.observe(value)

    assert [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2] == histogram.counts
    assert 12056 == histogram.total


def test_prometheus_reads_every_kind_of_metric() -> None:
    """
    Buckets hold all that are below them, and their last is the number.
    """
    samples = Samples()
    histogram = Histogram(WorkerMetric.JOURNAL_WRITE_SECONDS)
    for value in (0.00005, 0.0002, 0.3, 60.0):
        histogram.observe(value)
    samples.put(WorkerMetric.CALLS, 7, "worker-0", "CampaignAPI/getLead", "succeeded")
    samples.put(NodeMetric.UP, True)
    samples.put(NodeMetric.UPSTREAM_CLOCK_SKEW, -1.25, "noojee")
    samples.put_histogram(WorkerMetric.JOURNAL_WRITE_SECONDS, histogram, "worker-0")

    found = read_back(samples)

    calls = labelled(worker="worker-0", operation="CampaignAPI/getLead", outcome="succeeded")
    assert 7 == found["noojee_gateway_calls_total", calls]
    assert 1 == found["noojee_gateway_up", labelled()]
    assert -1.25 == found["noojee_gateway_upstream_clock_skew_seconds", labelled(upstream="noojee")]
    name = "noojee_gateway_journal_write_seconds"
    buckets = {le: found[f"{name}_bucket", labelled(worker="worker-0", le=le)] for le in ("0.0001", "0.5", "4", "+Inf")}
    assert {"0.0001": 1, "0.5": 3, "4": 3, "+Inf": 4} == buckets
    assert 4 == found[f"{name}_count", labelled(worker="worker-0")]
    assert pytest.approx(60.30025) == found[f"{name}_sum", labelled(worker="worker-0")]


def test_every_metric_is_declared_once_in_every_answer() -> None:
    """
    With its kind and its sentence, whether it has a value or not: what a rule names is there to be found.
    """
    families = list(text_string_to_metric_families(render(Samples())))

    kinds = {metric.full_name.removesuffix("_total"): metric.kind for metric in METRICS.values()}
    assert kinds == {family.name: family.type for family in families}
    assert [metric.sentence for metric in METRICS.values()] == [family.documentation for family in families]


@given(st.text(), st.text())
def test_no_label_can_break_out_of_its_quotes(upstream: str, credential: str) -> None:
    """
    Whatever a name holds, Prometheus reads the same name and one sample.
    """
    samples = Samples()
    samples.put(NodeMetric.CREDENTIAL_ACCEPTED, 1, upstream, credential)

    # The parser splits its text at every kind of line end, which the format does not; only `\n` ends a line.
    lines = [line for line in render(samples).split("\n") if line and not line.startswith("#")]

    (line,) = lines
    found = re.fullmatch(r'[a-z_]+\{upstream="((?:[^"\\]|\\.)*)",credential="((?:[^"\\]|\\.)*)"\} 1', line, re.DOTALL)
    assert found is not None
    assert [upstream, credential] == [_unescape(each) for each in found.groups()]


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


@given(
    st.dictionaries(st.tuples(st.text(), st.text()), st.integers(0, 2**53), max_size=5),
    st.lists(st.floats(0, 1e6), max_size=20),
)
def test_what_is_passed_on_arrives_as_it_was(values: Mapping[tuple[str, str], int], seconds: list[float]) -> None:
    """
    `parse` is the inverse of `render`.
    """
    samples = Samples()
    histogram = Histogram(WorkerMetric.OWN_SECONDS)
    for value in seconds:
        histogram.observe(value)
    for labels, value in values.items():
        samples.put(WorkerMetric.REFUSALS, value, *labels)
    samples.put_histogram(WorkerMetric.OWN_SECONDS, histogram, "worker-0", "read")

    line = samples.render()

    assert render(samples) == render(Samples.parse(line))
    assert 1 == line.count(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]\n",
        b"null\n",
        b'{"noojee_gateway_up":[[[],1]]',
        b'{"noojee_gateway_up":[[["x"],1]]}\n',
        b'{"noojee_gateway_up":[[[],"1"]]}\n',
        b'{"noojee_gateway_up":[[[],[[1],1]]]}\n',
        b'{"noojee_gateway_up":[1]}\n',
        b'{"noojee_gateway_refusals_total":[[["worker-0",1],1]]}\n',
        b'{"noojee_gateway_journal_write_seconds":[[["worker-0"],1]]}\n',
        b'{"noojee_gateway_journal_write_seconds":[[["worker-0"],[[1,2],1]]]}\n',
        b'{"noojee_gateway_journal_write_seconds":[[["worker-0"],[[' + b",".join([b'"a"'] * 15) + b"],1]]]}\n",
    ],
)
def test_what_is_no_whole_answer_is_refused(line: bytes) -> None:
    """
    Whatever a worker that is dying may send.
    """
    with pytest.raises(ValueError):  # noqa: PT011 - json's own among them
        Samples.parse(line)


def test_a_metric_of_another_version_is_left_out() -> None:
    """
    An old worker may still be there when the control plane is of a newer version.
    """
    samples = Samples.parse(b'{"noojee_gateway_retired_total":[[[],1]],"noojee_gateway_up":[[[],1]]}\n')

    assert {("noojee_gateway_up", labelled()): 1} == read_back(samples)


def test_two_values_of_one_thing_add_up_and_of_two_processes_are_both_told() -> None:
    """
    A series must not stand twice in an answer: Prometheus would refuse all of it.
    """
    one, other = Samples(), Samples()
    for value in (2, 3):
        one.put(WorkerMetric.UPSTREAM_WAITING, value, "worker-0", "noojee", "calls")
    other.put(WorkerMetric.UPSTREAM_WAITING, 4, "worker-1", "noojee", "calls")

    one.merge(other)

    assert {"worker-0": 5, "worker-1": 4} == {
        labels[0]: value for labels, value in one.find(WorkerMetric.UPSTREAM_WAITING)
    }


@pytest.mark.parametrize(
    ("metric", "labels"), [(NodeMetric.UP, ("x",)), (WorkerMetric.OWN_SECONDS, ("worker-0", "read"))]
)
def test_a_value_that_is_none_of_its_metric_is_a_mistake_of_ours(
    metric: NodeMetric | WorkerMetric, labels: tuple[str, ...]
) -> None:
    """
    Told at once, and not by Prometheus.
    """
    with pytest.raises(ValueError, match="this is no value of"):
        Samples().put(metric, 1, *labels)
    with pytest.raises(ValueError, match="this is no value of"):
        Samples().put_histogram(metric, Histogram(WorkerMetric.JOURNAL_WRITE_SECONDS), *labels)


def test_the_most_that_a_worker_tells_fits_an_answer() -> None:
    """
    Every label with as many values as it can have, and ten upstreams.
    """
    samples = Samples()
    for metric in WorkerMetric:
        series = 30 * 7 if metric is WorkerMetric.CALLS else 50
        histogram = Histogram(metric)
        histogram.counts = [2**53] * len(histogram.counts)
        for number in range(series):
            labels = tuple(f"{label}-{number}-{'x' * 40}" for label in metric.labels)
            if metric.kind is Kind.HISTOGRAM:
                samples.put_histogram(metric, histogram, *labels)
            else:
                samples.put(metric, 2**53, *labels)

    assert len(samples.render()) < LIMIT_BYTES


def test_names_follow_the_conventions_of_prometheus() -> None:
    """
    One prefix, base units, `_total` for counters and for nothing else; https://prometheus.io/docs/practices/naming/.
    """
    for name, metric in METRICS.items():
        assert re.fullmatch(r"noojee_gateway_[a-z]+(_[a-z]+)*", name)
        assert (metric.kind is Kind.COUNTER) == name.endswith("_total")
        assert not re.search("millis|micro|_ms|_us|kib|percent", name)
        assert metric.sentence.endswith(".")
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.bounds)


def test_every_label_is_explained_and_none_is_a_caller() -> None:
    """
    The operators' port names no caller (contract section 6).
    """
    used = {label for metric in METRICS.values() for label in metric.labels}

    assert used == set(LABELS)
    assert not used & {"caller", "token", "token_id", "peer", "client", "network", "path", "target"}


def test_the_metrics_reference_is_the_one_made_from_the_catalogue() -> None:
    """
    Made anew by `python -m gateway.metrics.reference > docs/metrics.md`.
    """
    assert REFERENCE.read_text() == render_reference()
