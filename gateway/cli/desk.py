"""
From settings to the desk that verbs work at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.administration.desk import Desk
    from gateway.cli.parser import SettingsLoader

__all__ = ["open_desk"]


def open_desk(load_settings: SettingsLoader) -> Desk:
    """
    The desk of the settings' data folder, once the folder was found fit.

    Raises:
        OperatorError: Whatever keeps a verb from starting (contract section 2).
    """
    from gateway.administration.data_folder import check_data_folder
    from gateway.administration.desk import Desk
    from gateway.clock import SystemClock

    settings = load_settings()
    check_data_folder(settings.data_dir)
    return Desk.open(
        data_dir=settings.data_dir,
        run_dir=settings.run_dir,
        master_key_file=settings.master_key_file,
        node=settings.node,
        clock=SystemClock(),
        number_country=settings.number_country,
    )
