"""
The command line's one door: words in, an exit code out.

Exit codes: 0 done, 1 refused or failed, 2 the words make no command, 70 an error of ours (EX_SOFTWARE in sysexits(3)).
This is an edge: it catches everything, and shows of an unexpected exception its type alone (law 3).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.cli.output import print_error
from gateway.cli.parser import Parser, UsageError
from gateway.cli.streams import flush_output, open_streams
from gateway.errors import EXIT_UNEXPECTED, OperatorError, OperatorReason, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.settings.model import Settings

__all__ = ["create_parser", "main"]

_MODULES = {
    "init": "init",
    "upstream": "upstream",
    "credential": "credential",
    "caller": "caller",
    "grant": "grant",
    "token": "token",
    "explain": "explain",
    "operations": "operations",
    "serve": "planes",
    "demo": "planes",
    "simulate": "planes",
    "audit": "audit",
    "check": "check",
    "master-key": "master_key",
    "apply": "apply",
    "export-config": "export_config",
    "migrate": "migrate",
    "restart": "restart",
}
"""
The first word of a command -> the file here that declares it; in the order in which the help shows them.
"""

_UNTIL_ENDED = frozenset({"serve", "demo", "simulate"})
_INTERRUPTED = 130  # 128 + SIGINT, as shells tell it


def main(argv: Sequence[str] | None = None) -> int:
    """
    Carry out one command line.

    Args:
        argv: The words after the command's name; those of the process when not given.

    Returns:
        The exit code.
    """
    if argv is None:
        # What is in memory at the end goes with the process. Unless it is set aside, the interpreter collects it first,
        # module by module, which takes a fifth of a verb's whole time.
        atexit.register(gc.freeze)
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None and words[:1] and words[0] in _UNTIL_ENDED:
        _end_when_told()
    as_json = "--json" in words
    os.umask(0o077)  # whatever a verb makes is its owner's alone
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a login may hold what this terminal cannot show
    try:
        open_streams()
        code = _run(words)
        flush_output()
    except (UsageError, OperatorError, StorageError) as error:
        return _tell_refusal(error, as_json=as_json)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has left, as `head` does. What is still buffered goes nowhere, or Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the edge; what it caught is told below
        _print_unexpected(error, as_json=as_json)
        return EXIT_UNEXPECTED
    return code


def _end_when_told() -> None:
    """
    Until a verb that runs until it is told to end hears its signals itself: it has made nothing yet, and ends with 0.
    """
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(0))


def create_parser(words: Sequence[str] = ()) -> Parser:
    """
    The command line: all of it, or for words that begin as a command of ours does, only what they can mean.
    """
    parser = Parser(
        prog="noojee-gateway",
        description="Local tokens in, Noojee's keys out, and every call on record.",
        epilog="Each noun and verb has a --help. To see it all work on this machine: noojee-gateway demo",
    )
    parser.add_argument("--version", action="version", version=f"noojee-gateway {__version__}")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND")
    reached = _MODULES.get(words[0]) if words else None
    for name in dict.fromkeys(_MODULES.values()) if reached is None else (reached,):
        importlib.import_module(f"gateway.cli.{name}").add_parser(nouns)
    return parser


def _run(words: Sequence[str]) -> int:
    parser = create_parser(words)
    if not all(_is_text(word) for word in words):
        parser.error("the words of a command must be UTF-8")
    try:
        args = parser.parse_command(words)
    except SystemExit:
        return 0  # --help and --version; wrong words raise UsageError
    code: int = args.run(args, _load_settings)
    return code


def _is_text(word: str) -> bool:
    """
    False for what was not UTF-8 and reached us with lone surrogates (PEP 383).
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _load_settings() -> Settings:
    from gateway.logs import quiet_logging
    from gateway.settings.sources import load_settings  # pydantic costs more than the rest of a usage error

    quiet_logging()
    return load_settings()


def _tell_refusal(error: UsageError | OperatorError | StorageError, *, as_json: bool) -> int:
    match error:
        case UsageError():
            print_error(OperatorReason.USAGE, error.detail, as_json=as_json, usage=error.usage)
            return 2
        case OperatorError():
            print_error(error.reason, error.detail, as_json=as_json)
        case StorageError():
            print_error(OperatorReason.JOURNAL_UNAVAILABLE, error.detail, as_json=as_json)
    return 1


def _print_unexpected(error: Exception, *, as_json: bool) -> None:
    from gateway.logs import render_exception, render_trace

    if os.environ.get("GATEWAY_LOG_LEVEL") == "debug":
        sys.stderr.write("".join(f"  {line}\n" for line in render_trace(error)))
    print_error(OperatorReason.INTERNAL, f"unexpected error: {render_exception(error)}", as_json=as_json)
