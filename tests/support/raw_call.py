"""
Bytes that no HTTP client would send, and the answer to them.
"""

from __future__ import annotations

import http.client
import socket

from installation import Response


def send_raw(port: int, *pieces: bytes, timeout: float = 10.0) -> Response | None:
    """
    What comes back for these bytes, written piece by piece; None when the connection is closed without an answer.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            return read_response(connection)
        except ConnectionError:
            return None


def read_response(connection: socket.socket) -> Response | None:
    """
    The answer to a POST that was written; None when the connection ends without one.
    """
    answer = http.client.HTTPResponse(connection, method="POST")
    try:
        answer.begin()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        answer.close()
