"""Signatures of one's own SSH agent for the logins of a fan-out: only for its hosts, only where it was said."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dts_core.clients.own_agent import OwnAgent
from dts_core.errors import ConfigError, Forbidden
from dts_core.plain.ssh import signed_for
from dts_core.text import clean
from dts_core.views.questions import AnswerTaken, QuestionView
from dts_core.views.ssh import SshStarted
from dts_tui.screens.base import View
from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

__all__ = ["lend", "lent", "own_keys", "sign_all"]


async def own_keys() -> list[str]:
    """Public keys of the agent here.

    Raises:
        ConfigError: There is none.
    """
    return [key.line for key in await asyncio.to_thread(OwnAgent().keys)]


def lent(view: View, started: SshStarted) -> None:
    """The agent here signs the logins of a run that was begun with its keys."""
    if started.job is not None:
        view.console.world.lent.add(started.job.id)


def lend(view: View, job: str, questions: Sequence[QuestionView]) -> None:
    """Ask whether the agent may sign for the logins of a job."""
    lines = [signed_for(each.wording) for each in questions]

    def yes() -> None:
        view.console.world.lent.add(job)
        sign_all(view, questions, [each.wording.host for each in questions])

    told = "Have your SSH agent sign the logins of this run?"
    view.console.open_overlay(Confirm(told, lines, "Sign", yes))


def sign_all(view: View, questions: Sequence[QuestionView], hosts: Sequence[str]) -> None:
    """Sign what is a login to one of these hosts, and decline the others."""

    async def answer(client: "AdminClient") -> list[str]:
        return [await _one(client, each, hosts) for each in questions]

    def told(lines: list[str]) -> None:
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        view.console.notice(f"{lines[0]}{more}" if lines else "")

    if questions:
        view.ask("sign", answer, told, writes=True)


async def _one(client: "AdminClient", question: QuestionView, hosts: Sequence[str]) -> str:
    wording = question.wording
    try:
        if wording.host not in hosts:
            raise Forbidden(f"not signed: {clean(wording.host, 120)} is no host of this run.")
        answers = await asyncio.to_thread(OwnAgent().answer, wording)
    except (Forbidden, ConfigError) as error:
        await client.ssh.decline(question)
        return str(error)
    taken: AnswerTaken = await client.ssh.answer(question, answers)
    return f"signed: {signed_for(wording)}" if taken.taken else "nobody has taken the signature"
