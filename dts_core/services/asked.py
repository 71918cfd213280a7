"""Questions of logins as they are kept, and which of a job are open."""

from typing import Any, Final

from dts_core.model import Job, LoginQuestion
from dts_core.services.documents import Collection
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.views.questions import QuestionView

__all__ = ["QUESTIONS", "open_questions", "question_view"]

LISTED_MAX: Final = 200


def _length(value: Any) -> str:
    return f"{len(value)} characters"


QUESTIONS: Final[Collection[LoginQuestion]] = Collection(
    name="questions",
    one="question",
    kind=LoginQuestion,
    fields={},
    secret=frozenset({"box"}),
    shown={
        "sealing_key": _length,
        "wording": lambda told: {**told, "data": _length(told["data"])},
    },
)


async def open_questions(store: Store, job: Job) -> list[LoginQuestion]:
    """What the claim of a job that runs asks now, oldest first, at most LISTED_MAX."""
    if job.state != JobState.RUNNING:
        return []
    rows = await store.find_documents(QUESTIONS.name, prefix=f"{job.id}-", limit=LISTED_MAX)
    found = [QUESTIONS.decode(row) for _, row in rows]
    return [each for each in found if each.state == "open" and each.epoch == job.epoch]


def question_view(question: LoginQuestion) -> QuestionView:
    """As its person sees it."""
    return QuestionView(
        id=question.id,
        job=question.job,
        person=question.person,
        wording=question.wording,
        sealing_key=question.sealing_key,
        deadline=question.deadline,
    )
