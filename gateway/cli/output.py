"""
What verbs print: one JSON value with `--json`, else text for people. Messages and errors go to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli.streams import write_output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

__all__ = ["print_change", "print_error", "print_fields", "print_note", "print_rows", "print_value"]


def print_value(value: object) -> None:
    """
    One JSON value on one line.
    """
    write_output(json.dumps(value) + "\n")


def print_change(args: argparse.Namespace, value: Mapping[str, Any], sentence: str) -> None:
    """
    What a changing verb did: its value, or a short sentence.
    """
    if args.json:
        print_value(value)
    else:
        write_output(sentence + "\n")


def print_rows(
    args: argparse.Namespace, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, when_empty: str
) -> None:
    """
    A list: an array, or aligned columns under their names.

    Args:
        when_empty: A sentence for standard error when there is nothing to show.
    """
    if args.json:
        print_value(rows)
    elif rows:
        write_output(_render_table(rows, columns))
    else:
        print_note(when_empty)


def print_fields(args: argparse.Namespace, value: Mapping[str, Any]) -> None:
    """
    One thing: an object, or a line a field, lists of objects as tables of their own below.
    """
    if args.json:
        print_value(value)
        return
    tables = {
        name: rows for name, rows in value.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)
    }
    fields = [(name, _render(each)) for name, each in value.items() if name not in tables]
    width = max((len(name) for name, _ in fields), default=0)
    for name, text in fields:
        write_output(f"{name:<{width}}  {text}\n")
    for name, rows in tables.items():
        write_output(f"\n{name}\n{_render_table(rows, list(rows[0]))}")


def print_note(sentence: str) -> None:
    """
    A message that is not the result.
    """
    sys.stderr.write(sentence + "\n")


def print_error(reason: str, detail: str, *, as_json: bool, usage: str = "") -> None:
    """
    An error: `{"error": {"reason", "detail"}}`, or usage and a sentence.
    """
    if as_json:
        sys.stderr.write(json.dumps({"error": {"reason": reason, "detail": detail}}) + "\n")
    else:
        sys.stderr.write(f"{usage}{'' if not usage or usage.endswith(chr(10)) else chr(10)}noojee-gateway: {detail}\n")


def _render_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    cells = [
        [column.upper() for column in columns],
        *([_render(row.get(column)) for column in columns] for row in rows),
    ]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _render(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value)
