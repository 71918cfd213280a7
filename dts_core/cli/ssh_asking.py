"""What logins of a run ask, asked on the terminal; signatures, made by the SSH agent here."""

import contextlib
import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.person_options import Part
from dts_core.clients.own_agent import OwnAgent, OwnKey
from dts_core.errors import ConfigError, DtsError, Forbidden
from dts_core.plain.ssh import asked_by, signed_for
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views.questions import QuestionView

__all__ = ["Terminal", "person_of", "terminal_of"]


def person_of(part: Part) -> tuple[list[OwnKey], dict[str, Any]]:
    """Keys of the SSH agent here, where they are wanted, and what of it all the server is told.

    Raises:
        ConfigError: There is no SSH agent here, or it has no key.
    """
    keys = OwnAgent().keys() if part.as_me else []
    return keys, {"ask": part.ask, "own_keys": [key.line for key in keys]}


def terminal_of(part: Part, keys: Sequence[OwnKey], hosts: Sequence[str]) -> "Terminal | None":
    """Who answers here; None: nobody takes part."""
    return Terminal(keys, hosts, part) if part.is_taken else None


class Terminal:
    """Answers the questions of one run. No answer is kept longer than its request.

    Args:
        keys: Of the SSH agent here, that the run may log in with.
        hosts: Where they were told that it goes; a signature for another one is asked for.
        part: Whether there is a person at the terminal, and who is to log in to these hosts.
    """

    def __init__(self, keys: Sequence[OwnKey], hosts: Sequence[str], part: Part) -> None:
        self._agent = OwnAgent()
        self._keys = {key.line for key in keys}
        self._hosts = set(hosts)
        self._ask = part.ask
        self._can_ask = part.ask or (sys.stdin.isatty() and sys.stderr.isatty())
        self._user = part.login
        self._done: set[str] = set()

    def look(self, client: "SyncAdminClient", job: str) -> None:
        """Answer what is open, if anything is."""
        for question in client.ssh.questions(job).items:
            if question.id in self._done:
                continue
            self._done.add(question.id)
            try:
                if question.wording.is_signature:
                    self._sign(client, question)
                elif self._ask:
                    self._prompt(client, question)
                    return  # it may have been answered for others of the list too
            except DtsError as error:  # the job says how the host ends
                _say(str(error))

    def _prompt(self, client: "SyncAdminClient", question: "QuestionView") -> None:
        _say(asked_by(question.wording))
        try:
            answers = [_typed(each.text, echo=each.echo) for each in question.wording.prompts]
            for_all = len(self._hosts) > 1 and _yes(
                "The same answer for every host of this run that asks with these words?"
            )
        except EOFError:
            client.ssh.decline(question)
            return
        if not client.ssh.answer(question, answers, for_all=for_all).taken:
            _say("nobody has taken the answer: the process that asked may have ended")

    def _sign(self, client: "SyncAdminClient", question: "QuestionView") -> None:
        wording = question.wording
        try:
            if wording.public_key not in self._keys:
                raise Forbidden("a signature is asked for of a key that was not offered.")
            _say(signed_for(wording))
            if wording.host not in self._hosts and not self._may(wording.host):
                raise Forbidden(f"it was not signed for {clean(wording.host, 120)}.")
            if wording.host in self._hosts and self._user not in ("", wording.user):
                raise Forbidden(f"it was not signed: the run logs in as {clean(self._user, 64)}.")
            answers = self._agent.answer(wording)
        except (Forbidden, ConfigError):
            client.ssh.decline(question)
            raise
        client.ssh.answer(question, answers)

    def _may(self, host: str) -> bool:
        """Whether a host that the way leads through gets one too."""
        with contextlib.suppress(EOFError):
            return self._can_ask and _yes(f"{clean(host, 120)} is on the way: sign?")
        return False


def _typed(text: str, *, echo: bool) -> str:
    shown = f"{clean(text, 200).rstrip()} "
    if not echo:
        return getpass.getpass(shown, stream=sys.stderr)
    sys.stderr.write(shown)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _yes(text: str) -> bool:
    return _typed(f"{text} [y/N]", echo=True).strip().casefold() in ("y", "yes")


def _say(text: str) -> None:
    click.echo(f"\r\x1b[K{clean(text, 400)}" if sys.stderr.isatty() else clean(text, 400), err=True)
