"""Options of commands whose logins whoever starts them may take part in."""

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import click

__all__ = ["Part", "person_options"]

F = TypeVar("F", bound=Callable[..., Any])
WHAT: Final = "Answer here what logins ask: passwords, codes, passphrases"


class Part(NamedTuple):
    """How they do."""

    ask: bool = False
    as_me: bool = False
    login: str = ""

    @classmethod
    def taken(cls, given: dict[str, Any], *, no_wait: bool) -> "Part":
        """Take it out of what a command was given.

        Args:
            given: With `ask`, `as_me` and perhaps `login`.
            no_wait: Whether the command is to end at once.

        Raises:
            UsageError: It cannot be so.
        """
        part = cls(given.pop("ask"), given.pop("as_me"), given.pop("login", ""))
        if part.ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.UsageError("Nobody can be asked here: --ask needs a terminal.")
        if part.login and not part.is_taken:
            raise click.UsageError("--login goes with --ask or --as-me.")
        if part.is_taken and no_wait:
            raise click.UsageError("--no-wait leaves nobody to answer: not with --ask or --as-me.")
        return part

    @property
    def is_taken(self) -> bool:
        """Whether they take part at all."""
        return self.ask or self.as_me


def person_options(*, sudo: bool = False, login: bool = True) -> Callable[[F], F]:
    """Add --ask, --as-me and --login.

    Args:
        sudo: Whether the password of sudo is asked for too.
        login: Whether there is --login.
    """
    options = [
        click.option("--ask", is_flag=True, help=f"{WHAT}{', that of sudo' if sudo else ''}."),
        click.option("--as-me", is_flag=True, help="Log in with the keys of your own SSH agent."),
    ]
    if login:
        options.append(
            click.option("--login", default="", metavar="USER",
                         help="As this user there; with --ask or --as-me.")
        )  # fmt: skip

    def add(command: F) -> F:
        decorated: Any = command
        for option in reversed(options):
            decorated = option(decorated)
        result: F = decorated
        return result

    return add
