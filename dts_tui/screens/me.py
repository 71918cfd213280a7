"""One's own jobs, as the server's record has them."""

from dts_core.plain import words
from dts_core.views import JobView, SessionView
from dts_tui.draw import Line
from dts_tui.rows import Rows
from dts_tui.screens.base import Place
from dts_tui.screens.job_table import JobTable


class Me(JobTable):
    """One's own jobs, as the server's record has them."""

    scope, area = "me", "jobs"

    def __init__(self, place: Place) -> None:
        self._rows: Rows[JobView] = Rows(lambda job: job.id)
        self._counts: dict[str, int] = {}
        super().__init__(place)

    @property
    def job_rows(self) -> Rows[JobView]:
        """The records."""
        return self._rows

    def crumbs(self) -> list[str]:
        """Below Jobs."""
        return ["Jobs", f"of {self.console.world.user or 'mine'}"]

    def entered(self) -> None:
        """Ask."""
        self.refresh_data()

    def refresh_data(self) -> None:
        """One's own record."""

        def got(session: SessionView) -> None:
            self._rows.replace(session.recent)
            self._counts = session.counts
            self.stamp.at = self.console.monotonic()
            self.table.redraw()

        self.ask("session", lambda client: client.session(), got)

    def _title(self) -> tuple[Line, Line]:
        counts = "  ".join(
            f"{state} {words.count(number)}" for state, number in self._counts.items() if number
        )
        age = self.stamp.age(self.console.monotonic())
        return [("your last jobs", "title"), (f" ─ {counts}", "dim")], [
            (f"age {words.age(age)}", "dim")
        ]
