"""Deleting documents: first what depends on them, then the question, then one after the other."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dts_core.text import clean
from dts_tui.admin_documents import TITLES, TYPED, Doc
from dts_tui.screens.admin_outcomes import Outcome, each_of, tell_outcomes, too_many
from dts_tui.screens.base import View
from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_core.clients import AdminClient


async def _each(
    client: "AdminClient", collection: str, documents: Sequence[Doc], *, dry_run: bool
) -> list[Outcome]:
    documents_of = client.collection(collection)
    return await each_of(
        documents,
        lambda each: documents_of.delete(
            str(each["_id"]), revision=int(each.get("revision", 0)), dry_run=dry_run
        ),
    )


def ask_delete(
    view: View, collection: str, documents: Sequence[Doc], gone: Callable[[str], None]
) -> None:
    """Ask the server what depends on them, then the person; `gone` hears of each that went."""
    chosen = list(documents)
    if too_many(view, chosen, "deleted"):
        return
    if chosen:
        view.ask(
            "dependents",
            lambda client: _each(client, collection, chosen, dry_run=True),
            lambda outcomes: _question(view, collection, chosen, outcomes, gone),
            writes=True,
        )


def _question(
    view: View,
    collection: str,
    chosen: list[Doc],
    outcomes: list[Outcome],
    gone: Callable[[str], None],
) -> None:
    refused = [each for each in outcomes if each.why]
    free = {each.doc_id for each in outcomes if not each.why}
    if not free:
        tell_outcomes(view, outcomes, "deleted")
        return
    if view.console.view is not view:
        return
    going = [each for each in chosen if str(each["_id"]) in free]

    def send() -> None:
        view.ask(
            "delete",
            lambda client: _each(client, collection, going, dry_run=False),
            lambda done: _done(view, done, gone),
            writes=True,
        )

    one = _one(view, collection)
    which = f"this {one}" if len(going) == 1 else f"{len(going)} {TITLES[collection]}"
    question = f"Delete {which} for good?"
    if refused:
        question += f" {len(refused)} more cannot be deleted: {clean(refused[0].why, 160)}"
    names = [_named(each) for each in outcomes if not each.why]
    needs_typing = (
        collection in TYPED or len(going) > 1 or any(each.dependents for each in outcomes)
    )
    word = str(going[0]["_id"]) if len(going) == 1 else f"delete {len(going)}"
    view.console.open_overlay(
        Confirm(question, names, "Delete", send, typed=word if needs_typing else "")
    )


def _one(view: View, collection: str) -> str:
    schema = view.console.world.documents.schemas.get(collection)
    return schema.one if schema is not None else "document"


def _named(outcome: Outcome) -> str:
    needed = [
        f"{'at least ' if each.at_least else ''}{each.total} {each.collection} ({', '.join(each.ids[:3])}"
        f"{', …' if each.total > 3 else ''})"
        for each in outcome.dependents
    ]
    return clean(outcome.doc_id + (f"  needed by {', '.join(needed)}" if needed else ""), 200)


def _done(view: View, outcomes: list[Outcome], gone: Callable[[str], None]) -> None:
    for each in outcomes:
        if not each.why:
            gone(each.doc_id)
    deleted = [each.doc_id for each in outcomes if not each.why]
    if any(each.why for each in outcomes):
        tell_outcomes(view, outcomes, "deleted")
    elif len(deleted) == 1:
        view.console.notice(f"{deleted[0]} deleted")
    else:
        view.console.notice(f"{len(deleted)} deleted")
