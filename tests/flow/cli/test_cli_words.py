"""
What words make a command, and what every other word gets.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command_line import VERBS

from gateway import __version__
from gateway.cli.main import create_parser
from gateway.cli.parser import UsageError

if TYPE_CHECKING:
    from command_line import CommandLine

SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `--help` has a sentence, an example that starts with the verb's own words, and exit code 0.
    """
    with pytest.raises(SystemExit) as caught:
        create_parser().parse_command([*verb.split(), "--help"])
    text = capsys.readouterr().out

    assert 0 == caught.value.code
    assert f"usage: noojee-gateway {verb}" in text
    assert re.search(rf"examples?:\n  .*noojee-gateway {verb}", text)
    assert "--json" in text


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("", "A verb is missing; the words after `noojee-gateway` say what to do."),
        ("caller", "A verb is missing; the words after `noojee-gateway` say what to do."),
        (f"{SECRET}", "Argument COMMAND: invalid choice (choose from "),
        ("caller add", "The following arguments are required: NAME."),
        (f"caller add crm {SECRET}", "There are words too many; a key or a token is never given on the command line."),
        (f"credential add x --upstream u --kind global --key {SECRET}", "There is no option --key; "),
        (f"credential add x --upstream u --kind global --key={SECRET}", "There is no option --key; "),
        (f"credential add x --upstream u --kind {SECRET}", "Argument --kind: invalid choice (choose from "),
        ("caller add crm --fro 10.0.0.0/8", "There is no option --fro; "),
        ("token issue crm --expires 90", "Argument --expires: write a whole number and s, m, h or d"),
        ("token issue crm --expires 0d", "Argument --expires: must be more than 0s"),
        ("audit tail -n -1", "Argument -n: "),
        (f"audit tail --json={SECRET}", "Argument --json: ignored explicit argument"),
        ("simulate --port x", "Argument --port: invalid int value."),
    ],
)
def test_a_wrong_word_is_told_and_never_repeated(line: str, detail: str) -> None:
    """
    Whoever writes a key where it does not belong must not find it in a log as well.
    """
    with pytest.raises(UsageError) as caught:
        create_parser().parse_command(line.split())

    assert caught.value.detail.startswith(detail)
    assert caught.value.usage.startswith("usage: noojee-gateway")
    assert SECRET not in caught.value.detail + caught.value.usage


def test_options_may_stand_before_or_between_repeated_words() -> None:
    """
    `explain CALLER OPERATION --json PARAM=VALUE` is as good as with the option at the end.
    """
    words = ["explain", "crm", "CallManagementAPI/stop", "a=b", "--json", "extenOrUniqueId=410"]
    args = create_parser().parse_command(words)

    assert ["a=b", "extenOrUniqueId=410"] == args.parameters
    assert args.json


def test_usage_errors_exit_2_and_speak_json_when_asked(bare: CommandLine) -> None:
    """
    Plain: usage and a sentence on standard error. With --json among the words: one JSON object there.
    """
    plain = bare.spawn("caller add")
    asked = bare.spawn("caller add --json")
    nothing = bare.spawn("")

    assert (2, "") == (plain.code, plain.out)
    assert plain.err.startswith("usage: noojee-gateway caller add")
    assert plain.err.endswith("noojee-gateway: The following arguments are required: NAME.\n")
    assert (2, "usage") == (asked.code, asked.error["reason"])
    assert (2, "") == (nothing.code, nothing.out)
    assert "demo" in nothing.err


def test_help_and_version_go_to_standard_output(bare: CommandLine) -> None:
    """
    What was asked for is a result, not a message.
    """
    helped = bare.spawn("--help")
    version = bare.spawn("--version")

    assert (0, "") == (helped.code, helped.err)
    assert (0, f"noojee-gateway {__version__}\n") == (version.code, version.out)


def test_a_wrong_setting_is_refused_without_its_value(bare: CommandLine) -> None:
    """
    Verbs read the same settings as serve, and refuse them in the same way.
    """
    plain = bare.spawn("caller list", port=SECRET)
    asked = bare.run("caller list --json", portt=SECRET)

    assert (1, "", "noojee-gateway: GATEWAY_PORT: must be a whole number.\n") == (plain.code, plain.out, plain.err)
    assert "settings_invalid" == asked.error["reason"]
    assert "GATEWAY_PORTT is no setting; did you mean GATEWAY_PORT?" == asked.error["detail"]


def test_words_that_are_no_text_are_refused(bare: CommandLine) -> None:
    """
    Bytes that are not UTF-8 reach Python as lone surrogates, which nothing later could write down.
    """
    done = bare.run("explain crm --json", "/\udcff")

    assert (2, "The words of a command must be UTF-8.") == (done.code, done.error["detail"])


def test_what_needs_no_settings_ignores_wrong_ones(bare: CommandLine) -> None:
    """
    The catalogue, and `audit verify`, work where nothing is set up at all.
    """
    (bare.folder / "journal").mkdir()
    listed = bare.run("operations --json", port="x")
    verified = bare.run("audit verify journal --json", nonsense="x")

    assert {"operation": "CallManagementAPI/stop", "scope": "system", "served": True}.items() <= {
        row["operation"]: row for row in listed.value
    }["CallManagementAPI/stop"].items()
    assert {"ok": True, "records": 0}.items() <= verified.value.items()


def test_a_reader_that_leaves_is_no_complaint(bare: CommandLine) -> None:
    """
    `noojee-gateway operations | head -1` prints one line and nothing on standard error.
    """
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m gateway operations --json | true"],
        capture_output=True,
        cwd=bare.folder,
        env=bare.environment(),
        timeout=30,
        check=False,
    )

    assert (b"", b"") == (done.stdout, done.stderr)


def test_an_error_of_ours_exits_70_with_its_type_alone(bare: CommandLine) -> None:
    """
    An exception's text may hold a secret; at debug level the places that it came through are shown, never locals.
    """
    code = (
        "import sys, gateway.settings.sources\n"
        f"def fail(): raise RuntimeError('{SECRET}')\n"
        "gateway.settings.sources.load_settings = fail\n"
        "from gateway.cli.main import main\n"
        "sys.exit(main(['caller', 'list', *sys.argv[1:]]))\n"
    )

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            cwd=bare.folder,
            env=bare.environment(environment),
            timeout=30,
            check=False,
        )

    plain, asked, debug = run(), run("--json"), run(GATEWAY_LOG_LEVEL="debug")

    assert (70, "noojee-gateway: unexpected error: RuntimeError\n") == (plain.returncode, plain.stderr)
    assert {"error": {"reason": "internal", "detail": "unexpected error: RuntimeError"}} == json.loads(asked.stderr)
    assert "gateway/cli/main.py:" in debug.stderr
    assert SECRET not in debug.stderr + plain.stderr + asked.stderr
