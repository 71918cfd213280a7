"""What hosts printed otherwise than most of them did."""

import asyncio
from functools import partial

from dts_core.text import clean
from dts_core.views.ssh import HostOutputView
from dts_tui.draw import Line
from dts_tui.fanout import FanOut, Group
from dts_tui.fanout_drawing import difference
from dts_tui.screens.base import View
from dts_tui.widgets.overlays import Reader


def show_difference(view: View, fan: FanOut, group: Group | None) -> None:
    """Ask for what one host of either group printed, then show line by line what differs.

    Args:
        view: The board; when one leaves it, nothing opens.
        fan: What it shows.
        group: The one under the cursor.
    """
    most = fan.majority()
    if most is None or group is None or not group.has_answer or fan.job is None:
        view.console.notice("there is no answer here to compare", "warn")
        return
    if group.key == most.key:
        view.console.notice("this is what most hosts answered; go to another group", "warn")
        return
    job = fan.job.id
    first, second = most.hosts[0], group.hosts[0]
    named = (clean(f"{first} and {len(most.hosts) - 1} more", 100), clean(second, 100))

    def show(lines: list[Line]) -> None:
        title = clean(f"{second} against the majority", 120)
        if view.is_attached:
            view.console.open_overlay(Reader(title, lambda width: lines))

    async def compare(texts: tuple[HostOutputView, HostOutputView]) -> None:
        show(await asyncio.to_thread(difference, named, texts))

    def got_second(before: HostOutputView, after: HostOutputView) -> None:
        view.console.background(partial(compare, (before, after)), "difference")

    def got_first(before: HostOutputView) -> None:
        view.ask(
            "second",
            lambda client: client.ssh.output(job, second),
            lambda after: got_second(before, after),
        )

    view.ask("first", lambda client: client.ssh.output(job, first), got_first)
