"""What is done with users, namespaces, virtual hosts and the audit, as entries of the catalogue."""

from functools import partial
from typing import Final

from dts_tui.entries import ADMIN, READ, Action

_PLACES: Final = ("admin", "documents", "document", "operations", "tokens")
_LIST: Final = ("dts admin {collection} list", "GET /admin/{collection}?{query}")
_ONE: Final = ("dts admin {collection} get {id_word}", "GET /admin/{collection}/{id}")
_AUDIT: Final = ("dts admin operations list", "GET /admin/operations?{query}")
_TOKENS: Final = ("dts {token_command} list", "GET /{token_path}?{query}")
_write = partial(Action, scopes=("documents", "document"), permission=ADMIN)
_adds = partial(
    _write,
    command="dts admin {collection} add ID FIELD=VALUE",
    request='POST /admin/{collection} {{"_id": "ID", …}}',
)
_sets = partial(
    _write,
    command="dts admin {collection} set {id_word} FIELD=VALUE",
    request="PATCH /admin/{collection}/{id}",
)
_on_tokens = partial(Action, scopes=("tokens",), changes=True)


def _browse(name: str, title: str, told: str, permission: str = ADMIN) -> Action:
    """The list of a collection, reached from anywhere."""
    return Action(
        name, (), title, told, scopes=_PLACES, permission=permission, looks=permission != READ,
        anywhere=True, command=f"dts admin {name} list", request=f"GET /admin/{name}",
    )  # fmt: skip


DESCRIBED: Final = {
    "admin": ("", "GET /admin/schema"),
    "documents": _ONE,
    "document": _ONE,
    "operations": ("dts admin operations show {id_word}", "GET /admin/operations/{id}"),
    "tokens": _TOKENS,
}
"""What opening and describing is, by screen."""
FILTERED: Final = {"documents": _LIST, "operations": _AUDIT, "tokens": _TOKENS}

ADMINISTERING: Final[tuple[Action, ...]] = (
    _browse("users", "users", "Who may ask, and what they may do."),
    _browse("namespaces", "namespaces", "Owners of functions, and who may do what.", READ),
    _browse("vhosts", "virtual hosts", "Machines reached by SSH, and how."),
    Action(
        "tokens",
        (),
        "access tokens",
        "For programs; administrators see everybody's.",
        scopes=_PLACES,
        anywhere=True,
        command="dts token list",
        request="GET /session/tokens",
    ),
    _browse("operations", "operations", "The audit: every write, and every refused attempt."),
    Action(
        "password",
        (),
        "your secret",
        "Change what you log in with.",
        scopes=_PLACES,
        anywhere=True,
        changes=True,
        command="dts password",
        request="POST /session/password {{…}}",
    ),
    _adds(
        name="add-document",
        keys=("n",),
        title="new",
        help="A new one, from a form.",
        footer=20,
    ),
    _adds(
        name="copy-document",
        keys=("c",),
        title="copy",
        help="A new one under another name, from what is under the cursor; secrets are not copied.",
        footer=35,
    ),
    _sets(
        name="edit-document",
        keys=("e",),
        title="edit",
        help="Change its fields in a form.",
        footer=30,
    ),
    _write(
        name="edit-text",
        keys=("ctrl+o",),
        title="as TOML",
        help="Change its fields as TOML in $VISUAL or $EDITOR, or here where there is none.",
        scopes=("documents", "document", "document-form"),
        footer=32,
        typing=True,
        command="dts admin {collection} edit {id_word}",
        request="PATCH /admin/{collection}/{id}",
    ),
    _write(
        name="delete-document",
        keys=("D",),
        title="delete",
        help="Delete the marked ones, or the one under the cursor; says what depends on them, and asks first.",
        footer=40,
        command="dts admin {collection} delete {id_word}",
        request="DELETE /admin/{collection}/{id}?revision={revision}",
    ),
    _sets(
        name="set-field",
        keys=("b",),
        title="set a field",
        help="Change one field of the marked ones, or of the one under the cursor: labels, groups, a role; asks first.",
        scopes=("documents",),
        footer=38,
    ),
    _write(
        name="switch",
        keys=("T",),
        title="disable/enable",
        help="Keep out the marked ones, or the one under the cursor, or let them in again; asks first.",
        footer=42,
        command="dts admin {collection} set {id_word} disabled=true",
        request='PATCH /admin/{collection}/{id} {{"disabled": true}}',
    ),
    _write(
        name="reset-secret",
        keys=("P",),
        title="reset secret",
        help="Give the user a new secret, typed or made here and shown once; all their logins end.",
        footer=44,
        command="dts admin users set {id_word} --secret secret",
        request="PATCH /admin/users/{id} {{…}}",
    ),
    _write(
        name="mail-test",
        keys=("m",),
        title="mail test",
        help="Mail a group a test, and show what became of it for each of its users.",
        anywhere=True,
        footer=46,
        command="dts admin mail test --group GROUP",
        request='POST /admin/mail/test {{"group": "GROUP"}}',
    ),
    _on_tokens(
        name="add-token",
        keys=("n",),
        title="new",
        help="Make an access token; it is shown once.",
        footer=20,
        command="dts {token_command} create NAME --scope SCOPE --days DAYS",
        request="POST /{token_path} {{…}}",
    ),
    _on_tokens(
        name="revoke-token",
        keys=("D",),
        title="revoke",
        help="End the marked ones, or the one under the cursor, within a second; asks first.",
        footer=40,
        command="dts {token_command} revoke {id_word}",
        request="DELETE /{token_path}/{id}",
    ),
    Action(
        "logins",
        ("l",),
        "logins",
        "Show logins too, or only access tokens.",
        scopes=("tokens",),
        footer=50,
        command="dts {token_command} list --logins",
        request="GET /{token_path}?logins=true",
    ),
    Action(
        "send-secret",
        ("ctrl+s",),
        "send",
        "Check the form and send it.",
        scopes=("secret-form",),
        changes=True,
        footer=5,
        typing=True,
        command="{secret_command}",
        request="{secret_request}",
    ),
    Action(
        "store-document",
        ("ctrl+s",),
        "save",
        "Check the form and store it.",
        scopes=("document-form",),
        permission=ADMIN,
        footer=5,
        typing=True,
        command="dts admin {collection} {verb} {id_word} {assigned}",
        request="{method} /admin/{collection}{below} {body}",
    ),
    Action(
        "store-text",
        ("ctrl+s",),
        "store",
        "Read the text and store what was changed.",
        scopes=("document-toml",),
        permission=ADMIN,
        footer=5,
        typing=True,
        command="dts admin {collection} {verb} {id_word} {assigned}",
        request="{method} /admin/{collection}{below} {body}",
    ),
    Action(
        "difference",
        ("=",),
        "diff",
        "What changed between the two marked states, or from the one under the cursor until now.",
        scopes=("document",),
        permission=ADMIN,
        looks=True,
        footer=45,
        command="dts admin operations diff {collection} {id_word} --from {of} --to {to}",
        request="GET /admin/operations/difference?collection={collection}&doc_id={id}&from={of}&to={to}",
    ),
    Action(
        "its-document",
        ("f",),
        "its document",
        "The document that this operation was about, with its history.",
        scopes=("operations",),
        footer=30,
        command="dts admin {collection} get {doc_word}",
        request="GET /admin/{collection}/{doc}",
    ),
)
