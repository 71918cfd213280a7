"""What logins of a job ask whoever started it: put before them as it comes, and again by a key."""

from collections.abc import Callable, Sequence
from typing import Final

from dts_core.plain import words
from dts_core.views.questions import AnswerTaken, QuestionList, QuestionView
from dts_tui.draw import Line
from dts_tui.screens.base import View
from dts_tui.screens.fanout_signing import lend, sign_all
from dts_tui.widgets.asked import Asked

KEPT: Final = 1_000
"""Ids of questions that were put before somebody already."""
REST_SECONDS: Final = 1.0
"""A question does not come by itself so soon after a key: the next key would answer it unread."""


class Questions:
    """Those of one job.

    Args:
        view: Where it is followed.
        job: Its id.
        hosts: Where it goes, as far as they are known.
    """

    def __init__(self, view: View, job: str, hosts: Callable[[], Sequence[str]]) -> None:
        self._view = view
        self.job = job
        self._hosts = hosts
        self._put: dict[str, None] = {}
        self._asked: Asked | None = None
        """What was put before them last."""
        self.count = 0
        """How many are open."""

    def line(self) -> Line:
        """That there are some, for the head of the board."""
        if not self.count:
            return []
        return [(f" ─ {words.plural(self.count, 'question')} of logins: a answers", "warn")]

    def look(self, count: int) -> None:
        """So many are open: one that was not seen is put before whoever is here, unless they are at something."""
        self.count = count
        if not count:
            self._withdraw()
        elif not self._view.console.read_only and self._is_free():
            self._ask(again=False)

    def _is_free(self) -> bool:
        """Whether nothing is being typed, and nothing else asked."""
        console = self._view.console
        return (
            console.overlay is None
            and not console.prompt.display
            and console.typed.rest >= REST_SECONDS
        )

    def _withdraw(self) -> None:
        """Take away a question that nobody asks any more."""
        console = self._view.console
        if self._asked is not None and console.overlay is self._asked:
            console.close_overlay()
            console.notice("the login does not ask any more", "warn")
        self._asked = None

    def put(self) -> None:
        """Put the first one before them, seen or not."""
        self._ask(again=True)

    def _ask(self, *, again: bool) -> None:
        def got(answer: QuestionList) -> None:
            self.count = len(answer.items)
            user = self._view.console.world.user
            mine = [each for each in answer.items if each.person == user]
            typed = [each for each in mine if not each.wording.is_signature]
            fresh = [each for each in typed if again or each.id not in self._put]
            self._sign([each for each in mine if each.wording.is_signature], again=again)
            if fresh and self._view.console.overlay is None and (again or self._is_free()):
                self._open(fresh[0], shares=len(self._hosts()) > 1)
            elif again and not mine:
                self._view.console.notice(self._why_none(answer), "warn")

        self._view.ask("questions", lambda client: client.ssh.questions(self.job), got)

    def _sign(self, asked: Sequence[QuestionView], *, again: bool) -> None:
        """By the agent here, where this console has begun the run with it, or one says so now."""
        fresh = [each for each in asked if again or each.id not in self._put]
        if self.job in self._view.console.world.lent:
            for each in fresh:
                self._seen(each)
            sign_all(self._view, fresh, self._hosts())
        elif again and asked:
            lend(self._view, self.job, asked)

    def _seen(self, question: QuestionView) -> None:
        self._put[question.id] = None
        while len(self._put) > KEPT:
            del self._put[next(iter(self._put))]

    def _why_none(self, answer: QuestionList) -> str:
        if not answer.items:
            return "no login asks anything now"
        return f"only {answer.items[0].person}, who started it, answers"

    def _open(self, question: QuestionView, *, shares: bool) -> None:
        self._seen(question)
        console = self._view.console

        def left() -> str:
            seconds = (question.deadline - console.now()).total_seconds()
            return f"{words.age(int(seconds))} left" if seconds > 0 else "its time is over"

        def answer(answers: Sequence[str], for_all: bool) -> None:
            self._view.ask(
                "answer",
                lambda client: client.ssh.answer(question, answers, for_all=for_all),
                self._answered,
                writes=True,
            )

        def refuse() -> None:
            self._view.ask(
                "answer",
                lambda client: client.ssh.decline(question),
                lambda taken: console.notice("refused: the login goes on without an answer"),
                writes=True,
            )

        self._asked = Asked(question.wording, left, shares=shares, answer=answer, refuse=refuse)
        console.open_overlay(self._asked)

    def _answered(self, answer: AnswerTaken) -> None:
        if not answer.taken:
            told = "nobody has taken the answer: the process that asked may have ended"
            self._view.console.notice(told, "warn")
