"""
Logging to standard error: one line a record, for a person or, with the same fields, as JSON.

`serve`, `demo` and `simulate` log; a verb says what there is to say by its result or its error, and logs nothing.

Law 3 rests on it twice. The libraries that print URLs, in which a key or a token may stand, are kept at warnings at
every level. And of an exception only what cannot hold a secret is shown: where it was raised and its type; its text
only when it is an error of ours, or the system's word for an errno. Locals are never shown.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from gateway.clock import render_instant
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "HUMAN",
    "JSON",
    "TELEMETRY_OFF",
    "JsonFormatter",
    "LineFormatter",
    "configure_logging",
    "find_more_talkative",
    "quiet_logging",
    "render_exception",
    "render_trace",
]

HUMAN: Final = "human"
JSON: Final = "json"
"""The two forms of a line."""

QUIETED = (
    "alembic",
    "asyncio",
    "fastapi",
    "h11",
    "hpack",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
)
"""
Loggers kept at warnings whatever the level: they print URLs, statements, or news that the gateway tells itself.
"""

TELEMETRY_OFF: Final = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""
FastAPI's own telemetry, all of it off: with any global tracer provider it would export queries, where a token may be.
"""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """
    `2026-05-03T09:15:00.000001Z INFO gateway.serve the message name=value ...`, always one line.

    Fields are what was passed as `extra`; a text stands as a JSON string where it holds more than plain characters.
    """

    def format(self, record: logging.LogRecord) -> str:
        """
        The line, without a newline.
        """
        parts = [_render_at(record), record.levelname, record.name, _escape(record.getMessage())]
        parts += [f"{name}={_render_value(value)}" for name, value in _find_fields(record)]
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """
    One JSON object a line: `at`, `level`, `logger`, `message`, and the same fields as `LineFormatter` behind them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """
        The line, without a newline.
        """
        told = {
            "at": _render_at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # What every line has wins over a field of the same name: by it lines are found.
        return json.dumps(told | {name: value for name, value in _find_fields(record) if name not in told}, default=str)


def configure_logging(level: str, stream: TextIO | None = None, *, form: str = HUMAN) -> None:
    """
    Set up the process's logging; a second call replaces the first.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        stream: Where lines go; standard error when not given.
        form: `human` or `json`.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if form == JSON else LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a record that cannot be formatted would be printed raw, with its arguments
    for name in QUIETED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(logging.WARNING, root.level))
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.filters[:] = [_keep_first_line]
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def find_more_talkative(one: str, other: str) -> str:
    """
    Of two levels the one that shows more.
    """
    return min(one, other, key=lambda level: logging.getLevelNamesMapping()[level.upper()])


def quiet_logging() -> None:
    """
    For a process that does not log: show only what is critical, in our form.

    Python's own last resort would print warnings beside the one error of a verb, and of exceptions their texts.
    """
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LineFormatter())
        logging.lastResort.setLevel(logging.CRITICAL)


def render_exception(error: BaseException) -> str:
    """
    An exception's type, and its text where that cannot hold a secret.
    """
    name = type(error).__name__
    if isinstance(error, GatewayError):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def render_trace(error: BaseException) -> list[str]:
    """
    Where an exception came through, the outermost first: `gateway/cli/main.py:12 main`.
    """
    return [
        f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def _render_at(record: logging.LogRecord) -> str:
    return render_instant(datetime.fromtimestamp(record.created, UTC))


def _find_fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """
    What was passed as `extra`, and of an exception what may be shown.
    """
    fields = [(name, value) for name, value in vars(record).items() if name not in _STANDARD]
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields.append(("exception", render_exception(error)))
        fields.append(("trace", " < ".join(reversed(render_trace(error)))))
    return fields


def _render_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    plain = text.isascii() and text.isprintable() and text and not set(text) & {" ", '"', "="}
    return text if plain or not isinstance(value, str) else json.dumps(value)


def _escape(text: str) -> str:
    """
    Control characters as escapes, so that nothing logged can look like another line or move a terminal's cursor.
    """
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')


def _keep_first_line(record: logging.LogRecord) -> bool:
    # asyncio appends the repr of the task to its message, and with it the text of the exception.
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("gateway").critical("an exception was not caught", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None:
        _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
