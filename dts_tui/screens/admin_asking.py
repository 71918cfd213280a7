"""What forms of documents ask the server before they can be shown."""

from collections.abc import Callable

from dts_core.errors import DtsError
from dts_core.views import CollectionList
from dts_tui.admin_documents import Doc
from dts_tui.screens.base import View


def ask_schema(
    view: View, then: Callable[[], None], failed: Callable[[DtsError], None] | None = None
) -> None:
    """Have the collections described anew, whatever is known of them."""
    memory = view.console.world.documents

    def got(answer: CollectionList) -> None:
        memory.schemas = {each.name: each for each in answer.items}
        then()

    view.ask("schema", lambda client: client.schema(), got, failed=failed)


def ask_document(
    view: View,
    collection: str,
    doc_id: str,
    then: Callable[[Doc | None], None],
    failed: Callable[[DtsError], None],
) -> None:
    """Ask how a collection is described, then for a document of it; without an id there is none to ask for."""

    def known() -> None:
        if doc_id:
            view.ask(
                "document",
                lambda client: client.collection(collection).get(doc_id),
                then,
                failed=failed,
            )
        else:
            then(None)

    ask_schema(view, known, failed)
