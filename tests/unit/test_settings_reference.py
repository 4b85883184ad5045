"""
docs/settings.md is what the model says.
"""

from __future__ import annotations

from pathlib import Path

from gateway.settings.model import Settings
from gateway.settings.reference import find_descriptions, render_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_settings_reference_is_the_one_made_from_the_model() -> None:
    """
    Made anew by `python -m gateway.settings.reference > docs/settings.md`.
    """
    assert REFERENCE.read_text() == render_reference()


def test_every_setting_has_one_sentence() -> None:
    """
    A description that is missing or has no end would stand in the reference as a hole.
    """
    descriptions = find_descriptions()
    bad = [name for name in Settings.model_fields if not descriptions.get(name, "").endswith(".")]

    assert [] == bad
