"""Options that the host-side commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
FILE: Final = click.Path(path_type=Path)


def config_options(command: F) -> F:
    """Add -c/--config-file, --config-dir and -d/--dev."""
    options = [
        click.option(
            "-c",
            "--config-file",
            type=FILE,
            metavar="FILE",
            help="Settings (.toml or .json); else the part's own file in the configuration folder.",
        ),
        click.option(
            "--config-dir",
            type=FILE,
            metavar="DIR",
            help="Configuration folder (DTS_CONFIG_DIR); else the etc/ that ships with dts.",
        ),
        click.option("-d", "--dev", is_flag=True, help="Lay each [X-dev] table over [X]."),
    ]
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


def parent_pipe_option(command: F) -> F:
    """Add --parent-pipe, for a process that must not outlive the one that started it."""
    option = click.option("--parent-pipe", type=click.IntRange(min=0), hidden=True, metavar="FD")
    result: F = option(command)
    return result
