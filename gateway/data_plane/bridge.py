"""
The one place where the door speaks ASGI: the health paths, which the FastAPI application behind it serves.

Everything that application answers is short, so it is collected and sent whole; calls never come this way (a FastAPI
path operation costs 63 us where the whole door costs 13 to 19, docs/decisions/0002-the-callers-door.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call

__all__ = ["Application", "serve"]

_Message = MutableMapping[str, Any]
Application = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]
"""An ASGI 3 application."""


async def serve(application: Application, call: Call, answer: Answer) -> None:
    """
    Let the application answer the call. If it ends without an answer, so does this.
    """
    status = 500
    headers: list[tuple[bytes, bytes]] = []
    pieces: list[bytes] = []
    body_was_read = False

    async def receive() -> _Message:
        nonlocal body_was_read
        if body_was_read:
            await call.wait_until_left()
            return {"type": "http.disconnect"}
        body_was_read = True
        return {"type": "http.request", "body": await call.body(), "more_body": False}

    async def send(message: _Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                await answer.send(status, headers, b"".join(pieces))

    await application(_render_scope(call), receive, send)


def _render_scope(call: Call) -> _Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": call.http_version,
        "method": call.method,
        "scheme": "http",  # nothing behind the health paths builds a URL
        "path": call.path.decode("ascii"),  # only the two exact paths come here, and they hold nothing to decode
        "raw_path": call.path,
        "query_string": call.query,
        "root_path": "",
        "headers": list(call.headers.pairs),
        "client": (call.peer, 0),
        "state": {"request_id": call.request_id},
        "server": None,
    }
