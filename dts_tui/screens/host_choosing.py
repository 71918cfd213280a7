"""From a list of virtual hosts to a call on them: which hosts are meant, then what is to run there."""

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dts_core.hostsets import fold
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import FunctionPage
from dts_tui.admin_documents import Doc, record
from dts_tui.filters import Filter
from dts_tui.host_form import HostChoice
from dts_tui.screens.base import Place, View
from dts_tui.screens.submit import DTS, arguments_of
from dts_tui.widgets.overlays import Choice, Picker

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

VHOSTS = "vhosts"
PAGE = 500
HOSTS_MOST = 10_000
"""Most hosts of one call."""
A_COMMAND = ""


def hosts_subject(hosts: Sequence[str]) -> dict[str, str]:
    """The hosts that an action is about, as a word of a command and as JSON."""
    folded = fold(hosts)
    return {"hosts_word": shlex.quote(folded), "hosts_json": json.dumps([folded])}


def call_on(view: View, documents: Sequence[Doc], how: str) -> None:
    """Note where it goes, and ask what is to run there."""
    hosts = [str(each["_id"]) for each in documents if not each.get("disabled")]
    kept_out = len(documents) - len(hosts)
    if not hosts:
        why = "all of them are disabled" if kept_out else "there is none"
        view.console.notice(f"no host to run anything on: {why}", "warn")
        return
    view.console.world.calling = HostChoice(hosts, how, kept_out)
    view.ask("functions", lambda client: client.functions.list(), lambda page: _offer(view, page))


def _offer(view: View, page: FunctionPage) -> None:
    used = {name: index for index, name in enumerate(view.console.last_used)}
    functions = [each for each in page.items if not each.id.startswith(DTS)]
    functions.sort(key=lambda each: (used.get(each.id, len(used)), each.id))
    choices = [
        Choice(A_COMMAND, "a command", "a program of the hosts with its arguments; they need no Python"),
        *(
            Choice(each.id, clean(each.id, 120), clean(each.current.summary or arguments_of(each), 300))
            for each in functions
        ),
    ]  # fmt: skip
    calling = view.console.world.calling
    count = len(calling.hosts) if calling is not None else 0
    view.console.open_overlay(
        Picker(
            f"what to run on {words.plural(count, 'host')}",
            lambda: choices,
            lambda name: view.console.go(Place("host-call", name)),
        )
    )


def call_on_fitting(view: View, query: dict[str, Any], local: Filter) -> None:
    """All that fit a filter, whether they are shown or not.

    Args:
        view: The list.
        query: What of the filter the server looks for.
        local: What is left of it.
    """

    def got(found: list[Doc]) -> None:
        call_on(view, found, "all that fit the filter")

    view.ask("fitting", lambda client: _fitting(client, query, local), got)


async def _fitting(client: "AdminClient", query: dict[str, Any], local: Filter) -> list[Doc]:
    found: list[Doc] = []
    cursor = ""
    while len(found) <= HOSTS_MOST:
        page = await client.collection(VHOSTS).list(limit=PAGE, cursor=cursor, **query)
        found += [each for each in page.items if local.match(record(each))]
        cursor = page.next
        if not cursor:
            break
    return found
