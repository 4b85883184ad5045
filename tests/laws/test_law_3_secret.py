"""
Law 3, a secret never shows: not in a log, an exception, a repr, the journal, a reply or the list of processes.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import copy
import dataclasses
import json
import logging
import pickle
import subprocess
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installation import API, CAMPAIGN_API, Installation
from trap import open_trap

import gateway
from gateway.custody import Ring
from gateway.errors import UpstreamError
from gateway.noojee.catalogue import load_catalogue
from gateway.registry.feed import load_snapshot
from gateway.registry.store import Store
from gateway.secret import Secret
from gateway.upstream.client import PooledUpstreams
from gateway.upstream.request import Timeouts, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Response
    from noojee import House, Noojee

PACKAGE = Path(gateway.__file__).parent
TEXT = "7f0e1b52-1111-4222-8333-abcdefabcdef"
START = f"{API}/start?extenOrUniqueId=410"
CAMPAIGNS = f"{CAMPAIGN_API}/getCampaignList?fTemplateId"
LEAD = f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1&fCampaignId=1&fAllocationId=1"
JSON = {"Content-Type": "application/json"}
FAULTS: list[tuple[str, object]] = [
    ("body", '{"Code": 0}'),
    ("body", '{"Code": -7}'),
    ("status", 403),
    ("status", 500),
    ("redirect", "https://127.0.0.1:9/"),
    ("set_cookie", "JSESSIONID=1"),
    ("reset_before", None),
    ("reset_after", None),
    ("cut", 5),
    ("truncated", '{"Code": 0'),
    ("close_delimited", "not json"),
    ("raw", "nonsense\r\n\r\n"),
    ("raw", "HTTP/1.1 200 OK\r\nContent-Le"),
    ("raw", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"),
    ("large", 200_000),
]


def test_a_secret_has_no_printable_form() -> None:
    """
    Printed, formatted, logged, dumped, copied or pickled: its text is in none of it.
    """
    secret = Secret(TEXT)
    log_record = logging.makeLogRecord({"msg": "%s %r", "args": (secret, secret)})
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>60}",
        f"{[secret]} { ({'key': secret}) }",
        "%s" % secret,  # noqa: UP031 - one of the ways in which people print
        json.dumps({"key": secret}, default=str),
        log_record.getMessage(),
        repr(ValueError(secret)),
        "".join(traceback.format_exception(ValueError(secret))),
    ]
    for text in shown:
        assert TEXT not in text
    for take in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            take(secret)
        assert TEXT not in str(caught.value)
    assert not hasattr(secret, "__dict__")


def find_names(path: Path, name: str) -> Iterator[int]:
    """
    Lines of a source file that name something: a call, an import, an attribute, or text in quotes that is the name.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=found) | ast.Attribute(attr=found) | ast.alias(name=found) | ast.FunctionDef(name=found):
                pass
            case ast.Constant(value=str(found)):
                pass
            case _:
                continue
        if found.rpartition(".")[2] == name:
            yield node.lineno


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("open_key", {"custody/__init__.py", "custody/sealing.py", "upstream/client.py"}),
        ("open_proxy_password", {"custody/__init__.py", "custody/proxy_password.py", "upstream/tunnel.py"}),
        (
            "open_bytes",
            {"custody/audit_key.py", "custody/cipher.py", "custody/proxy_password.py", "custody/sealing.py"},
        ),
        ("reseal_key", {"administration/keys.py", "custody/__init__.py", "custody/sealing.py"}),
        ("find_key", {"custody/cipher.py", "custody/ring.py"}),
        ("AESGCM", {"custody/cipher.py"}),
    ],
)
def test_a_stored_key_is_opened_in_one_place(name: str, places: set[str]) -> None:
    """
    Who opens keys is a list, and this is it: beside custody itself, only what sends.
    """
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if any(find_names(path, name))}

    assert places == found


def test_no_key_and_no_token_is_anywhere_after_calls_that_went_well_and_wrong(house: House, noojee: Noojee) -> None:
    """
    Each fault with both kinds of key, tokens in every carrier, refusals; the log is at debug level.
    """
    secrets = {"the global key": noojee.global_key, "the user key": noojee.user_key}
    secrets |= {f"the token of {name}": token for name, token in house.tokens.items()}
    replies: list[Response] = []
    for kind, value in FAULTS:
        for target, caller in ((START, "all"), (f"{CAMPAIGNS}=1", "campaigner")):
            noojee.break_next("*", kind, value)
            replies.append(house.call(target, caller))
    token, strange = house.tokens["all"], house.tokens["recorder"]
    replies += [
        house.gateway.call(f"{START}&apiKey={token}"),
        house.gateway.call(START, headers={"X-API-Key": token}),
        house.gateway.call(f"{START}&apiKey={token}&apiKey={strange}"),
        house.gateway.call(f"{START}&apiKey={noojee.global_key}"),
        house.call(f"{CAMPAIGNS}={token}", "campaigner"),
        house.call(f"{CAMPAIGNS}={noojee.user_key}", "campaigner"),
        house.gateway.call(f"/nowhere/{token}?{token}={token}", token),
        house.call(LEAD, "campaigner", body=f'{{"phone": "{noojee.global_key}"}}'.encode(), headers=JSON),
    ]
    assert len(replies) == 2 * len(FAULTS) + 8
    assert any(record["tag"] == "call.ended" for record in house.records_of(replies[-1]))

    places = {
        "the log": house.installation.log().encode(),
        "the replies": b"".join(reply.body + repr(reply.headers).encode() for reply in replies),
        "the list of processes": read_process_list(house),
    }
    for file in sorted(house.installation.data_dir.rglob("*")):
        if file.is_file():
            places[str(file.relative_to(house.installation.data_dir))] = file.read_bytes()
    assert "journal/worker-0/00000001.jsonl" in places

    assert [] == [
        f"{what} is in {place}"
        for place, content in places.items()
        for what, text in secrets.items()
        if any(form in content for form in render_forms(text))
    ]


def render_forms(text: str) -> list[bytes]:
    """
    A secret as it may stand somewhere.
    """
    raw = text.encode()
    return [raw, raw.upper(), raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1], raw.replace(b"-", b"%2D")]


def read_process_list(house: House) -> bytes:
    """
    What anybody on the machine sees of our processes.
    """
    pids = house.gateway.pids
    listed = ",".join(map(str, pids))
    seen = subprocess.run(["ps", "-ww", "-o", "args=", "-p", listed], capture_output=True, check=True).stdout
    assert len(pids) == 3 == seen.count(b" -m gateway.")
    for pid in pids:
        environment = Path(f"/proc/{pid}/environ")
        if environment.exists():
            seen += environment.read_bytes()
    return seen


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("reset_before", None),
        ("raw", "nonsense\r\n\r\n"),
        ("cut", 3),
        ("redirect", "https://127.0.0.1:9/"),
        ("nobody listens", None),
        ("the key was moved", None),
    ],
)
def test_no_error_of_the_way_up_shows_the_key(
    tmp_path: Path, noojee: Noojee, caplog: pytest.LogCaptureFixture, kind: str, value: object
) -> None:
    """
    Neither the error, nor any that it came from, nor a value that was at hand has a form that shows it.
    """
    caplog.set_level(logging.DEBUG)
    installation = Installation(tmp_path / "data", noojee.simulator)
    with open_trap() as gone:
        pass
    installation.set_up(url=f"https://127.0.0.1:{gone.port}" if kind == "nobody listens" else None)
    with Store.open(installation.data_dir / "gateway.db") as store:
        credential = load_snapshot(store).credentials["everything"]
    if kind == "the key was moved":
        credential = dataclasses.replace(credential, credential_id="another")
    elif kind != "nobody listens":
        noojee.break_next("*", kind, value)
    ring = Ring.load(installation.data_dir / "master.key")
    operation = load_catalogue().find_by_name("CallManagementAPI/start")
    assert operation is not None
    timeouts = Timeouts()
    request = UpstreamRequest(credential, operation, b"", [], b"", timeouts.for_call(operation, 0))
    upstreams = PooledUpstreams(ring=ring, timeouts=timeouts)

    async def send() -> None:
        try:
            await upstreams.send(request)
        finally:
            await upstreams.close()

    with pytest.raises(UpstreamError) as caught:
        asyncio.run(send())

    errors = find_chain(caught.value)
    shown = [f"{error!r} {error} {error.args!r}" for error in errors]
    shown += ["".join(traceback.format_exception(error)) for error in errors]
    shown += [repr(each) for each in (request, credential, ring, upstreams)]
    assert noojee.global_key not in "".join(shown) + caplog.text


def find_chain(error: BaseException | None) -> list[BaseException]:
    """
    An error and all that it came from, those that a traceback leaves out too.
    """
    if error is None:
        return []
    return [error, *find_chain(error.__cause__), *find_chain(error.__context__)]
