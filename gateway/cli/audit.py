"""
`audit`: reading the journal, while the gateway runs or without it.

`verify` loads no settings, no registry and no keys: an auditor may run it on a copy, years later.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.output import print_note, print_value
from gateway.cli.parser import add_noun, add_verb
from gateway.cli.streams import write_output
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]

_SUMMARY_FIELDS = (
    "request_id",
    "actor",
    "subject",
    "caller",
    "credential",
    "decision",
    "reason",
    "outcome",
    "upstream_status",
    "noojee_code",
    "duration_us",
)
"""
What the text form shows behind instant, tag and operation; `--json` shows everything.
"""


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "audit", "The journal of every call and every change.")
    tail = add_verb(
        verbs,
        "tail",
        _tail,
        summary="Show the journal's last records, in the order of time.",
        explanation="With --json the lines are the records as they stand in the journal.",
        examples=["noojee-gateway audit tail -n 20", "noojee-gateway audit tail --follow --json"],
    )
    tail.add_argument("-n", dest="count", type=_parse_count, default=10, metavar="N", help="how many records (10)")
    tail.add_argument("--follow", action="store_true", help="go on with new records until Ctrl-C")
    verify = add_verb(
        verbs,
        "verify",
        _verify,
        summary="Check that no record was altered, removed or put in between.",
        explanation="Needs neither settings nor keys, and works while the gateway runs. The exit code is 1 when "
        "something is wrong; a line torn off by a crash is reported and is not wrong.",
        examples=["noojee-gateway audit verify", "noojee-gateway audit verify /backup/journal"],
    )
    verify.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="the folder with the streams")


def _tail(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration.data_folder import check_data_folder
    from gateway.evidence.reader import follow, tail

    settings = load_settings()
    check_data_folder(settings.data_dir)
    root = settings.data_dir / "journal"
    lines = follow(root, args.count) if args.follow else iter(tail(root, args.count))
    try:
        for line in lines:
            shown = line if args.json else _render_record(json.loads(line)).encode()
            sys.stdout.buffer.write(shown + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0  # it is how --follow ends
    return 0


def _verify(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    del load_settings  # exempt from settings: see the module's docstring
    from gateway.evidence.verify import verify
    from gateway.settings.config_file import find_data_dir

    root = args.folder if args.folder is not None else find_data_dir() / "journal"
    try:
        is_there = root.is_dir()
    except OSError as error:
        raise OperatorError(
            OperatorReason.JOURNAL_UNAVAILABLE, f"{root} cannot be read: {error.strerror}. Be a user who may read it."
        ) from None
    if not is_there:
        raise OperatorError(
            OperatorReason.NOT_FOUND, f"There is no folder {root}. Name the folder that holds the journal's streams."
        )
    report = verify(root)
    if args.json:
        print_value(report.as_json())
    else:
        write_output(_render_report(report.as_json()))
    if not report.records:
        print_note(f"No record is in {root}: nothing was proven. Name the folder that holds the journal's streams.")
    return 0 if report.ok else 1


def _render_record(record: Mapping[str, Any]) -> str:
    """
    A record as a line for people. Everything but plain text is escaped: a journal may be an attacker's letter.
    """
    shown = [str(record.get("at")), str(record.get("tag")), str(record.get("operation", ""))]
    parameters = record.get("parameters")
    if isinstance(parameters, dict):
        texts = (f"{name}={value['text']}" for name, value in parameters.items() if "text" in value)
        shown.append(" ".join(texts))
    change = record.get("change")
    if isinstance(change, dict) and "tag" in change:
        shown.append(str(change["tag"]))
    counts = record.get("counts")
    if isinstance(counts, dict):
        peer = f"peer={record['peer']} " if "peer" in record else ""
        shown.append(peer + " ".join(f"{name}={count}" for name, count in counts.items()))
    shown += [f"{name}={record[name]}" for name in _SUMMARY_FIELDS if record.get(name) is not None]
    return " ".join(json.dumps(part)[1:-1] for part in shown if part)


def _render_report(report: Mapping[str, Any]) -> str:
    bad = report["first_bad"]
    streams = "1 stream" if len(report["streams"]) == 1 else f"{len(report['streams'])} streams"
    lines = [f"{report['records']} records in {streams}, proof: {report['proof']}"]
    lines += [f"  {each['stream']}: {each['records']} records, head {each['head']}" for each in report["streams"]]
    lines += [f"torn: {each['bytes']} bytes in {each['file']} from {each['offset']}" for each in report["torn"]]
    lines.append("ok" if bad is None else f"BAD: {bad['file']} line {bad['line']}: {bad['reason']}")
    return "".join(f"{line}\n" for line in lines)


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)
