"""
`export-config`: the document that describes the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_note, print_value
from gateway.cli.parser import add_verb
from gateway.cli.streams import write_output

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]

_HEADER = """\
# Made by `noojee-gateway export-config`, for `noojee-gateway apply -f`. No key and no token is in it. Where a key is
# needed, key = "stdin" asks for it; write key_file = "PATH" in its place to have it read from a file.

"""


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    verb = add_verb(
        nouns,
        "export-config",
        _export,
        summary="Print the document that describes what is set up, without keys and tokens.",
        explanation="Applied to the same gateway it changes nothing; on another one `apply` asks for the keys.",
        examples=["noojee-gateway export-config > gateway.toml", "noojee-gateway export-config --format yaml"],
    )
    verb.add_argument("--format", choices=("toml", "yaml"), default="toml", help="how it is written (toml)")


def _export(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration.declaration_export import export
    from gateway.administration.declaration_text import render_toml, render_yaml

    with open_desk(load_settings) as desk:
        document, notes = export(desk)
    for note in notes:
        print_note(note)
    if args.json:
        print_value(document)
    else:
        write_output(_HEADER + (render_toml if args.format == "toml" else render_yaml)(document))
    return 0
