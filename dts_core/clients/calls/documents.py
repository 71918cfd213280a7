"""The admin collections, one like the other: list, get, add, update, replace, delete."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, cast

from dts_core.clients.describe import Request, as_text, dry, get, segment, write
from dts_core.names import split_function
from dts_core.views import (
    CollectionList,
    DocumentPage,
    NamespaceDocument,
    NamespaceFields,
    UserDocument,
    UserFields,
    VhostDocument,
    VhostFields,
    Written,
)

D = TypeVar("D")


def schema() -> Request[CollectionList]:
    """The fields of each admin collection, with type, help and choices."""
    return get("/admin/schema", CollectionList)


def list_documents(
    collection: str,
    /,
    *,
    fields: Sequence[str] = (),
    prefix: str = "",
    text: str = "",
    sort: str = "",
    cursor: str = "",
    limit: int = 0,
    **filters: Any,
) -> Request[DocumentPage[dict[str, Any]]]:
    """One page of a collection; a page may be short yet have a `next`.

    Args:
        collection: Which one.
        fields: Only these of each document, and its `_id`.
        prefix: Only ids that begin so.
        text: Only documents with this in the id or in a searched field.
        sort: A field; `-` before it for the greatest first.
        cursor: `next` of the page before.
        limit: How many; 0 is what the server gives.
        filters: Further fields that a list of it can be filtered by.
    """
    return _page(
        collection, dict[str, Any], filters, fields=fields, prefix=prefix, text=text, sort=sort,
        cursor=cursor, limit=limit,
    )  # fmt: skip


def get_document(collection: str, /, doc_id: str) -> Request[dict[str, Any]]:
    """One document."""
    return cast(Request[dict[str, Any]], get(_path(collection, doc_id), dict))


def add_document(
    collection: str, /, doc_id: str, *, dry_run: bool = False, **fields: Any
) -> Request[Written]:
    """Create a document under an id of one's own; `dry_run` only says what would be done."""
    body = {"_id": doc_id, **fields}
    return write("POST", f"/admin/{collection}", Written, body, query=dry(dry_run))


def update_document(
    collection: str, /, doc_id: str, *, dry_run: bool = False, **fields: Any
) -> Request[Written]:
    """Change some fields; with a `revision`, a document that was changed since is left alone (409)."""
    return write("PATCH", _path(collection, doc_id), Written, fields, query=dry(dry_run))


def replace_document(
    collection: str, /, doc_id: str, *, dry_run: bool = False, **fields: Any
) -> Request[Written]:
    """Give all fields; those left out take their defaults, a secret stays. `revision` as for a change."""
    return write("PUT", _path(collection, doc_id), Written, fields, query=dry(dry_run))


def delete_document(
    collection: str, /, doc_id: str, *, revision: int = 0, dry_run: bool = False
) -> Request[Written]:
    """Remove a document; the answer says what depends on it."""
    query = dict(dry(dry_run)) | ({"revision": str(revision)} if revision else {})
    return write("DELETE", _path(collection, doc_id), Written, query=query)


def list_users(
    *,
    fields: Sequence[str] = (),
    prefix: str = "",
    text: str = "",
    role: str = "",
    disabled: bool | None = None,
    groups: str = "",
    sort: str = "",
    cursor: str = "",
    limit: int = 0,
) -> Request[DocumentPage[UserDocument]]:
    """One page of users: of a role, disabled or not, in a group. For the rest see `list_documents`."""
    filters = {"role": role, "disabled": disabled, "groups": groups}
    return _page(
        "users", UserDocument, filters, fields=fields, prefix=prefix, text=text, sort=sort,
        cursor=cursor, limit=limit,
    )  # fmt: skip


def get_user(name: str) -> Request[UserDocument]:
    """One user; the secret never leaves."""
    return get(_path("users", name), UserDocument)


def add_user(name: str, *, dry_run: bool = False, **fields: Unpack[UserFields]) -> Request[Written]:
    """Create a user; the secret is needed."""
    return add_document("users", name, dry_run=dry_run, **fields)


def update_user(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[UserFields]
) -> Request[Written]:
    """Change a user. A stale `revision` is refused (409)."""
    return update_document("users", name, dry_run=dry_run, **_at(revision), **fields)


def replace_user(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[UserFields]
) -> Request[Written]:
    """Give all fields of a user; those left out take their defaults, the secret stays."""
    return replace_document("users", name, dry_run=dry_run, **_at(revision), **fields)


def list_namespaces(
    *,
    fields: Sequence[str] = (),
    prefix: str = "",
    text: str = "",
    members: str = "",
    sort: str = "",
    cursor: str = "",
    limit: int = 0,
) -> Request[DocumentPage[NamespaceDocument]]:
    """One page of namespaces: those that have a member. For the rest see `list_documents`."""
    return _page(
        "namespaces", NamespaceDocument, {"members": members}, fields=fields, prefix=prefix,
        text=text, sort=sort, cursor=cursor, limit=limit,
    )  # fmt: skip


def get_namespace(name: str) -> Request[NamespaceDocument]:
    """One namespace with its members."""
    return get(_path("namespaces", name), NamespaceDocument)


def add_namespace(
    name: str, *, dry_run: bool = False, **fields: Unpack[NamespaceFields]
) -> Request[Written]:
    """Create a namespace."""
    return add_document("namespaces", name, dry_run=dry_run, **fields)


def update_namespace(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[NamespaceFields]
) -> Request[Written]:
    """Change a namespace; `members` is the whole map. A stale `revision` is refused (409)."""
    return update_document("namespaces", name, dry_run=dry_run, **_at(revision), **fields)


def replace_namespace(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[NamespaceFields]
) -> Request[Written]:
    """Give all fields of a namespace; those left out take their defaults."""
    return replace_document("namespaces", name, dry_run=dry_run, **_at(revision), **fields)


def list_vhosts(
    *,
    fields: Sequence[str] = (),
    prefix: str = "",
    text: str = "",
    auth: str = "",
    mode: str = "",
    disabled: bool | None = None,
    jump: str = "",
    labels: str = "",
    sort: str = "",
    cursor: str = "",
    limit: int = 0,
) -> Request[DocumentPage[VhostDocument]]:
    """One page of virtual hosts: by way in, behind a jump host, with a label. For the rest see `list_documents`."""
    filters = {"auth": auth, "mode": mode, "disabled": disabled, "jump": jump, "labels": labels}
    return _page(
        "vhosts", VhostDocument, filters, fields=fields, prefix=prefix, text=text, sort=sort,
        cursor=cursor, limit=limit,
    )  # fmt: skip


def get_vhost(name: str) -> Request[VhostDocument]:
    """One virtual host; of its secrets, whether they are there."""
    return get(_path("vhosts", name), VhostDocument)


def add_vhost(
    name: str, *, dry_run: bool = False, **fields: Unpack[VhostFields]
) -> Request[Written]:
    """Create a virtual host; its address and user are needed."""
    return add_document("vhosts", name, dry_run=dry_run, **fields)


def update_vhost(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[VhostFields]
) -> Request[Written]:
    """Change a virtual host; null takes a secret away. A stale `revision` is refused (409)."""
    return update_document("vhosts", name, dry_run=dry_run, **_at(revision), **fields)


def replace_vhost(
    name: str, *, revision: int = 0, dry_run: bool = False, **fields: Unpack[VhostFields]
) -> Request[Written]:
    """Give all fields of a virtual host; those left out take their defaults, its secrets stay."""
    return replace_document("vhosts", name, dry_run=dry_run, **_at(revision), **fields)


def _page(
    collection: str, kind: type[D], filters: Mapping[str, Any], **query: Any
) -> Request[DocumentPage[D]]:
    chosen = {name: as_text(value) for name, value in filters.items() if value not in ("", None)}
    page = DocumentPage[kind]  # type: ignore[valid-type]  # known when it runs
    return get(f"/admin/{collection}", page, query | chosen)


def _path(collection: str, doc_id: str) -> str:
    if collection == "functions":
        return f"/admin/functions/{'/'.join(split_function(doc_id))}"
    return f"/admin/{collection}/{segment(doc_id)}"


def _at(revision: int) -> dict[str, Any]:
    return {"revision": revision} if revision else {}
