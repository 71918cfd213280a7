"""The table of commands, and how any error of theirs ends: one line, the right exit status."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from dts_core import __version__
from dts_core.cli.table import COMMANDS, Table
from dts_core.errors import DtsError
from dts_core.text import clean

INTERRUPTED: Final = 130
USAGE: Final = 2


class LazyGroup(click.Group):
    """Knows its commands by name and one line of help; imports one only to run it or to show its own help.

    Args:
        table: The commands: name -> (module:attribute, line of help); those of `dts` itself when left out.
    """

    def __init__(self, *args: Any, table: Table = COMMANDS, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command that help shows, in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of that name."""
        if cmd_name not in self._table:
            return None
        module, attribute = self._table[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is not known is answered with the nearest one."""
        import difflib

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx) from error


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message="dts %(version)s")
def dts() -> None:
    """Run Python functions on your hosts, and watch them from one terminal.

    `dts up` starts everything on this machine; `dts-tui` is the console, `dts-worker` a worker
    beside it. `dts COMMAND --help` tells the options, with examples.
    """


def run(command: click.Command = dts, arguments: list[str] | None = None) -> None:
    """Run a command of ours and exit: 0, 1 after an error, 2 after wrong usage, 130 when interrupted."""
    sys.exit(status_of(lambda: command.main(arguments, prog_name="dts", standalone_mode=False)))


def status_of(call: Callable[[], Any]) -> int:
    """Run `call`; return its exit status, having told any error in one line on standard error.

    With DTS_DEBUG=1 an error's traceback is shown too.
    """
    try:
        answer = call()
        sys.stdout.flush()
    except click.UsageError as error:
        return _told(_usage(error), error, USAGE)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        return _told(error.format_message(), error, error.exit_code)
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except DtsError as error:
        return _told(str(error), error)
    except ExceptionGroup as group:
        return _told(_line_of(_first(group)), group)
    except OSError as error:
        return _told(_line_of(error), error)
    except Exception as error:  # noqa: BLE001 - a defect ends in one line too, its trace on demand
        return _told(f"{_line_of(error)} (Set DTS_DEBUG=1 to see where.)", error)
    return answer if isinstance(answer, int) else 0


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "dts"
    return f"{error.format_message()} See `{path} --help`."


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _line_of(error: BaseException) -> str:
    if isinstance(error, DtsError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}."
    return f"{type(error).__name__}: {error}"


def _told(line: str, error: BaseException, status: int = 1) -> int:
    if os.environ.get("DTS_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    print(f"dts: {clean(' '.join(line.split()), 2000)}", file=sys.stderr)
    return status


def _forget_stdout() -> None:
    """Let the interpreter's last flush of a closed pipe go nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
