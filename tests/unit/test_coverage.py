"""
What is kept of a decision: only what cannot differ between two calls of one caller in one version of the registry.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.grant import Grant
from gateway.access.policy import decide
from gateway.access.rules import parse_rule
from gateway.access.snapshot import Snapshot
from gateway.access.token import Token
from gateway.access.upstream import Upstream
from gateway.data_plane.authentication import Standing
from gateway.data_plane.carriers import Carrier
from gateway.data_plane.coverage import Coverages
from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.parameters import Parameter
from gateway.upstream.request import Timeouts

STOP = b"/servicemanager/rest/CallManagementAPI/stop"
CREDENTIAL = Credential("c", "key", Upstream("main", "noojee.example.com", 443), Kind.GLOBAL, None, b"sealed")


def standing(*grants: Grant, version: int = 1) -> Standing:
    """
    A caller with these grants, in a snapshot of its own.
    """
    caller = Caller("crm", (), query_token_allowed=True, grants=grants)
    snapshot = Snapshot(version, {}, {"crm": caller}, {})
    return Standing(snapshot, b"digest", Token("id", "crm", None), caller, Carrier.AUTHORIZATION, in_query=False)


@pytest.mark.parametrize("values", [(), ("410",), ("999",), ("410", "411")])
@pytest.mark.parametrize(
    ("grants", "is_kept"),
    [
        ([Grant("plain", CREDENTIAL, ("*",))], True),
        ([Grant("plain", CREDENTIAL, ("*",)), Grant("later", CREDENTIAL, ("*",))], True),
        ([Grant("ruled", CREDENTIAL, ("*",), (parse_rule("extension", "410"),))], False),
        (
            [Grant("ruled", CREDENTIAL, ("*",), (parse_rule("extension", "410"),)), Grant("plain", CREDENTIAL, ("*",))],
            False,
        ),
        ([Grant("no key", replace(CREDENTIAL, sealed=None), ("*",)), Grant("plain", CREDENTIAL, ("*",))], False),
        ([Grant("elsewhere", CREDENTIAL, ("CampaignAPI/*",))], False),
        ([], False),
    ],
)
def test_a_grant_that_is_kept_is_what_is_decided_for_any_parameters(
    grants: list[Grant], values: tuple[str, ...], *, is_kept: bool
) -> None:
    """
    Where a rule, a missing key or no grant at all has a say, nothing is kept and each call is decided.
    """
    coverage = Coverages(load_catalogue(), Timeouts()).find(standing(*grants), STOP)
    parameters = tuple(Parameter("extenOrUniqueId", value) for value in values)

    assert is_kept == (coverage.grant is not None)
    if coverage.grant is not None:
        assert coverage.grant is decide(coverage.resolved, coverage.operation, parameters, "61").grant


def test_another_snapshot_is_worked_out_anew() -> None:
    """
    A grant that was removed is not found any more, whatever was kept.
    """
    coverages = Coverages(load_catalogue(), Timeouts())

    assert coverages.find(standing(Grant("g", CREDENTIAL, ("*",))), STOP).grant is not None
    assert Reason.OPERATION_NOT_GRANTED is coverages.find(standing(version=2), STOP).resolved.reason


def test_callers_are_told_apart() -> None:
    """
    In one snapshot two callers with different grants get each their own.
    """
    coverages = Coverages(load_catalogue(), Timeouts())
    granted = standing(Grant("g", CREDENTIAL, ("*",)))
    other = granted._replace(caller=Caller("web", (), query_token_allowed=True, grants=()))

    assert coverages.find(granted, STOP).grant is not None
    assert coverages.find(other, STOP).grant is None


def test_paths_that_do_not_exist_are_not_kept() -> None:
    """
    There are paths without end.
    """
    coverages = Coverages(load_catalogue(), Timeouts())
    asking = standing(Grant("g", CREDENTIAL, ("*",)))
    for number in range(3):
        with pytest.raises(CallerError) as refusal:
            coverages.find(asking, b"/%d" % number)

        assert Reason.OPERATION_UNKNOWN is refusal.value.reason
    assert repr(coverages).startswith("<Coverages: 0 in")
