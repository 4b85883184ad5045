"""
From settings to how long Noojee may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from gateway.settings.model import Settings

__all__ = ["create_timeouts"]


def create_timeouts(settings: Settings) -> Timeouts:
    """
    The waits of the settings, in seconds.
    """
    return Timeouts(
        connect_seconds=settings.connect_timeout.total_seconds(),
        send_seconds=settings.send_timeout.total_seconds(),
        read_reply_seconds=settings.reply_timeout.total_seconds(),
        write_reply_seconds=settings.write_reply_timeout.total_seconds(),
        lead_reply_seconds=settings.lead_reply_timeout.total_seconds(),
        poll_margin_seconds=settings.poll_margin.total_seconds(),
        between_bytes_seconds=settings.recording_timeout.total_seconds(),
        call_seconds=settings.call_timeout.total_seconds(),
    )
