"""
`check`: what stands between this gateway and a working call, in plain words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.output import print_value
from gateway.cli.parser import add_verb
from gateway.cli.streams import write_output
from gateway.errors import OperatorError

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader
    from gateway.diagnosis.finding import Finding
    from gateway.settings.model import Settings

__all__ = ["add_parser"]

_MARKS = {True: "ok", False: "FAILED", None: "-"}


def add_parser(nouns: Nouns) -> None:
    """
    Declare the command.
    """
    check = add_verb(
        nouns,
        "check",
        _check,
        summary="Look at everything that a call needs, and say what is wrong and what to do.",
        explanation="From the settings on to Noojee's answer, with or without a running gateway. What is sent is Time, "
        "which needs no key; with --with-key also one operation that reads, with each key. Both are on the journal. "
        "The exit code is 1 when one check failed.",
        examples=["noojee-gateway check", "noojee-gateway check --with-key --json"],
    )
    check.add_argument("--with-key", action="store_true", help="try each key with one operation that reads")


def _check(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    findings = _find(load_settings, with_key=args.with_key)
    if args.json:
        print_value([finding.as_json() for finding in findings])
    else:
        write_output("".join(map(_render, findings)))
    return 1 if any(finding.ok is False for finding in findings) else 0


def _find(load_settings: SettingsLoader, *, with_key: bool) -> list[Finding]:
    from gateway.administration.checkup import NETWORK_CHECKS, check_installation, skip
    from gateway.administration.checkup_files import tell_error
    from gateway.cli.timeouts import create_timeouts
    from gateway.clock import SystemClock
    from gateway.diagnosis.finding import Check, Finding

    try:
        settings = load_settings()
        _check_serving(settings)
    except OperatorError as error:
        wrong = tell_error(Check.SETTINGS, error)
        return [wrong, *skip(Check.FILES, Check.REGISTRY, Check.JOURNAL, *NETWORK_CHECKS)]
    return [
        Finding(Check.SETTINGS, True, "The settings can be read, and serve can start with them."),
        *check_installation(
            data_dir=settings.data_dir,
            run_dir=settings.run_dir,
            master_key_file=settings.master_key_file,
            node=settings.node,
            clock=SystemClock(),
            timeouts=create_timeouts(settings),
            with_key=with_key,
        ),
    ]


def _check_serving(settings: Settings) -> None:
    """
    What `serve` asks of its settings.

    Raises:
        OperatorError: They do not do.
    """
    from gateway.administration.data_folder import check_listening, check_reserve, check_run_dir

    check_run_dir(settings.run_dir)
    check_listening(settings)
    check_reserve(settings.data_dir, settings.journal_reserve)


def _render(finding: Finding) -> str:
    text = f"{_MARKS[finding.ok]:<7} {finding.check.value:<10} {finding.detail}\n"
    return text + (f"{'':<19}{finding.advice}\n" if finding.advice else "")
