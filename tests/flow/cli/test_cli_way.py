"""
The way to an upstream on the command line: what comes from standard input, and what may not come together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_line import CommandLine

PASSWORD = "correct horse 4711"
PIN = "sha256//" + "A" * 43 + "="


def test_a_proxys_password_comes_from_standard_input(cli: CommandLine) -> None:
    """
    Only where the proxy has a user; it is shown nowhere.
    """
    changed = cli.run("upstream set noojee --proxy http://gateway@proxy.example.com:3128 --json", stdin=f"{PASSWORD}\n")
    missing = cli.run("upstream set noojee --proxy http://gateway@proxy.example.com:3128 --json", stdin="")
    plain = cli.run(f"upstream set noojee --proxy http://proxy.example.com:3128 --pin {PIN} --json")

    assert (0, "http://gateway@proxy.example.com:3128") == (changed.code, changed.value["proxy"])
    assert (1, "invalid") == (missing.code, missing.error["reason"])
    assert (0, "http://proxy.example.com:3128", [PIN]) == (plain.code, plain.value["proxy"], plain.value["pins"])
    assert PASSWORD not in changed.out + changed.err


def test_two_kinds_of_secret_are_not_mixed(cli: CommandLine) -> None:
    """
    Another URL asks for keys and a proxy for a password: two commands.
    """
    done = cli.run("upstream set noojee --url https://other.example.com --proxy http://proxy.example.com:3128 --json")

    assert 2 == done.code
    assert "two commands" in done.error["detail"]


def test_old_tls_without_a_pin_is_refused_with_that_advice(cli: CommandLine) -> None:
    """
    And taken together with one, also for an upstream that is added.
    """
    refused = cli.run("upstream set noojee --allow-old-tls --json")
    added = cli.run(f"upstream add old --url https://old.example.com --allow-old-tls --pin {PIN} --json")

    assert (1, "invalid") == (refused.code, refused.error["reason"])
    assert "--pin sha256//" in refused.error["detail"]
    assert (0, True) == (added.code, added.value["allow_old_tls"])
