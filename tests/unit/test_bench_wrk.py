"""
What the load generator is given and what it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.wrk import Load, parse_result, render_request, write_requests

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT = """\
Running 8s test @ http://127.0.0.1:34567
  1 threads and 32 connections
result {"requests":120000,"duration_us":8000000,"bytes":20000000,"p50_us":1700,"p90_us":2500,"p99_us":3900,\
"max_us":9000,"connect_errors":1,"read_errors":2,"write_errors":3,"status_errors":4,"timeouts":5}
"""


def test_a_result_is_read_from_among_wrks_own_lines() -> None:
    """
    Every kind of failure counts, also those that wrk itself does not call errors.
    """
    load = parse_result(OUTPUT)

    assert Load(120_000, 8.0, 1700, 2500, 3900, 9000, failures=15) == load
    assert load.per_second == 15_000


def test_wrk_that_tells_no_result_is_an_error_with_what_it_said() -> None:
    """
    As when nobody listens.
    """
    with pytest.raises(ValueError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:9 Connection refused\n")


def test_a_request_is_whole() -> None:
    """
    One Host, one length, the token and the body as they are.
    """
    request = render_request("/a?b=c", host="h:1", token="njg_x", body=b"{}", content_type="application/json")

    expected = b"POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer njg_x\r\n"
    assert expected + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" == request
    assert render_request("/a", host="h:1", token=None) == b"POST /a HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n"


def test_requests_are_written_with_their_lengths(tmp_path: Path) -> None:
    """
    So that a body may hold anything, newlines too.
    """
    write_requests(tmp_path / "requests", [b"one\n", b"", b"three"])

    assert (tmp_path / "requests").read_bytes() == b"4\none\n0\n5\nthree"
