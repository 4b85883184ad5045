"""
`check`: the data folder and the keys in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.administration.data_folder import check_data_folder
from gateway.custody import AuditKey, Ring
from gateway.diagnosis.finding import Check, Finding
from gateway.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_files", "tell_error"]


def check_files(data_dir: Path, master_key_file: Path) -> Finding:
    """
    Whether the folder is fit and both keys open.
    """
    try:
        check_data_folder(data_dir)
        AuditKey.load(data_dir / "audit.key", Ring.load(master_key_file))
    except OperatorError as error:
        return tell_error(Check.FILES, error)
    detail = f"The data folder {data_dir} is ours alone, and its keys open."
    if master_key_file.resolve().parent != data_dir.resolve():
        return Finding(Check.FILES, True, detail)
    return Finding(
        Check.FILES,
        True,
        detail,
        "Master key and registry lie in one folder, so whoever copies it has every Noojee key: keep the master key "
        "elsewhere (GATEWAY_MASTER_KEY_FILE, or LoadCredential= of systemd), and never in the same backup.",
    )


def tell_error(check: Check, error: OperatorError) -> Finding:
    """
    A refusal as a finding: its first sentence says what is wrong, the rest what to do.
    """
    detail, _, advice = error.detail.partition(". ")
    return Finding(check, False, f"{detail.rstrip('.')}.", advice or None)
