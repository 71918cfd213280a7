"""Questions that a login asks the person whose job it is: offered, answered once by them alone, then gone."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.deadline import extended
from dts_core.errors import Conflict, DtsError, Forbidden, NotFound
from dts_core.model import Change, Job, LoginQuestion, Wording
from dts_core.names import new_id
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.asked import QUESTIONS, open_questions, question_view
from dts_core.services.events import EventBus
from dts_core.services.hostruns import HostRuns
from dts_core.services.users import LOCAL
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views.questions import AnswerRequest, AnswerTaken, QuestionList

__all__ = ["Questions"]

TAKEN_SECONDS: Final = 5.0
"""How long whoever answers waits until the process that asked has taken the answer."""
LOOK_SECONDS: Final = 1.0
"""How often a question is looked up, should the news of it have been lost."""
SWEPT_MAX: Final = 500


class Questions:
    """The one place that they are kept in; every step is recorded, no answer is.

    Args:
        store: Where to.
        clock: For deadlines.
        writer: Writes them.
        bus: Tells that one has changed.
        runs: Whose jobs they belong to.
    """

    def __init__(
        self, store: Store, clock: Clock, writer: AdminWriter, bus: EventBus, runs: HostRuns
    ) -> None:
        self._store = store
        self._clock = clock
        self._writer = writer
        self._runs = runs
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        bus.listen(self._hear)

    # --- the process that asks --------------------------------------------------------------------

    async def offer(
        self, job: str, epoch: int, person: str, wording: Wording, sealing_key: str, seconds: float
    ) -> LoginQuestion:
        """Put one before the person; durable when it returns.

        Raises:
            StoreError: It could not be kept: nobody sees it.
        """
        now = self._clock.now()
        question = LoginQuestion(
            id=f"{job}-{new_id()}-{wording.host}",  # so that each record names the host
            job=job,
            epoch=epoch,
            person=person,
            wording=wording,
            sealing_key=sealing_key,
            created_at=now,
            deadline=now + timedelta(seconds=seconds),
        )
        await self._writer.write(_asker(person), QUESTIONS, None, question, op_type="ask")
        return question

    async def find(self, question_id: str) -> LoginQuestion | None:
        """The question as it stands; None: it is gone."""
        return await QUESTIONS.find(self._store, question_id)

    async def heard(
        self, question_id: str, news: asyncio.Event, seconds: float = LOOK_SECONDS
    ) -> None:
        """Wait until `news` is set, which what changes the question does too; not for long, as news may be lost."""
        self._waiting[question_id].add(news)
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[question_id].discard(news)
            if not self._waiting[question_id]:
                del self._waiting[question_id]

    async def end(self, question: LoginQuestion, how: str) -> None:
        """It is over: nothing of it is kept but the record. A second call does nothing."""
        found = await self.find(question.id)
        if found is not None:
            try:
                await self._writer.write(_asker(found.person), QUESTIONS, found, None, op_type=how)
            except (NotFound, Conflict):  # answered in this moment: nobody takes that any more
                await self.end(question, how)

    async def sweep(self) -> int:
        """Take away what nobody asks any more: of processes that ended without a word; how many."""
        rows = await self._store.find_documents(QUESTIONS.name, limit=SWEPT_MAX)
        old = [each for _, row in rows if self._is_late(each := QUESTIONS.decode(row))]
        for each in old:
            await self.end(each, "lapse")
        return len(old)

    # --- the person -------------------------------------------------------------------------------

    async def page(self, caller: Caller, job_id: str) -> QuestionList:
        """What a job asks now, oldest first.

        Raises:
            NotFound: There is no such job that the caller sees.
        """
        job = await self._runs.logging_in(caller, job_id)
        found = await open_questions(self._store, job)
        return QuestionList(
            items=[question_view(each) for each in found if not self._is_late(each)]
        )

    async def answer(
        self, caller: Caller, job_id: str, question_id: str, request: AnswerRequest
    ) -> AnswerTaken:
        """Hand over an answer, once; returns when the process that asked has it, or does not take it in time.

        Raises:
            NotFound: There is no such question (any more).
            Forbidden: It is not the caller's. The attempt is recorded, as is each of these.
            Conflict: It was answered already, or its time is over, or who asked has ended.
        """
        job = await self._runs.logging_in(caller, job_id)
        question = await self.find(question_id)
        if question is None or question.job != job.id:
            raise NotFound(
                f"job {job.id} has no such question (any more).",
                advice="It was answered, or its time is over; the job says how the host ended.",
            )
        op_type = "decline" if request.declined else "answer"
        why = self._why_not(caller, job, question)
        if why is not None:
            await self._writer.refused(caller, QUESTIONS.name, question.id, op_type, why)
            raise why
        after = msgspec.structs.replace(
            question,
            state="declined" if request.declined else "answered",
            box=b"" if request.declined else request.box,
            for_all=request.for_all,
        )
        try:
            await self._writer.write(caller, QUESTIONS, question, after, op_type=op_type)
        except Conflict:
            raise _answered_already() from None
        with extended(TAKEN_SECONDS):
            return AnswerTaken(taken=await self._gone(question))

    def _why_not(self, caller: Caller, job: Job, question: LoginQuestion) -> DtsError | None:
        if caller.user != question.person:
            return Forbidden(
                f"only {clean(question.person, 120)}, who started job {job.id}, answers what it asks.",
                advice="Start one of your own.",
            )
        if self._is_late(question):
            return Conflict(
                "the time for this answer is over.",
                advice="Run it again on that host.",
            )
        if question.state != "open":
            return _answered_already()
        if job.state != JobState.RUNNING or job.epoch != question.epoch:
            return Conflict(
                f"the process that asked this for job {job.id} has ended.",
                advice="Where the job is taken up again it asks anew.",
            )
        return None

    # --- both -------------------------------------------------------------------------------------

    def _is_late(self, question: LoginQuestion) -> bool:
        return self._clock.now() >= question.deadline

    async def _gone(self, question: LoginQuestion) -> bool:
        loop = asyncio.get_running_loop()
        by, news = loop.time() + TAKEN_SECONDS, asyncio.Event()
        while await self.find(question.id) is not None:
            left = by - loop.time()
            if left <= 0:
                return False
            await self.heard(question.id, news, min(left, LOOK_SECONDS))
            news.clear()
        return True

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.topic == QUESTIONS.name:
                for event in self._waiting.get(change.id, ()):
                    event.set()


def _answered_already() -> Conflict:
    return Conflict("this question was answered already.", advice="Wait for what comes of it.")


def _asker(person: str) -> Caller:
    return msgspec.structs.replace(LOCAL, user=person)
