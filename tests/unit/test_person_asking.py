"""The person whose job it is, asked by its logins: what is opened, what is used again, what is left."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dts_core.errors import LoginDenied, SealBroken
from dts_core.model import LoginQuestion, Wording
from dts_core.plain.ssh import asked_by
from dts_core.remote.asking import PersonAsking
from dts_core.sealed.answers import seal_answers
from dts_core.ssh.asking import Question
from dts_core.text import clean

PASSWORD = [Question(clean("Password:"), is_secret=True)]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Kept:
    """Questions in memory, in place of the service."""

    def __init__(self) -> None:
        self.open: dict[str, LoginQuestion] = {}
        self.offered: list[LoginQuestion] = []
        self.ended: list[str] = []
        self.news = asyncio.Event()

    async def offer(
        self, job: str, epoch: int, person: str, wording: Wording, sealing_key: str, seconds: float
    ) -> LoginQuestion:
        question = LoginQuestion(
            id=f"{job}-{len(self.offered)}", job=job, epoch=epoch, person=person, wording=wording,
            sealing_key=sealing_key, created_at=NOW, deadline=NOW,
        )  # fmt: skip
        self.open[question.id] = question
        self.offered.append(question)
        return question

    async def find(self, question_id: str) -> LoginQuestion | None:
        return self.open.get(question_id)

    async def heard(self, question_id: str, news: asyncio.Event) -> None:
        await asyncio.sleep(0)

    async def end(self, question: LoginQuestion, how: str) -> None:
        self.open.pop(question.id, None)
        self.ended.append(how)

    def answer(self, question: LoginQuestion, text: str, **more: Any) -> None:
        box = seal_answers(question.sealing_key, question.id, question.wording, [text])
        self.give(question, box=box, **more)

    def give(self, question: LoginQuestion, **fields: Any) -> None:
        self.open[question.id] = msgspec.structs.replace(question, state="answered", **fields)


def asking(kept: Any, seconds: float = 60.0) -> PersonAsking:
    return PersonAsking(kept, "j", 1, "ann", seconds=seconds)


async def started(kept: Kept, work: Any, count: int) -> "asyncio.Task[Any]":
    """A login that asks, once its question is the `count`th that is offered."""
    task = asyncio.create_task(work)
    while len(kept.offered) < count and not task.done():
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(("seconds", "asked"), [(60.0, 1), (0.0, 2)])
async def test_an_answer_for_all_lapses(seconds: float, asked: int) -> None:
    """Within its time the next host with these words is not asked; after it, it is."""
    kept = Kept()
    person = asking(kept, seconds)
    first = await started(kept, person.answer("a", clean(""), PASSWORD), 1)
    kept.answer(kept.offered[0], "swordfish", for_all=True)
    assert [each.reveal() for each in await first] == ["swordfish"]
    second = await started(kept, person.answer("b", clean(""), PASSWORD), 2)
    if asked == 2:
        kept.answer(kept.offered[1], "swordfish")
    assert [each.reveal() for each in await second] == ["swordfish"]
    assert len(kept.offered) == asked
    other = await started(kept, person.answer("c", clean("another title"), PASSWORD), asked + 1)
    assert len(kept.offered) == asked + 1
    person.forget()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert kept.open == {}


async def test_a_passphrase_is_no_hosts_however_it_asks() -> None:
    """A host that asks with the very words of ours does not get what was typed for them, and is told apart."""
    kept = Kept()
    person = asking(kept)
    words = clean("Passphrase of key SHA256:abc")
    ours = [Question(words, is_secret=True, opens="key SHA256:abc")]
    first = await started(kept, person.answer("a", clean(""), ours), 1)
    kept.answer(kept.offered[0], "swordfish", for_all=True)
    assert [each.reveal() for each in await first] == ["swordfish"]
    liar = await started(kept, person.answer("b", clean(""), [Question(words, is_secret=True)]), 2)
    assert len(kept.offered) == 2
    assert asked_by(kept.offered[1].wording) == "b asks"
    assert "opens a stored key" in asked_by(kept.offered[0].wording)
    liar.cancel()
    await asyncio.gather(liar, return_exceptions=True)
    same = await person.answer("c", clean(""), ours)
    assert same is not None
    assert [each.reveal() for each in same] == ["swordfish"]


async def test_an_answer_to_another_question_is_not_used() -> None:
    """Swapped by whoever carries it: the login hears that it is broken, and the question is gone."""
    kept = Kept()
    person = asking(kept)
    tasks = [
        await started(kept, person.answer(host, clean(""), PASSWORD), number + 1)
        for number, host in enumerate(("a", "b"))
    ]
    first, second = kept.offered
    box = seal_answers(first.sealing_key, first.id, first.wording, ["swordfish"])
    kept.give(second, box=box)
    kept.give(first, box=seal_answers(first.sealing_key, first.id, second.wording, ["x"]))
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, SealBroken)
    assert kept.open == {}


async def test_who_waits_no_more_leaves_no_question() -> None:
    """Cancelled, as when the time is over: taken away, and recorded as lapsed."""
    kept = Kept()
    task = await started(kept, asking(kept).answer("a", clean(""), PASSWORD), 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (kept.open, kept.ended) == ({}, ["lapse"])


async def test_a_signature_is_bytes_or_nothing() -> None:
    """What is no base64 is told; a declined one is None."""
    kept = Kept()
    person = asking(kept)
    good = await started(kept, person.sign("a", "ann", "ssh-ed25519 AAAA", b"data"), 1)
    kept.answer(kept.offered[0], "c2lnbmVk", for_all=True)
    assert await good == b"signed"
    bad = await started(kept, person.sign("a", "ann", "ssh-ed25519 AAAA", b"data"), 2)
    kept.answer(kept.offered[1], "!")
    with pytest.raises(LoginDenied):
        await bad
    none = await started(kept, person.sign("a", "ann", "ssh-ed25519 AAAA", b"data"), 3)
    kept.open[kept.offered[2].id] = msgspec.structs.replace(kept.offered[2], state="declined")
    assert await none is None
