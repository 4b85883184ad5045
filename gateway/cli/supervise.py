"""
What `serve` becomes once it has read its settings, and what `demo` starts: the supervisor's process.

No verb: it is told over a descriptor what to do. This is an edge, as `main` is, and has the same exit codes.
"""

from __future__ import annotations

import os
import sys

from gateway.cli.output import print_error
from gateway.errors import EXIT_UNEXPECTED, OperatorError, OperatorReason
from gateway.logs import configure_logging, render_exception
from gateway.supervisor.plan import SupervisorPlan
from gateway.supervisor.supervisor import Supervisor


def main(descriptor: int) -> int:
    """
    Supervise until told to end.

    Args:
        descriptor: From which the plan can be read.

    Returns:
        The exit code.
    """
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, encoding="utf-8") as pipe:
        plan = SupervisorPlan.parse(pipe.read())
    configure_logging(plan.log_level, form=plan.log_format)
    try:
        Supervisor(plan).run()
    except OperatorError as error:
        print_error(error.reason, error.detail, as_json=plan.as_json)
        return EXIT_UNEXPECTED if error.reason is OperatorReason.INTERNAL else 1
    except Exception as error:  # noqa: BLE001 - the edge; what it caught is told
        print_error(OperatorReason.INTERNAL, f"unexpected error: {render_exception(error)}", as_json=plan.as_json)
        return EXIT_UNEXPECTED
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
