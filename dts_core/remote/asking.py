"""The person whose job it is, asked by its logins: their answers open in the memory of this process alone."""

import asyncio
import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.errors import DtsError, LoginDenied
from dts_core.model import LoginQuestion, Prompt, Wording
from dts_core.sealed import OpeningKey
from dts_core.sealed.answers import open_answers
from dts_core.services.questions import Questions
from dts_core.ssh.asking import Question
from dts_core.text import SafeText
from dts_core.vault import Secret

__all__ = ["PersonAsking"]

OPEN_MAX: Final = 64
"""Questions of one job that are open at the same time."""
END_SECONDS: Final = 5.0
"""For a question to be taken away when nobody waits for it any more."""
_log = logging.getLogger(__name__)


class _Shared(msgspec.Struct, frozen=True, eq=False):
    """Answers that the person wants to be used again."""

    answers: list[Secret]
    until: float


class PersonAsking:
    """Implements `Asking` for one run of one job. `forget` it at its end.

    Args:
        questions: Where they are put.
        job: Id of the job.
        epoch: Of its claim.
        person: Who is asked.
        seconds: In which an answer counts.
        answers: Whether they answer what hosts ask; else they only sign.
    """

    def __init__(
        self,
        questions: Questions,
        job: str,
        epoch: int,
        person: str,
        *,
        seconds: float,
        answers: bool = True,
    ) -> None:
        self._questions = questions
        self._job = job
        self._epoch = epoch
        self._person = person
        self._seconds = seconds
        self._answers = answers
        self._room = asyncio.Semaphore(OPEN_MAX)
        self._news: set[asyncio.Event] = set()
        self._shared: dict[bytes, _Shared] = {}

    def forget(self) -> None:
        """Let go of every answer."""
        self._shared.clear()

    async def answer(
        self, host: str, title: SafeText, questions: Sequence[Question]
    ) -> Sequence[Secret] | None:
        """See Asking."""
        if not self._answers:
            raise LoginDenied(
                f"it asks {questions[0].text.strip()!r}, and nobody is there to answer",
                host=host,
                advice="Run it with --ask.",
            )
        prompts = [Prompt(text=each.text, echo=not each.is_secret) for each in questions]
        opens = questions[0].opens
        return await self._asked(Wording(host=host, title=title, prompts=prompts, opens=opens))

    async def sign(self, host: str, user: str, key: str, data: bytes) -> bytes | None:
        """See Asking."""
        answers = await self._asked(Wording(host=host, user=user, public_key=key, data=data))
        if not answers:
            return None
        try:
            return base64.b64decode(answers[0].reveal(), validate=True)
        except (ValueError, binascii.Error):
            raise LoginDenied("what came for a signature is none", host=host) from None

    async def _asked(self, wording: Wording) -> list[Secret] | None:
        async with self._room:
            if (known := self._known(wording)) is not None:
                return known
            key = OpeningKey.new()
            question = await self._questions.offer(
                self._job, self._epoch, self._person, wording, str(key.public), self._seconds
            )
            how = "lapse"
            try:
                found, answers = await self._answered(question)
                how = "use" if answers is not None else "take"
                if answers is None and found is not None:
                    answers = self._opened(key, found)
                return answers
            finally:
                del key
                await self._end(question, how)

    async def _answered(
        self, question: LoginQuestion
    ) -> tuple[LoginQuestion | None, list[Secret] | None]:
        """The question once it was answered, or the answer to another one that is meant for this one too."""
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                if (known := self._known(question.wording)) is not None:
                    return None, known
                found = await self._questions.find(question.id)
                if found is None or found.state != "open":
                    return found, None
                await self._questions.heard(question.id, news)
        finally:
            self._news.discard(news)

    def _opened(self, key: OpeningKey, found: LoginQuestion) -> list[Secret] | None:
        if found.state != "answered":
            return None
        opened = open_answers(key, found.id, found.wording, found.box)
        answers = [Secret(each) for each in opened]
        if found.for_all and not found.wording.is_signature:
            until = asyncio.get_running_loop().time() + self._seconds
            self._shared[_words(found.wording)] = _Shared(answers, until)
            for news in self._news:
                news.set()
        return answers

    def _known(self, wording: Wording) -> list[Secret] | None:
        """What was answered to the same words of another host, where the person wants that and it still counts."""
        if wording.is_signature:
            return None
        words = _words(wording)
        shared = self._shared.get(words)
        if shared is None or asyncio.get_running_loop().time() < shared.until:
            return None if shared is None else shared.answers
        del self._shared[words]
        return None

    async def _end(self, question: LoginQuestion, how: str) -> None:
        """Take it away; whoever was cancelled meanwhile is held up for a moment only."""
        ending = asyncio.create_task(
            self._questions.end(question, how), name=f"question-{question.id}"
        )
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.shield(ending)
        except (DtsError, TimeoutError) as error:  # it lapses by itself; the login goes on
            _log.warning("question %s stays until it lapses: %s", question.id, error)
        finally:
            ending.cancel()


def _words(wording: Wording) -> bytes:
    """What is asked, whichever host it is for; a host never asks for what opens a key, whatever words it finds."""
    return msgspec.msgpack.encode((wording.title, wording.prompts, wording.opens))
