"""What a set-up starts, each with its question where something is pinned, made or removed."""

import json
import shlex
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from dts_core.errors import DtsError
from dts_core.text import clean
from dts_core.views import JobView, Written
from dts_tui.actions import subject_of_jobs
from dts_tui.host_setup import LOOK, REMOVAL, SCAN, TRIAL, WORK, SetUp, ended, setup_of, shown
from dts_tui.host_setup_steps import ADDRESS, FACTS, KEY, LOGIN, PLAN, asks
from dts_tui.screens import setup_asking
from dts_tui.screens.base import Place, View
from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_core.clients import AdminClient
    from dts_tui.screens.setup import SetUpPage

REASON_LEAST = 3


def open_setup(view: View, vhost: str, wanted: str = "") -> None:
    """Go to the set-up of a virtual host; `wanted` (again, remove) is asked about there."""
    setup_of(view.console.world.setups, vhost).wanted = wanted
    view.console.go(Place("setup", vhost))


def start(
    page: "SetUpPage", kind: str, make: "Callable[[AdminClient], Awaitable[JobView]]"
) -> None:
    """Start a job, and follow it."""
    it = page.it
    it.starting = kind
    it.refused.pop(kind, None)

    def begun(job: JobView) -> None:
        it.starting = ""
        it.take(kind, job)
        page.follow(kind)
        page.changed()

    def failed(error: DtsError) -> None:
        _refused(page, kind, error)

    page.ask(f"start {kind}", make, begun, failed=failed, writes=True)
    page.changed()


def _refused(page: "SetUpPage", kind: str, error: DtsError) -> None:
    page.it.starting, page.it.eager = "", False
    page.it.refused[kind] = shown(str(error))
    page.changed()


def scan(page: "SetUpPage") -> None:
    """Look which key the host shows."""
    vhost = page.place.key
    start(page, SCAN, lambda client: setup_asking.scan(client, vhost))


def try_login(page: "SetUpPage") -> None:
    """Try what is stored, or what whoever is here answers."""
    vhost, ask = page.place.key, asks(page.it.document or {})
    start(page, TRIAL, lambda client: setup_asking.try_login(client, vhost, ask=ask))


def look(page: "SetUpPage") -> None:
    """Have the host looked at, and the plan made."""
    vhost, options = page.place.key, page.it.options
    start(page, LOOK, lambda client: setup_asking.init(client, vhost, options, dry_run=True))


def ask_trust(page: "SetUpPage") -> None:
    """Ask whether the key that was seen is the host's; then pin that very key."""
    it, vhost = page.it, page.place.key
    job = it.fresh(SCAN)
    if job is None:
        return
    seen = ended(job, vhost).told

    def pinned(written: Written) -> None:
        it.starting = ""
        page.console.notice(f"the key of {written.id} is pinned")
        page.refresh_data()

    def send() -> None:
        it.starting = SCAN
        page.changed()
        page.ask(
            "trust",
            lambda client: setup_asking.trust(client, vhost, seen, job.id),
            pinned,
            failed=lambda error: _refused(page, SCAN, error),
            writes=True,
        )

    question = f"Have you compared it, and is this the key of {clean(vhost, 120)}?"
    names = [shown(seen.get("type")), shown(seen.get("fingerprint"))]
    page.console.open_overlay(Confirm(question, names, "Pin it", send))


def ask_set_up(page: "SetUpPage", *, again: bool = False) -> None:
    """Ask before the host is changed; the steps are named where they are known."""
    it, vhost = page.it, page.place.key
    if not _is_free(page):
        return

    def send() -> None:
        options = it.options
        start(page, WORK, lambda client: setup_asking.init(client, vhost, options))

    where = f"{it.document.get('user')}@{it.document.get('address')}" if it.document else ""
    named = f"{clean(vhost, 120)} ({clean(where, 200)})"
    if again or not it.changes:
        question = f"Set {named} up again? What is as it shall be is left alone."
        names = [f"scope {it.options.scope}"]
    else:
        question = f"Make a worker of {named}?"
        names = [
            f"{shown(each.get('name'))}: {shown(each.get('will'))}"
            for each in it.planned
            if each.get("changes")
        ]
    page.console.open_overlay(Confirm(question, names, "Set it up", send))


def ask_removal(page: "SetUpPage") -> None:
    """Ask for the name before everything that was made there is taken away."""
    it, vhost = page.it, page.place.key
    if not _is_free(page):
        return

    def send() -> None:
        options = it.options
        start(page, REMOVAL, lambda client: setup_asking.remove(client, vhost, options))

    name = clean(vhost, 120)
    question = f"Stop the worker of {name}, and remove there what set-up has made, its data too?"
    names = [f"{name}, scope {it.options.scope}; the virtual host itself stays"]
    page.console.open_overlay(Confirm(question, names, "Remove it", send, typed=vhost))


def _is_free(page: "SetUpPage") -> bool:
    """One after the other: two jobs on one host would get in each other's way."""
    busy = [kind for kind in (WORK, REMOVAL) if kind in page.it.live or page.it.starting == kind]
    if busy:
        page.console.notice("a job is at work there: wait for its end, or stop it with C", "warn")
    return not busy


def ask_forget_key(page: "SetUpPage") -> None:
    """Ask why the host may show another key; then forget the pinned one, and look anew."""
    vhost = page.place.key

    def send(reason: str) -> None:
        page.console.close_prompt()
        if not reason:
            return
        page.ask(
            "forget",
            lambda client: client.vhosts.forget_key(vhost, reason=reason),
            forgotten,
            failed=lambda error: _refused(page, SCAN, error),
            writes=True,
        )

    def forgotten(written: Written) -> None:
        page.console.notice(f"the pinned key of {written.id} is forgotten")
        page.it.eager = True
        page.refresh_data()

    page.console.prompt.ask(
        "reason",
        "reason",
        "",
        send,
        check=lambda text: (
            f"why {clean(vhost, 60)} may show another key; it is recorded"
            if len(text.strip()) < REASON_LEAST
            else ""
        ),
    )


def setup_subject(it: SetUp, step: str, job: str) -> dict[str, str]:
    """A set-up as the subject of commands and requests, with what one of its steps asks for."""
    word, path = shlex.quote(it.vhost), f"/admin/vhosts/{quote(it.vhost, safe='')}"
    hosts, is_asked = json.dumps([it.vhost]), asks(it.document or {})
    ask = ', "ask": true' if is_asked else ""
    scope = it.options.scope
    flags = f" --scope {scope}" if scope != "user" else ""
    commands = {
        ADDRESS: (f"dts admin vhosts show {word}", f"PATCH {path} {{…}}"),
        KEY: (f"dts admin vhosts scan {word}", f'POST /admin/vhosts/scan {{"hosts": {hosts}}}'),
        LOGIN: (
            f"dts ssh {word}{' --ask' if is_asked else ''} -- true",
            f'POST /ssh {{"hosts": {hosts}, "argv": ["true"]{ask}}}',
        ),
        FACTS: (f"dts vhost init {word} --dry-run{flags}", f'POST {path}/init {{"dry_run": true}}'),
    }
    commands[PLAN] = commands[FACTS]
    made = (f"dts vhost init {word}{flags}", f'POST {path}/init {{"scope": "{scope}"}}')
    command, request = commands.get(step, made)
    return {
        **subject_of_jobs([job] if job else []),
        "collection": "vhosts",
        "id": quote(it.vhost, safe=""),
        "id_word": word,
        "step_command": command,
        "step_request": request,
        "log_options": f"--job {job}" if job else "",
        "log_query": f"job={job}" if job else "",
    }
