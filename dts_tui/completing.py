"""Names of documents for the `:` line, asked of the server while one types."""

from typing import TYPE_CHECKING, Final

from dts_core.errors import DtsError
from dts_core.views import DocumentPage
from dts_tui.admin_documents import Doc

if TYPE_CHECKING:
    from dts_tui.app import Console

NAMED: Final = {"user": "users", "namespace": "namespaces", "ns": "namespaces", "vhost": "vhosts"}
"""Words that take the name of one document, and the collection that it is of."""
SHOWN: Final = 12
"""Names that are asked for."""


def names(console: "Console", collection: str, begun: str) -> list[str]:
    """Those that are known to begin so; where the server may know more it is asked, and then completed anew."""
    if console.why_not(collection) or console.view is None:
        return []
    known = console.world.documents.names
    for prefix, (found, is_all) in known.get(collection, {}).items():
        if prefix == begun or (is_all and begun.startswith(prefix)):
            return [name for name in found if name.startswith(begun)]

    def got(page: DocumentPage[Doc]) -> None:
        found = [str(each["_id"]) for each in page.items]
        known.setdefault(collection, {})[begun] = (found, not page.next)
        console.prompt.complete_again()

    def failed(error: DtsError) -> None:
        del error  # nobody waits for it: the line goes without

    console.view.ask(
        "names",
        lambda client: client.collection(collection).list(
            prefix=begun, limit=SHOWN, fields=["_id"]
        ),
        got,
        failed=failed,
    )
    return []
