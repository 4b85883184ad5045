"""
Runs the image under an OCI runtime as docker-compose.yml would have it run, and drives calls through it.

For `deploy/build-without-docker.sh try`, as root, in a network of its own. What Docker would take from the image (user,
environment, entry point, health check) is read from the image; what it would take from docker-compose.yml (read-only
root, no capability, no new privileges, limits, volumes, the secret) is said here. Prints each step as it is done, and
ends with 1 at the first that is not as expected.
"""

# ruff: noqa: INP001, T201 - a script: it is no package, and standard output is where its steps stand

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

_OWNER = 10001
_DATA = "/var/lib/noojee-gateway"
_ROOT_IS_READ_ONLY = (
    'touch /x 2>&1; touch /opt/noojee-gateway/x 2>&1; id; grep -E "^(Cap|NoNewPrivs)" /proc/self/status'
)
_SETTINGS = {
    "GATEWAY_MASTER_KEY_FILE": "/run/secrets/master.key",
    "GATEWAY_HOST": "0.0.0.0",  # noqa: S104 - inside, as in docker-compose.yml
    "GATEWAY_ADMIN_HOST": "0.0.0.0",  # noqa: S104
    "GATEWAY_ALLOW_PLAINTEXT": "yes",
    "GATEWAY_NODE": "gateway",
}


class Image:
    """
    An image's root file system with its configuration, from which containers are run.
    """

    def __init__(self, root: Path, inspected: dict[str, Any], work: Path) -> None:
        self._root, self._work = root, work
        self._config = inspected["Docker"]["config"]
        self._runs = 0
        self.folders = {name: self._make_folder(name) for name in ("data", "journal", "noojee", "secrets")}

    @property
    def health_check(self) -> list[str]:
        """
        The words that Docker would run every 30 seconds.
        """
        kind, *words = self._config["Healthcheck"]["Test"]
        expect("the health check is a command", kind == "CMD")
        return [str(word) for word in words]

    def start(self, words: list[str], *, entry_point: bool = True, text: str = "") -> subprocess.Popen[str]:
        """
        A container in which these words follow the image's entry point.
        """
        bundle = self._work / f"bundle-{self._runs}"
        self._runs += 1
        bundle.mkdir()
        full = [*self._config["Entrypoint"], *words] if entry_point else words
        (bundle / "config.json").write_text(json.dumps(self._specify(full)))
        process = subprocess.Popen(  # noqa: S603 - our own words
            ["runc", "--root", self._work / "runc", "run", "--bundle", bundle, bundle.name],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write(text)
        process.stdin.close()
        return process

    def run(self, words: list[str], *, entry_point: bool = True, text: str = "", code: int = 0) -> str:
        """
        The same to its end. Returns what it printed.
        """
        process = self.start(words, entry_point=entry_point, text=text)
        assert process.stdout is not None  # noqa: S101 - for the type checker
        output = process.stdout.read()
        show(f"$ {' '.join(words)}", output)
        expect(f"it ends with {code}", process.wait(60) == code)
        return output

    def _make_folder(self, name: str) -> Path:
        folder = self._work / name
        folder.mkdir(mode=0o700)
        os.chown(folder, _OWNER, _OWNER)
        return folder

    def _specify(self, words: list[str]) -> dict[str, Any]:
        user = [int(number) for number in self._config["User"].split(":")]
        environment = dict(text.split("=", 1) for text in self._config["Env"]) | _SETTINGS
        mounts = [(self.folders["data"], _DATA), (self.folders["journal"], f"{_DATA}/journal")]
        mounts += [(self.folders["secrets"], "/run/secrets"), (self.folders["noojee"], "/run/noojee")]
        tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": ["noexec", "nosuid", "nodev", "size=16m", "mode=1777"]}
        return {
            "ociVersion": "1.0.0",
            "hostname": "gateway",
            "root": {"path": str(self._root), "readonly": True},
            "process": {
                "user": {"uid": user[0], "gid": user[1]},
                "args": words,
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": self._config.get("WorkingDir") or "/",
                "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted")},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 20000, "hard": 20000}],
                "noNewPrivileges": True,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=64k"]},
                {"destination": "/tmp"} | tmpfs,  # noqa: S108 - the container's own
                {"destination": "/run"} | tmpfs,
                *({"destination": to, "source": str(at), "options": ["bind", "nosuid", "nodev"]} for at, to in mounts),
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
            },
        }


def show(title: str, text: str) -> None:
    """
    A step and what it printed, long lines cut.
    """
    print(title)
    for line in text.splitlines():
        print(f"    {line[:200]}")


def expect(what: str, holds: object) -> None:
    """
    Says what was looked at, and ends everything where it does not hold.
    """
    print(f"    [{'ok' if holds else 'NOT SO'}] {what}", flush=True)
    if not holds:
        sys.exit(1)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """
    Until the line that `serve` and `simulate` print once they serve.
    """
    assert process.stdout is not None  # noqa: S101 - for the type checker
    for line in process.stdout:
        print(f"    {line.rstrip()}"[:204])
        if line.startswith("ready "):
            return
    expect("it is ready", holds=False)


def call(token: str, target: str) -> tuple[int, str]:
    """
    One call of a caller on the callers' port: status and body.
    """
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    with contextlib.closing(connection):
        connection.request(
            "POST", f"/servicemanager/rest/CallManagementAPI/{target}", headers={"Authorization": f"Bearer {token}"}
        )
        response = connection.getresponse()
        status, body = response.status, response.read().decode()
    show(f"POST .../CallManagementAPI/{target}", f"{status} {body}")
    return status, body


def set_up(image: Image) -> str:
    """
    What an operator does once. Returns a caller's token.
    """
    key = image.folders["secrets"] / "master.key"
    key.write_text(f"1 {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    key.chmod(0o400)
    os.chown(key, _OWNER, _OWNER)
    image.run(["init"])
    expect("the master key is not among the data", not (image.folders["data"] / "master.key").exists())
    image.run(["upstream", "add", "noojee", "--url", "https://127.0.0.1:8443", "--ca-file", "/run/noojee/ca.pem"])
    noojee_key = (image.folders["noojee"] / "global.key").read_text()
    image.run(["credential", "add", "everything", "--upstream", "noojee", "--kind", "global"], text=noojee_key)
    image.run(["caller", "add", "crm"])
    image.run(["grant", "add", "crm", "--credential", "everything", "--operations", "CallManagementAPI/st*"])
    token = image.start(["token", "issue", "crm"])
    assert token.stdout is not None  # noqa: S101 - for the type checker
    text = token.stdout.read().strip()
    show("$ token issue crm", text[:17] + "...")
    return text


def drive(image: Image, token: str) -> None:
    """
    Serve, be asked for health, serve two calls, and end as Docker ends a container.
    """
    print("$ serve")
    gateway = image.start(["serve"])
    wait_until_ready(gateway)
    image.run(image.health_check, entry_point=False)
    status, body = call(token, "start?extenOrUniqueId=410")
    expect("Noojee's own answer", (status, body) == (200, '{"Message": "Recording started", "Code": 0}'))
    status, body = call(token, "dial?number=0412345678&extenOrUniqueId=SIP/410")
    expect("what was not granted is refused", status == http.client.FORBIDDEN and "operation_not_granted" in body)
    image.run(["audit", "tail", "-n", "3"])
    # The runtime hands the signal on to the container's first process, as `docker stop` does.
    gateway.terminate()
    expect("SIGTERM ends it with 0", gateway.wait(60) == 0)
    image.run(image.health_check, entry_point=False, code=1)
    image.run(["audit", "verify"])


def main() -> None:
    """
    Everything, once.
    """
    parser = argparse.ArgumentParser(description="Run the image as docker-compose.yml would, and call through it.")
    parser.add_argument("--root", type=Path, required=True, help="the image's mounted root file system")
    parser.add_argument("--image", type=Path, required=True, help="what `buildah inspect --type image` printed")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    args = parser.parse_args()
    image = Image(args.root, json.loads(args.image.read_text()), args.work)
    shown = image.run(["/bin/sh", "-c", _ROOT_IS_READ_ONLY], entry_point=False)
    expect("the root file system is read-only", shown.count("Read-only file system") == 2)  # noqa: PLR2004 - both
    expect("it runs as 10001", "uid=10001(noojee-gateway) gid=10001(noojee-gateway)" in shown)
    expect("it has no capability", shown.count("0000000000000000") == 5)  # noqa: PLR2004 - all five sets
    simulator = image.start(["simulate", "--port", "8443", "--data-dir", "/run/noojee"])
    print("$ simulate")
    wait_until_ready(simulator)
    try:
        drive(image, set_up(image))
    finally:
        simulator.terminate()
        simulator.wait(60)
    print("The image serves.")


if __name__ == "__main__":
    main()
