"""
Proof that the laws' tests can fail: each patch in `mutants/` breaks a law, and that law's tests must turn red.

Every patch is applied to a copy of the working tree, in a temporary folder; the tree itself is never touched. A mutant
is killed only by a failed assertion: a copy that cannot be imported, does not start or breaks a fixture proves nothing
and is told as broken. First the unpatched copy must pass, else red would mean nothing.

Run by `make laws`. One line for each mutant, then `N passed, M failed`; exit code 1 when one survived or is broken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).resolve().parent / "mutants"
AT_A_TIME = 2
LIMIT_SECONDS = 150
_NAME = re.compile(r"law-([1-9])-[a-z0-9-]+\.patch")
_MARK = "0.0.0+copy"
_NOT_STARTED = "did not become ready"
"""Said by `tests/support/installation.py` when `serve` ended at once: then nothing was tested."""


@dataclass(frozen=True)
class Verdict:
    """
    What became of one run of a law's tests.

    Attributes:
        passed: Tests that passed.
        failed: Names of tests whose assertion failed.
        broken: Why the run proves nothing; empty when it proves something.
    """

    passed: int = 0
    failed: tuple[str, ...] = ()
    broken: str = ""


def find_patches() -> list[Path]:
    """
    All patches, in the order of the laws.
    """
    return sorted(PATCHES.glob("*.patch"))


def find_law(patch: Path) -> int:
    """
    The law that a patch breaks: `law-N-<what>.patch`.
    """
    matched = _NAME.fullmatch(patch.name)
    if matched is None:
        raise ValueError(f"{patch.name} is not named law-N-<what>.patch")
    return int(matched[1])


def _apply(patch: Path, tree: Path) -> str:
    """
    Apply a patch to a copy; what git says when it does not apply, else an empty text.
    """
    words = ["git", "apply", str(patch)]
    # A copy lies in no repository, and git must not look for one above it.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"git apply ended with {done.returncode}"


def main() -> int:
    """
    Try all mutants, or those whose names hold one of the words on the command line.
    """
    words = sys.argv[1:]
    patches = [patch for patch in find_patches() if not words or any(word in patch.name for word in words)]
    laws = sorted({find_law(patch) for patch in patches})
    with tempfile.TemporaryDirectory(prefix="noojee-laws-") as folder, ThreadPoolExecutor(AT_A_TIME) as pool:
        pristine = Path(folder) / "pristine"
        _copy_tree(pristine)
        _require_own_imports(pristine)
        baseline = dict(zip(laws, pool.map(lambda law: _run_tests(pristine, law), laws), strict=True))
        for law, verdict in baseline.items():
            if verdict.broken or verdict.failed or not verdict.passed:
                _say(f"law {law}: its tests do not pass without a mutant: {verdict.broken or verdict.failed}")
        if any(verdict.broken or verdict.failed or not verdict.passed for verdict in baseline.values()):
            return 1
        killed = list(pool.map(lambda patch: _try(patch, pristine), patches))
    _say(f"{sum(killed)} passed, {len(killed) - sum(killed)} failed")
    return 0 if killed and all(killed) else 1


def _try(patch: Path, pristine: Path) -> bool:
    """
    Whether a mutant is killed; says so.
    """
    began_at = time.monotonic()
    tree = pristine.parent / patch.stem
    shutil.copytree(pristine, tree)
    problem = _apply(patch, tree)
    if problem:
        _say(f"ERROR     {patch.name}: the patch does not apply: {problem}")
        return False
    verdict = _run_tests(tree, find_law(patch), stop_at_first=True)
    seconds = f"{time.monotonic() - began_at:.0f} s"
    shutil.rmtree(tree)
    if verdict.broken:
        _say(f"ERROR     {patch.name}: nothing was proven: {verdict.broken}")
    elif verdict.failed:
        _say(f"killed    {patch.name} by {verdict.failed[0].partition('[')[0]} ({seconds})")
    else:
        _say(f"SURVIVED  {patch.name}: all {verdict.passed} tests passed ({seconds})")
    return bool(verdict.failed) and not verdict.broken


def _copy_tree(target: Path) -> None:
    """
    The working tree as it is now, committed or not, without what git ignores.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        source = ROOT / name
        if source.is_file():  # a deleted file is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def _require_own_imports(tree: Path) -> None:
    """
    End here unless a process that runs in a copy, and one that it starts, import the copy's `gateway`.

    An editable install of the real tree is on every path; if it won, each mutant would survive or, worse, be killed
    by chance.
    """
    marked = tree.parent / "marked"
    shutil.copytree(tree, marked)
    (marked / "gateway" / "__init__.py").write_text(f'"""Marked."""\n\n__version__ = "{_MARK}"\n', encoding="utf-8")
    starts = (
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'gateway', '--version'], cwd='/'))"
    )
    for words in (["-m", "gateway", "--version"], ["-c", starts]):
        done = subprocess.run(
            [sys.executable, *words], cwd=marked, env=_environment(marked), capture_output=True, text=True, check=False
        )
        if _MARK not in done.stdout:
            raise SystemExit(f"a copy does not import its own gateway: {done.stdout or done.stderr}")
    shutil.rmtree(marked)


def _environment(tree: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "COVERAGE_"))}
    return kept | {"PYTHONPATH": str(tree)}


def _run_tests(tree: Path, law: int, *, stop_at_first: bool = False) -> Verdict:
    """
    Run a law's tests in a copy.
    """
    report = tree.parent / f"{tree.name}-law-{law}.xml"
    modules = sorted(str(path) for path in (tree / "tests" / "laws").glob(f"test_law_{law}_*.py"))
    if not modules:
        return Verdict(broken=f"law {law} has no tests")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *modules]
    if stop_at_first:
        words.append("--exitfirst")
    try:
        done = subprocess.run(
            words,
            cwd=tree,
            env=_environment(tree),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(broken=f"the tests did not end within {LIMIT_SECONDS} s")
    if done.returncode not in {0, 1} or not report.exists():
        return Verdict(broken=f"pytest ended with {done.returncode}: {_last_line(done.stdout + done.stderr)}")
    return _read_report(report)


def _read_report(report: Path) -> Verdict:
    """
    The verdict of a JUnit report.
    """
    passed, failed = 0, []
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest has just written it
        name = case.get("name", "?")
        error, failure = case.find("error"), case.find("failure")
        if error is not None:
            return Verdict(broken=f"{name}: {_last_line(error.text or '')}")
        if failure is None:
            passed += case.find("skipped") is None
        elif not failure.get("message", "").startswith(("AssertionError", "assert", "Failed:")):
            return Verdict(broken=f"{name} ended in {_last_line(failure.text or '')}")
        elif _NOT_STARTED in (failure.text or ""):
            return Verdict(broken=f"{name}: serve did not start")
        else:
            failed.append(name)
    return Verdict(passed, tuple(failed))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
