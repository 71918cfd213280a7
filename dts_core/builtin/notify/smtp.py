"""Mail to groups of users."""

import re
from typing import Any, Final

from dts_core.builtin import Calling, NotAgain, current
from dts_core.builtin.notify.transport import Outcome, ServerAway, deliver
from dts_core.errors import DtsError
from dts_core.services.mail import MAILER, Recipient, post
from dts_core.services.mailtext import Letter

__all__ = ["MailOff", "MailRefused", "MailWaits", "main"]

_ORIGIN: Final = re.compile(r"[0-9A-Z]{1,64}")
"""An id of a job."""


class MailOff(NotAgain):
    """There is no server to mail by."""

    code = "mail_off"
    default_advice = "Set [notify.smtp] host and sender, and start the control side anew."


class MailRefused(NotAgain):
    """The server refused every recipient for good."""

    code = "mail_refused"


class MailWaits(DtsError):
    """Nobody has got it yet; the job is tried again."""

    code = "mail_waits"


async def main(
    groups: list[str],
    subject: str,
    text: str,
    only: list[str] | None = None,
    origin: str = "",
) -> dict[str, Any]:
    """Mail every enabled user of some groups who has an address, each a message of their own.

    Args:
        groups: Names; `administrators` are all users of role admin.
        subject: One line.
        text: Plain text.
        only: Users of the groups that get it; all when missing.
        origin: Id of the job that this one goes on with.

    Returns:
        sent: users whose message the server took; refused: user -> why for good; later: those that another job tries
        again, and rest: its id.
    """
    calling = current()
    mail = calling.services.mail
    if not mail.is_on:
        raise MailOff("mail is off.")
    found = await mail.recipients(groups)
    if only is not None:
        found = [each for each in found if each.user in only]
    if not found:
        note = f"nobody in {', '.join(groups)} has an address"
        calling.log(note, level=30)
        return {"sent": [], "refused": {}, "later": [], "rest": "", "note": note}
    letter = Letter(subject, text)
    origin = origin if _ORIGIN.fullmatch(origin) else calling.job
    try:
        outcome = await deliver(mail.smtp, letter, found, origin=origin, at=mail.clock.now())
    except ServerAway as away:
        # Not chained: what the server said before may hold what we said to it.
        raise MailWaits(f"the mail server did not take it: {away}") from None
    rest = await _rest(calling, groups, letter, outcome, found, origin)
    told = {"sent": outcome.sent, "refused": outcome.refused, "later": sorted(outcome.later)}
    return {**told, "rest": rest, "note": ""}


async def _rest(
    calling: Calling,
    groups: list[str],
    letter: Letter,
    outcome: Outcome,
    found: list[Recipient],
    origin: str,
) -> str:
    """Judge what became of it; the id of a job for those who are to be tried again, or empty.

    Only they are: a retry of this job would mail the others once more.

    Raises:
        MailWaits: All of them are.
        MailRefused: Nobody is, and nobody got it.
    """
    if len(outcome.later) == len(found):
        raise MailWaits(f"the mail server asks to try again: {_words(outcome.later)}")
    if len(outcome.refused) == len(found):
        raise MailRefused(
            f"the mail server refused it: {_words(outcome.refused)}.",
            advice="Check the addresses of these users, and [notify.smtp] sender.",
        )
    if not outcome.later:
        return ""
    return await post(
        calling.services.jobs,
        MAILER,
        groups,
        letter,
        key=f"rest.{calling.job}",
        only=sorted(outcome.later),
        origin=origin,
    )


def _words(reasons: dict[str, str]) -> str:
    return "; ".join(f"{user}: {why}" for user, why in reasons.items())
