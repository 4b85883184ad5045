"""
The operators' port: the FastAPI application with the health paths, the details behind them, and the metrics.

Serves GET of these alone, without authentication, and names no caller; every change goes through the command line. Host
is checked, so that a page in an operator's browser cannot read it under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.logs import TELEMETRY_OFF
from gateway.metrics.exposition import MEDIA_TYPE, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi.telemetry import TelemetryConfig

    from gateway.metrics.samples import Samples
    from gateway.readiness import Readiness

__all__ = ["create_app"]

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


def create_app(
    readiness: Callable[[], Awaitable[Readiness]], metrics: Callable[[], Awaitable[Samples]], host_names: frozenset[str]
) -> FastAPI:
    """
    The application on the operators' port.

    Args:
        readiness: How the node is, now.
        metrics: The same in numbers.
        host_names: Names under which the port may be asked for, beside `localhost` and any IP address.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=cast("TelemetryConfig", TELEMETRY_OFF),
    )

    @app.middleware("http")
    async def check_host(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not _is_own_name(hosts[0], host_names):
            return JSONResponse({"error": "host_unknown"}, 400, headers=_HEADERS)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/healthz")
    async def tell_health() -> Response:
        return JSONResponse({"state": "ok"})

    @app.get("/readyz")
    async def tell_readiness() -> Response:
        now = await readiness()
        return JSONResponse({"state": now.state, **now.details}, status_code=200 if now.is_ready else 503)

    @app.get("/metrics")
    async def tell_metrics() -> Response:
        return Response(render(await metrics()), media_type=MEDIA_TYPE)

    @app.exception_handler(HTTPException)
    async def refuse(_request: Request, error: HTTPException) -> Response:
        word = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        return JSONResponse({"error": word}, error.status_code, headers=error.headers)

    return app


def _is_own_name(host: str, host_names: frozenset[str]) -> bool:
    written = _HOST.fullmatch(host)
    if written is None:
        return False
    name = written["v6"] or written["name"]
    if name.lower() in host_names or name.lower() == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True  # an address cannot be rebound to another
