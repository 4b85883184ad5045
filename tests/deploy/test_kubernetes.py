"""
The manifests of deploy/kubernetes: one gateway, restricted, with settings that are settings.

No cluster runs here. docs/recorded-runs/ has what the schema validator said.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.cli.node import _END_MARGIN_SECONDS
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KINDS = ["ConfigMap", "Namespace", "NetworkPolicy", "Service", "StatefulSet"]


@pytest.fixture
def folder(repository: Path) -> Path:
    """
    Where the manifests are.
    """
    return repository / "deploy" / "kubernetes"


@pytest.fixture
def manifests(folder: Path) -> Mapping[str, Any]:
    """
    Each by its kind.
    """
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    read = [yaml.safe_load((folder / name).read_text()) for name in names]
    return {manifest["kind"]: manifest for manifest in read}


@pytest.fixture
def pod(manifests: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    The pod that the stateful set makes.
    """
    spec: Mapping[str, Any] = manifests["StatefulSet"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.skipif(
    shutil.which("kubernetes-validate") is None,
    reason="there is no kubernetes-validate here, so no schema was looked at (PyPI's package of that name, 100 MB)",
)
def test_the_manifests_follow_kubernetes_own_schemas(folder: Path) -> None:
    """
    Strictly: a field that the schema does not know is an error.
    """
    files = [path for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    words = ["kubernetes-validate", "--strict", "--kubernetes-version", "1.30", *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr


def test_there_is_one_gateway_on_data_of_its_own(manifests: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    """
    One replica for the one white-listed address, on a volume that no second pod can have.
    """
    stateful = manifests["StatefulSet"]["spec"]
    [claim] = stateful["volumeClaimTemplates"]
    settings = manifests["ConfigMap"]["data"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}

    assert _KINDS == sorted(manifests)
    assert 1 == stateful["replicas"]
    assert ["ReadWriteOncePod"] == claim["spec"]["accessModes"]
    assert settings["GATEWAY_DATA_DIR"].startswith(f"{mounts[claim['metadata']['name']]}/")
    assert settings["GATEWAY_MASTER_KEY_FILE"] == f"{mounts['master-key']}/master.key"

    program, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    takes_seconds = int(seconds) + Settings().drain_timeout.total_seconds() + _END_MARGIN_SECONDS
    assert "sleep" == program
    assert pod["terminationGracePeriodSeconds"] > takes_seconds


def test_its_settings_are_settings_and_its_service_does_not_make_any(
    manifests: Mapping[str, Any], pod: Mapping[str, Any]
) -> None:
    """
    Nothing that the gateway refuses at its start: no name it does not know, no GATEWAY_PORT=tcp://... of a Service.
    """
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    settings = manifests["ConfigMap"]["data"]
    named = [variable["name"] for container in pod["containers"] for variable in container["env"]]

    assert {*settings, *named} <= known
    assert all(isinstance(value, str) for value in settings.values()), "a ConfigMap has texts alone"
    assert pod["enableServiceLinks"] is False
    assert "noojee" == manifests["Service"]["metadata"]["name"] == manifests["StatefulSet"]["spec"]["serviceName"]
    assert "GATEWAY_ALLOW_PLAINTEXT" not in settings


def test_every_container_is_restricted(manifests: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    """
    What the pod security standard of that name asks for, and a root file system that is only read.
    """
    levels = manifests["Namespace"]["metadata"]["labels"]
    confined = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }

    assert {"restricted"} == set(levels.values())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert 10001 == pod["securityContext"]["runAsUser"]
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert "OnRootMismatch" == pod["securityContext"]["fsGroupChangePolicy"]
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert confined == container["securityContext"]
        assert "memory" in container["resources"]["limits"]


def test_probes_ask_on_the_callers_port(pod: Mapping[str, Any]) -> None:
    """
    Alive on /healthz, so that a full disk restarts nothing; ready on /readyz.
    """
    [container] = pod["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}

    assert {"callers": 8080, "operators": 8081} == {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {"callers"} == {probe["port"] for probe in probes.values()}
    assert {"HTTPS"} == {probe["scheme"] for probe in probes.values()}
    assert ["/healthz", "/healthz", "/readyz"] == [probe["path"] for probe in probes.values()]


def test_the_network_policy_lets_out_to_noojee_and_the_resolvers_alone(manifests: Mapping[str, Any]) -> None:
    """
    And in from who may call; both directions are named, so that what is not listed is refused.
    """
    policy = manifests["NetworkPolicy"]["spec"]
    labels = manifests["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    out = [[port["port"] for port in rule["ports"]] for rule in policy["egress"]]

    assert labels == policy["podSelector"]["matchLabels"] == manifests["Service"]["spec"]["selector"]
    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert [[8080], [8081]] == [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]]
    assert [[443], [53, 53]] == out
    assert all(rule.get("from") or rule.get("to") for rule in [*policy["ingress"], *policy["egress"]])
