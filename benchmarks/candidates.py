"""
What is compared: nothing in between, nginx, our gateway, a FastAPI one-pager, LiteLLM's proxy.

All of them stand before the same upstream, verify its certificate, take the same 200 tokens in turn and run on the same
core. They run side by side and idle while they are not measured, so that rounds can alternate; LiteLLM, which has work
of its own even then, is started alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import running, wait_for
from benchmarks.machine import ROOT, find_free_port
from benchmarks.nginx_server import answers, nginx_gateway
from benchmarks.range import Candidate, Tally
from benchmarks.wrk import render_request, write_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.node import Installation, Node
    from benchmarks.range import Range

__all__ = [
    "DIRECT",
    "LITELLM",
    "NGINX",
    "NOTES",
    "ONE_PAGER",
    "OURS",
    "direct",
    "litellm",
    "nginx",
    "one_pager",
    "ours",
]

OURS = "noojee-gateway"
DIRECT = "direct"
NGINX = "nginx"
ONE_PAGER = "FastAPI + httpx2"
LITELLM = "LiteLLM"
NOTES = {
    DIRECT: "nothing in between",
    NGINX: "access log, no record",
    OURS: "each call on disk first",
    ONE_PAGER: "no record",
    LITELLM: "pass-through, no record",
}
"""What each does for its figures, in a few words."""

_TARGET = "/servicemanager/rest/CallManagementAPI/stop?extenOrUniqueId=410"
_LITELLM_COMMAND = ROOT / ".venv-bench" / "bin" / "litellm"
_START_SECONDS = 30.0
_LITELLM_START_SECONDS = 90.0


def direct(place: Range) -> Candidate:
    """
    The load generator on the upstream itself.
    """
    target = _TARGET.replace("?", f"?apiKey={place.upstream.key}&")
    path = place.folder / "direct.requests"
    write_requests(path, [render_request(target, host=f"127.0.0.1:{place.upstream.port}", token=None)])
    return Candidate(DIRECT, place.upstream.url, path, place.upstream.tree)


@contextlib.contextmanager
def nginx(place: Range, program: str, tokens: Sequence[str]) -> Iterator[Candidate]:
    """
    The equivalent gateway with the same tokens.
    """
    folder = place.folder / "nginx"
    with nginx_gateway(program, folder, core=place.cores.gateway, upstream=place.upstream, tokens=list(tokens)) as made:
        port, child = made
        yield Candidate(NGINX, _url(port), write_calls(place, NGINX, port, tokens), child.tree)


def ours(place: Range, node: Node, installation: Installation, name: str = OURS) -> Candidate:
    """
    A gateway that serves already.
    """
    requests = write_calls(place, name, node.port, installation.tokens)
    return Candidate(name, _url(node.port), requests, node.child.tree, Tally())


@contextlib.contextmanager
def one_pager(place: Range, tokens: Sequence[str]) -> Iterator[Candidate]:
    """
    one_pager.py, with the packages that our gateway has.
    """
    port = find_free_port()
    tokens_file = place.folder / "one-pager.tokens"
    tokens_file.write_text("\n".join(tokens))
    environment = {
        **os.environ,
        "NOOJEE_URL": place.upstream.url,
        "NOOJEE_CA": str(place.upstream.ca_file),
        "NOOJEE_KEY": place.upstream.key,
        "TOKENS": str(tokens_file),
    }
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        Path(__file__).parent,
        "one_pager:app",
        "--port",
        str(port),
    ]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    log = place.folder / "one-pager.log"
    with running(command, core=place.cores.gateway, log=log, environment=environment) as child:
        wait_for(lambda: answers(port), f"the one-pager listens: see {log}", _START_SECONDS)
        yield Candidate(ONE_PAGER, _url(port), write_calls(place, "one-pager", port, tokens), child.tree)


@contextlib.contextmanager
def litellm(place: Range) -> Iterator[Candidate | None]:
    """
    LiteLLM's proxy with a pass-through endpoint, or None where its environment could not be made.

    It has no tokens of its own here (that takes its database), so it is asked less than the others are.
    """
    if not _LITELLM_COMMAND.exists():
        yield None
        return
    port = find_free_port()
    path = _TARGET.partition("?")[0]
    endpoint = {
        "path": path,
        "target": f"{place.upstream.url}{path}",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    }
    configuration = place.folder / "litellm.yaml"
    # JSON is YAML.
    configuration.write_text(json.dumps({"general_settings": {"pass_through_endpoints": [endpoint]}}))
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(place.upstream.ca_file),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
        "NO_PROXY": "*",
    }
    command: list[str | Path] = [
        _LITELLM_COMMAND,
        "--config",
        configuration,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--telemetry",
        "False",
    ]
    log = place.folder / "litellm.log"
    with running(command, core=place.cores.gateway, log=log, environment=environment) as child:
        wait_for(lambda: answers(port), f"LiteLLM listens: see {log}", _LITELLM_START_SECONDS)
        target = _TARGET.replace("?", f"?apiKey={place.upstream.key}&")
        requests = place.folder / "litellm.requests"
        write_requests(requests, [render_request(target, host=f"127.0.0.1:{port}", token=None)])
        yield Candidate(LITELLM, _url(port), requests, child.tree)


def write_calls(
    place: Range, name: str, port: int, tokens: Sequence[str], *, target: str = _TARGET, body: bytes = b""
) -> Path:
    """
    A call with each of the tokens, for wrk to send in turn.
    """
    path = place.folder / f"{name}.requests"
    content_type = "application/json" if body else ""
    host = f"127.0.0.1:{port}"
    calls = [render_request(target, host=host, token=token, body=body, content_type=content_type) for token in tokens]
    write_requests(path, calls)
    return path


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
