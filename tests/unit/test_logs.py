"""
What a log line may show.
"""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.logs import JSON, QUIETED, configure_logging, render_exception

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """
    Where the lines go, with debug logging on; everything is put back afterwards.
    """
    root = logging.getLogger()
    kept = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, logging.raiseExceptions)
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    lines = io.StringIO()
    configure_logging("debug", lines)
    yield lines
    root.handlers[:], root.level, sys.excepthook, threading.excepthook, logging.raiseExceptions = kept
    logging.getLogger("asyncio").filters.clear()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_record_is_one_line_with_its_fields(stream: io.StringIO) -> None:
    """
    Instant, level, logger, message, then `extra` as name=value, quoted where it is not plain.
    """
    logging.getLogger("gateway.x").info("it is %s", "so", extra={"port": 8080, "node": "a b", "caller": "crm"})

    at, _, rest = stream.getvalue().partition(" ")

    assert 'INFO gateway.x it is so port=8080 node="a b" caller=crm\n' == rest
    assert at.endswith("Z")


def test_a_line_cannot_be_forged(stream: io.StringIO) -> None:
    """
    Newlines and control characters in what is logged are escaped.
    """
    logging.getLogger("gateway").warning("a\nb\x1b[2J", extra={"caller": "x\ny", "odd": ["z\n"]})

    assert 1 == stream.getvalue().count("\n")
    assert r"a\nb\u001b[2J" in stream.getvalue()


def test_json_has_the_same_fields_and_is_one_line(stream: io.StringIO) -> None:
    """
    Values keep their types; nothing that is logged can begin another line.
    """
    configure_logging("debug", stream, form=JSON)
    logging.getLogger("gateway.x").info("it\nis %s", "so", extra={"port": 8080, "node": "a\u2028b", "caller": None})

    (line,) = stream.getvalue().splitlines()

    told = json.loads(line)
    assert str(told.pop("at")).endswith("Z")
    assert {
        "level": "INFO",
        "logger": "gateway.x",
        "message": "it\nis so",
        "port": 8080,
        "node": "a\u2028b",
        "caller": None,
    } == told


def test_no_field_takes_the_place_of_what_every_json_line_has(stream: io.StringIO) -> None:
    """
    Whoever looks for errors looks at `level`.
    """
    configure_logging("debug", stream, form=JSON)
    logging.getLogger("gateway").info("told", extra={"level": "ERROR", "at": "never", "logger": "another"})

    told = json.loads(stream.getvalue())

    assert ("INFO", "gateway") == (told["level"], told["logger"])
    assert "never" != told["at"]


@pytest.mark.parametrize("form", ["human", "json"])
def test_both_forms_show_of_an_exception_its_type_and_place_alone(stream: io.StringIO, form: str) -> None:
    """
    Never its text.
    """
    configure_logging("debug", stream, form=form)
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        logging.getLogger("gateway").exception("it broke")

    assert SECRET not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()
    assert "test_both_forms_show" in stream.getvalue()
    assert 1 == stream.getvalue().count("\n")


def test_what_prints_urls_is_silent_at_debug(stream: io.StringIO) -> None:
    """
    The HTTP client logs its URL at INFO, and the key stands in it; the server's access log has the caller's query.
    """
    for name in QUIETED:
        logging.getLogger(name).info("GET https://noojee/?apiKey=%s", SECRET)
        logging.getLogger(f"{name}.child").debug("%s", SECRET)
    logging.getLogger("httpx2").warning("a warning")

    assert SECRET not in stream.getvalue()
    assert "WARNING httpx2 a warning" in stream.getvalue()


def test_an_exception_shows_its_type_and_place_and_neither_text_nor_locals(stream: io.StringIO) -> None:
    """
    Libraries put URLs and rows into exception texts; only ours and the system's words are known to be clean.
    """
    try:
        held = SECRET
        raise RuntimeError(held)
    except RuntimeError:
        logging.getLogger("gateway").exception("it broke")

    assert SECRET not in stream.getvalue()
    assert "exception=RuntimeError" in stream.getvalue()
    assert "test_an_exception_shows" in stream.getvalue()


def test_an_uncaught_exception_in_a_thread_shows_no_text(stream: io.StringIO) -> None:
    """
    Python's own hook would print the traceback with the exception's text.
    """

    def fail() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(SECRET), None)

    assert SECRET not in stream.getvalue()
    assert 2 == stream.getvalue().count("CRITICAL gateway an exception was not caught exception=ValueError")


def test_asyncio_shows_no_repr_of_a_task(stream: io.StringIO) -> None:
    """
    Its default handler appends the task's repr, in which the exception's text stands.
    """
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task %s>", SECRET)

    assert stream.getvalue().endswith("ERROR asyncio Task exception was never retrieved\n")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StorageError("the disk is full"), "StorageError: the disk is full"),
        (OSError(28, "No space left on device", f"/x/{SECRET}"), "OSError: No space left on device"),
        (OSError(SECRET), "OSError"),
        (KeyError(SECRET), "KeyError"),
    ],
)
def test_only_texts_that_cannot_hold_a_secret_are_rendered(error: Exception, expected: str) -> None:
    """
    Errors of ours and the system's words; of every other exception the type.
    """
    assert expected == render_exception(error)


def test_a_verb_shows_only_what_is_critical_and_no_exceptions_text() -> None:
    """
    Without a handler Python's last resort would print warnings, and exceptions whole.
    """
    script = (
        "import logging; from gateway.logs import quiet_logging; quiet_logging()\n"
        "try: raise RuntimeError('" + SECRET + "')\n"
        "except RuntimeError:\n"
        "    logging.getLogger('a').exception('not shown')\n"
        "    logging.getLogger('b').critical('stopped', exc_info=True)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "CRITICAL b stopped exception=RuntimeError" in done.stderr
    assert 1 == done.stderr.count("\n")
    assert SECRET not in done.stderr
