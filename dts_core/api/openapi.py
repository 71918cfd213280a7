"""The description of the interface: OpenAPI 3.1, made from the table of endpoints."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dts_core import __version__
from dts_core.api.endpoint import JSON, Endpoint, NoQuery, Permission
from dts_core.api.errors import PROBLEM
from dts_core.views import Problem

_REFS: Final = "#/components/schemas/{name}"
_PART: Final = re.compile(r"\{(\w+)\}")


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    bodies = [_alternatives(each.body) for each in endpoints]
    answers = [_alternatives(each.answer) for each in endpoints]
    kinds = [kind for group in (*bodies, *answers) for kind in group]
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=_REFS)
    named = iter(schemas)
    body_schemas = [_one_of([next(named) for _ in group]) for group in bodies]
    answer_schemas = [_one_of([next(named) for _ in group]) for group in answers]
    paths: dict[str, dict[str, Any]] = {}
    for each, body, answer in zip(endpoints, body_schemas, answer_schemas, strict=True):
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, body, answer)
    return {
        "openapi": "3.1.0",
        "info": {"title": "dts", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _alternatives(kind: Any) -> list[Any]:
    """What goes in or out: one kind, several in a tuple, or nothing."""
    if kind is None:
        return []
    return [_without_raw(each) for each in (kind if isinstance(kind, tuple) else (kind,))]


def _without_raw(kind: Any) -> Any:
    """The same record with values where it keeps JSON text: a schema has no word for the latter."""
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return kind
    fields = msgspec.structs.fields(kind)
    if not any(each.type is msgspec.Raw for each in fields):
        return kind
    return msgspec.defstruct(
        kind.__name__,
        [_field(each) for each in fields],
        kw_only=True,
        namespace={"__doc__": kind.__doc__},
    )


def _field(each: msgspec.structs.FieldInfo) -> tuple[str, Any, Any]:
    if each.type is msgspec.Raw:
        value = msgspec.json.decode(each.default)
        return each.name, type(value), msgspec.field(default_factory=type(value))
    if each.required:
        return each.name, each.type, msgspec.field()
    return each.name, each.type, each.default


def _one_of(schemas: list[Any]) -> Any:
    if not schemas:
        return None
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _operation(each: Endpoint, body: Any, answer: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{each.name}_{each.method}_{each.path}".lower().translate(_PLAIN),
        "summary": each.summary,
        "x-permission": each.permission.name.lower(),
        "parameters": [*_path_parameters(each), *_query_parameters(each)],
        "responses": {
            str(each.status): _response(each, answer),
            "default": {
                "description": "Refused.",
                "content": {PROBLEM: {"schema": {"$ref": _REFS.format(name="Problem")}}},
            },
        },
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    if each.permission is Permission.PUBLIC:
        described["security"] = []
    return described


_PLAIN: Final = str.maketrans("/-", "__", "{}")


def _response(each: Endpoint, answer: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"description": each.summary}
    if answer is not None:
        told["content"] = {each.media_type: {"schema": answer}}
    elif each.media_type != JSON:
        told["content"] = {each.media_type: {"schema": {"type": "string"}}}
    return told


def _path_parameters(each: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PART.findall(each.path)
    ]


def _query_parameters(each: Endpoint) -> list[dict[str, Any]]:
    if each.query in (None, NoQuery):
        return []
    _, components = msgspec.json.schema_components([each.query])
    properties = components[each.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]
