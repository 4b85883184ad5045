"""
The alarms: each one rings for what it is there for, alone, and none does while all is well.

Prometheus' own tool evaluates them, over series that are made up here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

RULES = "deploy/prometheus/noojee-gateway.rules.yml"
MINUTES = 130
WORKER = {"worker": "worker-0"}
DIAL = {**WORKER, "operation": "CallManagementAPI/dial"}
READ = {**WORKER, "upstream": "noojee", "effect": "read"}
POLL = {**READ, "effect": "long-poll"}
POOL = {**WORKER, "upstream": "noojee", "pool": "calls"}
NOOJEE = {"upstream": "noojee"}


def named(name: str, **labels: str) -> str:
    """
    A series of one gateway.
    """
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'{name}{{job="noojee-gateway",instance="gw"{told}}}'


def ours(name: str, **labels: str) -> str:
    """
    A series of one of our metrics.
    """
    return named(f"noojee_gateway_{name}", **labels)


def always(value: float) -> str:
    """
    The same value each minute.
    """
    return f"{value}+0x{MINUTES}"


def growing(by: float) -> str:
    """
    From 0, by so much a minute.
    """
    return f"0+{by}x{MINUTES}"


def falling(start: float, by: float) -> str:
    """
    From there, by so much less a minute.
    """
    return f"{start}-{by}x{MINUTES}"


def refused(reason: str, by: float) -> dict[str, str]:
    """
    So many refusals a minute for one reason.
    """
    return {ours("refusals_total", **WORKER, reason=reason): growing(by)}


def ended(outcome: str, by: float) -> dict[str, str]:
    """
    So many calls a minute that came to one end.
    """
    return {ours("calls_total", **DIAL, outcome=outcome): growing(by)}


def took(metric: str, labels: dict[str, str], bound: str, by: float = 60) -> dict[str, str]:
    """
    So many values a minute that were at most so much, and none of them much less.
    """
    bounds = ("0.001", "0.05", "1", "30")
    return {
        ours(f"{metric}_bucket", **labels, le=le): growing(by if float(le) >= float(bound) else 0) for le in bounds
    } | {ours(f"{metric}_bucket", **labels, le="+Inf"): growing(by)}


WELL: dict[str, str] = {
    named("up"): always(1),
    ours("up"): always(1),
    ours("journal_writable", **WORKER): always(1),
    ours("registry_readable", **WORKER): always(1),
    ours("upstream_reachable", **NOOJEE): always(1),
    ours("upstream_allowed", **NOOJEE): always(1),
    ours("upstream_answering", **NOOJEE): always(1),
    ours("credential_accepted", **NOOJEE, credential="everything"): always(1),
    ours("journal_disk_free_bytes"): falling(90e9, 60e6),
    ours("journal_disk_size_bytes"): always(100e9),
    **took("journal_write_seconds", WORKER, "0.001"),
    **took("call_own_seconds", {**WORKER, "effect": "read"}, "0.001"),
    **took("call_upstream_seconds", READ, "0.05"),
    **took("call_upstream_seconds", POLL, "30"),
    ours("upstream_certificate_expiry_timestamp_seconds", **NOOJEE): always(30 * 86400),
    ours("certificate_expiry_timestamp_seconds", **WORKER): always(30 * 86400),
    ours("tokens_expiring", **WORKER): always(0),
    ours("prober_running"): always(1),
    ours("probe_interval_seconds"): always(300),
    ours("upstream_probed_timestamp_seconds", **NOOJEE): growing(60),
    ours("upstream_clock_skew_seconds", **NOOJEE): always(-2),
    **{key: value for end in ("failed", "not_sent", "unknown", "denied") for key, value in ended(end, 0).items()},
    **ended("succeeded", 60),
    ours("recovered_intents_total", **WORKER): always(0),
    ours("process_start_time_seconds", process="worker-0"): always(0),
    ours("process_start_time_seconds", process="control_plane"): always(0),
    ours("upstream_waiting_calls", **POOL): always(0),
    ours("connections", **WORKER): always(10),
    ours("connections_limit", **WORKER): always(10_000),
    ours("connections_refused_total", **WORKER, how="answered"): always(0),
    ours("call_errors_total", **WORKER, reason="internal_error"): always(0),
    **refused("internal_error", 0),
    **refused("upstream_key_presented", 0),
    **refused("token_invalid", 1),
}
"""A node on a good day: a call a second, and now and then an old token."""

ILL: dict[str, list[dict[str, str]]] = {
    "NoojeeGatewayDown": [{named("up"): always(0)}, {named("up"): "_"}],
    "NoojeeGatewayNotServing": [{ours("up"): always(0)}],
    "NoojeeGatewayJournalNotWritable": [{ours("journal_writable", **WORKER): always(0)}],
    "NoojeeGatewayRegistryUnreadable": [{ours("registry_readable", **WORKER): always(0)}],
    "NoojeeGatewayUpstreamUnreachable": [{ours("upstream_reachable", **NOOJEE): always(0)}],
    "NoojeeGatewayAddressRefused": [{ours("upstream_allowed", **NOOJEE): always(0)}],
    "NoojeeGatewayUpstreamBroken": [{ours("upstream_answering", **NOOJEE): always(0)}],
    "NoojeeGatewayKeyRefused": [{ours("credential_accepted", **NOOJEE, credential="everything"): always(0)}],
    "NoojeeGatewayJournalDiskFilling": [
        {ours("journal_disk_free_bytes"): always(9e9)},
        {ours("journal_disk_free_bytes"): falling(40e9, 60e6)},
    ],
    "NoojeeGatewayJournalSlow": [took("journal_write_seconds", WORKER, "1")],
    "NoojeeGatewayUpstreamCertificateEnds": [
        {ours("upstream_certificate_expiry_timestamp_seconds", **NOOJEE): always(13 * 86400)}
    ],
    "NoojeeGatewayCertificateEnds": [{ours("certificate_expiry_timestamp_seconds", **WORKER): always(13 * 86400)}],
    "NoojeeGatewayTokensExpire": [{ours("tokens_expiring", **WORKER): always(3)}],
    "NoojeeGatewayProberFails": [
        {ours("prober_running"): always(0)},
        {ours("upstream_probed_timestamp_seconds", **NOOJEE): always(60)},
    ],
    "NoojeeGatewayClockOff": [{ours("upstream_clock_skew_seconds", **NOOJEE): always(-30)}],
    "NoojeeGatewayCallsFail": [ended("failed", 6), ended("not_sent", 6)],
    "NoojeeGatewayOutcomesUnknown": [ended("unknown", 0.2)],
    "NoojeeGatewayIntentsRecovered": [
        {
            ours("recovered_intents_total", **WORKER): f"_x100 2+0x{MINUTES - 100}",
            ours("process_start_time_seconds", process="worker-0"): f"0x100 6000+0x{MINUTES - 100}",
        },
        {ours("recovered_intents_total", **WORKER): f"0x100 2+0x{MINUTES - 100}"},
    ],
    "NoojeeGatewayUpstreamSlow": [took("call_upstream_seconds", READ, "30")],
    "NoojeeGatewaySlow": [took("call_own_seconds", {**WORKER, "effect": "read"}, "1")],
    "NoojeeGatewayPoolExhausted": [{ours("upstream_waiting_calls", **POOL): always(4)}],
    "NoojeeGatewayConnectionsExhausted": [
        {ours("connections", **WORKER): always(9_500)},
        {ours("connections_refused_total", **WORKER, how="answered"): growing(1)},
    ],
    "NoojeeGatewayRestarts": [{ours("process_start_time_seconds", process="worker-0"): growing(60)}],
    "NoojeeGatewayInternalErrors": [
        refused("internal_error", 0.2),
        {ours("call_errors_total", **WORKER, reason="internal_error"): growing(0.2)},
    ],
    "NoojeeGatewayNoojeeKeyPresented": [refused("upstream_key_presented", 0.1)],
    "NoojeeGatewayStrangers": [refused("token_invalid", 90)],
}
"""For each alarm, what is different when it is to ring; one way after another where there are several."""


def load_rules(repository: Path) -> list[dict[str, Any]]:
    """
    The alarms as they are written.
    """
    (group,) = yaml.safe_load((repository / RULES).read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def describe(different: dict[str, str], *rings: str) -> dict[str, Any]:
    """
    A case for promtool: the good day but for this, and which alarms ring at its end.
    """
    found = [{"labels": f'{{alertname="{alarm}"}}', "value": 1} for alarm in rings]
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values} for name, values in (WELL | different).items() if values != "_"
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{MINUTES - 5}m",
                "exp_samples": found,
            }
        ],
    }


def test_every_alarm_has_its_case(repository: Path) -> None:
    """
    None is written that was never heard.
    """
    assert [rule["alert"] for rule in load_rules(repository)] == list(ILL)


def test_every_alarm_says_what_it_is_and_where_to_read_on(repository: Path) -> None:
    """
    How grave, in a word, in a sentence, and the heading of docs/operating.md that has its name.
    """
    for rule in load_rules(repository):
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert {"summary", "description", "runbook"} == rule["annotations"].keys()
        assert f"docs/operating.md#{rule['alert'].lower()}" == rule["annotations"]["runbook"]
        assert rule["annotations"]["description"].endswith(".")


def test_every_alarm_has_its_heading_in_the_handbook(repository: Path) -> None:
    """
    And no heading is of an alarm that there is not.
    """
    handbook = (repository / "docs" / "operating.md").read_text()

    assert set(ILL) == set(re.findall(r"^#+ (NoojeeGateway\w+)$", handbook, re.MULTILINE))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here (Debian's package prometheus)")
def test_each_alarm_rings_for_its_own_reason_and_none_without(repository: Path, tmp_path: Path) -> None:
    """
    Alone: who is woken reads one name, and not five.
    """
    cases = [describe({})]
    cases += [describe(different, alarm) for alarm, ways in ILL.items() for different in ways]
    tests = {"rule_files": [str(repository / RULES)], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "alarms.yml").write_text(yaml.safe_dump(tests))

    done = subprocess.run(
        ["promtool", "test", "rules", "alarms.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
