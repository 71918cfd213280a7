"""How shells are asked for: on the command line, and by the console's key."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from dts_core.cli.entry import dts
from dts_tui.screens import host_shell


@pytest.mark.parametrize(
    "more", [["--login", "root"], ["--show", "j"], ["--as-me"], ["--label", "a"], ["--", "true"]]
)
def test_what_a_shell_would_not_heed_is_refused(more: list[str]) -> None:
    """Whoever asks for another user must not find themselves logged in as the one of the virtual host."""
    told = CliRunner().invoke(dts, ["ssh", "--tty", "web-1", *more])
    assert (told.exit_code, "--tty takes one host and nothing else" in told.output) == (2, True)


def test_the_same_again_is_by_the_same_user() -> None:
    """Whoever names another one must not find that it was run as the one before."""
    told = CliRunner().invoke(dts, ["ssh", "--again", "j", "--as-me", "--login", "root", "--yes"])
    assert (told.exit_code, "--login is not taken with it" in told.output) == (2, True)


def test_the_consoles_shell_runs_nothing_that_lies_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the token in its environment: a file in the folder where the console was started is no part of it."""
    (tmp_path / "click.py").write_text("raise SystemExit('not ours')\n")
    ran: list[Any] = []

    def lend(command: list[str], suspend: Any, **given: Any) -> tuple[int, str]:
        ran.append(
            subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, check=False)
        )
        return 0, ""

    monkeypatch.setattr(host_shell, "lend", lend)
    console = SimpleNamespace(
        suspend=None, notice=lambda *told: None, feed=SimpleNamespace(wake=lambda: None)
    )
    view: Any = SimpleNamespace(console=console)
    host_shell._lent(view, "web-1", {})
    assert (ran[0].returncode, ran[0].stderr) == (0, b"")
