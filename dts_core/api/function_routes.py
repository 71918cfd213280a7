"""Routes of functions."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.views import FunctionPage, FunctionView, IdPage, SourceView, Written

routes = Routes()
Fields = dict[str, Any]
ONE = "/admin/functions/{namespace}/{name}"


class FunctionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of the list; `fields=_id` answers with ids only."""

    fields: Literal["", "_id"] = ""
    namespace: str = ""
    prefix: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class VersionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version; empty is the default one."""

    version: str = ""


class RevisionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The revision that is meant; 0 is whatever there is."""

    revision: Annotated[int, Meta(ge=0)] = 0


def _function(call: Call[Any, Any]) -> str:
    return f"{call.path('namespace')}/{call.path('name')}"


@routes.add(
    "GET",
    "/admin/functions",
    Permission.READ,
    query=FunctionsQuery,
    answer=(FunctionPage, IdPage),
)
async def list_functions(call: Call[FunctionsQuery, None]) -> FunctionPage | IdPage:
    """One page of functions by id."""
    functions, asked = call.services.functions, call.query
    read = functions.ids if asked.fields else functions.page
    return await read(
        call.caller,
        namespace=asked.namespace,
        prefix=asked.prefix,
        cursor=asked.cursor,
        limit=asked.limit,
    )


@routes.add("POST", "/admin/functions", Permission.SUBMIT, body=Fields, answer=Written, status=201)
async def create_function(call: Call[NoQuery, Fields]) -> Written:
    """Create a function from `_id`, `source` and `note`; for administrators of its namespace."""
    return await call.services.functions.create(call.caller, call.body)


@routes.add("GET", ONE, Permission.READ, answer=FunctionView)
async def get_function(call: Call[NoQuery, None]) -> FunctionView:
    """One function with its versions."""
    return await call.services.functions.get(call.caller, _function(call))


@routes.add("GET", f"{ONE}/source", Permission.READ, query=VersionQuery, answer=SourceView)
async def get_source(call: Call[VersionQuery, None]) -> SourceView:
    """Source of a version."""
    return await call.services.functions.source(
        call.caller, _function(call), version=call.query.version
    )


@routes.add("PATCH", ONE, Permission.SUBMIT, body=Fields, answer=Written)
async def update_function(call: Call[NoQuery, Fields]) -> Written:
    """Add a version (`source`, `note`) or choose the `default`; `revision` is required."""
    return await call.services.functions.update(call.caller, _function(call), call.body)


@routes.add("DELETE", ONE, Permission.SUBMIT, query=RevisionQuery, answer=Written)
async def delete_function(call: Call[RevisionQuery, None]) -> Written:
    """Remove a function; its jobs stay."""
    return await call.services.functions.delete(
        call.caller, _function(call), revision=call.query.revision
    )
