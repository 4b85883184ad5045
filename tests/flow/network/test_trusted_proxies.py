"""
Behind a trusted proxy: whose address rules and records go by, and what the journal has of both.
"""

from __future__ import annotations

import contextlib
import http.client

from installation import API, Gateway, Installation, Response, wait_until

START = f"{API}/start?extenOrUniqueId=410"


def test_a_callers_network_is_that_of_whoever_called_the_trusted_proxy(installation: Installation) -> None:
    """
    `caller --from` goes by the forwarded address, the journal has both, and a header that cannot be read is 400.
    """
    token = installation.add_caller("crm", [("everything", ["*"])], networks=["192.0.2.0/24"])
    with installation.serve(
        GATEWAY_TRUSTED_PROXIES="127.0.0.0/8,10.0.0.0/8", GATEWAY_FORWARDED_HEADER="x-forwarded-for"
    ) as gateway:
        served = call(gateway, token, "203.0.113.9, 192.0.2.7, 10.0.0.9")
        elsewhere = call(gateway, token, "192.0.2.7, 203.0.113.9")
        malformed = call(gateway, token, "192.0.2.7, nonsense")
        bare = gateway.call(START, token)
        strange = call(gateway, "njg_none", "203.0.113.9")

    assert [200, 403, 400, 403, 401] == [each.status for each in (served, elsewhere, malformed, bare, strange)]
    assert ["", "network_not_allowed", "request_malformed"] == [each.reason for each in (served, elsewhere, malformed)]
    assert [
        ("call.intended", "127.0.0.1", "192.0.2.7"),
        ("call.ended", None, None),
        ("call.denied", "127.0.0.1", "203.0.113.9"),
        ("call.denied", "127.0.0.1", None),
    ] == [(record["tag"], record.get("peer"), record.get("client")) for record in installation.calls()]
    anonymous = [each for each in installation.journal() if each["tag"] == "anonymous.summarised"]
    assert [
        ("127.0.0.0/24", None, {"request_malformed": 1}),
        ("127.0.0.0/24", "203.0.113.0/24", {"token_malformed": 1}),
    ] == [(each["peer"], each.get("client"), each["counts"]) for each in anonymous]


def test_nobody_is_believed_where_no_proxy_is_trusted(gateway: Gateway, installation: Installation) -> None:
    """
    A caller that writes the header itself gains nothing.
    """
    token = installation.add_caller("crm", [("everything", ["*"])], networks=["192.0.2.0/24"])
    response = wait_until(lambda: known(call(gateway, token, "192.0.2.7")), "the token is known")

    assert "network_not_allowed" == response.reason
    assert "client" not in installation.calls()[-1]


def test_connections_of_a_trusted_proxy_have_no_share(installation: Installation) -> None:
    """
    All callers come over it, so it is not one source among many: it may hold more than a quarter.
    """
    with installation.serve(GATEWAY_TRUSTED_PROXIES="127.0.0.1/32", GATEWAY_MAX_CONNECTIONS="8") as gateway:
        with contextlib.ExitStack() as stack:
            statuses = []
            for _ in range(6):
                connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
                stack.callback(connection.close)
                connection.request("GET", "/healthz")
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)

        assert [200] * 6 == statuses


def call(gateway: Gateway, token: str, forwarded: str) -> Response:
    """
    A call as the proxy passes it on.
    """
    return gateway.call(START, token, headers={"X-Forwarded-For": forwarded})


def known(response: Response) -> Response | None:
    """
    The response, unless it is that to a token that no worker knows yet.
    """
    return response if response.status != 401 else None
