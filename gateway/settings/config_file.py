"""
The TOML file that `GATEWAY_CONFIG` names.

Stands apart from the settings' model, so that `audit verify` can find the data folder without loading any setting.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_data_dir", "read_config_file"]

_POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)")


def read_config_file(path: Path) -> Mapping[str, Any]:
    """
    The TOML file as a mapping, unchecked.

    Raises:
        OperatorError: `settings_invalid`, when it cannot be read or is not TOML; names the place, never the text there.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        reason = "is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        reason = f"is not TOML, at {position[1]}" if position else "is not TOML"
    raise OperatorError(OperatorReason.SETTINGS_INVALID, f"The file {path}, named by GATEWAY_CONFIG, {reason}.")


def find_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """
    The data folder, for what must work where other settings are wrong or absent.

    Nothing is refused: a file that cannot be read counts as none.
    """
    text: object = environment.get("GATEWAY_DATA_DIR")
    config = environment.get("GATEWAY_CONFIG")
    if not text and config:
        try:
            text = read_config_file(Path(config)).get("data_dir")
        except OperatorError:
            text = None  # lenient on purpose: see the docstring
    return Path(text if isinstance(text, str) and text else "data").absolute()
