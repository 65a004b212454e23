"""Break each law on purpose and see that its test fails: `python tests/break_laws.py [part of a path or test ...]`.

Each mutation of `mutations.py` and of the `mutations_*.py` beside it is applied alone to a copy of src/ and tests/, and
its one test is run there. Status 1 if a mutation is not caught, or if the text to replace is no longer found exactly
once.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import pytest
import torch

from mutations import Mutation

ROOT = Path(__file__).parent.parent
LIMIT = 300  # seconds: a mutation that hangs is not caught
OUTCOMES = {0: "NOT caught", 1: "caught"}
"""By pytest's exit status; with another one the test did not run at all."""
SLOW = ("torch", "transformers", "scipy", "huggingface_hub", "PIL")
"""Packages that are imported once, not anew for each mutation: most of its time otherwise."""


def known() -> list[Mutation]:
    """The mutations of every table, by file: the one constant of each whose name ends with MUTATIONS."""
    tables = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("mutations*.py"))]
    return [
        mutation
        for table in tables
        for name in dir(table)
        if name.endswith("MUTATIONS")
        for mutation in getattr(table, name)
    ]


KNOWN = known()


def main(wanted: Sequence[str]) -> int:
    sys.dont_write_bytecode = True  # a stale compiled file would hide a mutation
    torch.set_num_threads(1)
    mutations = [m for m in KNOWN if not wanted or any(part in m[0] or part in m[3] for part in wanted)]
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of(ROOT, Path(folder))
        tests = sorted({test for *_, test in mutations})
        if not tests or run(copy, tests) != 0:
            print("These tests do not all pass without a mutation (or there are none):", *tests, sep="\n  ")
            return 1
        import_slow(copy)
        outcomes = [report(mutation, outcome_of(copy, mutation)) for mutation in mutations]
    caught = outcomes.count("caught")
    print(f"{caught} of {len(outcomes)} mutations caught")
    return 0 if caught == len(outcomes) else 1


def copy_of(root: Path, folder: Path) -> Path:
    """src/, tests/, scripts/, the docs that they read and pytest's settings, without compiled files."""
    for name in ("src", "tests", "scripts", "docs"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(root / "pyproject.toml", folder)
    return folder


def outcome_of(copy: Path, mutation: Mutation) -> str:
    file, old, new, test = mutation
    found = (copy / file).read_text(encoding="utf-8").count(old) if (copy / file).exists() else 0
    if found != 1:
        return f"NOT caught: the old text is found {found} times, expected once"
    with mutated(copy / file, old, new):
        status = run(copy, [test])
    return OUTCOMES.get(status, f"NOT caught: pytest ended with status {status}")


@contextmanager
def mutated(path: Path, old: str, new: str) -> Iterator[None]:
    """While open, the file holds the new text."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def run(copy: Path, tests: Sequence[str]) -> int:
    """Pytest's exit status for some tests in the copy, in a fork of this process, which keeps what is imported."""
    child = os.fork()
    if child == 0:
        status: int = pytest.ExitCode.INTERNAL_ERROR
        signal.alarm(LIMIT)
        try:
            status = run_here(copy, tests)
        finally:
            os._exit(status)  # whatever happens: an error that left this function would remove the copy
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run_here(copy: Path, tests: Sequence[str]) -> int:
    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        # what is imported early cannot be rewritten: pytest warns of a plugin among it, and warnings are errors
        early = "ignore::pytest.PytestAssertRewriteWarning"
        status = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-W", early, *tests]))
    (copy / "imported").write_text("\n".join(sorted(name for name in sys.modules if name.split(".")[0] in SLOW)))
    return status


def import_slow(copy: Path) -> None:
    """Import what the last run in a fork imported of the slow packages."""
    for name in (copy / "imported").read_text(encoding="utf-8").split():
        with suppress(ImportError):  # some modules are names that their packages make up
            import_module(name)


def report(mutation: Mutation, outcome: str) -> str:
    file, old, new, test = mutation
    print(f"{file}: {one_line(old)} -> {one_line(new)}: {test} -> {outcome}", flush=True)
    return outcome


def one_line(text: str) -> str:
    return repr(" ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
