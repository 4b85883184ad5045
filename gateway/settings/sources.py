"""
Where settings come from, and what is said when they are wrong.

Owns the environment's names and the order of the sources; refuses to know single settings, which are fields of
`Settings`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret
from gateway.settings.config_file import read_config_file
from gateway.settings.model import ENVIRONMENT_PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

__all__ = ["check_environment", "find_credentials_dir", "load_settings", "read_secret_file"]

# What Kubernetes puts into every container for a Service whose name starts with "gateway".
_SERVICE_LINK_NAME = re.compile(
    r"GATEWAY(_\w+)?_SERVICE_(HOST|PORT\w*)|GATEWAY_(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_FILE = "the file named by GATEWAY_CONFIG"
_WORD = re.compile(r"[A-Za-z_-]{1,64}")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*")


class _OutsideSettings(BaseSettings, Settings):
    """
    `Settings` as read from the outside.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """
        The first that has a value wins. No `.env` file: nothing is read that nobody named.
        """
        del init_settings, dotenv_settings, file_secret_settings
        return (
            env_settings,
            _SecretFiles(settings_cls),
            _ConfigFile(settings_cls),
            _CredentialsDirectory(settings_cls),
        )


class _Source(PydanticBaseSettingsSource):
    """
    A source that gives all its values at once.
    """

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        """
        Unused by `__call__`; the interface demands it.
        """
        raise NotImplementedError


class _SecretFiles(_Source):
    """
    `GATEWAY_X_FILE` for each secret setting `GATEWAY_X`.
    """

    def __call__(self) -> dict[str, Any]:
        names = (name for name, field in self.settings_cls.model_fields.items() if field.annotation is Secret)
        found = ((name, read_secret_file(name, os.environ)) for name in names)
        return {name: secret for name, secret in found if secret is not None}


class _ConfigFile(_Source):
    """
    The TOML file named by `GATEWAY_CONFIG`.
    """

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")
        values = dict(read_config_file(Path(path))) if path else {}
        if "config" in values:
            raise _refuse(f"`config` stands in {_FILE}, which names no other file; take it out")
        return values


class _CredentialsDirectory(_Source):
    """
    systemd's `LoadCredential=master.key:...`: a default that is found, so it comes after everything that was said.
    """

    def __call__(self) -> dict[str, Any]:
        folder = find_credentials_dir()
        if folder is not None and (path := folder / "master.key").exists():
            return {"master_key_file": path}
        return {}


def find_credentials_dir() -> Path | None:
    """
    Where systemd keeps the credentials of the unit that we run in (systemd.exec(5)): copies, for as long as it runs.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def load_settings() -> Settings:
    """
    The settings of this process, from the environment, the file that `GATEWAY_CONFIG` names, and the defaults.

    Raises:
        OperatorError: `settings_invalid`, with every unknown name or every wrong value at once.
    """
    check_environment(os.environ, _known_names())
    try:
        return _OutsideSettings()
    except ValidationError as error:
        sentences = [_render_error(each) for each in error.errors(include_input=False, include_context=False)]
    # Outside of the handler, so that the ValidationError, which holds the values, is not part of what is raised.
    raise _refuse(*filter(None, sentences))


def check_environment(environment: Mapping[str, str], known: frozenset[str]) -> None:
    """
    Refuses every `GATEWAY_*` name that is no setting: a misspelt one would silently leave its default in force.

    Raises:
        OperatorError: `settings_invalid`.
    """
    names = sorted(name for name in environment if name.upper().startswith(ENVIRONMENT_PREFIX))
    links = [
        name
        for name in names
        if _SERVICE_LINK_VALUE.fullmatch(environment[name])
        or (name not in known and _SERVICE_LINK_NAME.fullmatch(name))
    ]
    if links:
        raise _refuse(
            f"{', '.join(links)} came from Kubernetes, which describes a Service named gateway in this way: set "
            "enableServiceLinks: false in the pod's spec, or give the Service another name"
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _refuse(*(_render_unknown(name, known) for name in unknown))


def read_secret_file(name: str, environment: Mapping[str, str]) -> Secret | None:
    """
    The secret setting `name` from the file that `GATEWAY_<NAME>_FILE` names, without one trailing newline.

    Raises:
        OperatorError: `settings_invalid`, when both forms are set, or the file cannot be read or is empty.
    """
    plain = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    path = environment.get(f"{plain}_FILE")
    if path is None:
        return None
    if plain in environment:
        raise _refuse(f"{plain} and {plain}_FILE are both set: unset one of them")
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise _refuse(f"the file named by {plain}_FILE cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise _refuse(f"the file named by {plain}_FILE is empty or not UTF-8 text")
    return Secret(text)


def _known_names() -> frozenset[str]:
    fields = Settings.model_fields.items()
    plain = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name, _ in fields}
    secret = {f"{ENVIRONMENT_PREFIX}{name.upper()}_FILE" for name, field in fields if field.annotation is Secret}
    return frozenset(plain | secret)


def _refuse(*sentences: str) -> OperatorError:
    detail = "; ".join(sentences)
    return OperatorError(OperatorReason.SETTINGS_INVALID, detail if detail.endswith("?") else f"{detail}.")


def _render_unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
    return f"{name} is no setting; {f'did you mean {near[0]}?' if near else 'unset it, or see docs/settings.md'}"


def _render_error(error: ErrorDetails) -> str | None:
    """
    What pydantic says of one field, as a clause; None for what only follows from another error.
    """
    if error["type"] == "default_factory_not_called":
        return None
    field = str(error["loc"][0])
    variable = f"{ENVIRONMENT_PREFIX}{field.upper()}"
    if field not in Settings.model_fields:
        near = difflib.get_close_matches(field, Settings.model_fields, n=1)
        advice = f"did you mean {near[0]}?" if near else "take it out, or see docs/settings.md"
        # Settings are words. Anything else may be a key on a line of its own, and is not repeated (law 3).
        told = f"`{field}`" if _WORD.fullmatch(field) else "a name that is no word"
        return f"{told} in {_FILE} is no setting; {advice}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{variable if _stands_outside_file(field, variable) else f'`{field}` in {_FILE}'}: {message}"


def _stands_outside_file(field: str, variable: str) -> bool:
    """
    Whether a value came from the environment or is a default, as a host name that cannot serve as `node`.
    """
    config = os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    return variable in os.environ or not config or field not in read_config_file(Path(config))
