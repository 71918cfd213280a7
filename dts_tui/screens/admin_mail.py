"""A test mail to a group: asked for by key, its outcome for each user shown as it comes."""

import asyncio
from typing import TYPE_CHECKING, Any

from dts_core.errors import DtsError
from dts_core.plain.figures import is_final
from dts_core.text import clean
from dts_core.views import JobView
from dts_tui.draw import wrap
from dts_tui.widgets.overlays import Reader

if TYPE_CHECKING:
    from dts_core.clients import AdminClient
    from dts_tui.app import Console
    from dts_tui.screens.base import View

ADMINISTRATORS = "administrators"
"""The group that is always there: every administrator with an address."""
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 120.0


def ask_mail_test(console: "Console", groups: list[str]) -> None:
    """Ask which group, send, and show what becomes of it."""
    known = list(dict.fromkeys([*groups, ADMINISTRATORS]))
    view = console.view
    if view is None:
        return

    def typed(group: str) -> None:
        console.close_prompt()
        if group:
            _send(console, view, group)

    def others(text: str) -> list[str]:
        """What begins so; behind a whole name the next ones, so that tab goes through them."""
        if text not in known:
            return [each for each in known if each.startswith(text)]
        at = known.index(text) + 1
        return known[at:] + known[:at]

    console.prompt.ask("mail-test", "group", known[0], typed, complete=others)


def _send(console: "Console", view: "View", group: str) -> None:
    told: list[tuple[str, str]] = [(f"asked for a mail to {clean(group, 120)} …", "dim")]
    console.open_overlay(
        Reader(
            "test mail",
            lambda width: [[(line, style)] for text, style in told for line in wrap(text, width)],
            live=True,
            least=8,
        )
    )

    def ended(job: JobView) -> None:
        told[:] = outcome(job)

    def failed(error: DtsError) -> None:
        told[:] = [(clean(str(error), 1000), "bad")]

    view.ask("mail", lambda client: _mailed(client, group, told), ended, failed=failed, writes=True)


async def _mailed(client: "AdminClient", group: str, told: list[tuple[str, str]]) -> JobView:
    """The job when it is over, or as it is after PATIENCE_SECONDS."""
    asked = await client.mail.test(group)
    end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        job = await client.job(asked.job)
        if is_final(job.state) or asyncio.get_running_loop().time() > end:
            return job
        told[:] = [(f"job {clean(job.id, 40)} is {clean(job.state, 20)} …", "dim")]
        await asyncio.sleep(LOOK_SECONDS)


def outcome(job: JobView) -> list[tuple[str, str]]:
    """What became of a test, a line for each user: (text, style)."""
    result: dict[str, Any] = job.result if isinstance(job.result, dict) else {}
    out = [(f"✓ sent to {clean(str(user), 120)}", "good") for user in result.get("sent", [])]
    out += [
        (f"✗ {clean(str(user), 120)} was refused: {clean(str(why), 400)}", "bad")
        for user, why in result.get("refused", {}).items()
    ]
    out += [
        (
            f"… {clean(str(user), 120)} is tried again later, by job {clean(str(result.get('rest')), 40)}",
            "warn",
        )
        for user in result.get("later", [])
    ]
    if note := result.get("note"):
        out.append((clean(str(note), 400), "warn"))
    if job.error is not None:
        out.append((f"✗ {clean(job.error.message, 1000)}", "bad"))
    return out or [
        (f"job {clean(job.id, 40)} is {clean(job.state, 20)}: look at it in Jobs", "warn")
    ]
