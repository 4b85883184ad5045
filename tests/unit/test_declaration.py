"""
The document's model: what may stand in it, and how a fault is told.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.administration.declaration import parse_declaration
from gateway.administration.declaration_schema import render_schema
from gateway.administration.declaration_text import parse_toml, parse_yaml
from gateway.errors import OperatorError, OperatorReason

SCHEMA = Path(__file__).parents[2] / "docs" / "gateway.schema.json"
KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
TOKEN = "njg_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_AAAAAA"
GLOBAL: dict[str, Any] = {"name": "everything", "upstream": "noojee", "kind": "global", "key": "stdin"}
CALLER: dict[str, Any] = {"name": "crm", "networks": "anywhere"}
GRANT: dict[str, Any] = {"credential": "everything", "operations": ["CallManagementAPI/*"]}


def test_the_published_schema_is_the_one_made_from_the_model() -> None:
    """
    Made anew by `python -m gateway.administration.declaration_schema > docs/gateway.schema.json`.
    """
    assert SCHEMA.read_text() == render_schema()


def test_the_schema_allows_no_member_that_the_model_refuses() -> None:
    """
    No table is open, and no member may be null.
    """
    schema = json.loads(SCHEMA.read_text())
    tables = [schema, *schema["$defs"].values()]

    assert [False] * 6 == [table["additionalProperties"] for table in tables]
    assert "null" not in SCHEMA.read_text()


def test_toml_and_yaml_make_the_same_document() -> None:
    """
    What YAML leaves without quotes becomes what its member is.
    """
    toml = """
        version = 1
        [[upstreams]]
        name = "no"
        url = "https://noojee.example.com"
        [[callers]]
        name = "0410"
        networks = ["10.1.0.0/16"]
        query_token_allowed = false
        limits = { rate = "90/m", burst = 40 }
        grants = [ { credential = "yes", operations = ["a"], params = { number = "0410" }, allow_unique_ids = true } ]
    """
    yaml = """
version: 1
upstreams: [{name: no, url: https://noojee.example.com}]
callers:
  - name: 0410
    networks: [10.1.0.0/16]
    query_token_allowed: false
    limits: {rate: 90/m, burst: 40}
    grants: [{credential: yes, operations: [a], params: {number: 0410}, allow_unique_ids: true}]
"""

    assert parse_declaration(parse_toml(toml)) == parse_declaration(parse_yaml(yaml))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "version is missing."),
        ({"version": 2}, "version must be one of: 1."),
        ({"version": "1"}, "version must be one of: 1."),
        ({"callers": {}}, "callers must be a list."),
        ({"callers": [KEY]}, "callers[0] must be a table of members."),
        ({KEY: 1}, "(a name that is not shown) is no member that may stand there."),
        ({"tokens": [TOKEN]}, "tokens is no member that may stand there."),
        ({"callers": [{**CALLER, "token": TOKEN}]}, "callers[0].token is no member that may stand there."),
        ({"callers": [{"name": "crm"}]}, "callers[0].networks is missing."),
        (
            {"callers": [{**CALLER, "networks": []}]},
            'callers[0].networks: Name networks in a list, or write "anywhere".',
        ),
        ({"callers": [{**CALLER, "networks": KEY}]}, "callers[0].networks: Name networks in a list"),
        ({"callers": [{**CALLER, "networks": [KEY]}]}, "callers[0].networks: A network must be a CIDR"),
        ({"callers": [{**CALLER, "networks": ["10.0.0.5/8"]}]}, "callers[0].networks: 10.0.0.5/8 has bits set"),
        ({"callers": [{**CALLER, "name": KEY}]}, "callers[0].name: That looks like a Noojee API key"),
        ({"callers": [{**CALLER, "name": 1}]}, "callers[0].name must be a text."),
        ({"callers": [{**CALLER, "disabled": "true"}]}, "callers[0].disabled must be true or false, without quotes."),
        ({"callers": [{**CALLER, "disabled": 1}]}, "callers[0].disabled must be true or false, without quotes."),
        ({"callers": [{**CALLER, "limits": {"burst": "40"}}]}, "callers[0].limits.burst must be a whole number"),
        ({"callers": [{**CALLER, "limits": {"burst": 0}}]}, "callers[0].limits.burst is not what may stand there."),
        ({"callers": [{**CALLER, "limits": {"burst": 10**6}}]}, "callers[0].limits.burst: The burst is a whole number"),
        ({"callers": [{**CALLER, "limits": {"rate": KEY}}]}, "callers[0].limits.rate: A rate is a whole number"),
        ({"callers": [CALLER, CALLER]}, "callers[1].name: The name stands there for the second time."),
        (
            {"callers": [{**CALLER, "grants": [GRANT, {**GRANT, "operations": []}]}]},
            "callers[0].grants[1].operations must not be empty.",
        ),
        (
            {"callers": [{**CALLER, "grants": [{**GRANT, "operations": "*"}]}]},
            "callers[0].grants[0].operations must be a list.",
        ),
        (
            {"callers": [{**CALLER, "grants": [{**GRANT, "params": {"number": 410}}]}]},
            "callers[0].grants[0].params.number must be a text.",
        ),
        (
            {"callers": [{**CALLER, "grants": [{**GRANT, "params": {KEY: []}}]}]},
            "callers[0].grants[0].params.(a name that is not shown) must be a text.",
        ),
        ({"upstreams": [{"name": "noojee", "url": "http://x"}]}, "upstreams[0].url: the URL must start with https://"),
        ({"upstreams": [{"name": "n", "url": f"https://{KEY}@x"}]}, "upstreams[0].url: the URL must hold no user name"),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "ca_file": "a", "ca_pem": "b"}]},
            "upstreams[0]: Write ca_file or ca_pem, not both.",
        ),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "auth": KEY}]},
            "upstreams[0].auth must be one of: 'api-key',",
        ),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "proxy_password": KEY}]},
            "upstreams[0].proxy_password: A secret never stands in a document",
        ),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "proxy": f"http://u:{KEY}@p:1"}]},
            "upstreams[0].proxy: the proxy's password is given on standard input",
        ),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "proxy": "http://u@p:1"}]},
            "upstreams[0]: A proxy with a user, and no other, needs one of",
        ),
        (
            {"upstreams": [{"name": "n", "url": "https://x", "allow_old_tls": True}]},
            "upstreams[0]: allow_old_tls is taken only together with pins",
        ),
        ({"upstreams": [{"name": "n", "url": "https://x", "pins": [KEY]}]}, "upstreams[0].pins[0]: a pin is sha256//"),
        ({"credentials": [{**GLOBAL, "key": KEY}]}, "credentials[0].key: A secret never stands in a document"),
        ({"credentials": [{**GLOBAL, "key_file": "x"}]}, "credentials[0]: Say where its key comes from:"),
        ({"credentials": [{**GLOBAL, "owner": "alice"}]}, "credentials[0]: A global credential acts for no user:"),
        ({"credentials": [{**GLOBAL, "kind": "user"}]}, "credentials[0]: A user credential needs owner:"),
        ({"credentials": [{**GLOBAL, "kind": "user", "owner": KEY}]}, "credentials[0].owner: That looks like a Noojee"),
    ],
)
def test_a_fault_is_told_by_its_place(values: dict[str, Any], told: str) -> None:
    """
    And never by the value, which could be a key.
    """
    if values and "version" not in values:
        values = {"version": 1, **values}
    with pytest.raises(OperatorError) as caught:
        parse_declaration(values)

    assert OperatorReason.INVALID == caught.value.reason
    assert caught.value.detail.startswith(told)
    assert not [secret for secret in (KEY, TOKEN) if secret in caught.value.detail]


def test_all_faults_are_told_at_once_and_not_without_end() -> None:
    """
    Ten, and how many more.
    """
    with pytest.raises(OperatorError) as caught:
        parse_declaration({"version": 1, "callers": [{"name": "crm"}] * 12})

    assert 10 == caught.value.detail.count("networks is missing.")
    assert caught.value.detail.endswith(" And 2 faults more.")
