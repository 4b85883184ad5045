"""
What is shipped for Prometheus and Grafana names nothing that a gateway does not tell, and Prometheus can read it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from installation import CAMPAIGN_API, Installation, wait_until
from scrape import Scrape, scrape

from gateway.metrics.catalogue import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noojee import Noojee

RULES = "deploy/prometheus/noojee-gateway.rules.yml"
EXAMPLE = "deploy/prometheus/prometheus.yml"
DASHBOARD = "deploy/grafana/noojee-gateway.json"
NAME = re.compile(r"noojee_gateway_[a-z_]+")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool here (Debian's package prometheus)"
)


@pytest.fixture(scope="module")
def seen(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """
    What a gateway tells that has everything: TLS, a call behind it, and upstreams that were probed.
    """
    running_noojee.reset()
    installation = Installation(tmp_path_factory.mktemp("gateway") / "data", running_noojee.simulator)
    installation.set_up()
    token = installation.add_caller("crm", [("everything", ["CampaignAPI/*"])])
    authority = running_noojee.simulator.ca_file
    files = {
        "GATEWAY_TLS_CERT_FILE": str(authority.parent / "server.pem"),
        "GATEWAY_TLS_KEY_FILE": str(authority.parent / "server-key.pem"),
    }
    with installation.serve(GATEWAY_PROBE_INTERVAL="1s") as gateway:
        assert 200 == gateway.call(f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1", token).status
        calling = scrape(gateway)
        probed = wait_until(
            lambda: found if (found := scrape(gateway)).find("credential_accepted") else None, "a round is over", 20
        )
    with installation.serve(**files) as gateway:
        encrypted = scrape(gateway, authority)
    assert isinstance(probed, Scrape)
    probed.families |= encrypted.families | calling.families
    return probed


def find_dashboard_expressions(repository: Path) -> Iterator[str]:
    """
    Each query of the dashboard, with values for its variables.
    """
    for panel in json.loads((repository / DASHBOARD).read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield (
                target["expr"]
                .replace("$__rate_interval", "5m")
                .replace("$job", "noojee-gateway")
                .replace("$instance", ".*")
            )


def find_rule_expressions(repository: Path) -> list[str]:
    """
    The condition of each alarm.
    """
    (group,) = yaml.safe_load((repository / RULES).read_text())["groups"]
    return [rule["expr"] for rule in group["rules"]]


def test_every_metric_has_a_value_in_a_gateway_that_has_everything(seen: Scrape) -> None:
    """
    None is in the catalogue alone.
    """
    missing = [
        name
        for name, metric in METRICS.items()
        if name not in seen.families and not (metric.bounds and f"{name}_count" in seen.families)
    ]

    assert [] == missing


def test_every_metric_that_an_alarm_names_is_told(repository: Path, seen: Scrape) -> None:
    """
    An alarm on a name that does not exist is silent for ever.
    """
    named = {name for expression in find_rule_expressions(repository) for name in NAME.findall(expression)}

    assert len(named) > 20
    assert set() == named - seen.families


def test_every_metric_that_the_dashboard_names_is_told(repository: Path, seen: Scrape) -> None:
    """
    And every metric that there is can be seen on it.
    """
    text = (repository / DASHBOARD).read_text()
    named = set(NAME.findall(text))
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in named}

    assert set() == named - seen.families
    assert set(METRICS) == shown


def test_every_label_that_a_query_names_is_one_of_its_metric(repository: Path) -> None:
    """
    A selector on a label that does not exist selects nothing, or everything.
    """
    ours = {label for metric in METRICS.values() for label in metric.labels} | {"job", "instance", "le"}
    expressions = [*find_rule_expressions(repository), *find_dashboard_expressions(repository)]
    for expression in expressions:
        for name, selector in re.findall(r"(noojee_gateway_[a-z_]+)\{([^}]*)\}", expression):
            metric = METRICS[name] if name in METRICS else METRICS[re.sub("_(bucket|sum|count)$", "", name)]
            used = set(re.findall(r"([a-z_]+)(?:=|!=|=~|!~)\"", selector))
            assert used <= {*metric.labels, "job", "instance", "le"}, expression
        for group in re.findall(r"(?:by|without|on) \(([^)]*)\)", expression):
            assert set(re.split(r", *", group)) <= ours, expression


def test_the_dashboard_is_whole(repository: Path) -> None:
    """
    Panels with ids and titles of their own, none above another, from a data source that is chosen and not built in.
    """
    dashboard = json.loads((repository / DASHBOARD).read_text())
    panels: list[dict[str, Any]] = dashboard["panels"]
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(panels) == len({panel["id"] for panel in panels})
    assert all(panel["title"] for panel in panels)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    sources = {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}
    assert {"${datasource}"} == sources
    assert ["datasource", "job", "instance"] == [variable["name"] for variable in dashboard["templating"]["list"]]


@needs_promtool
def test_prometheus_reads_the_alarms_and_the_example(repository: Path) -> None:
    """
    The example names the file of the alarms, beside it.
    """
    for words in (("check", "rules", RULES), ("check", "config", EXAMPLE)):
        done = subprocess.run(["promtool", *words], cwd=repository, capture_output=True, text=True, check=False)

        assert 0 == done.returncode, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


@needs_promtool
def test_prometheus_understands_every_query_of_the_dashboard(repository: Path, tmp_path: Path) -> None:
    """
    Each as a rule, which is what its tool can check.
    """
    expressions = list(find_dashboard_expressions(repository))
    rules = [{"record": f"query:{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "queries.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(expressions)} rules found" in done.stdout


@needs_promtool
def test_prometheus_finds_nothing_to_say_about_the_answer(seen: Scrape) -> None:
    """
    Its lint of names, units and help texts.
    """
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=seen.text, capture_output=True, text=True, check=False
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
