"""A function of several modules from its folder to a worker, and the loop that pushes it whenever it is saved."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment, eventually, up

MAIN = "import parts\nfrom .inner.deep import add\n\ndef main(n: int) -> list:\n    return [parts.NAME, add(n)]\n"


def save(file: Path, text: str) -> None:
    """All at once, as editors do."""
    draft = file.with_suffix(".new")
    draft.write_text(text)
    draft.replace(file)


@pytest.mark.slow
def test_a_folder_is_pushed_whenever_it_is_saved(tmp_path: Path) -> None:
    """Jobs run what was saved last; a mistake is told with its line; Ctrl-C ends it with status 0."""
    folder = tmp_path / "report"
    (folder / "inner").mkdir(parents=True)
    (folder / "main.py").write_text(MAIN)
    (folder / "parts.py").write_text("NAME = 'first'\n")
    (folder / "inner" / "deep.py").write_text("def add(n):\n    return n + 1\n")
    output = tmp_path / "watch.out"
    with up(tmp_path) as stack, stack.client() as client, output.open("wb") as stream:
        command = [
            "-m",
            "dts_core.cli",
            "functions",
            "push",
            "sample/report",
            str(folder),
            "--watch",
        ]
        watching = subprocess.Popen(
            [sys.executable, *command],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(tmp_path) | {"DTS_DATA": str(stack.data), "PYTHONUNBUFFERED": "1"},
        )

        def said(words: str) -> None:
            eventually(lambda: words in output.read_text(), what=f"{words!r} is said")

        def answer() -> object:
            return client.wait_for(client.submit("sample/report", args=[1]).id).result

        try:
            said("is created")
            assert answer() == ["first", 2]
            save(folder / "parts.py", "NAME = 'second'\n")
            said("changed parts.py: version")
            assert answer() == ["second", 2]
            save(folder / "inner" / "deep.py", "def add(n):\n    return (n\n")
            said("inner/deep.py is not Python: line 2")
            assert answer() == ["second", 2]
            save(folder / "inner" / "deep.py", "def add(n):\n    return 1 / 0\n")
            said("changed inner/deep.py: version")
            job = client.wait_for(client.submit("sample/report", args=[1]).id)
            assert job.error is not None
            label = f"sample/report@{job.version[:8]}"
            assert f'File "{label}/inner/deep.py", line 2, in add' in job.error.traceback
            os.kill(watching.pid, signal.SIGINT)
            assert watching.wait(timeout=60) == 0
        finally:
            watching.kill()
            watching.wait()
        assert "no longer watched" in output.read_text()
        assert "Traceback" not in output.read_text()
        assert len(client.functions.get("sample/report").versions) == 3
