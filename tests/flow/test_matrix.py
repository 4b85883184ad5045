"""
The matrix: token state, key kind, operation and rule, some thousands of calls through the door of one gateway.

What must come of each is written by hand in `matrix.csv`, from the contract and the API's documents; the operations are
in `matrix_operations.csv`. Nothing of the gateway is imported: it is set up by its command line, called over HTTP, and
what reached Noojee is read from the simulator.

A row of a valid token stands for three ways of sending: the Authorization header and the query, X-API-Key and a form,
`apiKey` in the query. A grant is written `KEY[@GLOB][?RULE[&RULE]][!]`, the `!` for unique ids.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from matrix_table import Case, Row, expand, find_fault, read_operations, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"
THREADS = 4


def grant_words(caller: str, grant: str) -> list[str]:
    """
    The command line of a grant.
    """
    head, _, rules = grant.rstrip("!").partition("?")
    key, _, glob = head.partition("@")
    words = ["grant", "add", caller, "--json", "--credential", key, "--operations", glob or "*"]
    for rule in rules.split("&") if rules else []:
        words += ["--param", rule]
    return [*words, "--allow-unique-ids"] if grant.endswith("!") else words


def run_verbs(folder: Path, orders: Sequence[tuple[Sequence[str], str]]) -> list[tuple[int, str, str]]:
    """
    Command lines, one after the other, on the data folder `data` in a folder.
    """
    lines = [json.dumps({"words": list(words), "stdin": stdin}) for words, stdin in orders]
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "verb_batch.py"), str(folder)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in map(json.loads, done.stdout.splitlines())]


def set_up(folder: Path, ready: dict[str, Any], cases: Sequence[Case], rows: Sequence[Row]) -> dict[str, str]:
    """
    Upstream, credentials, callers with their grants, tokens in all their states. Returns the tokens by caller.
    """
    orders: list[tuple[list[str], str]] = [
        (["init"], ""),
        (["upstream", "add", "noojee", "--url", ready["url"], "--ca-file", ready["ca_file"]], ""),
        (
            ["credential", "add", "global", "--upstream", "noojee", "--kind", "global"],
            Path(ready["global_key_file"]).read_text(),
        ),
        (
            ["credential", "add", "user", "--upstream", "noojee", "--kind", "user", "--owner", "alice"],
            Path(ready["user_keys"]["alice"]).read_text(),
        ),
    ]
    issued: dict[int, str] = {}
    for caller, row in {case.caller: case.row for case in cases}.items():
        words = ["caller", "add", caller]
        words += ["--from", "192.0.2.0/24"] if row.token == "elsewhere" else []
        words += ["--no-query-token"] if row.token in {"query-forbidden", "query-beside-header"} else []
        orders += [(words, ""), *((grant_words(caller, grant), "") for grant in row.grants)]
        issued[len(orders)] = caller
        orders.append((["token", "issue", caller, *(["--expires", "1s"] if row.token == "expired" else [])], ""))
    done = run_verbs(folder, orders)
    assert not [(words, told) for (words, _), told in zip(orders, done, strict=True) if told[0] != 0]
    tokens = {caller: done[place][1].strip() for place, caller in issued.items()}
    end_tokens(folder, cases, tokens)
    refuse_grants(folder, rows)
    return tokens


def end_tokens(folder: Path, cases: Sequence[Case], tokens: dict[str, str]) -> None:
    """
    Revoke, disable and remove what is to be so.
    """
    orders: list[tuple[list[str], str]] = []
    for caller, state in {case.caller: case.row.token for case in cases}.items():
        if state == "revoked":
            orders.append((["token", "revoke", tokens[caller].split("_")[1]], ""))
        elif state == "disabled":
            orders.append((["caller", "disable", caller], ""))
        elif state == "removed":
            orders.append((["caller", "remove", caller], ""))
    assert [0] * len(orders) == [code for code, _, _ in run_verbs(folder, orders)]


def refuse_grants(folder: Path, rows: Sequence[Row]) -> None:
    """
    Those rows whose grant the command line must not take.
    """
    refused = [row for row in rows if row.status == "refused-at-grant"]
    orders: list[tuple[list[str], str]] = [(["caller", "add", "refused"], "")]
    orders += [(grant_words("refused", row.grants[0]), "") for row in refused]
    done = run_verbs(folder, orders)[1:]
    told = {
        row.number: (code, json.loads(err)["error"]["reason"])
        for row, (code, _, err) in zip(refused, done, strict=True)
    }

    assert {row.number: (1, "invalid") for row in refused} == told


def check_digits(stem: str) -> str:
    """
    The last part of a token: the CRC-32 of what stands before its underscore, in base 62 (contract section 3).
    """
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, text = zlib.crc32(stem.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        text = digits[rest] + text
    return text.rjust(6, "0")


def carry(case: Case, token: str, held_key: str) -> tuple[dict[str, str], list[str]]:
    """
    The headers and the query items that carry a token in a state.
    """
    unknown = "njg_" + "0" * 12 + "_" + "1" * 32
    unknown += "_" + check_digits(unknown)
    bearer = {"Authorization": f"Bearer {token}"}
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    by_state: dict[str, tuple[dict[str, str], list[str]]] = {
        "missing": ({}, []),
        "basic": ({"Authorization": f"Basic {token}"}, []),
        "malformed": ({"Authorization": f"Bearer {wrong}"}, []),
        "unknown": ({"Authorization": f"Bearer {unknown}"}, []),
        "uuid": ({"X-API-Key": "00000000-0000-4000-8000-000000000000"}, []),
        "held-key": ({}, [f"apiKey={held_key}"]),
        "two-tokens": ({**bearer, "X-API-Key": unknown}, []),
        "key-beside-token": (bearer, [f"apiKey={held_key}"]),
        "query-forbidden": ({}, [f"apiKey={token}"]),
        "query-beside-header": (bearer, [f"apiKey={token}"]),
        "same-twice": ({**bearer, "X-API-Key": token}, []),
    }
    if case.row.token in by_state:
        return by_state[case.row.token]
    by_carrier: dict[str, tuple[dict[str, str], list[str]]] = {
        "authorization": (bearer, []),
        "x-api-key": ({"X-API-Key": token}, []),
        "query": ({}, [f"apiKey={token}"]),
    }
    return by_carrier[case.carrier]


def send(connection: http.client.HTTPConnection, number: int, case: Case, token: str, held_key: str) -> None:
    """
    Make one call; `Accept-Language`, which goes up as it is, tells its number at Noojee.
    """
    headers, items = carry(case, token, held_key)
    headers["Accept-Language"] = f"case-{number}"
    body = None
    if case.carrier == "x-api-key":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = case.parameters.encode()
    elif case.parameters:
        items = [*items, case.parameters]
    connection.request("POST", case.operation.path + ("?" + "&".join(items) if items else ""), body, headers)
    response = connection.getresponse()
    case.status, case.body = response.status, response.read()
    case.headers = {name.lower(): value for name, value in response.getheaders()}


def send_all(port: int, cases: Sequence[Case], tokens: dict[str, str], held_key: str) -> None:
    """
    Make all calls, over a few connections that are kept.
    """
    broken: list[Exception] = []

    def run(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            for number in range(first, len(cases), THREADS):
                send(connection, number, cases[number], tokens[cases[number].caller], held_key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == broken


@contextmanager
def started(folder: Path, *words: str, **settings: str) -> Iterator[dict[str, Any]]:
    """
    A long-lived verb as a process; what it says when it is ready.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    with (folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *words],
            cwd=folder,
            env=environment | settings,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / f"{words[0]}.log").read_text()
        yield json.loads(line)
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(20)


def read_arrivals(ready: dict[str, Any]) -> dict[int, list[str]]:
    """
    The targets that reached Noojee, by the number of the case.
    """
    context = ssl.create_default_context(cafile=ready["ca_file"])
    connection = http.client.HTTPSConnection(urlsplit(ready["url"]).netloc, context=context, timeout=20)
    connection.request("GET", "/simulator/requests")
    requests = json.loads(connection.getresponse().read())
    connection.close()
    arrivals: dict[int, list[str]] = defaultdict(list)
    for request in requests:
        headers = {name.lower(): value for name, value in request["headers"]}
        arrivals[int(headers["accept-language"].removeprefix("case-"))].append(request["target"])
    return arrivals


def test_the_table_is_whole() -> None:
    """
    All 27 operations stand in it, and each is both allowed and denied somewhere.
    """
    operations = read_operations(HERE)
    rows = read_rows(HERE, operations)
    allowed = {each.name for row in rows if not row.is_denied for each in row.operations}
    denied = {each.name for row in rows if row.is_denied for each in row.operations}
    names = {each.name for each in operations if each.name != "-"}

    assert 27 == len(names)
    assert names <= denied
    assert {each.name for each in operations if each.groups & {"system", "campaign"}} <= allowed
    assert {each.name for each in operations if "unserved" in each.groups}.isdisjoint(allowed)


@pytest.mark.timeout(120)
def test_every_case_is_what_the_table_says(tmp_path: Path) -> None:
    """
    Status, reason, whether it reached Noojee, with which key, and with exactly the bytes that the caller sent.
    """
    operations = read_operations(HERE)
    rows = read_rows(HERE, operations)
    cases = expand(rows)
    with started(tmp_path, "simulate", "--json", "--port", "0", "--data-dir", str(tmp_path / "noojee")) as noojee:
        tokens = set_up(tmp_path, noojee, cases, rows)
        keys = {
            "GLOBAL": Path(noojee["global_key_file"]).read_text().strip(),
            "USER": Path(noojee["user_keys"]["alice"]).read_text().strip(),
        }
        with started(tmp_path, "serve", "--json", GATEWAY_PORT="0", GATEWAY_ADMIN_PORT="0") as gateway:
            wait_for_expiry(tmp_path, cases)
            send_all(urlsplit(gateway["callers"]).port or 0, cases, tokens, keys["GLOBAL"])
        arrivals = read_arrivals(noojee)
    faults = {
        f"matrix.csv:{case.row.number} {case.operation.name} {case.operation.path} by {case.carrier}: {fault}"
        for number, case in enumerate(cases)
        if (fault := find_fault(case, arrivals.get(number, ()), keys)) is not None
    }

    assert set() == faults
    assert len(cases) > 2000


def wait_for_expiry(folder: Path, cases: Sequence[Case]) -> None:
    """
    Until the tokens of one second are over, as the command line tells it.
    """
    callers = [case.caller for case in cases if case.row.token == "expired"]
    until = time.monotonic() + 10
    for caller in dict.fromkeys(callers):
        states = [""]
        while states != ["expired"]:
            assert time.monotonic() < until
            ((_, out, _),) = run_verbs(folder, [(["token", "list", caller, "--json"], "")])
            states = [each["state"] for each in json.loads(out)]
