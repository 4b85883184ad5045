"""
Tracing that the process comes with: FastAPI exports queries to any tracer provider there is, and we let it have none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from installation import API
from leak_scanner import Scanner
from outputs import Outputs
from trap import open_trap

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation

RECORDER = """
import os
from opentelemetry import trace

class Tracer(trace.NoOpTracer):
    def _tell(self, *seen):
        with open(os.environ["RECORDED"], "a") as file:
            file.write(repr(seen) + "\\n")

    def start_span(self, name, *args, **more):
        self._tell(name, args, more)
        return super().start_span(name, *args, **more)

class Provider(trace.TracerProvider):
    def get_tracer(self, *args, **more):
        return Tracer()
"""
"""A tracer provider that writes down each span with its attributes, as an exporter would."""

APPLICATION = """
import asyncio
import fastapi

async def main():
    app = fastapi.FastAPI()
    sent = []
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": "/healthz", "raw_path": b"/healthz", "query_string": b"apiKey=TOKEN", "root_path": "",
             "headers": [(b"host", b"x")], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    await app(scope, receive, send)
    assert sent

asyncio.run(main())
"""
"""FastAPI as it is when nobody switches its tracing off."""


def create_environment(folder: Path, port: int) -> dict[str, str]:
    """
    A provider that Python finds by its entry point, and exporters that would go to a port of ours.
    """
    (folder / "recorder.py").write_text(RECORDER)
    (folder / "recorder-1.dist-info").mkdir()
    (folder / "recorder-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: recorder\nVersion: 1\n")
    (folder / "recorder-1.dist-info" / "entry_points.txt").write_text(
        "[opentelemetry_tracer_provider]\nrecorder = recorder:Provider\n"
    )
    return {
        "RECORDED": str(folder / "recorded"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "OTEL_PYTHON_TRACER_PROVIDER": "recorder",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,POST",
    }


def test_a_tracer_provider_hears_nothing_of_a_request(installation: Installation, tmp_path: Path) -> None:
    """
    Neither on the callers' port nor on the operators', while an application left as it comes tells it the query.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    outputs = Outputs()
    tracing = tmp_path / "tracing"
    tracing.mkdir()
    with open_trap() as trap:
        environment = create_environment(tracing, trap.port)
        with installation.serve(GATEWAY_LOG_LEVEL="debug", **environment) as gateway:
            for port in (gateway.port, gateway.admin_port):
                for target, method in (("/healthz", "GET"), ("/readyz", "GET"), ("/healthz", "PUT"), ("/x", "GET")):
                    outputs.add_response(
                        "health", gateway.call(f"{target}?apiKey={token}", token, method=method, port=port)
                    )
            assert 200 == gateway.call(f"{API}/start?extenOrUniqueId=410", token).status
        assert 0 == trap.connections
    outputs.add("log", installation.log())
    assert not (tracing / "recorded").exists()
    assert [] == Scanner({"token": token}).search(outputs)

    subprocess.run([sys.executable, "-c", APPLICATION], env={**os.environ, **environment}, check=True, timeout=30)

    assert "apiKey=TOKEN" in (tracing / "recorded").read_text()
