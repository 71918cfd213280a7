"""The description of the interface: OpenAPI 3.1, made from the table of endpoints."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core import __version__
from dts_core.api.endpoint import EVENTS, JSON, Endpoint, NoQuery, Permission
from dts_core.api.errors import PROBLEM
from dts_core.names import NAME_MAX, NAME_PATTERN
from dts_core.services.subscriber import RESET, TOPICS
from dts_core.views import Problem

_REFS: Final = "#/components/schemas/{name}"
_PART: Final = re.compile(r"\{(\w+)\}")
_MOVED: Final = 308
_FUNCTION: Final = "/{namespace}/{name}"
_EVENT: Final = {
    "description": "Each event of the stream; `data` is JSON.",
    "type": "object",
    "properties": {
        "event": {"enum": [*sorted(TOPICS), RESET]},
        "id": {"type": "string"},
        "data": {"type": "string"},
    },
}


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    bodies = [_alternatives(each.shown_body or each.body) for each in endpoints]
    answers = [_alternatives(each.answer) for each in endpoints]
    others = [list(each.also.values()) for each in endpoints]
    kinds = [kind for group in (*bodies, *answers, *others) for kind in group]
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=_REFS)
    named = iter(schemas)
    body_schemas = [_one_of([next(named) for _ in group]) for group in bodies]
    answer_schemas = [_one_of([next(named) for _ in group]) for group in answers]
    other_schemas = [{status: next(named) for status in each.also} for each in endpoints]
    paths: dict[str, dict[str, Any]] = {}
    for each, body, answer, more in zip(
        endpoints, body_schemas, answer_schemas, other_schemas, strict=True
    ):
        told = _operation(each, body, {each.status: answer, **more})
        paths.setdefault(each.path, {})[each.method.lower()] = told
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


def _operation(each: Endpoint, body: Any, answers: Mapping[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{each.name}_{each.method}_{each.path}".lower().translate(_PLAIN),
        "summary": each.summary,
        "x-permission": each.permission.name.lower(),
        "parameters": [*_path_parameters(each), *_query_parameters(each)],
        "responses": {
            **{str(status): _response(each, schema) for status, schema in answers.items()},
            "401": _refusal("No token that counts.", "WWW-Authenticate"),
            "429": _refusal("Too many tries.", "Retry-After"),
            "default": _refusal("Refused."),
        },
    }
    if body is not None:
        described["requestBody"] = {
            "required": each.body_required,
            "content": {JSON: {"schema": body}},
        }
    if each.permission is Permission.PUBLIC:
        described["security"] = []
    return described


_PLAIN: Final = str.maketrans("/-", "__", "{}")


def _response(each: Endpoint, answer: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"description": each.summary, "headers": _headers()}
    if each.status == _MOVED:
        told["headers"] = _headers("Location")
    if answer is not None:
        told["content"] = {each.media_type: {"schema": answer}}
    elif each.media_type != JSON:
        schema = _EVENT if each.media_type == EVENTS else {"type": "string"}
        told["content"] = {each.media_type: {"schema": schema}}
    return told


def _refusal(description: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _headers(*headers),
        "content": {PROBLEM: {"schema": {"$ref": _REFS.format(name="Problem")}}},
    }


def _headers(*names: str) -> dict[str, Any]:
    """Headers that the answer always has; each has its request's id."""
    return {
        name: {"required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("X-Request-Id", *names)
    }


def _path_parameters(each: Endpoint) -> list[dict[str, Any]]:
    schema: dict[str, Any] = {"type": "string"}
    if _FUNCTION in each.path:
        schema |= {"pattern": f"^{NAME_PATTERN}$", "maxLength": NAME_MAX}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in _PART.findall(each.path)
    ]


def _query_parameters(each: Endpoint) -> list[dict[str, Any]]:
    if each.query in (None, NoQuery):
        return []
    _, components = msgspec.json.schema_components([each.query])
    described = components[each.query.__name__]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            "schema": _without_null(schema),
        }
        for name, schema in described["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that has no value is left out: there is no way to write null in a query."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not kinds:
        return schema
    rest = {
        name: value
        for name, value in schema.items()
        if name != "anyOf" and not (name == "default" and value is None)
    }
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
