"""
Many command lines in one process, so that the half second of imports is paid once: `python verb_batch.py FOLDER`.

One JSON object `{"words", "stdin"}` a line on standard input; for each a line back, the JSON array
`[exit code, standard output, standard error]`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from command_line import CommandLine


def run(folder: Path) -> None:
    """
    Answer each line of standard input.
    """
    cli = CommandLine(folder)
    for line in sys.stdin.read().splitlines():
        order = json.loads(line)
        done = cli.run("", *order["words"], stdin=order["stdin"])
        sys.stdout.write(json.dumps([done.code, done.out, done.err]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
