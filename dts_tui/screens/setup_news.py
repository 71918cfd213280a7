"""What a set-up's screen hears: its document, the jobs of its steps, and what they say."""

from collections.abc import Callable
from functools import partial

from dts_core.errors import ApiError, DtsError
from dts_core.text import clean
from dts_core.views import JobView
from dts_tui.admin_documents import Doc
from dts_tui.host_setup import KINDS, REMOVAL, TRIAL, WORK, SetUp, setup_of
from dts_tui.screens import setup_asking
from dts_tui.screens.base import Place, View
from dts_tui.screens.fanout_questions import Questions
from dts_tui.state import Stamp

NEWS_PAUSE_SECONDS = 0.25
"""Between two questions for news: a server that does not hold them back is not asked without a pause."""
REMOVED = "nothing of the set-up is left on {}; the virtual host itself stays"
EVERY_SECONDS = 5
"""How often the document is asked for."""


class SetUpNews(View):
    """The set-up of the virtual host `place.key`. What it shows is the server's: leaving it loses nothing."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stamp = Stamp(float(EVERY_SECONDS))
        self._ticks = 0
        self.questions: Questions | None = None
        """Of the login that is tried; None: none was."""
        self.is_known = False
        """Whether all that there was has been asked for."""

    @property
    def it(self) -> SetUp:
        """What is known."""
        return setup_of(self.console.world.setups, self.place.key)

    def changed(self) -> None:
        """There is news: show it."""
        raise NotImplementedError

    def ask_wanted(self, wanted: str) -> None:
        """All is known, and something was to be asked then."""
        raise NotImplementedError

    def entered(self) -> None:
        """Ask for all of it."""
        it = self.it
        it.starting = ""
        self._ask_document(then=self._ask_earlier)

    def left(self) -> None:
        """Nothing is begun any more while nobody looks."""
        self.it.eager = False

    def refresh_data(self) -> None:
        """The document, and the jobs."""
        self._ask_document(then=self._ask_earlier)

    def _ask_document(self, then: Callable[[], None] | None = None) -> None:
        vhost = self.place.key

        def got(document: Doc) -> None:
            self.it.document, self.it.why = document, ""
            self.stamp.at = self.console.monotonic()
            (then or self.changed)()

        def failed(error: DtsError) -> None:
            if isinstance(error, ApiError) and error.answer_status == 404:
                self.it.document = None
            self.it.why = str(error)
            self.console.opened(self)
            self.changed()

        self.ask(
            "document", lambda client: client.collection("vhosts").get(vhost), got, failed=failed
        )

    def _ask_earlier(self) -> None:
        def got(jobs: dict[str, JobView]) -> None:
            self.it.found(jobs)
            self._stands()

        self.ask(
            "earlier",
            lambda client: setup_asking.earlier(client, self.place.key),
            got,
            failed=lambda error: self._stands(),
        )

    def _stands(self) -> None:
        """All is known that there was: go on following what runs, and ask what is to be asked."""
        self.console.opened(self)
        self.is_known = True
        for kind in KINDS:
            if kind in self.it.jobs:
                self.follow(kind)
        wanted, self.it.wanted = self.it.wanted, ""
        self.ask_wanted(wanted)
        self.changed()

    def follow(self, kind: str) -> None:
        """Ask for news of a job until it has ended."""
        job = self.it.jobs.get(kind)
        if job is None or self.is_asking(f"news {kind}") or self.console.view is not self:
            return

        def failed(error: DtsError) -> None:
            if isinstance(error, ApiError) and error.answer_status == 404:
                self.it.jobs.pop(kind, None)
                self.changed()

        self.ask(
            f"news {kind}",
            lambda client: setup_asking.news(client, kind, job.id),
            lambda answer: self._take(kind, answer),
            failed=failed,
        )

    def _take(self, kind: str, answer: setup_asking.News) -> None:
        it = self.it
        was_live = kind in it.live
        if it.jobs.get(kind) is not None and it.jobs[kind].id == answer.job.id:
            it.take(kind, answer.job)
            if kind == TRIAL:
                it.run = answer.run
                self._asked_by(answer)
            elif kind == WORK:
                it.lines = answer.lines
        if kind in it.live:
            self.set_timer(NEWS_PAUSE_SECONDS, partial(self.follow, kind))
        elif kind == REMOVAL and was_live and it.ended(REMOVAL).state == "ok":
            self.console.notice(REMOVED.format(clean(self.place.key, 120)))
        self.changed()

    def _asked_by(self, answer: setup_asking.News) -> None:
        """What the login asks whoever is here."""
        if self.questions is None or self.questions.job != answer.job.id:
            self.questions = Questions(self, answer.job.id, lambda: [self.place.key])
        self.questions.look(answer.questions)

    def world_changed(self) -> None:
        """Heartbeats come this way; a page that found no server is asked for again."""
        if self.it.why and self.it.document is None and self.console.world.connection.up:
            self.it.why = ""
            self.refresh_data()
        self.changed()

    def tick(self) -> None:
        """Ages move; what the server did not answer is asked for again."""
        world = self.console.world
        self._ticks += 1
        if world.paused_at is None and world.connection.up is True:
            for kind in self.it.live:
                self.follow(kind)
            if self._ticks % EVERY_SECONDS == 0 and not self.it.starting:
                self._ask_document()
        self.changed()
