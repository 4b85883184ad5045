"""
`docs/gateway.schema.json`: the document's model for editors, and for whoever writes documents by program.

Made by `python -m gateway.administration.declaration_schema > docs/gateway.schema.json`. A test compares the two.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from gateway.administration.declaration import Declaration

__all__ = ["render_schema"]


def render_schema() -> str:
    """
    The JSON schema (2020-12) of a document.
    """
    schema = _tidy(Declaration.model_json_schema())
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:noojee-gateway:schema:declaration:1",
        "title": "A document for noojee-gateway apply",
    }
    return json.dumps({**head, **{name: value for name, value in schema.items() if name != "title"}}, indent=2) + "\n"


def _tidy(value: Any) -> Any:
    """
    Without what pydantic says of Python: titles, and that a member which is left out is None.
    """
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if not isinstance(value, dict):
        return value
    branches = [each for each in value.get("anyOf", ()) if each != {"type": "null"}]
    if len(branches) == 1:
        value = {**branches[0], **{name: each for name, each in value.items() if name != "anyOf"}}
    return {
        name: _tidy_members(each) if name in {"properties", "$defs"} else _tidy(each)
        for name, each in value.items()
        if name != "title" and not (name == "default" and not isinstance(each, bool | str))
    }


def _tidy_members(members: dict[str, Any]) -> dict[str, Any]:
    """
    The same for a mapping whose names are members and no words of the schema's own.
    """
    return {name: _tidy(each) for name, each in members.items()}


if __name__ == "__main__":
    sys.stdout.write(render_schema())
