"""
A document's text: what is read from TOML and YAML, and what is refused without being repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.administration.declaration_text import Plain, parse_yaml, read_document, render_toml, render_yaml
from gateway.administration.declaration_text import parse_toml as parse_toml_text
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\\'\"+/=\n-----END CERTIFICATE-----\n"

texts = st.text(st.characters(codec="utf-8"))
names = st.text(st.characters(codec="utf-8"), min_size=1)
scalars = texts | st.booleans() | st.integers(0, 10**6)
tables = st.dictionaries(names, scalars | st.lists(texts, max_size=3) | st.dictionaries(names, texts, max_size=2))
documents = st.dictionaries(names, scalars | st.lists(tables, min_size=1, max_size=3), max_size=4)


def as_texts(value: Any) -> Any:
    """
    The same with every scalar as YAML shows it without quotes.
    """
    match value:
        case dict():
            return {str(name): as_texts(each) for name, each in value.items()}
        case list():
            return [as_texts(each) for each in value]
        case bool():
            return str(value).lower()
        case _:
            return str(value)


@given(documents)
def test_what_is_written_as_toml_is_read_again(document: dict[str, Any]) -> None:
    """
    Whatever texts are in it.
    """
    assert document == parse_toml_text(render_toml(document))


@given(documents)
def test_what_is_written_as_yaml_is_read_again(document: dict[str, Any]) -> None:
    """
    Whatever texts are in it; what other readers could take for a number or a truth value is in quotes.
    """
    import yaml

    text = render_yaml(document)

    assert as_texts(document) == as_texts(parse_yaml(text))
    assert document == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["no", "NO", "on", "0410", "1e3", "12:30:45", "2026-05-03", "=", "0x1F", "4_0"])
def test_what_yaml_makes_of_a_text_elsewhere_it_does_not_make_here(text: str) -> None:
    """
    It stays the text that was written; the model says what it shall be.
    """
    values = parse_yaml(f"a: {text}\nb: [{text}]\n{text}: '{text}'\n")

    assert {"a": text, "b": [text], text: text} == values
    assert isinstance(values["a"], Plain)
    assert not isinstance(values[text], Plain)


def test_certificates_stand_in_a_document_as_they_are_pasted() -> None:
    """
    Line by line in both.
    """
    document = {"upstreams": [{"ca_pem": PEM}]}

    assert f"ca_pem = '''\n{PEM}'''\n" in render_toml(document)
    assert "ca_pem: |\n    -----BEGIN CERTIFICATE-----\n" in render_yaml(document)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.toml", f"a = {KEY}", "is not TOML, or names something twice, at line 1, column 6."),
        ("x.toml", f"a = 1\na = '{KEY}'\n", "is not TOML, or names something twice, at line 2, column "),
        ("x.toml", "a = '", "is not TOML, or names something twice, at "),
        ("x.toml", "a = " + "[" * 5000, "is nested too deeply."),
        ("x.yaml", f"a: 1\na: {KEY}", "names something twice, at line 2, column 1."),
        ("x.yaml", f"'a': 1\na: {KEY}", "names something twice, at line 2, column 1."),
        ("x.yaml", f"a: &x {KEY}\nb: *x", "uses an alias, which is not read here, at line 2, column 4."),
        ("x.yaml", f"a: !!python/object:os.system {KEY}", "uses a tag, which is not read here, at line 1, column 4."),
        ("x.yaml", f"a: !!int '{KEY}'", "uses a tag, which is not read here, at line 1, column 4."),
        ("x.yaml", f"a:\nb: {KEY}", "names something without a value, which must be left out, at line 1, column 3."),
        ("x.yaml", "a: ~", "names something without a value, which must be left out, at line 1, column 4."),
        ("x.yaml", "a: [null]", "names something without a value, which must be left out, at line 1, column 5."),
        ("x.yaml", f"? [{KEY}]\n: 1", "has a name that is no text, at line 1, column 3."),
        ("x.yaml", f"- {KEY}", "must begin with names, as in `version: 1`, at line 1, column 1."),
        ("x.yaml", f"a: '{KEY}", "is not YAML, at line 1, column "),
        ("x.yaml", f"a: {KEY}\n---\nb: 1", "is not YAML, at line 2, column 1."),
        ("x.yml", f"a: {KEY}\x00", "is not YAML."),
        ("x.yml", "a: " + "[" * 5000, "is nested too deeply."),
        ("x.yml", b"a: \xff", "is not UTF-8."),
        ("x.toml", b"a" * (4 * 1024 * 1024 + 1), "is larger than 4 MiB."),
        ("x.json", "{}", "must end in .toml, .yaml or .yml"),
        ("missing/x.toml", None, "cannot be read: No such file or directory."),
    ],
)
def test_what_cannot_be_read_is_told_by_its_place(
    tmp_path: Path, name: str, text: str | bytes | None, told: str
) -> None:
    """
    And never by what stands there: it could be a key.
    """
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OperatorError) as caught:
        read_document(path)

    assert OperatorReason.INVALID == caught.value.reason
    assert told in caught.value.detail
    assert KEY not in caught.value.detail


def test_an_empty_document_has_no_values(tmp_path: Path) -> None:
    """
    It is the model that refuses it.
    """
    for name in ("x.toml", "x.yaml"):
        (tmp_path / name).write_text("# nothing\n")
        assert {} == read_document(tmp_path / name)
