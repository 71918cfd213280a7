"""What the console does while it goes on painting: calls for a screen, the poll, and what becomes of their defects."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import App
from textual.worker import Worker, WorkerState

from dts_core.errors import DtsError, ServerUnreachable
from dts_tui.feed import Feed
from dts_tui.screens.base import View

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

T = TypeVar("T")
PATIENCE_SECONDS = 1.5
"""A write that takes longer says that it waits."""


class Background(App[None]):
    """An app whose screens ask the server without waiting for it."""

    feed: Feed

    def notice(self, text: str, kind: str = "good") -> None:
        """Show one line for a few seconds."""
        raise NotImplementedError

    def begin_polling(self) -> None:
        """Keep the status up to date."""
        self.background(self.feed.poll, "poll")

    def background(self, work: Callable[[], Coroutine[Any, Any, Any]], group: str) -> "Worker[Any]":
        """Run something until it ends; a later one of the same group takes its place."""
        return self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    def stop_background(self, group: str) -> None:
        """End what runs under this group."""
        self.workers.cancel_group(self, group)

    def ask(
        self,
        view: View,
        key: str,
        make: "Callable[[AdminClient], Awaitable[T]]",
        then: Callable[[T], None],
        *,
        failed: Callable[[DtsError], None] | None = None,
        writes: bool = False,
    ) -> None:
        """Call the server for a screen; the answer is dropped when that screen is gone by then."""

        async def work() -> None:
            patience = self.set_timer(PATIENCE_SECONDS, self._still_waiting) if writes else None
            try:
                answer = await self.feed.call(make, writes=writes)
            except DtsError as error:
                if failed is not None:
                    failed(error)
                elif writes or not isinstance(error, ServerUnreachable):
                    self.notice(str(error), "bad")
                return
            finally:
                if patience is not None:
                    patience.stop()
            if view.is_attached:
                then(answer)

        self.background(work, f"{id(view)}:{key}")

    def is_asking(self, view: View, key: str) -> bool:
        """Whether a call of a screen under this key has not been answered yet."""
        group = f"{id(view)}:{key}"
        return any(each.group == group and not each.is_finished for each in self.workers)

    def _still_waiting(self) -> None:
        self.notice("waiting for the server: it has not said yet whether this is done", "warn")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A defect in background work is shown and noted, never fatal; the poll starts again."""
        if event.state is not WorkerState.ERROR:
            return
        error = event.worker.error
        self.notice(f"a part of the console failed: {type(error).__name__}: {error}", "bad")
        if event.worker.group == "poll":
            self.set_timer(2.0, self.begin_polling)
