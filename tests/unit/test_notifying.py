"""What a daemon tells when it dies, and the words of its mails."""

import asyncio
from datetime import timedelta

import pytest

from dts_core.daemons.notifying import Submit, telling
from dts_core.errors import StoreUnavailable
from dts_core.model import Alarm, Notice
from dts_core.services.mailtext import DIGEST_MAX, Letter, alarm_letter, digest_letter
from dts_core.settings import NotifySettings
from dts_core.testing import START, ManualClock

SETTINGS = NotifySettings(window_seconds=600)


def submitting(into: list[tuple[str, Letter]]) -> Submit:
    async def submit(key: str, letter: Letter) -> None:
        into.append((key, letter))

    return submit


async def broken() -> None:
    raise ValueError("odd\nthing")


async def test_death_is_told_once_a_window() -> None:
    """A daemon that is started anew and dies again at once fills nobody's box: the same window is the same job."""
    told: list[tuple[str, Letter]] = []
    clock = ManualClock()
    part = telling("porter", broken, submitting(told), SETTINGS, clock)
    for seconds in (0, 1, 700):
        clock.advance(seconds)
        with pytest.raises(ValueError, match="odd"):
            await part()
    keys = [key for key, _ in told]
    assert keys[0] == keys[1] != keys[2]
    assert "daemon porter died" in told[0][1].subject
    assert "ValueError: odd" in told[0][1].text


async def test_death_that_nobody_can_be_told_of_is_the_same_death() -> None:
    """The reason goes on as it was, whatever becomes of the mail."""

    async def away(key: str, letter: Letter) -> None:
        raise StoreUnavailable("the store is away.")

    with pytest.raises(ValueError, match="odd"):
        await telling("porter", broken, away, SETTINGS, ManualClock())()


async def test_being_stopped_is_no_death() -> None:
    """Nobody is told of a daemon that was asked to end."""
    told: list[tuple[str, Letter]] = []
    part = telling("porter", asyncio.Event().wait, submitting(told), SETTINGS, ManualClock())  # type: ignore[arg-type]
    task = asyncio.create_task(part())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == []


def alarm(**fields: object) -> Alarm:
    given = {"id": "01A", "host": "web-1", "rule": "cpu", "level": "warning", "opened_at": START}
    return Alarm(**(given | {"text": "processor 97% busy", "peak": 0.98} | fields))  # type: ignore[arg-type]


def test_mail_of_an_alarm_says_what_where_and_since_when() -> None:
    """The whole mail."""
    letter = alarm_letter(alarm(), "opened")
    assert letter.subject == "[dts] warning: cpu on web-1"
    assert letter.text.splitlines() == [
        "processor 97% busy",
        "",
        f"since  {START:%Y-%m-%d %H:%M:%S} UTC",
        "alarm  01A",
        "",
        "Open alarms: `dts status`, or the console's area `alarms`.",
    ]


def test_mail_of_its_end_says_how_long_and_how_bad() -> None:
    """With its length and its peak; an alarm of many hosts says so."""
    letter = alarm_letter(alarm(host="", closed_at=START + timedelta(seconds=90)), "closed")
    assert letter.subject == "[dts] over: cpu on many hosts"
    assert ", 90 s" in letter.text
    assert "peak   0.98" in letter.text


def test_digest_is_bounded_and_in_order() -> None:
    """As many lines as it may have, then how many more there are."""
    found = []
    for number in range(DIGEST_MAX + 7):
        opened = alarm(
            id=str(number), host=f"h{number}", opened_at=START - timedelta(seconds=number)
        )
        found.append((opened, Notice(of="opened", by="digest.x", until=START)))
    letter = digest_letter(found)
    assert letter.subject == f"[dts] digest: {DIGEST_MAX + 7} alarms opened, 0 over"
    lines = letter.text.splitlines()
    assert f"h{DIGEST_MAX + 6} " in lines[2]
    assert "and 7 more" in lines
    assert len(lines) == DIGEST_MAX + 5
