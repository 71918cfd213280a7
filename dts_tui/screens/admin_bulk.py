"""One field of the marked documents, changed together: chosen, typed, shown, asked, done."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dts_core.model import Parameter
from dts_core.text import clean
from dts_tui.admin_changes import SENSITIVE, becomes, how_to, planned, settable
from dts_tui.admin_documents import TITLES, Doc
from dts_tui.admin_form import text_for
from dts_tui.forms import FieldError
from dts_tui.screens.admin_outcomes import Outcome, each_of, tell_outcomes, too_many
from dts_tui.screens.base import View
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.overlays import Choice, Picker

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

TYPED_FROM = 10
"""So many at once have to be typed, whatever the field."""


def ask_field(
    view: View, collection: str, documents: Sequence[Doc], done: Callable[[], None]
) -> None:
    """Choose the field, type the change, see what becomes of each, and confirm it."""
    schema = view.console.world.documents.schemas.get(collection)
    chosen = list(documents)
    if schema is None or not chosen or too_many(view, chosen, "changed"):
        return
    fields = {each.name: each for each in settable(schema)}
    choices = [Choice(name, name, each.help) for name, each in fields.items()]
    title = (
        f"which field of {len(chosen)}" if len(chosen) > 1 else f"which field of {chosen[0]['_id']}"
    )
    view.console.open_overlay(
        Picker(
            clean(title, 120),
            lambda: choices,
            lambda name: _ask_value(view, collection, chosen, fields[name], done),
        )
    )


def _ask_value(
    view: View, collection: str, documents: list[Doc], item: Parameter, done: Callable[[], None]
) -> None:
    prompt = view.console.prompt

    def wrong(text: str) -> str:
        if not text:
            return ""
        try:
            becomes(item, documents[0].get(item.name, item.default), text)
        except FieldError as error:
            return str(error)
        return ""

    def values(text: str) -> list[str]:
        known = item.choices or (["true", "false"] if item.type == "switch" else [])
        found = [str(each) for each in known if str(each).startswith(text)]
        return found or [how_to(item)]

    def typed(text: str) -> None:
        view.console.close_prompt()
        if text:
            ask_change(view, collection, documents, item, text, done)

    prompt.ask(f"set {item.name}", item.name[:10], "", typed, check=wrong, complete=values)


def ask_change(
    view: View,
    collection: str,
    documents: list[Doc],
    item: Parameter,
    text: str,
    done: Callable[[], None],
) -> None:
    """Show what each becomes, and do it when that is confirmed."""
    try:
        plan = planned(documents, item, text)
    except FieldError as error:
        view.console.notice(f"{item.name}: {error}", "warn")
        return
    if not plan:
        view.console.notice(f"{item.name} is so already: nothing to change", "warn")
        return
    names = [
        clean(
            f"{each['_id']}: {text_for(each.get(item.name)) or 'none'} -> {text_for(value) or 'none'}",
            200,
        )
        for each, value in plan
    ]

    def send() -> None:
        view.ask(
            "set",
            lambda client: _write(client, collection, item.name, plan),
            lambda outcomes: _told(view, item.name, outcomes, done),
            writes=True,
        )

    several = f"{len(plan)} {TITLES[collection]}" if len(plan) > 1 else str(plan[0][0]["_id"])
    same = f" {len(documents) - len(plan)} have it already." if len(documents) > len(plan) else ""
    dangerous = item.name in SENSITIVE and len(plan) > 1
    word = f"change {len(plan)}" if dangerous or len(plan) > TYPED_FROM else ""
    question = clean(f"Change {item.name} of {several}?{same}", 300)
    view.console.open_overlay(Confirm(question, names, "Change", send, typed=word))


def ask_switch(
    view: View, collection: str, documents: Sequence[Doc], done: Callable[[], None]
) -> None:
    """Keep out those that are let in; when nobody of them is, let them in again."""
    schema = view.console.world.documents.schemas.get(collection)
    chosen = list(documents)
    item = (
        next((each for each in schema.fields if each.name == "disabled"), None) if schema else None
    )
    if item is None:
        view.console.notice(f"nothing of {collection} can be disabled", "warn")
    elif chosen and not too_many(view, chosen, "changed"):
        out = any(not each.get("disabled") for each in chosen)
        ask_change(view, collection, chosen, item, "true" if out else "false", done)


async def _write(
    client: "AdminClient", collection: str, name: str, plan: list[tuple[Doc, Any]]
) -> list[Outcome]:
    documents_of = client.collection(collection)
    values = {str(each["_id"]): value for each, value in plan}
    return await each_of(
        [each for each, _ in plan],
        lambda each: documents_of.update(
            str(each["_id"]),
            revision=int(each.get("revision", 0)),
            **{name: values[str(each["_id"])]},
        ),
    )


def _told(view: View, name: str, outcomes: list[Outcome], done: Callable[[], None]) -> None:
    done()
    changed = [each for each in outcomes if not each.why]
    if len(changed) < len(outcomes):
        tell_outcomes(view, outcomes, "changed")
    else:
        one = outcomes[0].doc_id if len(outcomes) == 1 else str(len(outcomes))
        view.console.notice(f"{name} of {one} changed")
