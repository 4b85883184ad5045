"""
The verbs as transcripts: what an operator types, and what is answered.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import CommandLine

STOP = "CallManagementAPI/stop"


def test_init_makes_a_private_folder_and_never_replaces_a_key(bare: CommandLine) -> None:
    """
    Run twice, the second time changes nothing; everything it made is its owner's alone.
    """
    first = bare.spawn("init --json").value
    key = (bare.data_dir / "master.key").read_bytes()
    second = bare.run("init --json").value
    plain = bare.run("init")

    assert str(bare.data_dir) == first["data_dir"]
    assert "master.key" in first["created"]
    assert [] == second["created"]
    assert key == (bare.data_dir / "master.key").read_bytes()
    assert f"{bare.data_dir}: nothing to do\n" == plain.out
    assert [] == [path for path in [bare.data_dir, *bare.data_dir.rglob("*")] if path.stat().st_mode & 0o077]


def test_init_names_the_file_of_the_master_key_to_keep(bare: CommandLine) -> None:
    """
    On standard error, and not a second time.
    """
    first = bare.run("init")
    second = bare.run("init")

    advice = (
        f"Keep a copy of {bare.data_dir}/master.key away from this machine: without it no stored key can be opened."
    )
    assert (f"{advice}\n", "") == (first.err, second.err)


def test_init_names_no_file_that_is_gone_with_its_unit(bare: CommandLine) -> None:
    """
    A master key that systemd hands over lies below `CREDENTIALS_DIRECTORY` as long as the command runs.
    """
    folder = bare.folder / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "master.key").write_text(f"1 {base64.b64encode(bytes(32)).decode()}\n")
    (folder / "master.key").chmod(0o400)
    environment = bare.environment
    bare.environment = lambda extra=None: environment(extra) | {"CREDENTIALS_DIRECTORY": str(folder)}  # type: ignore[method-assign]  # as in a unit
    done = bare.run("init")

    assert (0, False) == (done.code, str(folder) in done.out + done.err)
    assert done.err.startswith("The master key came as a credential of systemd. Keep a copy of the file that it comes ")


def test_callers_are_added_changed_and_removed(cli: CommandLine) -> None:
    """
    The life of a caller.
    """
    added = cli.run("caller add web --from 10.1.0.0/16 --from 10.2.0.7 --no-query-token --json").value
    changed = cli.run("caller set web --from-anywhere --query-token --json").value
    disabled = cli.run("caller disable web")
    listed = cli.run("caller list")
    enabled = cli.run("caller enable web --json").value
    shown = cli.run("caller show web").out
    removed = cli.run("caller remove web --json").value
    gone = cli.run("caller show web --json")

    assert {
        "name": "web",
        "networks": ["10.1.0.0/16", "10.2.0.7/32"],
        "query_token_allowed": False,
        "rate": "1000/s",
        "burst": 10000,
        "concurrency": 2500,
        "state": "active",
    } == added
    assert ([], True) == (changed["networks"], changed["query_token_allowed"])
    assert "caller web disabled\n" == disabled.out
    assert [
        ["NAME", "NETWORKS", "QUERY_TOKEN_ALLOWED", "RATE", "BURST", "CONCURRENCY", "STATE"],
        ["crm", "-", "yes", "1000/s", "10000", "2500", "active"],
        ["web", "-", "yes", "1000/s", "10000", "2500", "disabled"],
    ] == [line.split() for line in listed.out.splitlines()]
    assert {"name": "web", "state": "active"} == enabled
    assert re.search(r"^name +web$", shown, re.MULTILINE)
    assert {"name": "web", "removed": True} == removed
    assert (1, "not_found") == (gone.code, gone.error["reason"])


@pytest.mark.parametrize(
    ("words", "rate", "burst", "concurrency"),
    [
        ("--rate 20/s --burst 40 --concurrency 50", "20/s", 40, 50),
        ("--rate 20/s", "20/s", 40, 2500),
        ("--rate 90/m", "90/m", 3, 2500),
        ("--rate 1/m", "1/m", 1, 2500),
        ("--rate 120/m", "2/s", 4, 2500),
        ("--rate 10000/s --burst 100000 --concurrency 10000", "10000/s", 100_000, 10_000),
        ("--burst 1", "1000/s", 1, 2500),
        ("--concurrency 1", "1000/s", 10000, 1),
        ("", "1000/s", 10000, 2500),
    ],
)
def test_a_callers_limits_are_set_shown_and_taken_back(
    cli: CommandLine, words: str, rate: str, burst: int, concurrency: int
) -> None:
    """
    In the form in which they were written; without a burst two seconds of the rate; `default` is what a new one has.
    """
    limits = {"rate": rate, "burst": burst, "concurrency": concurrency}
    added = cli.run(f"caller add web {words} --json").value
    shown = cli.run("caller show web --json").value
    untouched = cli.run("caller set web --no-query-token --json").value
    back = cli.run("caller set web --rate default --burst default --concurrency default --json").value
    again = cli.run(f"caller set web {words or '--burst 10000'} --json").value

    for each in (added, shown, untouched, again):
        assert limits == {name: each[name] for name in limits}
    assert {"rate": "1000/s", "burst": 10000, "concurrency": 2500} == {name: back[name] for name in limits}


@pytest.mark.parametrize(
    "words",
    [
        *(f"--rate {text}" for text in ("20", "20/h", "0/s", "10001/s", "1.5/s", "\uff12\uff10/s", "unlimited")),
        *(f"--burst {text}" for text in ("0", "-1", "100001", "1e3", "none")),
        *(f"--concurrency {text}" for text in ("0", "10001", "\uff15", "all")),
    ],
)
@pytest.mark.parametrize("verb", ["add web", "set crm"])
def test_no_caller_is_without_limits(cli: CommandLine, verb: str, words: str) -> None:
    """
    Nothing, nothing without bound, and nothing that is no plain number.
    """
    done = cli.run(f"caller {verb} {words} --json")

    assert (1, "invalid") == (done.code, done.error["reason"])
    assert "whole number" in done.error["detail"]


def test_what_a_caller_is_given_wrongly_is_refused(cli: CommandLine) -> None:
    """
    Each with its reason; nothing to change is a usage error.
    """
    refusals = {
        line: (done.code, done.error["reason"])
        for line in (
            "caller add crm --json",
            "caller add Crm --json",
            "caller add web --from 10.1.0.1/16 --json",
            "caller add web --from example.com --json",
            "caller set crm --json",
            "caller set crm --from 10.0.0.0/8 --from-anywhere --json",
        )
        for done in [cli.run(line)]
    }

    assert [
        (1, "exists"),
        (1, "invalid"),
        (1, "invalid"),
        (1, "invalid"),
        (2, "usage"),
        (2, "usage"),
    ] == list(refusals.values())


def test_a_grant_is_explained_by_the_code_that_decides(cli: CommandLine) -> None:
    """
    Deny by default, allow once granted, the kind of key by the operation, and exit codes that a script can read.
    """
    before = cli.spawn(f"explain crm {STOP} extenOrUniqueId=410 --json")
    granted = cli.run(f"grant add crm --credential everything --operations {STOP} --operations CallManagementAPI/start")
    user = cli.run("grant add crm --credential maria --json --operations", "CampaignAPI/*").value
    after = cli.run(f"explain crm {STOP} --json extenOrUniqueId=410").value
    campaign = cli.run("explain crm CampaignAPI/getCampaignList --json").value
    plain = cli.run(f"explain crm {STOP}")
    denied = cli.run("explain crm CallManagementAPI/dial")
    unknown = cli.run("explain crm CallManagementAPI/Stop --json")

    assert (1, "deny", "operation_not_granted") == (
        before.code,
        json.loads(before.out)["decision"],
        json.loads(before.out)["reason"],
    )
    grant_id = granted.out.split()[1]
    assert f"grant {grant_id} added\n" == granted.out
    assert {
        "decision": "allow",
        "reason": None,
        "operation": STOP,
        "credential": "everything",
        "grant_id": grant_id,
        "rule": None,
        "policy_version": after["policy_version"],
    } == after
    assert ("maria", user["grant_id"]) == (campaign["credential"], campaign["grant_id"])
    assert f"allow: crm may call {STOP} (grant {grant_id}, credential everything)\n" == plain.out
    assert (1, "deny: operation_not_granted (no grant)") == (denied.code, denied.out.splitlines()[0])
    assert "operation_unknown" == json.loads(unknown.out)["reason"]


def test_a_rule_is_granted_listed_and_explained(cli: CommandLine) -> None:
    """
    As it was written; whoever asks is told which rule refused, and on which words it is about.
    """
    line = "grant add crm --credential everything --operations */dial --operations */stop"
    added = cli.run(f"{line} --param extension=400-450,500 --param number=04* --allow-unique-ids --json").value
    listed = cli.run("grant list crm")
    dial = "explain crm CallManagementAPI/dial extenOrUniqueId=SIP/410"
    allowed = cli.run(f"{dial} --json number=+61412345678").value
    refused = cli.run(f"{dial} --json number=1900123456")
    plain = cli.run(f"{dial} number=1900123456")
    elsewhere = cli.run(f"{dial} --json number=+44412345678", number_country="44").value
    unnamed = cli.run(f"explain crm {STOP} --json")
    operations = {row["operation"]: row for row in cli.run("operations --caller crm --json").value}
    record = json.loads(cli.run("audit tail -n 1 --json").out)

    assert ["extension=400-450,500", "number=04*"] == added["rules"]
    assert added["allow_unique_ids"]
    assert "extension=400-450,500, number=04*" in listed.out
    assert ("allow", None) == (allowed["decision"], allowed["rule"])
    assert "allow" == elsewhere["decision"]
    assert (1, "parameter_not_granted", "number=04*") == (
        refused.code,
        json.loads(refused.out)["reason"],
        json.loads(refused.out)["rule"],
    )
    assert (
        f"deny: parameter_not_granted (grant {added['grant_id']}, credential everything, rule number=04*)" in plain.out
    )
    assert "This value of number is not granted." in plain.out
    assert "extension=400-450,500" == json.loads(unnamed.out)["rule"]
    assert ("allow", added["rules"]) == (operations[STOP]["decision"], operations[STOP]["rules"])
    assert "deny" == operations["CallManagementAPI/hangup"]["decision"]
    assert "grant.added" == record["tag"]
    assert added["rules"] == record["change"]["rules"]


def test_a_path_outside_the_catalogue_is_granted_and_listed(cli: CommandLine) -> None:
    """
    To the one caller; to nobody else is it there.
    """
    path = "/servicemanager/rest/SmsAPI/send"
    cli.run("caller add other")
    added = cli.run(f"grant add crm --credential everything --operations {path} --json").value
    operations = cli.run("operations --caller crm --json").value
    others = cli.run("operations --caller other --json").value
    allowed = cli.run(f"explain crm {path} anything=1 --json").value
    unknown = cli.run(f"explain other {path}")

    assert ([path], "allow", added["grant_id"]) == (
        added["operations"],
        operations[-1]["decision"],
        operations[-1]["grant_id"],
    )
    assert 27 == len(others)
    assert path == allowed["operation"]
    assert (1, "deny: operation_unknown (no grant)") == (unknown.code, unknown.out.splitlines()[0])
    assert "granted by its full path" in unknown.out


def test_a_rule_without_its_parts_is_a_usage_error(cli: CommandLine) -> None:
    """
    And what was written is not repeated.
    """
    done = [
        cli.run(f"grant add crm --credential everything --operations * --json --param {text}")
        for text in ("extension", "=410", "7d0c1c52-4a9e-4a0b-9a53-00000000aaaa")
    ]

    assert [(2, "usage")] * 3 == [(each.code, each.error["reason"]) for each in done]
    assert "aaaa" not in done[2].err
    assert "NAME=RULE" in done[0].err


def test_grants_are_listed_and_removed(cli: CommandLine) -> None:
    """
    A caller's operations as the catalogue has them, with a decision each.
    """
    added = cli.run("grant add crm --credential everything --json --operations", "CallManagementAPI/st*").value
    listed = cli.run("grant list crm --json").value
    operations = {row["operation"]: row for row in cli.run("operations --caller crm --json").value}
    removed = cli.run(f"grant remove {added['grant_id']}")
    empty = cli.run("grant list crm")

    assert [added] == listed
    assert ("allow", "everything", added["grant_id"]) == (
        operations[STOP]["decision"],
        operations[STOP]["credential"],
        operations[STOP]["grant_id"],
    )
    assert ("deny", "operation_not_granted") == (
        operations["CallManagementAPI/dial"]["decision"],
        operations["CallManagementAPI/dial"]["reason"],
    )
    assert "operation_not_served" == operations["Time"]["reason"]
    assert f"grant {added['grant_id']} removed\n" == removed.out
    assert (0, "") == (empty.code, empty.out)
    assert "grant add crm" in empty.err


def test_a_disabled_caller_is_explained_as_such(cli: CommandLine) -> None:
    """
    Its tokens are as good as none, and a note says what helps.
    """
    cli.run("caller disable crm")
    done = cli.run(f"explain crm {STOP} --json")
    other = cli.run(f"explain nobody {STOP} --json")

    plain = cli.run(f"explain crm {STOP}")

    explained = json.loads(done.out)
    assert (1, "deny", "token_invalid") == (done.code, explained["decision"], explained["reason"])
    assert "noojee-gateway caller enable crm" in plain.err
    assert (1, "not_found") == (other.code, other.error["reason"])


def test_a_token_is_printed_once_and_alone(cli: CommandLine) -> None:
    """
    Its text is the whole standard output; afterwards only its public id is ever shown.
    """
    plain = cli.spawn("token issue crm --expires 90d")
    issued = cli.run("token issue crm --json").value
    listed = cli.run("token list --json").value
    token_id = plain.out[4:16]
    revoked = cli.run(f"token revoke {token_id}")
    table = cli.run("token list crm").out
    whole = cli.run(f"token revoke {issued['token']} --json")

    assert re.fullmatch(r"njg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}\n", plain.out)
    assert "" == plain.err
    assert ["token_id", "caller", "token", "expires_at"] == list(issued)
    assert ("crm", None) == (issued["caller"], issued["expires_at"])
    assert {token_id, issued["token_id"]} == {row["token_id"] for row in listed}
    assert issued["token"] not in json.dumps(listed)
    assert f"token {token_id} revoked\n" == revoked.out
    assert {token_id: "revoked", issued["token_id"]: "active"} == {
        line.split()[0]: line.split()[2] for line in table.splitlines()[1:]
    }
    assert 1 == whole.code
    assert issued["token"] not in whole.err


def test_upstreams_and_credentials_are_listed_without_a_key(cli: CommandLine) -> None:
    """
    What is in use is not removed; what is removed is gone.
    """
    shown = cli.run("upstream show noojee --json").value
    table = cli.run("upstream list").out
    in_use = cli.run("upstream remove noojee --json")
    credentials = cli.run("credential list").out
    for name in ("maria", "everything"):
        assert 0 == cli.run(f"credential remove {name}").code
    removed = cli.run("upstream remove noojee")

    way: dict[str, object] = {"proxy": None, "pins": [], "allow_old_tls": False}
    assert {"name": "noojee", "url": "https://noojee.example.com", "auth": "api-key", "ca": False, **way} == shown
    assert ["noojee", "https://noojee.example.com", "api-key", "no"] == table.splitlines()[1].split()
    assert (1, "in_use") == (in_use.code, in_use.error["reason"])
    assert ["NAME", "UPSTREAM", "KIND", "OWNER", "STATE"] == credentials.split()[:5]
    assert "maria       noojee    user    maria  active\n" in credentials
    assert "upstream noojee removed\n" == removed.out


def test_an_upstream_that_is_not_plain_https_is_refused(bare: CommandLine) -> None:
    """
    http, a user name, a query, a CA file that is not there.
    """
    bare.run("init")
    refusals = [
        bare.run(f"upstream add noojee --json --url {url}").error["reason"]
        for url in ("http://noojee.example.com", "https://a:b@noojee.example.com", "https://noojee.example.com/?x=1")
    ]
    absent = bare.run("upstream add noojee --url https://noojee.example.com --ca-file absent.pem")

    assert ["invalid"] * 3 == refusals
    assert "noojee-gateway: The file absent.pem of --ca-file cannot be read: No such file or directory.\n" == absent.err


def test_every_changing_verb_is_on_the_journal(cli: CommandLine) -> None:
    """
    Intent and outcome on the stream `admin`, under one request id, and the chain proves whole.
    """
    cli.run("token issue crm")
    lines = cli.run("audit tail -n 2 --json").out.splitlines()
    records = [json.loads(line) for line in lines]
    verified = cli.run("audit verify --json").value

    assert ["change.intended", "token.issued"] == [record["tag"] for record in records]
    assert 1 == len({record["request_id"] for record in records})
    assert ["admin"] == [stream["stream"] for stream in verified["streams"]]
    assert (True, "chain", None) == (verified["ok"], verified["proof"], verified["first_bad"])


def test_verify_tells_an_altered_line(cli: CommandLine) -> None:
    """
    Exit 1 with the place; a torn last line alone is reported and is exit 0.
    """
    segment = min((cli.data_dir / "journal" / "admin").glob("*.jsonl"))
    whole = segment.read_bytes()
    segment.write_bytes(whole + b'{"torn')
    torn = cli.spawn("audit verify")
    segment.write_bytes(whole.replace(b"crm", b"crn", 1))
    bad = cli.run("audit verify --json", str(cli.data_dir / "journal"))
    plain = cli.run("audit verify")

    assert (0, "torn: 6 bytes in admin/") == (torn.code, torn.out.splitlines()[-2][:23])
    assert "ok" == torn.out.splitlines()[-1]
    assert 1 == bad.code
    assert json.loads(bad.out)["first_bad"]["file"].startswith("admin/")
    assert (1, "BAD: admin/") == (plain.code, plain.out.splitlines()[-1][:11])
    assert "" == bad.err


def test_tail_shows_people_a_line_a_record(cli: CommandLine) -> None:
    """
    Instant, tag, and the fields that matter, escaped.
    """
    cli.run("caller disable crm")
    lines = cli.run("audit tail -n 2").out.splitlines()

    instant = r"\d{4}-\d\d-\d\dT\S+Z"
    assert 2 == len(lines)
    assert re.match(rf"{instant} change\.intended caller\.disabled request_id=\S+ actor=\S+ subject=crm$", lines[0])
    assert re.match(rf"{instant} caller\.disabled request_id=\S+ actor=\S+ subject=crm$", lines[1])


def test_tail_follows_what_is_written(cli: CommandLine) -> None:
    """
    `--follow` shows new records as they come.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "audit", "tail", "-n", "1", "--follow", "--json"],
        cwd=cli.folder,
        env=cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        follower.stdout.readline()
        cli.run("caller disable crm")
        tags = [json.loads(follower.stdout.readline())["tag"] for _ in range(2)]
        follower.send_signal(2)
        code = follower.wait(10)
        complaints = follower.stderr.read()

    assert ["change.intended", "caller.disabled"] == tags
    assert (0, b"") == (code, complaints)
