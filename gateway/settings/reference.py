"""
`docs/settings.md`, made from the settings' model: `python -m gateway.settings.reference > docs/settings.md`.

A test compares the two, so that no setting exists that is not documented.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from gateway.duration import render_duration
from gateway.settings.in_force import find_means
from gateway.settings.model import ENVIRONMENT_PREFIX, LONGEST_TIMEOUT, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["find_descriptions", "render_reference"]

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

The last column says what puts a changed value into force while the gateway runs; whatever else was changed is named in
the log and stays as it was:

- `reload`: SIGHUP to the process that `serve` is. Certificates and keys are read again with it, whatever their names. A
  value or a file that cannot be used keeps all as it was, with an error in the log.
- `restart`: `noojee-gateway restart`, by which no call is lost that a drain has time for. It reloads, too.
- `start`: to stop the gateway and start it again.

The environment of a process that runs cannot be changed from outside: what is to be reloaded stands in the file that
`GATEWAY_CONFIG` names.

| setting | type | default | meaning | by |
|---|---|---|---|---|
"""


def render_reference() -> str:
    """
    The whole text of `docs/settings.md`.
    """
    descriptions = find_descriptions()
    rows = (_render_row(name, field, descriptions[name]) for name, field in Settings.model_fields.items())
    return _INTRODUCTION + "".join(f"{row}\n" for row in rows)


def find_descriptions() -> dict[str, str]:
    """
    What stands below each setting in the model's source.

    Pydantic can read that itself (`use_attribute_docstrings`), but only as often as a settings class is made, which is
    in every verb: that took 13 ms of each.
    """
    (model,) = (node for node in ast.parse(inspect.getsource(Settings)).body if isinstance(node, ast.ClassDef))
    return {
        setting.target.id: str(docstring.value.value)
        for setting, docstring in itertools.pairwise(model.body)
        if isinstance(setting, ast.AnnAssign)
        and isinstance(setting.target, ast.Name)
        and isinstance(docstring, ast.Expr)
        and isinstance(docstring.value, ast.Constant)
    }


def _render_row(name: str, field: FieldInfo, description: str) -> str:
    variable = f"`{ENVIRONMENT_PREFIX}{name.upper()}`"
    columns = (variable, _render_type(field), _render_default(field), " ".join(description.split()), find_means(name))
    return f"| {' | '.join(columns)} |"


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
