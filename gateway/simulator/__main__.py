"""
`python -m gateway.simulator`: the verb `simulate` without the rest of the command line.
"""

from __future__ import annotations

import argparse
import sys

from gateway.simulator import command


def main() -> int:
    """
    Read the arguments and run until Ctrl-C or SIGTERM; returns the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m gateway.simulator", description=command.__doc__)
    command.add_arguments(parser)
    return command.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
