"""The Wall: everything at a glance."""

from functools import partial

from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from dts_core.views import JobPage, JobView
from dts_tui.actions import subject_of_jobs
from dts_tui.draw import Line
from dts_tui.host_drawing import shown_hosts
from dts_tui.scene import Scene, Spot, WallView
from dts_tui.screens.base import ONCE, Place, View
from dts_tui.screens.job_actions import ask_again, ask_cancel, describe_job, place_of
from dts_tui.screens.operating import ask_drain
from dts_tui.wall_drawing import PANELS, draw_wall, shown_queues
from dts_tui.widgets.drawn import Drawn


class WallPanels(Drawn):
    """All panels, drawn by one function."""

    can_focus = True

    class Clicked(Message):
        """A row was clicked that the cursor was on already."""

    def __init__(self) -> None:
        super().__init__()
        self.view = WallView()
        self._scene: Scene | None = None

    def scene(self) -> Scene:
        """What there is to draw now."""
        console = self.console
        return Scene(console.world, self.view, console.now(), console.monotonic())

    @property
    def spots(self) -> list[Spot]:
        """Where the panels lie."""
        return self._scene.spots if self._scene else []

    def draw(self, width: int, height: int) -> list[Line]:
        """The panels."""
        scene = self._scene = self.scene()
        self.view.focused = True
        self.stale = scene.world.stamp.stale(scene.monotonic)
        return draw_wall(scene, width, height)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a second one opens."""
        for spot in self.spots:
            if spot.x <= event.x < spot.x + spot.width and spot.y <= event.y < spot.y + spot.height:
                row = event.y - spot.y - 1 - (spot.panel == "queues")
                again = self.view.panel == spot.panel and self.view.rows.get(spot.panel, 0) == row
                self.view.panel, self.view.rows[spot.panel] = spot.panel, max(row, 0)
                self.redraw()
                if again:
                    self.post_message(self.Clicked())


class Wall(View):
    """Hosts, jobs, queues, alarms, failures."""

    scope = area = "wall"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.panels = WallPanels()
        self._ticks = -1

    @property
    def here(self) -> str:
        """Jobs can be acted on while the cursor is among them."""
        return "wall-failed" if self._job() is not None else "wall"

    def compose(self) -> ComposeResult:
        """One widget."""
        yield self.panels

    def main(self) -> Widget:
        """The panels get the keys."""
        return self.panels

    def entered(self) -> None:
        """Show what is known."""
        self.world_changed()

    def world_changed(self) -> None:
        """Draw again; fetch the history of hosts seen for the first time."""
        world = self.console.world
        missing = [name for name, history in world.history.items() if not history.loaded]
        if missing and world.connection.up:
            self.console.background(partial(self.console.feed.histories, missing), "histories")
        self.panels.redraw()

    def tick(self) -> None:
        """Ages move; the last jobs are asked for while there is room to show them."""
        self._ticks += 1
        if self._ticks % 2 == 0 and self._shows_last_jobs() and self.console.world.connection.up:
            self.refresh_data()
        self.panels.redraw()

    def _shows_last_jobs(self) -> bool:
        return any(spot.panel == "recent" for spot in self.panels.spots)

    def refresh_data(self) -> None:
        """The last jobs."""
        if self.console.world.paused_at is not None:
            return

        def got(page: JobPage) -> None:
            self.console.world.recent = page.items
            self.panels.redraw()

        self.ask("recent", lambda client: client.jobs(limit=40), got)

    # --- moving ---------------------------------------------------------------------------------

    def _count(self, panel: str) -> int:
        world = self.console.world
        return {
            "hosts": len(world.hosts), "queues": len(world.queues), "alarms": len(world.open_alarms),
            "failed": len(world.status.failed) if world.status else 0,
            "recent": len(world.recent) if self._shows_last_jobs() else 0,
        }.get(panel, 0)  # fmt: skip

    def _move(self, lines: int) -> None:
        view = self.panels.view
        count = self._count(view.panel)
        view.rows[view.panel] = max(min(view.row(view.panel, count) + lines, count - 1), 0)
        self.panels.redraw()

    def _page(self) -> int:
        return 8

    def _turn(self, by: int) -> None:
        view = self.panels.view
        choices = [name for name in PANELS if name in ("hosts", "jobs") or self._count(name)]
        at = choices.index(view.panel) if view.panel in choices else 0
        view.panel = choices[(at + by) % len(choices)]
        self.panels.redraw()
        self.console.scope_changed()

    def do_next_tab(self) -> None:
        """The next panel."""
        self._turn(1)

    def do_previous_tab(self) -> None:
        """The panel before."""
        self._turn(-1)

    def do_zoom(self) -> None:
        """One panel alone."""
        self.panels.view.zoomed = not self.panels.view.zoomed
        self.panels.redraw()

    def do_side(self) -> None:
        """The panels beside the hosts."""
        self.panels.view.side = not self.panels.view.side
        self.panels.redraw()

    def step_out(self) -> bool:
        """Back from one panel to all."""
        if self.panels.view.zoomed:
            self.do_zoom()
            return True
        return False

    # --- what is under the cursor ---------------------------------------------------------------

    def _host(self) -> str:
        hosts = shown_hosts(self.console.world)
        return hosts[self.panels.view.row("hosts", len(hosts))].name if hosts else ""

    def _job(self) -> JobView | None:
        """The job under the cursor, while the cursor is among jobs."""
        world, panel = self.console.world, self.panels.view.panel
        failed = world.status.failed if world.status else []
        jobs = {"failed": failed, "recent": world.recent}.get(panel, [])
        return jobs[self.panels.view.row(panel, len(jobs))] if jobs else None

    def on_wall_panels_clicked(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """The page of what is under the cursor."""
        panel, world = self.panels.view.panel, self.console.world
        if panel == "hosts" and self._host():
            self.console.go(Place("host", self._host()))
        elif (job := self._job()) is not None:
            self.console.go(place_of(self, job))
        elif panel == "alarms" and world.open_alarms:
            row = self.panels.view.row("alarms", len(world.open_alarms))
            self.console.go(Place("host", world.open_alarms[row].host))
        elif panel == "queues":
            self.console.go(Place("queues"))
        else:
            self.console.go(Place("jobs"))

    def do_job_logs(self) -> None:
        """Logs of the host, or of the failed job."""
        if (job := self._job()) is not None:
            self.console.go(Place("job", job.id, "log"))
        else:
            self.console.go(Place("logs", f"host={self._host()}" if self._host() else "", ONCE))

    def do_describe(self) -> None:
        """Everything about it."""
        if (job := self._job()) is not None:
            describe_job(self, job.id)
        else:
            self.do_open()

    def do_drain(self) -> None:
        """Have the host take nothing new, or take jobs again."""
        ask_drain(self, self.console.world.host(self._host()))

    def do_cancel(self) -> None:
        """Stop the job under the cursor."""
        ask_cancel(self, self._jobs())

    def do_again(self) -> None:
        """Run the job under the cursor again."""
        ask_again(self, self._jobs())

    def do_again_default(self) -> None:
        """Run it again with the newest version."""
        ask_again(self, self._jobs(), "default")

    def _jobs(self) -> list[JobView]:
        job = self._job()
        return [] if job is None else [job]

    def subject(self) -> dict[str, str]:
        """The host or the job under the cursor."""
        if (job := self._job()) is not None:
            return subject_of_jobs([job.id], job.function)
        host = self._host()
        queue = shown_queues(self.console.world)
        return {
            "host": host, "id": host, "log_options": f"--host {host}", "log_query": f"host={host}",
            "queue": queue[0].name if queue else "",
        }  # fmt: skip

    def copied(self) -> str:
        """The name of the host, or the id of the job."""
        job = self._job()
        return job.id if job is not None else self._host()

    def exported(self) -> list[dict[str, str]]:
        """The hosts with their figures."""
        return [
            {
                "host": host.name,
                "state": host.state,
                "cpu": f"{host.beat.cpu:.3f}",
                "version": host.beat.version,
            }
            for host in shown_hosts(self.console.world)
        ]
