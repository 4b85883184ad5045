"""
The document of `apply` as a model: what upstreams, credentials, callers and grants there shall be.

Tokens are never in it: they are issued by a verb, and shown once. Nor is a key: a credential says where its key comes
from. Every fault is told by its place, as in `callers[2].grants[0].operations`, and never with what stands there
(law 3): somebody may have written a key where it does not belong.

What is checked here can be checked by looking at the document alone; the rest is the plan's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import WithJsonSchema

from gateway.access.pin import parse_pin
from gateway.access.proxy import parse_proxy
from gateway.access.upstream import parse_url
from gateway.administration.caller_limits import limit
from gateway.administration.callers import parse_networks
from gateway.administration.declaration_faults import tell_faults
from gateway.administration.declaration_text import Plain
from gateway.administration.names import parse_name, parse_owner
from gateway.errors import OperatorError, OperatorReason
from gateway.registry.rows import CallerRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "ANYWHERE",
    "VERSION",
    "CallerPart",
    "CredentialPart",
    "Declaration",
    "GrantPart",
    "LimitsPart",
    "UpstreamPart",
    "parse_declaration",
]

VERSION = 1
"""The version of the document's form."""

ANYWHERE = "anywhere"
"""What stands in place of networks for a caller that may call from all of them."""

_FAULTS_TOLD = 10
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def _read_plain_truth(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, Plain) else value


def _read_plain_number(value: object) -> object:
    return int(value) if isinstance(value, Plain) and _WHOLE_NUMBER.fullmatch(value) else value


def _read_anywhere(value: object) -> object:
    if value == ANYWHERE:
        return []
    if value == [] or isinstance(value, str):
        # An empty list could be meant for "nowhere" as well.
        raise ValueError(f'Name networks in a list, or write "{ANYWHERE}"')
    return value


def _check(check: Callable[[Any], object]) -> AfterValidator:
    """
    A check of the verbs' as a check of a member: the sentence is the verb's.
    """

    def validate(value: Any) -> Any:
        try:
            check(value)
        except OperatorError as error:
            raise ValueError(error.detail) from None
        return value

    return AfterValidator(validate)


def _check_text(parse: Callable[[str], object]) -> AfterValidator:
    """
    A check whose ValueError is of our own writing, and never quotes what it was given.
    """

    def validate(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(validate)


def _name(what: str) -> Any:
    schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}
    return Annotated[str, _check(lambda text: parse_name(text, what)), WithJsonSchema(schema)]


_Truth = Annotated[bool, BeforeValidator(_read_plain_truth)]
_Count = Annotated[int, Field(ge=1), BeforeValidator(_read_plain_number)]
_Networks = Annotated[
    list[str],
    _check(parse_networks),
    BeforeValidator(_read_anywhere),
    WithJsonSchema(
        {"anyOf": [{"const": ANYWHERE}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]},
    ),
]


class _Part(BaseModel):
    """
    A table of the document: members of exactly these names and kinds.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class UpstreamPart(_Part):
    """
    A Noojee that credentials belong to.
    """

    name: _name("upstream")  # type: ignore[valid-type]  # an annotation that is made
    url: Annotated[str, _check_text(parse_url)] = Field(description="https://HOST[:PORT][/PREFIX].")
    auth: Literal["api-key", "hash"] = Field(
        "api-key", description="How it takes the key; hash for Administrator before 4.9.0.10."
    )
    ca_file: str | None = Field(
        None, description="A file of PEM certificates to trust instead of the system's, seen from the document."
    )
    ca_pem: str | None = Field(None, description="The certificates themselves, in place of ca_file.")
    proxy: Annotated[str, _check_text(parse_proxy)] | None = Field(
        None, description="A proxy to go through by CONNECT, as in http://USER@HOST:PORT, without its password."
    )
    proxy_password_file: str | None = Field(
        None, description="A file that holds the password of the proxy's user alone, seen from the document."
    )
    proxy_password: Literal["stdin"] | None = Field(
        None, description="In place of proxy_password_file: it is read as a key is, when it is needed."
    )
    pins: list[Annotated[str, _check_text(parse_pin)]] = Field(
        default_factory=list, description="Public keys of which its certificate must have one, as in sha256//BASE64."
    )
    allow_old_tls: _Truth = Field(
        False, description="Whether TLS before 1.2 and weak signatures are taken; only together with a pin."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> UpstreamPart:
        if self.ca_file is not None and self.ca_pem is not None:
            raise ValueError("Write ca_file or ca_pem, not both")
        if self.allow_old_tls and not self.pins:
            raise ValueError("allow_old_tls is taken only together with pins: else whoever stands in between can read")
        has_user = self.proxy is not None and parse_proxy(self.proxy).user is not None
        passwords = (self.proxy_password is not None) + (self.proxy_password_file is not None)
        if passwords != has_user:
            raise ValueError("A proxy with a user, and no other, needs one of proxy_password_file and proxy_password")
        return self


class CredentialPart(_Part):
    """
    A key that Noojee issued, by reference.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["key_file"]}, {"required": ["key"]}]})

    name: _name("credential")  # type: ignore[valid-type]
    upstream: _name("upstream")  # type: ignore[valid-type]
    kind: Literal["global", "user"] = Field(description="What the key may do at Noojee.")
    owner: Annotated[str, _check(parse_owner)] | None = Field(
        None, description="The login of the Noojee user that a user credential acts for."
    )
    key_file: str | None = Field(
        None, description="A file that holds the key alone and only its owner can read, seen from the document."
    )
    key: Literal["stdin"] | None = Field(
        None, description="In place of key_file: the key is read from standard input, or a prompt, when it is needed."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CredentialPart:
        if self.kind == "user" and self.owner is None:
            raise ValueError("A user credential needs owner: the login of the Noojee user it acts for")
        if self.kind == "global" and self.owner is not None:
            raise ValueError("A global credential acts for no user: leave owner out")
        if (self.key is None) is (self.key_file is None):
            raise ValueError('Say where its key comes from: key_file = "PATH", or key = "stdin"')
        return self


class LimitsPart(_Part):
    """
    How much a caller may call; what is left out has its default.
    """

    rate: Annotated[str, _check(lambda text: limit(_NOBODY, text, None, None))] | None = Field(
        None, description="Calls a second or a minute, as in 20/s or 90/m."
    )
    burst: Annotated[_Count, _check(lambda count: limit(_NOBODY, None, str(count), None))] | None = Field(
        None, description="How many may come at once before the rate bounds them."
    )
    concurrency: Annotated[_Count, _check(lambda count: limit(_NOBODY, None, None, str(count)))] | None = Field(
        None, description="How many may be under way at one time, waiting polls among them."
    )


class GrantPart(_Part):
    """
    What a caller may do, and with which credential.
    """

    credential: _name("credential")  # type: ignore[valid-type]
    operations: list[str] = Field(min_length=1, description="Globs on Family/method, or full paths.")
    params: dict[str, str] = Field(
        default_factory=dict, description="Which values a parameter may have, by its name or `extension`."
    )
    allow_unique_ids: _Truth = Field(
        False,
        description="With a rule on extension: let calls be named by unique id, which the rule cannot check.",
    )


class CallerPart(_Part):
    """
    An internal program that holds tokens.
    """

    name: _name("caller")  # type: ignore[valid-type]
    networks: _Networks = Field(description='Where it may call from: CIDRs and addresses, or "anywhere".')
    query_token_allowed: _Truth = Field(True, description="Whether its token may stand in the query.")
    disabled: _Truth = Field(False, description="Whether all its tokens are refused.")
    limits: LimitsPart = LimitsPart()
    grants: list[GrantPart] = Field(default_factory=list, description="What it may do, the one that serves first.")


class Declaration(_Part):
    """
    A whole document.
    """

    version: Annotated[Literal[1], BeforeValidator(_read_plain_number)] = Field(
        description="The version of the document's form."
    )
    upstreams: list[UpstreamPart] = Field(default_factory=list)
    credentials: list[CredentialPart] = Field(default_factory=list)
    callers: list[CallerPart] = Field(default_factory=list)


def parse_declaration(values: Mapping[str, Any]) -> Declaration:
    """
    The document that these values make.

    Raises:
        OperatorError: `invalid`, with the place of each fault.
    """
    try:
        declaration = Declaration.model_validate(values)
    except ValidationError as error:
        faults = tell_faults(error)
    else:
        faults = list(_find_doubles(declaration))
    if not faults:
        return declaration
    more = len(faults) - _FAULTS_TOLD
    told = " ".join(faults[:_FAULTS_TOLD])
    raise OperatorError(OperatorReason.INVALID, f"{told} And {more} faults more." if more > 0 else told)


_NOBODY = CallerRow("", (), query_token_allowed=False, is_enabled=False)


def _find_doubles(declaration: Declaration) -> Iterable[str]:
    parts: tuple[tuple[str, Sequence[UpstreamPart | CredentialPart | CallerPart]], ...] = (
        ("upstreams", declaration.upstreams),
        ("credentials", declaration.credentials),
        ("callers", declaration.callers),
    )
    for members, named in parts:
        seen: set[str] = set()
        for number, part in enumerate(named):
            if part.name in seen:
                yield f"{members}[{number}].name: The name stands there for the second time."
            seen.add(part.name)
