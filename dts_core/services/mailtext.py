"""What mails say, from fixed templates, and the message of each: nothing in it can end a line that is a header's."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import msgspec

from dts_core.model import Alarm, Notice
from dts_core.text import clean, clean_lines

__all__ = [
    "OPENED",
    "Letter",
    "alarm_letter",
    "compose",
    "death_letter",
    "digest_letter",
    "letter_of_test",
]

OPENED: Final = "opened"
SUBJECT_MAX: Final = 160
TEXT_MAX: Final = 64 << 10
"""Longest text of a mail, in characters."""
DIGEST_MAX: Final = 100
"""Most lines of a digest; what more there is, is only counted."""
_PREFIX: Final = "[dts]"
_FOOT: Final = "Open alarms: `dts status`, or the console's area `alarms`."


class Letter(msgspec.Struct, frozen=True):
    """What a mail says, whoever gets it."""

    subject: str
    text: str


def alarm_letter(alarm: Alarm, of: str) -> Letter:
    """That an alarm has opened, or that it is over."""
    where, rule = _where(alarm), clean(alarm.rule, 80)
    if of == OPENED:
        subject = f"{_PREFIX} {clean(alarm.level, 20)}: {rule} on {where}"
        lines = [clean(alarm.text, 2_000), "", f"since  {_instant(alarm.opened_at)}"]
    else:
        subject = f"{_PREFIX} over: {rule} on {where}"
        ended = alarm.closed_at or alarm.opened_at
        lasted = (ended - alarm.opened_at).total_seconds()
        lines = [
            clean(alarm.text, 2_000),
            "",
            f"since  {_instant(alarm.opened_at)}",
            f"until  {_instant(ended)}, {max(0.0, lasted):.0f} s",
            f"peak   {alarm.peak:.4g}",
        ]
    return Letter(subject, "\n".join([*lines, f"alarm  {clean(alarm.id, 64)}", "", _FOOT]))


def digest_letter(notices: Sequence[tuple[Alarm, Notice]]) -> Letter:
    """Many of them in one mail, in the order of their time."""
    told = sorted(((_at(alarm, notice), alarm, notice) for alarm, notice in notices), key=_first)
    opened = sum(1 for _, notice in notices if notice.of == OPENED)
    subject = f"{_PREFIX} digest: {opened} alarms opened, {len(notices) - opened} over"
    lines = [
        f"{_instant(at)}  {clean(alarm.level, 20) if notice.of == OPENED else 'over'}  "
        f"{_where(alarm)}  {clean(alarm.rule, 80)}  {clean(alarm.text, 200)}"
        for at, alarm, notice in told[:DIGEST_MAX]
    ]
    if len(told) > DIGEST_MAX:
        lines.append(f"and {len(told) - DIGEST_MAX} more")
    head = "More happened than is mailed one by one:"
    return Letter(subject, "\n".join([head, "", *lines, "", _FOOT]))


def death_letter(name: str, host: str, why: str, at: datetime) -> Letter:
    """That a daemon has died."""
    subject = f"{_PREFIX} critical: daemon {clean(name, 60)} died on {clean(host, 80)}"
    text = f"{clean(why, 2_000)}\n\nat     {_instant(at)}\n\nIts log says more; see `dts status`."
    return Letter(subject, text)


def letter_of_test(group: str, user: str) -> Letter:
    """That mail works, asked for by a user."""
    who = f"{clean(user, 60)} asked for this test of mail to the group {clean(group, 120)}."
    return Letter(f"{_PREFIX} test", f"{who}\nAlarms of its hosts reach you like this.")


def compose(letter: Letter, *, sender: str, to: str, origin: str, at: datetime) -> EmailMessage:
    """The message to one address.

    Args:
        letter: May hold anything; it is made printable.
        sender: A checked address.
        to: A checked address.
        origin: Id of the job that the mail began with: the same again makes the same Message-ID.
        at: When.
    """
    # A word for the reader, so that ids of many copies differ and none tells another one's address.
    whose = hashlib.sha256(f"{origin}\0{to}".encode()).hexdigest()[:16]
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = clean(letter.subject, SUBJECT_MAX).strip() or _PREFIX
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<dts.{origin}.{whose}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(clean_lines(letter.text, TEXT_MAX))
    return message


def _where(alarm: Alarm) -> str:
    return clean(alarm.host, 80) or "many hosts"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _at(alarm: Alarm, notice: Notice) -> datetime:
    return alarm.opened_at if notice.of == OPENED else alarm.closed_at or alarm.opened_at


def _first(told: tuple[datetime, Alarm, Notice]) -> tuple[datetime, str]:
    return told[0], told[1].id
