"""Routes of users, namespaces and the audit."""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar.response.base import ASGIResponse
from msgspec import Meta

from dts_core.api.endpoint import Call, NoQuery, Permission, Position, Routes
from dts_core.api.function_routes import RevisionQuery
from dts_core.views import (
    NamespacePage,
    NamespaceView,
    OperationList,
    UserPage,
    UserView,
    Written,
)

routes = Routes()
Fields = dict[str, Any]


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list by id."""

    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class OperationsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Filters of the audit; `before` a position pages on."""

    collection: str = ""
    doc_id: str = ""
    before: Position = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


@routes.add("GET", "/admin/users", Permission.ADMIN, query=PageQuery, answer=UserPage)
async def list_users(call: Call[PageQuery, None]) -> UserPage:
    """One page of users by id."""
    return await call.services.users.page(cursor=call.query.cursor, limit=call.query.limit)


@routes.add("POST", "/admin/users", Permission.ADMIN, body=Fields, answer=Written, status=201)
async def create_user(call: Call[NoQuery, Fields]) -> Written:
    """Create a user from `_id`, `secret`, `role` and `disabled`."""
    return await call.services.users.create(call.caller, call.body)


@routes.add("GET", "/admin/users/{id}", Permission.ADMIN, answer=UserView)
async def get_user(call: Call[NoQuery, None]) -> UserView:
    """One user; the secret never leaves."""
    return await call.services.users.get(call.path("id"))


@routes.add("PATCH", "/admin/users/{id}", Permission.ADMIN, body=Fields, answer=Written)
async def update_user(call: Call[NoQuery, Fields]) -> Written:
    """Change `role`, `secret` or `disabled`."""
    return await call.services.users.update(call.caller, call.path("id"), call.body)


@routes.add("DELETE", "/admin/users/{id}", Permission.ADMIN, query=RevisionQuery, answer=Written)
async def delete_user(call: Call[RevisionQuery, None]) -> Written:
    """Remove a user; their tokens end, their jobs stay."""
    return await call.services.users.delete(
        call.caller, call.path("id"), revision=call.query.revision
    )


@routes.add("GET", "/admin/namespaces", Permission.READ, query=PageQuery, answer=NamespacePage)
async def list_namespaces(call: Call[PageQuery, None]) -> NamespacePage:
    """One page of the namespaces that the caller is a member of."""
    return await call.services.namespaces.page(
        call.caller, cursor=call.query.cursor, limit=call.query.limit
    )


@routes.add("POST", "/admin/namespaces", Permission.ADMIN, body=Fields, answer=Written, status=201)
async def create_namespace(call: Call[NoQuery, Fields]) -> Written:
    """Create a namespace from `_id`, `description` and `members`."""
    return await call.services.namespaces.create(call.caller, call.body)


@routes.add("GET", "/admin/namespaces/{id}", Permission.READ, answer=NamespaceView)
async def get_namespace(call: Call[NoQuery, None]) -> NamespaceView:
    """One namespace with its members."""
    return await call.services.namespaces.get(call.caller, call.path("id"))


@routes.add("PATCH", "/admin/namespaces/{id}", Permission.ADMIN, body=Fields, answer=Written)
async def update_namespace(call: Call[NoQuery, Fields]) -> Written:
    """Change `description` or `members`."""
    return await call.services.namespaces.update(call.caller, call.path("id"), call.body)


@routes.add(
    "DELETE", "/admin/namespaces/{id}", Permission.ADMIN, query=RevisionQuery, answer=Written
)
async def delete_namespace(call: Call[RevisionQuery, None]) -> Written:
    """Remove a namespace that has no functions any more."""
    return await call.services.namespaces.delete(
        call.caller, call.path("id"), revision=call.query.revision
    )


@routes.add(
    "GET", "/admin/operations", Permission.ADMIN, query=OperationsQuery, answer=OperationList
)
async def list_operations(call: Call[OperationsQuery, None]) -> OperationList:
    """The audit, newest first."""
    asked = call.query
    return await call.services.operations.page(
        collection=asked.collection, doc_id=asked.doc_id, before=asked.before, limit=asked.limit
    )


async def see_plural(call: Call[NoQuery, None]) -> ASGIResponse:
    """The former name of this path: 308 to the plural."""
    path = call.request.scope["path"]
    for singular in ("/admin/namespace", "/admin/user"):
        if path == singular or path.startswith(f"{singular}/"):
            path = f"{singular}s{path.removeprefix(singular)}"
            break
    asked = call.request.scope["query_string"].decode("latin-1")
    location = quote(path) + (f"?{asked}" if asked else "")
    return ASGIResponse(status_code=308, headers={"Location": location})


for _method in ("GET", "POST", "PATCH", "DELETE"):
    for _path in ("/admin/namespace", "/admin/user"):
        for _tail in ("", "/{id}"):
            routes.add(
                _method, _path + _tail, Permission.READ, query=None, status=308, raw_body=True
            )(see_plural)
