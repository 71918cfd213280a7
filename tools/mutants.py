"""Breaks the product on purpose, one promise at a time, and asks the tests whether they notice.

    .venv/bin/python tools/mutants.py [--only TEXT] [--list]

Each mutant is a small change of text in tools/mutant_lists with the tests that have to turn red. It is made in a copy
of the tree, which the tests then import: this tree stays as it is. Before any mutant, all those tests have to be green.
Exit status 0 when every mutant was caught; a text that is not found, or tests that cannot even start, count as errors.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

TREE: Final = Path(__file__).parents[1]
LISTS: Final = TREE / "tools" / "mutant_lists"
PACKAGES: Final = ("dts_core", "dts_worker", "dts_tui", "tests", "tools", "etc", "pyproject.toml")
TIME_LIMIT_SECONDS: Final = 180.0
GREEN_LIMIT_SECONDS: Final = 900.0
WITHOUT_SERVERS: Final = "not [rabbitmq and not -rabbitmq and not [mongodb and not -mongodb"
"""What pytest's -k is given: the contract suites run on the embedded engine alone, which takes no server's start."""
PASSED, FAILED = 0, 1
"""Exit statuses of pytest; any other one means that the tests did not run as such."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change that some test has to notice."""

    name: str
    why: str
    file: str
    old: str
    new: str
    red: list[str]
    """What pytest is given."""
    may_hang: bool = False
    """Whether tests that do not end count as red."""


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mutant: list[Mutant]


class Unfit(Exception):
    """A mutant that says nothing: it has to be mended first."""


def listed(folder: Path = LISTS) -> list[Mutant]:
    """Every mutant, by file and order."""
    return [
        mutant
        for path in sorted(folder.glob("*.toml"))
        for mutant in msgspec.toml.decode(path.read_bytes(), type=_List).mutant
    ]


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the change.

    Raises:
        Unfit: The text is not there exactly once, changes nothing, or what comes out is no Python.
    """
    if (count := source.count(mutant.old)) != 1:
        raise Unfit(f"its text stands {count} times in {mutant.file}")
    changed = source.replace(mutant.old, mutant.new)
    if changed == source:
        raise Unfit("it changes nothing")
    try:
        compile(changed, mutant.file, "exec")
    except SyntaxError as error:
        raise Unfit(f"line {error.lineno} is no Python: {error.msg}") from error
    return changed


class Copy:
    """A copy of the tree, and pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in PACKAGES:
            if (TREE / name).is_dir():
                shutil.copytree(TREE / name, folder / name, ignore=ignore)
            else:
                shutil.copy2(TREE / name, folder / name)
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("DTS_")
        } | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def prove_imports(self, files: Sequence[str]) -> None:
        """Check that each of these files is imported from the copy, and from nowhere else.

        Raises:
            Unfit: One is not.
        """
        names = [file.removesuffix(".py").replace("/", ".") for file in files]
        code = "import importlib, sys; [print(importlib.import_module(n).__file__) for n in sys.argv[1:]]"
        told = self._run([sys.executable, "-c", code, *names], 60)
        if told.stdout.splitlines() != [str(self.folder / file) for file in files]:
            raise Unfit(f"the copy is not what is imported:\n{told.stdout}{told.stderr}")

    def test(
        self, selection: Sequence[str], *more: str, seconds: float = TIME_LIMIT_SECONDS
    ) -> tuple[int, str]:
        """Exit status of pytest (-1: it did not end), and the end of what it said."""
        options = ["--tb=line", "-p", "no:cacheprovider", "--no-header", "-k", WITHOUT_SERVERS]
        command = [sys.executable, "-m", "pytest", *options, *more, *selection]
        try:
            told = self._run(command, seconds)
        except subprocess.TimeoutExpired:
            return -1, f"not over after {seconds:g} s"
        return told.returncode, told.stdout[-2000:] + told.stderr[-500:]

    def _run(self, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            capture_output=True,
            cwd=self.folder,
            env=self._environment,
            text=True,
            timeout=seconds,
            check=False,
        )

    def verdict(self, mutant: Mutant) -> tuple[bool, str]:
        """Whether the mutant was caught, and by what; the copy is as before afterwards.

        Raises:
            Unfit: It says nothing as it is.
        """
        path = self.folder / mutant.file
        source = path.read_text("utf-8")
        path.write_text(mutated(source, mutant), "utf-8")
        try:
            status, said = self.test(mutant.red, "-x")
        finally:
            path.write_text(source, "utf-8")
        if status == -1:
            return mutant.may_hang, said
        if status not in (PASSED, FAILED):
            raise Unfit(f"pytest ended with {status}:\n{said}")
        return status == FAILED, next(_failures(said), "no test turned red")


def _failures(said: str) -> Iterator[str]:
    for line in said.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            yield line.split(" ", 1)[1].split(" - ", 1)[0]


def run(mutants: Sequence[Mutant], folder: Path) -> int:
    """Try each and print a line on it; how many were caught."""
    copy = Copy(folder)
    copy.prove_imports(sorted({mutant.file for mutant in mutants}))
    selections = sorted({each for mutant in mutants for each in mutant.red})
    status, said = copy.test(selections, seconds=GREEN_LIMIT_SECONDS)
    if status == FAILED:  # a machine that is busy may fail a test; one that fails alone too is red
        status, said = copy.test(list(_failures(said)), seconds=GREEN_LIMIT_SECONDS)
    if status != PASSED:
        raise Unfit(f"without any mutant the tests are not green ({status}):\n{said}")
    caught = 0
    for mutant in mutants:
        started = time.monotonic()
        try:
            is_caught, by = copy.verdict(mutant)
        except Unfit as error:
            word, by = "ERROR ", str(error)
        else:
            caught += is_caught
            word = "caught" if is_caught else "MISSED"
        print(f"{word} {time.monotonic() - started:5.1f} s  {mutant.name}: {by}", flush=True)
    return caught


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="Do the tests notice broken promises?")
    parser.add_argument("--only", default="", help="mutants whose name or file has this text")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    options = parser.parse_args()
    mutants = [each for each in listed() if options.only in f"{each.name} {each.file}"]
    if options.list:
        for each in mutants:
            print(f"{each.name}\n    {each.file}: {each.why}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dts-mutants-"))
    try:
        caught = run(mutants, folder)
    except Unfit as error:
        print(error, file=sys.stderr)
        caught = 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"caught {caught} of {len(mutants)}")
    return 0 if mutants and caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
