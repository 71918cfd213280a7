"""The form of a call on many hosts: a command or a function, and how it goes about them. No Textual here."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dts_core.model import Parameter
from dts_core.plain import words
from dts_core.text import clean
from dts_tui.fanout import call_words
from dts_tui.forms import HIDDEN, Field, FieldError, Form

_BATCH: Final = re.compile(r"[1-9][0-9]{0,5}%?")
AT_ONCE_MOST: Final = 1_000
SECONDS_MOST: Final = 86_400
WORDS_MOST: Final = 600
"""Most characters of a call that a question shows."""
COMMAND: Final = Parameter(
    name="command",
    kind="keyword",
    type="text",
    help="Word by word, quotes as in a shell; pipes and variables only within sh -c '…'.",
)
HOST_OPTIONS: Final = (
    Field(
        "at_once", "integer", "at once", "Most hosts at the same time.", start="64", group="options"
    ),
    Field(
        "host_seconds", "number", "seconds a host", "Then it is ended there, as timed out.",
        start="600", group="options",
    ),
    Field(
        "batches", "text", "batches",
        "Sizes one after the other, or shares of all: 1, 10, 50%; the last one again and again.",
        unset="all in one", group="options",
    ),
    Field(
        "failures_max", "integer", "failures",
        "So many hosts may end otherwise than ok; with one more nothing new is begun.",
        unset="any number", group="options",
    ),
    Field(
        "ask", "switch", "ask me",
        "Ask whoever starts it for what hosts want and is not stored: passwords, codes, passphrases.",
        start="false", group="options",
    ),
    Field(
        "as_me", "switch", "as me",
        "Log in with the keys of the SSH agent here in place of what is stored; it signs while the board is open.",
        start="false", group="options",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class HostChoice:
    """Where a call is to go.

    Attributes:
        hosts: Ids of virtual hosts.
        how: By what they were chosen, in words.
        kept_out: How many of the chosen are disabled, and so left out.
    """

    hosts: Sequence[str]
    how: str
    kept_out: int = 0


def host_form(parameters: Sequence[Parameter]) -> "HostForm":
    """The form of a function with these parameters, or of a command."""
    return HostForm(parameters, options=HOST_OPTIONS)


@dataclass
class HostForm(Form):
    """The texts of all fields of a call on many hosts."""

    def error(self, item: Field) -> str:
        """What is wrong with a field as it stands; empty when nothing is."""
        if why := super().error(item):
            return why
        text = self.text(item).strip()
        try:
            if item.group == "options":
                return _option_error(item.name, text)
            if self.is_command and not shlex.split(text):
                return "needs a word at least"
        except ValueError:
            return "a quote is not closed"
        return ""

    @property
    def is_command(self) -> bool:
        """Whether it is a plain command."""
        return list(self.parameters) == [COMMAND]

    def call(self, function: str) -> dict[str, Any]:
        """What POST /ssh is asked with, hosts aside; only valid while no field is wrong.

        Raises:
            FieldError: A field is wrong.
        """
        filled = self.filled()
        options = dict(filled.options)
        if "batches" in options:
            options["batches"] = batches_of(options["batches"])
        if not self.is_command:
            return {"function": function, "args": filled.args, "kwargs": filled.kwargs, **options}
        try:
            return {"argv": shlex.split(str(filled.kwargs["command"])), **options}
        except ValueError as error:
            raise FieldError("a quote is not closed") from error

    def shown_call(self, call: dict[str, Any]) -> dict[str, Any]:
        """The same with every secret replaced."""
        if "argv" in call or not self.secrets():
            return call
        kwargs = {k: HIDDEN if k in self.secrets() else v for k, v in call["kwargs"].items()}
        return call | {"args": [HIDDEN for _ in call["args"]], "kwargs": kwargs}


def batches_of(text: str) -> list[str]:
    """Sizes of batches as they are typed: `1, 10, 50%`."""
    return [part for part in re.split(r"[,\s]+", text) if part]


def _option_error(name: str, text: str) -> str:
    if not text:
        return ""
    if name == "batches" and not all(_BATCH.fullmatch(part) for part in batches_of(text)):
        return "sizes or shares, for example 1, 10, 50%"
    if name == "at_once" and not 1 <= int(text) <= AT_ONCE_MOST:
        return f"1 to {AT_ONCE_MOST:,}"
    if name == "host_seconds" and not 0 < float(text) <= SECONDS_MOST:
        return f"more than 0, at most {SECONDS_MOST:,}"
    return ""


def question(call: dict[str, Any], count: int, sizes: Sequence[int]) -> str:
    """What is about to be done, with all of it: what, on how many, how.

    Args:
        call: As POST /ssh takes it, secrets replaced.
        count: Hosts.
        sizes: Of the batches, as the server has resolved them.
    """
    told = [f"{call.get('at_once', 64)} at once", f"{call.get('host_seconds', 600):g} s a host"]
    if len(sizes) > 1:
        more = f" and {len(sizes) - 8} more" if len(sizes) > 8 else ""
        told.append(f"batches of {', '.join(str(size) for size in sizes[:8])}{more}")
    if call.get("failures_max") is not None:
        told.append(f"until more than {words.plural(call['failures_max'], 'failure')}")
    what = clean(call_words(call), WORDS_MOST)
    return f"Run {what} on {words.plural(count, 'host')}? {', '.join(told)}."
