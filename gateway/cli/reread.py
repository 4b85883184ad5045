"""
What the supervisor starts to have the settings read again: one line in, one line out.

No verb: the supervisor may load nothing that reads settings. In comes which settings are in force; out goes what the
planes are to be told from now on, or why the old must stay. It judges as `serve` does, of what can change.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gateway.administration.data_folder import check_reserve, create_tls_context
from gateway.cli.node import plan_again
from gateway.errors import EXIT_UNEXPECTED, OperatorError, OperatorReason
from gateway.logs import configure_logging, render_exception
from gateway.settings.in_force import parse_settings, render_settings, renew
from gateway.settings.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def main() -> int:
    """
    Answer one request.

    Returns:
        The exit code.
    """
    request = json.loads(sys.stdin.readline())
    present = parse_settings(request["settings"])
    configure_logging(present.log_level, form=present.log_format)
    try:
        told = _read(request)
    except OperatorError as error:
        told = {"failed": error.reason, "detail": error.detail}
    except Exception as error:  # noqa: BLE001 - the edge; what it caught is told
        told = {"failed": OperatorReason.INTERNAL, "detail": f"unexpected error: {render_exception(error)}"}
        return _tell(told, EXIT_UNEXPECTED)
    return _tell(told, 1 if "failed" in told else 0)


def _read(request: Mapping[str, Any]) -> dict[str, object]:
    is_restart = request["is_restart"]
    renewed = renew(parse_settings(request["settings"]), load_settings(), is_restart=is_restart)
    create_tls_context(renewed.settings)  # the files may have changed though their names have not
    if is_restart:
        check_reserve(renewed.settings.data_dir, renewed.settings.journal_reserve)
    warns = "GATEWAY_MAX_CONNECTIONS" in renewed.applied  # else it was said when the node began
    return {
        **plan_again(renewed.settings, request["callers"], request["admin"], warns=warns),
        "settings": render_settings(renewed.settings),
        "applied": renewed.applied,
        "kept": {name: means.sentence for name, means in renewed.kept.items()},
    }


def _tell(told: dict[str, object], code: int) -> int:
    sys.stdout.write(json.dumps(told) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
