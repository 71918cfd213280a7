"""Who may do what, as one table: each route, each user, each place where an id can stand, own and others' namespace.

`tests.support.permissions_document` writes docs/permissions.md from it.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final, NamedTuple

LEVELS: Final = ("public", "viewer", "submitter", "operator", "admin")
"""What a route asks for, each including what stands before it."""
OWN: Final = "own_ns"
OTHER: Final = "other_ns"
METRICS: Final = ("GET", "/metrics")
"""Figures over all namespaces: a viewer's role is enough for a token, if an administrator made it."""
SHELL: Final = ("GET", "/ssh/shells/{id}")
"""A WebSocket, which answers 426 without one: for administrators, and for users whom the host itself names."""
NOOP: Final = "def main() -> None:\n    pass\n"
Route = tuple[str, str]


class Token(NamedTuple):
    """An access token: what it allows at most."""

    scope: str
    namespaces: tuple[str, ...] | None = None


class Persona(NamedTuple):
    """Somebody who asks, with what is left of their rights within the token that they show."""

    name: str
    everywhere: str
    """Role everywhere; empty: no token that counts."""
    there: str = ""
    """Role in OWN; empty: no member."""
    other: str = ""
    """Role in OTHER."""
    token: Token | None = None
    """None: of a login."""
    user: tuple[str, str] = ("", "")
    """Roles of the user who made the token, everywhere and in OWN."""


_ADMIN: Final = ("admin", "")
_MEMBER: Final = ("operator", "admin")
_LIMIT: Final = (OWN,)
PERSONAS: Final = (
    Persona("no token", ""),
    Persona("wrong token", ""),
    *(
        Persona(f"{everywhere}, {there or 'no member'}", everywhere, there)
        for everywhere in LEVELS[1:4]
        for there in ("", *LEVELS[1:])
    ),
    Persona("admin", "admin"),
    Persona("admin by token", "admin", token=Token("admin"), user=_ADMIN),
    *(
        Persona(f"admin by token {scope}", role, role, role, Token(scope), _ADMIN)
        for scope, role in zip(("read", "submit", "operate"), LEVELS[1:4], strict=True)
    ),
    Persona("admin by token in it", "submitter", "admin", "", Token("admin", _LIMIT), _ADMIN),
    Persona("admin by token read in it", "viewer", "viewer", "", Token("read", _LIMIT), _ADMIN),
    Persona(
        "admin by token elsewhere", "submitter", token=Token("admin", ("sample",)), user=_ADMIN
    ),
    *(
        Persona(f"operator, admin, by token {scope}", role, role, "", Token(scope), _MEMBER)
        for scope, role in zip(("read", "submit", "operate"), LEVELS[1:4], strict=True)
    ),
    Persona("operator, admin, by token", "operator", "admin", "", Token("admin"), _MEMBER),
)


class Row(NamedTuple):
    """One way to name a document of a namespace: {ns} stands for it, {job} for a job, {seq} for a dead letter.

    {buried} is the number of a new dead letter, {grave} a new queue that one came from.
    """

    where: str
    """Where the id stands: path, query, body, list, or nowhere (the answer is a list of what there is)."""
    path: str
    options: Mapping[str, Any]
    allowed: int
    foreign: int
    """Status for who is no member; 200: an answer without a trace of it."""
    needs: str = "viewer"
    """Role there."""
    operates: bool = False
    """Whether the role operator everywhere does as well, in namespaces that the user sees."""
    refused: int = 403
    """Status for a member without that role."""
    proof: str = ""
    """Stands in the answer when, and only when, the user may."""


_CHANGE: Final = {"json": {"note": "n", "revision": 1}}
_FUNCTION: Final = "/admin/functions/{ns}/{fresh}"
_ONE: Final = "/admin/functions/{ns}/noop"
_SEEN: Final = "{ns}"
_NO_TRACE: Final = (200, 200)
_BURIED: Final = {"json": {"seqs": ["{buried}"]}}
SCOPED: Final[Mapping[Route, tuple[str, tuple[Row, ...]]]] = {
    ("GET", "/jobs"): (
        "viewer",
        (
            Row("nowhere", "/jobs", {"params": {"limit": 500}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/jobs", {"params": {"function": "{ns}/noop"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/jobs", {"params": {"namespace": "{ns}"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/jobs", {"params": {"submitter": "bob"}}, *_NO_TRACE, proof=_SEEN),
        ),
    ),
    ("GET", "/jobs/{id}"): ("viewer", (Row("path", "/jobs/{job}", {}, 200, 404, proof=_SEEN),)),
    ("GET", "/jobs/{id}/attempts"): ("viewer", (Row("path", "/jobs/{job}/attempts", {}, 200, 404),)),
    ("POST", "/jobs"): (
        "submitter",
        (
            Row("body", "/jobs", {"json": {"function": "{ns}/noop"}}, 201, 404, "submitter"),
            Row(
                "list", "/jobs", {"json": {"jobs": [{"function": "{ns}/noop"}]}},
                201, 404, "submitter",
            ),
        ),
    ),
    ("POST", "/jobs/{id}/cancel"): (
        "submitter",
        (Row("path", "/jobs/{job}/cancel", {}, 200, 404, "operator", operates=True),),
    ),
    ("POST", "/jobs/cancel"): (
        "submitter",
        (
            Row(
                "list", "/jobs/cancel", {"json": {"ids": ["{job}"]}}, 200, 200, "operator",
                operates=True, refused=200, proof='"applied":true',
            ),
        ),
    ),
    ("POST", "/jobs/{id}/again"): (
        "submitter",
        (Row("path", "/jobs/{job}/again", {"json": {"version": "same"}}, 201, 404, "submitter"),),
    ),
    ("GET", "/admin/functions"): (
        "viewer",
        (
            Row("nowhere", "/admin/functions", {}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/functions", {"params": {"namespace": "{ns}"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/functions", {"params": {"prefix": "{ns}/"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/functions", {"params": {"owner": "bob", "sort": "-owner"}}, *_NO_TRACE),
            Row("query", "/admin/functions", {"params": {"fields": "_id"}}, *_NO_TRACE, proof=_SEEN),
        ),
    ),
    ("POST", "/admin/functions"): (
        "submitter",
        (
            Row(
                "body", "/admin/functions", {"json": {"_id": "{ns}/{new}", "source": NOOP}},
                201, 403, "admin",
            ),
            Row(
                "body", "/admin/functions?dry_run=true",
                {"json": {"_id": "{ns}/{new}", "source": NOOP}}, 201, 403, "admin",
            ),
        ),
    ),
    ("GET", "/admin/functions/{namespace}/{name}"): (
        "viewer", (Row("path", _ONE, {}, 200, 404, proof=_SEEN),),
    ),
    ("GET", "/admin/functions/{namespace}/{name}/source"): (
        "viewer", (Row("path", f"{_ONE}/source", {}, 200, 404),),
    ),
    ("GET", "/admin/functions/{namespace}/{name}/outcomes"): (
        "viewer", (Row("path", f"{_ONE}/outcomes", {}, 200, 404, proof=_SEEN),),
    ),
    ("POST", "/admin/functions/{namespace}/{name}/deploy"): (
        "submitter", (Row("path", f"{_ONE}/deploy", {"json": {}}, 201, 404, "admin"),),
    ),
    ("PATCH", "/admin/functions/{namespace}/{name}"): (
        "submitter",
        (
            Row("path", _FUNCTION, _CHANGE, 200, 404, "admin"),
            Row("path", f"{_FUNCTION}?dry_run=true", _CHANGE, 200, 404, "admin"),
            Row(
                "body", f"/admin/functions/{OWN}/noop",
                {"json": {"_id": "{ns}/taken", "note": "n", "revision": 1}}, 422, 404, "admin",
            ),
        ),
    ),
    ("PUT", "/admin/functions/{namespace}/{name}"): (
        "submitter",
        (Row("path", _FUNCTION, {"json": {"source": NOOP, "revision": 1}}, 200, 404, "admin"),),
    ),
    ("DELETE", "/admin/functions/{namespace}/{name}"): (
        "submitter",
        (
            Row("path", _FUNCTION, {}, 200, 404, "admin"),
            Row("path", f"{_FUNCTION}?dry_run=true", {}, 200, 404, "admin"),
        ),
    ),
    ("GET", "/admin/namespaces"): (
        "viewer",
        (
            Row("nowhere", "/admin/namespaces", {}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/namespaces", {"params": {"members": "bob"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/namespaces", {"params": {"prefix": "{ns}"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/admin/namespaces", {"params": {"sort": "-created_at"}}, *_NO_TRACE, proof=_SEEN),
        ),
    ),
    ("GET", "/admin/namespaces/{id}"): (
        "viewer", (Row("path", "/admin/namespaces/{ns}", {}, 200, 404, proof=_SEEN),),
    ),
    ("GET", "/logs"): (
        "viewer",
        (
            Row("nowhere", "/logs", {}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/logs", {"params": {"function": "{ns}/noop"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/logs", {"params": {"job": "{logged}"}}, *_NO_TRACE, proof=_SEEN),
            Row("query", "/logs", {"params": {"text": "line"}}, *_NO_TRACE, proof=_SEEN),
        ),
    ),
    ("GET", "/queues/dead-letters"): (
        "operator", (Row("nowhere", "/queues/dead-letters", {}, *_NO_TRACE, proof="{dead}"),),
    ),
    ("GET", "/queues/dead-letters/{seq}"): (
        "operator", (Row("path", "/queues/dead-letters/{seq}", {}, 200, 404, proof=_SEEN),),
    ),
    ("POST", "/queues/dead-letters/send-again"): (
        "operator",
        (Row("list", "/queues/dead-letters/send-again", _BURIED, *_NO_TRACE, proof='"count":1'),),
    ),
    ("POST", "/queues/dead-letters/discard"): (
        "operator",
        (
            Row("list", "/queues/dead-letters/discard", _BURIED, *_NO_TRACE, proof='"count":1'),
            Row(
                "body", "/queues/dead-letters/discard", {"json": {"queue": "{grave}"}},
                *_NO_TRACE, proof='"count":1',
            ),
        ),
    ),
}  # fmt: skip
"""Routes that reach documents of a namespace."""
_COLLECTIONS: Final = ("users", "namespaces", "vhosts")
GLOBAL: Final[Mapping[str, tuple[Route, ...]]] = {
    "public": (("POST", "/session"), ("GET", "/health/live"), ("GET", "/health/ready")),
    "viewer": (
        ("GET", "/session"), ("DELETE", "/session"), ("POST", "/session/password"),
        ("GET", "/session/tokens"), ("POST", "/session/tokens"), ("DELETE", "/session/tokens"),
        ("DELETE", "/session/tokens/{id}"), ("GET", "/jobs/counts"), ("GET", "/hosts"),
        ("GET", "/hosts/{name}"), ("GET", "/hosts/{name}/samples"), ("GET", "/alarms"),
        ("GET", "/queues"), ("GET", "/status"), ("GET", "/stream"), METRICS,
        ("GET", "/schema"), ("GET", "/admin/schema"), SHELL,
        *(
            (method, f"/admin/{one}{tail}")
            for one in ("namespace", "user", "vhost")
            for tail, methods in (
                ("", ("GET", "POST")), ("/{id}", ("GET", "PATCH", "PUT", "DELETE")),
            )
            for method in methods
        ),
    ),
    "submitter": (),
    "operator": (
        ("POST", "/queues/{name}/pause"), ("POST", "/queues/{name}/resume"),
        ("POST", "/hosts/{name}/drain"), ("POST", "/hosts/{name}/undrain"),
    ),
    "admin": (
        *(("POST", f"/admin/{each}") for each in _COLLECTIONS),
        *(
            (method, f"/admin/{each}/{{id}}")
            for each in _COLLECTIONS for method in ("PATCH", "PUT", "DELETE")
        ),
        *(("GET", f"/admin/{each}{tail}") for each in ("users", "vhosts") for tail in ("", "/{id}")),
        *((method, "/admin/tokens") for method in ("GET", "POST", "DELETE")),
        ("DELETE", "/admin/tokens/{id}"),
        ("GET", "/admin/signing"), ("POST", "/admin/signing/resign"), ("POST", "/admin/mail/test"),
        ("POST", "/admin/vhosts/scan"), ("POST", "/admin/vhosts/{id}/trust"),
        ("POST", "/admin/vhosts/{id}/forget-key"),
        ("POST", "/ssh"), ("POST", "/ssh/{id}/again"), ("GET", "/ssh/{id}/hosts"),
        ("GET", "/ssh/{id}/hosts/{name}/output"), ("GET", "/ssh/{id}/hosts/{name}/live"),
        ("GET", "/ssh/{id}/groups"),
        ("GET", "/ssh/{id}/questions"), ("POST", "/ssh/{id}/questions/{name}"),
        ("POST", "/admin/vhosts/{id}/init"), ("POST", "/admin/vhosts/{id}/remove"),
        ("POST", "/admin/vhosts/{id}/rotate"),
        ("GET", "/admin/vault"), ("POST", "/admin/vault/rotate"),
        ("GET", "/admin/operations"), ("GET", "/admin/operations/{id}"),
        ("GET", "/admin/operations/difference"), ("GET", "/admin/operations/checkpoint"),
        ("POST", "/admin/operations/verify"),
    ),
}  # fmt: skip
"""Routes of what belongs to no namespace, by what they ask for."""


class Cell(NamedTuple):
    """One question with its answer."""

    route: Route
    row: Row | None
    """None: of no namespace."""
    namespace: str
    status: int
    """0: what the route answers to who may."""
    is_proven: bool
    """Whether the row's proof has to stand in the answer."""


def cells(persona: Persona) -> Iterator[Cell]:
    """Everything that this persona may ask, with what it meets."""
    for level, routes in GLOBAL.items():
        for route in routes:
            status = _at_the_door(persona, level) or _beyond(persona, route)
            yield Cell(route, None, "", status, is_proven=False)
    for route, (level, rows) in SCOPED.items():
        for row, namespace in product(rows, (OWN, OTHER)):
            status = _at_the_door(persona, level) or _inside(persona, row, namespace)
            may = status == row.allowed and _may(persona, row, namespace)
            yield Cell(route, row, namespace, status, is_proven=may)


def routes() -> list[Route]:
    """Every route that has a row."""
    return [*SCOPED, *(route for each in GLOBAL.values() for route in each)]


def count() -> int:
    """How many cells there are."""
    return sum(1 for persona in PERSONAS for _ in cells(persona))


def _at_the_door(persona: Persona, level: str) -> int:
    """The status of who does not come in; 0 for who does."""
    if level == "public":
        return 0
    if not persona.everywhere:
        return 401
    return 0 if LEVELS.index(persona.everywhere) >= LEVELS.index(level) else 403


def _beyond(persona: Persona, route: Route) -> int:
    """What the role alone does not decide: an access token may not what its user may, or it may; 0 where one may."""
    token = persona.token
    refused = token is not None and {
        ("POST", "/session/password"): True,
        ("POST", "/session/tokens"): token.namespaces is not None,
        ("DELETE", "/session/tokens"): token != Token("admin"),
    }.get(route, False)
    unnamed = route == SHELL and persona.everywhere != "admin"
    return 403 if refused or unnamed or (route == METRICS and not _sees_all(persona)) else 0


def _sees_all(persona: Persona) -> bool:
    """An administrator, by whatever token that is not for some namespaces alone."""
    if persona.token is None:
        return persona.everywhere == "admin"
    return persona.user == _ADMIN and persona.token.namespaces is None


def _inside(persona: Persona, row: Row, namespace: str) -> int:
    if _may(persona, row, namespace):
        return row.allowed
    is_member = persona.everywhere == "admin" or _there(persona, row, namespace)
    return row.refused if is_member else row.foreign


def _may(persona: Persona, row: Row, namespace: str) -> bool:
    if persona.everywhere == "admin":
        return True
    there = _there(persona, row, namespace)
    if not there:
        return False
    has_role = LEVELS.index(there) >= LEVELS.index(row.needs)
    return has_role or (row.operates and persona.everywhere == "operator")


def _there(persona: Persona, row: Row, namespace: str) -> str:
    """The role where the id is looked for: a namespace that the path names decides, whatever a body says."""
    return persona.there if OWN in (namespace, *row.path.split("/")) else persona.other
