"""
How words become a verb and its arguments, and what a wrong word gets.

Law 3: what cannot be understood is not repeated. Someone who writes a key after an unknown flag must not find it in the
log of the shell that ran the command.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from gateway.settings.model import Settings

    Nouns: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name

__all__ = [
    "Handler",
    "Parser",
    "SettingsLoader",
    "UsageError",
    "add_noun",
    "add_verb",
    "parse_expiry",
    "parse_overlap",
]

SettingsLoader: TypeAlias = "Callable[[], Settings]"
Handler: TypeAlias = Callable[[argparse.Namespace, SettingsLoader], int]
"""
What a verb does: from its arguments and a way to read settings to an exit code.
"""

_REPEATED = re.compile(r"(invalid choice|invalid \w+ value|ignored explicit argument):? (?:'[^']*'|\"[^\"]*\")")
"""
Where argparse repeats a word that it does not understand.
"""


class UsageError(Exception):
    """
    The words make no command.

    Args:
        detail: What is wrong, in one sentence.
        usage: How the verb is written; None when the whole help was asked for by saying nothing.
    """

    def __init__(self, detail: str, usage: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.usage = usage


_NOUN_WIDTH = len("    export-config")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """
    Texts as they were written, and a column wide enough for our longest noun.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)

    def add_argument(self, action: argparse.Action) -> None:
        """
        Measure an argument, and leave room for our nouns: Python before 3.13 forgets their indentation.
        """
        super().add_argument(action)
        self._action_max_length = max(self._action_max_length, _NOUN_WIDTH)


class Parser(argparse.ArgumentParser):
    """
    argparse without abbreviations, that raises `UsageError` and never ends the process over a wrong word.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)  # type: ignore[arg-type]  # handed on as they came

    def error(self, message: str) -> NoReturn:
        """
        Raises `UsageError`, always: what argparse calls when it cannot go on.
        """
        told = _REPEATED.sub(r"\1", message)
        raise UsageError(f"{told[:1].upper()}{told[1:]}.", self.format_usage())

    def parse_command(self, words: Sequence[str]) -> argparse.Namespace:
        """
        The arguments of a verb.

        Raises:
            UsageError: With the usage of the noun or verb that was reached.
        """
        args, extras = self.parse_known_args(words)
        reached: Parser = getattr(args, "reached", self)
        # argparse takes a repeated positional only in one piece; `explain C O --json a=b` has two.
        late = [word for word in extras if not word.startswith("-")] if hasattr(args, "parameters") else []
        if late:
            args.parameters = [*args.parameters, *late]
        extras = [word for word in extras if word not in late]
        if extras:
            flags = sorted({word.partition("=")[0] for word in extras if word.startswith("--")})
            told = f"there is no option {', '.join(flags)}" if flags else "there are words too many"
            reached.error(f"{told}; a key or a token is never given on the command line")
        if getattr(args, "run", None) is None:
            raise UsageError(
                "A verb is missing; the words after `noojee-gateway` say what to do.", reached.format_help()
            )
        return args


def add_noun(nouns: Nouns, name: str, summary: str) -> Nouns:
    """
    A noun of the command line; the verbs are added to what is returned.
    """
    parser = nouns.add_parser(name, help=summary, description=summary)
    parser.set_defaults(reached=parser)
    return parser.add_subparsers(title="verbs", metavar="VERB")


def add_verb(
    verbs: Nouns, name: str, run: Handler, *, summary: str, examples: Sequence[str], explanation: str = ""
) -> Parser:
    """
    A verb, with `--json`, a sentence and examples in its `--help`.

    Args:
        run: What it does.
        summary: One sentence, also shown in the list of verbs.
        examples: Whole command lines.
        explanation: What else one must know before using it.
    """
    parser = verbs.add_parser(
        name,
        help=summary,
        description=textwrap.fill(f"{summary} {explanation}".rstrip(), 100),
        epilog="\n".join(["example:" if len(examples) == 1 else "examples:", *(f"  {each}" for each in examples)]),
    )
    parser.set_defaults(run=run, reached=parser)
    parser.add_argument("--json", action="store_true", help="print one JSON value instead of text")
    return parser


def parse_expiry(text: str) -> timedelta:
    """
    The argument of `--expires`.
    """
    duration = parse_overlap(text)
    if not duration:
        raise argparse.ArgumentTypeError("must be more than 0s; `token revoke` ends a token now")
    return duration


def parse_overlap(text: str) -> timedelta:
    """
    The argument of `--overlap`, which may be nothing.
    """
    from gateway.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
