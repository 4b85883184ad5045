"""
deploy/airgap/install.sh: from a folder, with no index, no proxy and no settings of pip's, and from that folder alone.

The folder of this test has the gateway's real wheel and one small dependency of its own making; collecting the real
ones needs an index, and is in docs/recorded-runs/.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway import __version__

_REPOSITORY = Path(__file__).parents[2]


def _make_wheel(folder: Path) -> Path:
    """
    A package `carried` with one module.
    """
    files = {
        "carried.py": "WORD = 'carried over'\n",
        "carried-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n",
        "carried-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_hash(text)},{len(text)}" for name, text in files.items()]
    files["carried-1.0.dist-info/RECORD"] = "\n".join([*record, "carried-1.0.dist-info/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / "carried-1.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return folder / "carried-1.0-py3-none-any.whl"


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _seal(folder: Path) -> str:
    """
    Write SHA256SUMS as collect.sh does, and return its own checksum.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  ./{name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The gateway's wheel.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=_REPOSITORY, check=True, capture_output=True, timeout=60)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture
def bundle(tmp_path: Path, own_wheel: Path) -> Path:
    """
    A folder as collect.sh makes one, not yet sealed.
    """
    folder = tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(own_wheel, folder)
    shutil.copy(_REPOSITORY / "deploy" / "airgap" / "install.sh", folder)
    checksum = hashlib.sha256(_make_wheel(folder).read_bytes()).hexdigest()
    (folder / "run.txt").write_text(f"carried==1.0 --hash=sha256:{checksum}\n")
    return folder


def _install(bundle: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # An index that would be asked if anything could make pip ask one: nothing listens there.
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    command = [
        "/bin/sh",
        str(bundle / "install.sh"),
        "--prefix",
        str(bundle.parent / "gateway"),
        "--python",
        sys.executable,
    ]
    return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_a_folder_that_was_carried_over_whole_is_installed_from_and_nothing_else_is(bundle: Path) -> None:
    """
    The command is there and runs, the dependency came from the folder, and the link leads to this version.
    """
    checksum = _seal(bundle)
    done = _install(bundle, "--checksum", checksum)

    assert (0, "") == (done.returncode, done.stderr)

    prefix = bundle.parent / "gateway"
    python = prefix / "bin" / "python"
    told = subprocess.run(
        [python, "-c", "import carried; print(carried.WORD)"], capture_output=True, text=True, check=True
    )

    assert "carried over\n" == told.stdout
    assert prefix.is_symlink()
    assert f"gateway-{__version__}" == prefix.readlink().name
    assert f"noojee-gateway {__version__}\n" in done.stdout

    again = _install(bundle)

    assert 1 == again.returncode
    assert "is there already" in again.stderr


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
@pytest.mark.parametrize("what", ["byte", "more", "less", "sums"])
def test_a_folder_that_was_altered_on_the_way_installs_nothing(bundle: Path, what: str) -> None:
    """
    A byte in a wheel, a file too many, one too few, or new checksums for all of it: exit 1 before anything is made.
    """
    checksum = _seal(bundle)
    wheel = bundle / "carried-1.0-py3-none-any.whl"
    if what == "byte":
        wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    elif what == "more":
        (bundle / "noojee_gateway-9-py3-none-any.whl").write_bytes(b"")
    elif what == "less":
        wheel.unlink()
    else:
        (bundle / "run.txt").write_text("")
        _seal(bundle)
    done = _install(bundle, "--checksum", checksum)

    assert 1 == done.returncode
    assert "nothing was installed" in done.stderr
    assert [bundle] == list(bundle.parent.iterdir())
