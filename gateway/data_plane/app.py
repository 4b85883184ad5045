"""
What is not Noojee's on the callers' port: the FastAPI application with the two health paths.

Says one word and names nothing: whoever reaches the callers' port may ask. Documentation pages, redirects and telemetry
are off, the last because it would export queries, where a token may be (law 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from gateway.data_plane.problem import render
from gateway.errors import Reason
from gateway.logs import TELEMETRY_OFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi.telemetry import TelemetryConfig

    from gateway.readiness import Readiness

__all__ = ["create_app"]


def create_app(readiness: Callable[[], Readiness]) -> FastAPI:
    """
    The application behind the door.

    Args:
        readiness: How the node is, now.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=cast("TelemetryConfig", TELEMETRY_OFF),
    )

    @app.api_route("/healthz", methods=["GET", "HEAD"])
    async def tell_health() -> Response:
        return PlainTextResponse("ok")

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def tell_readiness() -> Response:
        now = readiness()
        return PlainTextResponse(now.state, status_code=200 if now.is_ready else 503)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, _error: HTTPException) -> Response:
        # Only these two paths come here, so all that is left to get wrong is the method.
        status, _, body = render(Reason.METHOD_NOT_ALLOWED, request.state.request_id, "Health is asked with GET.")
        return Response(body, status, media_type="application/problem+json", headers={"Allow": "GET, HEAD"})

    return app
