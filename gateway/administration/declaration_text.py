"""
The document of `apply` and `export-config` as text: TOML or YAML, read into plain values and written from them.

Knows nothing of what the values mean. Law 3: no error repeats what stands in a document, only where it stands.

YAML has ways of its own to be misread, so it is read by what is written and not by what it might mean: a scalar without
quotes is a `Plain` text, which the model turns into what its member is (`no` stays a text, `0410` keeps its zero), and
refused are a name given twice, an anchor, a tag, and a member without a value.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from gateway import durable
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "Plain",
    "parse_toml",
    "parse_yaml",
    "read_document",
    "read_document_from",
    "render_toml",
    "render_yaml",
]

_SUFFIXES = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}

_SIZE_LIMIT_BYTES = 4 * 1024 * 1024
"""A caller with a few grants takes some 500 bytes: room for thousands."""

_TOML_POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)")
_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LITERAL_BLOCK = re.compile(r"(?!\n)[\n -~]*\n", re.ASCII)
_NO_VALUE = frozenset({"", "~", "null", "Null", "NULL"})
_YAML_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


class Plain(str):
    """
    A scalar of a YAML document that stood there without quotes.
    """

    __slots__ = ()


def read_document(path: Path, form: str | None = None) -> dict[str, Any]:
    """
    A document's values, unchecked.

    Args:
        form: `toml` or `yaml`; else the file's name says which it is.

    Raises:
        OperatorError: `invalid`, when it cannot be read, or is not what its name says.
    """
    form = form or _SUFFIXES.get(path.suffix)
    if form is None:
        raise _refuse(
            "The document's name must end in .toml, .yaml or .yml, which says how to read it, or --format must say it."
        )
    name = f"The document {path}"
    try:
        file = path.open("rb")
    except OSError as error:
        raise _refuse(f"{name} cannot be read: {durable.describe(error)}.") from None
    with file:
        return read_document_from(file, form, name)


def read_document_from(file: BinaryIO, form: str, name: str) -> dict[str, Any]:
    """
    The same of what is open already.

    Args:
        form: `toml` or `yaml`.
        name: Begins the sentence that says what is wrong with it.

    Raises:
        OperatorError: As for `read_document`.
    """
    try:
        data = file.read(_SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise _refuse(f"{name} cannot be read: {durable.describe(error)}.") from None
    if len(data) > _SIZE_LIMIT_BYTES:
        raise _refuse(f"{name} is larger than 4 MiB.")
    try:
        return (parse_toml if form == "toml" else parse_yaml)(data.decode("utf-8"))
    except UnicodeDecodeError:
        reason = "is not UTF-8"
    except RecursionError:
        reason = "is nested too deeply"
    except ValueError as error:
        reason = str(error)  # of our own writing
    raise _refuse(f"{name} {reason}.")


def parse_toml(text: str) -> dict[str, Any]:
    """
    The values of a TOML document.

    Raises:
        ValueError: With the end of a sentence that says where it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        position = _TOML_POSITION.search(str(error))
    raise ValueError(f"is not TOML, or names something twice, at {position[1]}" if position else "is not TOML")


def parse_yaml(text: str) -> dict[str, Any]:
    """
    The values of a YAML document; scalars without quotes are `Plain`.

    Raises:
        ValueError: With the end of a sentence that says where it is not YAML, or more than is read here.
    """
    import yaml

    class Loader(yaml.BaseLoader):  # type: ignore[misc]  # yaml has no types
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise _misread("uses an alias, which is not read here", self.peek_event().start_mark)
            return super().compose_node(parent, index)

    try:
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _misread("is not YAML", mark) from None
    except yaml.YAMLError:  # a character that no YAML may hold
        raise ValueError("is not YAML") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _misread("must begin with names, as in `version: 1`", root.start_mark)
    values: dict[str, Any] = _read_node(root)
    return values


def _read_node(node: Any) -> Any:
    """
    The value of a node of PyYAML's.
    """
    if node.tag not in _YAML_TAGS:
        raise _misread("uses a tag, which is not read here", node.start_mark)
    if node.id == "sequence":
        return [_read_node(each) for each in node.value]
    if node.id == "mapping":
        return _read_mapping(node)
    if node.style is not None:
        return str(node.value)
    if node.value in _NO_VALUE:
        raise _misread("names something without a value, which must be left out", node.start_mark)
    return Plain(node.value)


def _read_mapping(node: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in node.value:
        if name.id != "scalar" or name.tag not in _YAML_TAGS:
            raise _misread("has a name that is no text", name.start_mark)
        if name.value in values:
            raise _misread("names something twice", name.start_mark)
        values[str(name.value)] = _read_node(value)
    return values


def render_toml(document: Mapping[str, Any]) -> str:
    """
    A document as TOML.

    Args:
        document: Texts, whole numbers, truth values, lists and mappings of those, and lists of mappings of all.
    """
    return "\n".join(_render_table(document, "")).strip("\n") + "\n"


def _render_table(table: Mapping[str, Any], path: str) -> list[str]:
    lines, tables = [], []
    for name, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = f"{path}{_render_name(name)}"
            for each in value:
                tables += ["", f"[[{inner}]]", *_render_table(each, f"{inner}.")]
        else:
            lines.append(f"{_render_name(name)} = {_render_value(value)}")
    return lines + tables


def _render_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case dict():
            members = (f"{_render_name(name)} = {_render_value(each)}" for name, each in value.items())
            return f"{{ {', '.join(members)} }}"
        case list():
            return f"[{', '.join(map(_render_value, value))}]"
        case _:
            return _render_text(str(value))


def _render_text(text: str) -> str:
    if _LITERAL_BLOCK.fullmatch(text) and "'''" not in text:  # certificates, as a person would paste them
        return f"'''\n{text}'''"
    return _quote(text)


def _render_name(name: str) -> str:
    return name if _BARE_NAME.fullmatch(name) else _quote(name)


def _quote(text: str) -> str:
    # JSON's escapes are TOML's; only DEL may stand bare in the one and not in the other.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def render_yaml(document: Mapping[str, Any]) -> str:
    """
    A document as YAML that any YAML reader reads alike: what could be taken for another kind is in quotes.
    """
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # yaml has no types
        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    def represent_text(dumper: Any, text: str) -> Any:
        style = None if text.isprintable() else "|" if _LITERAL_BLOCK.fullmatch(text) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    rendered: str = yaml.dump(dict(document), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return rendered


def _misread(what: str, mark: Any) -> ValueError:
    return ValueError(f"{what}, at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else what)


def _refuse(detail: str) -> OperatorError:
    return OperatorError(OperatorReason.INVALID, detail)
