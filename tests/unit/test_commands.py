"""The command `dts`: any error ends in one line and the right status; help is there for everything."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dts_core.cli.entry import dts, status_of
from dts_core.cli.table import COMMANDS
from dts_core.errors import ConfigError, DtsError


def failing(error: BaseException) -> Callable[[], Any]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DtsError("it broke.", advice="Mend it."), 1, "dts: it broke. Mend it."),
        (ConfigError("odd.", file="a\x1b.toml", key="b"), 1, "dts: a\\x1b.toml: b: odd."),
        (click.UsageError("no such thing."), 2, "dts: no such thing. See `dts --help`."),
        (click.ClickException("odd."), 1, "dts: odd."),
        (FileNotFoundError(2, "No such file", "/x"), 1, "dts: /x: No such file."),
        (ZeroDivisionError("by\nzero"), 1, "dts: ZeroDivisionError: by zero (Set DTS_DEBUG=1"),
        (ExceptionGroup("g", [ExceptionGroup("h", [DtsError("in.")])]), 1, "dts: in."),
    ],
)
def test_error_is_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, no control character, the status that Unix expects."""
    assert status_of(failing(error)) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(line)
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupt_is_silent(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """Who presses Ctrl-C needs no explanation."""
    assert status_of(failing(error)) == 130
    assert capsys.readouterr().err == ""


def test_debug_shows_the_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DTS_DEBUG=1 adds where it came from; the line comes last."""
    monkeypatch.setenv("DTS_DEBUG", "1")
    assert status_of(failing(DtsError("it broke."))) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.endswith("dts: it broke.\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """Each entry of the table leads to a command that explains itself."""
    told = CliRunner().invoke(dts, [name, "--help"])
    assert told.exit_code == 0
    assert "Usage" in told.output


def helps(command: click.Command, called: str) -> Iterator[tuple[str, str]]:
    """The help of a command and of all below it, by how it is called."""
    with click.Context(command, info_name=called) as context:
        yield called, command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from helps(below, f"{called} {name}")


def test_every_help_has_the_same_look() -> None:
    """However deep a command lies: a line of usage, what it does, its options; text without any boxes."""
    told = dict(helps(dts, "dts"))
    assert {"dts login", "dts up", "dts admin users list"} <= told.keys()
    odd = [
        called
        for called, text in told.items()
        if not text.startswith(f"Usage: {called} ")
        or "\nOptions:\n" not in text
        or any("\u2500" <= letter <= "\u257f" for letter in text)
    ]
    assert odd == []


def test_help_lists_every_command() -> None:
    """What can be called is in the help, save what only `make` calls."""
    told = CliRunner().invoke(dts, ["--help"]).output
    missing = [name for name in COMMANDS if f"\n  {name} " not in told]
    assert missing == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sbmit"], "there is no command 'sbmit'. Did you mean submit?"),
        (["up", "--prot", "1"], "--prot"),
        (["up", "--port", "70000"], "70000"),
        (["daemon"], "Missing argument"),
        (["daemon", "prter"], "'prter' is not one of 'porter'"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], expected: str) -> None:
    """A mistake on the command line is told with what was given, and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "dts_core", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["porter", "internal"])
def test_daemon_alone_is_refused_on_the_embedded_engine(tmp_path: Path, name: str) -> None:
    """It would need the file that `dts server` owns: the reason is told, nothing is touched."""
    config = tmp_path / "daemons.toml"
    config.write_text(
        f'[broker]\nurl = "sqlite://{tmp_path}/d"\n[store]\nurl = "sqlite://{tmp_path}/d"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "dts_core", "daemon", name, "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"its `dts server` runs {name} itself" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()
