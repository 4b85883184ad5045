"""
`docs/settings.md`, made from the settings' model: `python -m gateway.settings.reference > docs/settings.md`.

A test compares the two, so that no setting exists that is not documented.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from gateway.duration import render_duration
from gateway.settings.model import ENVIRONMENT_PREFIX, LONGEST_TIMEOUT, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["render_reference"]

_INTRODUCTION = """\
# Settings

<!-- Made by `python -m gateway.settings.reference > docs/settings.md`; a test compares. -->

`noojee-gateway serve` and every verb read the same settings. A value is looked for in the environment, then in the TOML
file that `GATEWAY_CONFIG` names, then the default holds. In the file a setting has its name in lower case without
`GATEWAY_`:

```toml
data_dir = "/var/lib/noojee-gateway"
port = 8443
reply_timeout = "45s"
```

- A name that is not in this table is an error, in the environment as in the file; so is an empty value. No error shows
  a value.
- A duration is a whole number and `s`, `m`, `h` or `d`: `30s`, `5m`, `24h`, `90d`.
- A size is a whole number and `KiB`, `MiB` or `GiB`: `512KiB`, `64MiB`, `2GiB`.
- A relative path is taken from the folder in which the command runs.
- No setting holds a secret: keys are files of their own, or come from standard input.
- In Kubernetes, a Service named `gateway` puts variables such as `GATEWAY_PORT=tcp://...` into every container; they
  are refused. Set `enableServiceLinks: false` in the pod's spec.
- `noojee-gateway audit verify`, `simulate` and `demo` read no settings; `audit verify` without a folder looks for
  `GATEWAY_DATA_DIR` alone.

| setting | type | default | meaning |
|---|---|---|---|
"""


def render_reference() -> str:
    """
    The whole text of `docs/settings.md`.
    """
    rows = (_render_row(name, field) for name, field in Settings.model_fields.items())
    return _INTRODUCTION + "".join(f"{row}\n" for row in rows)


def _render_row(name: str, field: FieldInfo) -> str:
    variable = f"`{ENVIRONMENT_PREFIX}{name.upper()}`"
    description = " ".join((field.description or "").split())
    return f"| {variable} | {_render_type(field)} | {_render_default(field)} | {description} |"


def _render_type(field: FieldInfo) -> str:
    text = _find_extra(field, "type_text")
    if text is not None:
        return text
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(field.annotation))
    if field.annotation is timedelta:
        return f"duration, more than 0s, at most {render_duration(LONGEST_TIMEOUT)}"
    if field.annotation is int:
        lowest = next(each.ge for each in field.metadata if hasattr(each, "ge"))
        highest = next(each.le for each in field.metadata if hasattr(each, "le"))
        return f"number, {lowest} to {highest}"
    return "path"


def _render_default(field: FieldInfo) -> str:
    text = _find_extra(field, "default_text")
    if text is not None:
        return text
    if field.default is None:
        return "not set"
    default = render_duration(field.default) if isinstance(field.default, timedelta) else field.default
    return f"`{default}`"


def _find_extra(field: FieldInfo, name: str) -> str | None:
    extra = field.json_schema_extra
    value: Any = extra.get(name) if isinstance(extra, dict) else None
    return value if isinstance(value, str) else None


if __name__ == "__main__":
    sys.stdout.write(render_reference())
