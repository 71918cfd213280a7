"""What a server holds of the collections that a folder can declare, read through its API."""

from typing import TYPE_CHECKING, Any, Final

from dts_core.declared import ORDER, Form, Kept, Key, forms_of
from dts_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dts_core.clients import SyncAdminClient

PAGE: Final = 500
_BUILT_IN: Final = "dts/"
_SHOWN_AS: Final = {
    "ssh_pem_cert": "has_key",
    "key_passphrase": "has_passphrase",
    "password": "has_password",
}


def forms(client: "SyncAdminClient") -> dict[str, Form]:
    """The forms of the four collections.

    Raises:
        InvalidInput: The server lacks one of them.
    """
    found = forms_of(client.schema().items)
    missing = [name for name in ORDER if name not in found]
    if missing:
        raise InvalidInput(
            f"the server has no collection {', '.join(missing)}.", advice="It may be an older one."
        )
    return {name: found[name] for name in ORDER}


def held(client: "SyncAdminClient", form: Form) -> list[Kept]:
    """Every document of a collection, by id; of functions those that are not built in."""
    documents = [_kept(form, each) for each in _all(client, form.name)]
    documents.sort(key=lambda each: each.key)
    return [each for each in documents if not each.key.id.startswith(_BUILT_IN)]


def _all(client: "SyncAdminClient", name: str) -> "Iterator[dict[str, Any]]":
    cursor = ""
    while True:
        page = client.collection(name).list(cursor=cursor, limit=PAGE)
        yield from page.items
        cursor = page.next
        if not cursor:
            return


def _kept(form: Form, shown: "Mapping[str, Any]") -> Kept:
    key = Key(form.name, str(shown["_id"]))
    if form.name == "functions":
        version = shown["default"]
        notes = {each["hash"]: each["note"] for each in shown["versions"]}
        fields: dict[str, Any] = {"source": version, "note": notes.get(version, "")}
    else:
        fields = {name: shown[name] for name in form.fields if name in shown}
    secrets = {name for name in form.secrets if name not in _SHOWN_AS or shown.get(_SHOWN_AS[name])}
    return Kept(key=key, fields=fields, revision=shown["revision"], secrets=frozenset(secrets))
