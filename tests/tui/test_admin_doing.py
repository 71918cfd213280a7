"""What is done from the lists by keys: several at once, tokens, secrets, mail, versions. On the real application."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.model import Parameter
from dts_core.views import JobView
from dts_tui.admin_changes import becomes, planned
from dts_tui.asked_fields import SCOPES, password_fields, reset_fields, token_fields
from dts_tui.filters import completions
from dts_tui.forms import FieldError
from dts_tui.screens.admin_mail import outcome
from dts_tui.widgets.shown_once import ShownOnce
from tests.support.server import SECRET, Server
from tests.tui.driving import Driver
from tests.tui.fake_server import make_job
from tests.tui.walking import SIZES, Walk


def shown_once(drive: Driver) -> str:
    """The secret in the box that lies over the screen; in no picture, and not in the clipboard before it is copied."""
    overlay = drive.console.overlay
    assert isinstance(overlay, ShownOnce)
    secret = overlay._secret
    assert secret in drive.screen().replace("\n", "")
    assert secret not in drive.console.export_screenshot()
    assert secret in drive.screen()
    assert secret not in drive.console.clipboard
    return secret


async def shapes(real: Server, user: str = "root") -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await real.call("GET", "/session/tokens", user=user)).json()[
        "items"
    ]
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_a_token_is_made_shown_once_and_revoked(
    walk: Walk, real: Server, size: tuple[int, int]
) -> None:
    """It works as it was made, is copied by a key, and ends; a wrong field is told at the field."""
    async with walk(size=size) as drive:
        await drive.keys(":", "<tokens>", "enter")
        await drive.shows("access tokens ─ 0", "of all users", "n new")
        await drive.keys("n")
        await drive.shows("a new access token", "What it is for")
        await drive.keys("ctrl+s")
        await drive.shows("needs a value")
        await drive.keys("<nightly>", "tab", "<s>", "tab", "<9999>", "ctrl+s")
        await drive.shows("✗ ", "days")
        await drive.keys("ctrl+u", "<30>", "ctrl+s")
        await drive.shows("nightly of root, scope submit", "y copies it")
        token = shown_once(drive)
        await drive.keys("x", "y")
        await drive.shows("✓ copied")
        assert drive.console.clipboard == token
        await drive.keys("escape")
        await drive.lacks(token)
        assert token not in str(drive.console.drafts)
        await drive.shows("access tokens ─ 1", "nightly", "submit")
        headers = {"Authorization": f"Bearer {token}"}
        assert (await real.http.get("/session", headers=headers)).status_code == 200
        await drive.keys("D")
        await drive.shows("End 1 token for good?", "nightly of root")
        await drive.keys("y")
        await drive.shows("1 token revoked", "access tokens ─ 0")
        assert (await real.http.get("/session", headers=headers)).status_code == 401


async def test_everybody_has_tokens_of_their_own(walk: Walk, real: Server) -> None:
    """A viewer sees their own alone, may give no scope beyond read, and ends several by the number."""
    async with walk("viewer", size=(80, 24)) as drive:
        await drive.keys("8")
        await drive.shows("access tokens", ":tokens", "your secret")
        await drive.keys(":", "<tokens>", "enter")
        await drive.shows("access tokens ─ 0 ─ your own")
        for name in ("one", "two"):
            await drive.keys("n")
            await drive.shows("a new access token", "[read]")
            assert "submit" not in drive.screen()
            await drive.keys(f"<{name}>", "ctrl+s")
            await drive.shows(f"{name} of viewer, scope read")
            await drive.keys("escape")
            await drive.shows("access tokens ─ ", name)
        await drive.keys("*", "D")
        await drive.shows("End 2 tokens for good?", "type revoke 2 to confirm")
        await drive.keys("<revoke 2>", "enter")
        await drive.shows("2 tokens revoked", "access tokens ─ 0")
        assert await shapes(real, "viewer") == []
        await drive.keys("l")
        await drive.shows("logins too", "(this login)")


async def test_a_reason_that_fits_no_field_is_told_in_full(walk: Walk, real: Server) -> None:
    """At 80 columns too: what happened, and what to do; it goes when one types on."""
    made = await real.call(
        "POST", "/session/tokens", json={"name": "short", "scope": "admin", "days": 1}
    )
    real.tokens["root"] = made.json()["token"]
    async with walk(size=(80, 24)) as drive:
        await drive.keys(":", "<tokens>", "enter")
        await drive.shows("access tokens ─ 1", "short")
        await drive.keys("n")
        await drive.shows("a new access token")
        await drive.keys("<longer>", "ctrl+s")
        await drive.shows("✗ ", "it would outlive the token that asks", "`dts login`.")
        await drive.keys("<x>")
        await drive.lacks("outlive")


async def test_a_console_that_changes_nothing_makes_no_token(walk: Walk, real: Server) -> None:
    """--read-only holds for what everybody may do too."""
    async with walk("viewer", read_only=True) as drive:
        await drive.keys(":", "<tokens>", "enter")
        await drive.shows("access tokens ─ 0")
        await drive.keys("n")
        await drive.shows("new: this console is read-only")
        await drive.keys(":", "<password>", "enter")
        await drive.shows("your secret: this console is read-only")
        assert await shapes(real, "viewer") == []


@pytest.mark.parametrize("size", SIZES)
async def test_secrets_are_changed_and_reset(
    walk: Walk, real: Server, size: tuple[int, int]
) -> None:
    """One's own by the old one, typed twice; another user's as made here, shown once, and counting at once."""
    await real.token("ann")
    async with walk("ann", size=size) as drive:
        await drive.keys(":", "<password>", "enter")
        await drive.shows("a new secret for ann", "What you log in with now.")
        await drive.keys(f"<{SECRET}>", "tab", "<canary-secret-9>", "tab", "<canary>", "ctrl+s")
        await drive.shows("not the same as the new one")
        await drive.keys("ctrl+u", "<canary-secret-9>", "ctrl+s")
        await drive.shows("your other logins and access tokens have ended")
        await drive.lacks("canary")
    given = {"user": "ann", "secret": "canary-secret-9"}
    assert (await real.call("POST", "/session", user="", json=given)).status_code == 201
    async with walk(size=size) as drive:
        await drive.keys(":", "<users ann>", "enter")
        await drive.shows("users ─ 1", "ann")
        await drive.keys("P")
        await drive.shows("a new secret for ann", "empty: one is made")
        await drive.keys("<short>", "ctrl+s")
        await drive.shows("✗ at least 8 characters")
        await drive.keys("ctrl+u", "ctrl+s")
        await drive.shows("What ann logs in with from now on")
        secret = shown_once(drive)
        await drive.keys("escape")
        await drive.lacks(secret)
    given = {"user": "ann", "secret": secret}
    assert (await real.call("POST", "/session", user="", json=given)).status_code == 201


@pytest.mark.parametrize("size", SIZES)
async def test_several_are_changed_together(
    walk: Walk, real: Server, size: tuple[int, int]
) -> None:
    """Disabling is typed, shows who, and counts at once; labels are set and taken away on each as it stands."""
    for name in ("ann", "bob"):
        await real.token(name)
    for name, labels in (("web-1", {"team": "a"}), ("web-2", {"env": "prod"})):
        body = {
            "_id": name, "address": "10.0.0.7", "user": "ops", "auth": "agent", "labels": labels,
        }  # fmt: skip
        answer = await real.call("POST", "/admin/vhosts", json=body)
        assert answer.status_code == 201, answer.text
    async with walk(size=size) as drive:
        await drive.keys(":", "<users role=submitter>", "enter")
        await drive.shows("users ─ 2", "ann", "bob")
        await drive.keys("*", "T")
        await drive.shows("Change disabled of 2 users?", "ann: false -> true", "type change 2")
        await drive.keys("<change 2>", "enter")
        await drive.shows("disabled of 2 changed", "⊘ disabled")
        assert (await real.call("GET", "/session", user="ann")).status_code == 401
        await drive.keys("T")
        await drive.shows("Change disabled of ann?", "ann: true -> false")
        await drive.keys("y")
        await drive.shows("disabled of ann changed")
        await drive.keys(":", "<vhosts>", "enter")
        await drive.shows("virtual hosts ─ 2")
        await drive.keys("space", "space", "b")
        await drive.shows("which field of 2")
        await drive.keys("<labels>", "enter")
        await drive.shows("env=prod, -team")
        await drive.keys("<env=prod, -team>", "enter")
        await drive.shows("Change labels of web-1? 1 have it already.", "team:a -> env:prod")
        await drive.keys("y")
        await drive.shows("labels of web-1 changed")
        found = (await real.call("GET", "/admin/vhosts/web-1")).json()
        assert found["labels"] == {"env": "prod"}


async def test_one_that_is_refused_stops_no_other(walk: Walk, real: Server) -> None:
    """The last administrator stays; the others are changed; each reason is told."""
    for name in ("ann", "bob"):
        await real.token(name)
    async with walk() as drive:
        await drive.keys(":", "<users>", "enter")
        await drive.shows("users ─ 3")
        await drive.keys("*", "b")
        await drive.keys("<role>", "enter", "<viewer>", "enter")
        await drive.shows("Change role of 3 users?", "root: admin -> viewer")
        await drive.keys("<change 3>", "enter")
        await drive.shows("not changed", "✗ root", "the last administrator", "✓ ann changed")


async def test_a_filter_completes_itself(walk: Walk, real: Server) -> None:
    """Keys, then the values that a field may have."""
    await real.token("ann")
    async with walk(size=(80, 24)) as drive:
        await drive.keys(":", "<users>", "enter")
        await drive.shows("users ─ 2")
        await drive.keys("/", "<ro>")
        await drive.shows("role=")
        await drive.keys("tab", "<s>", "tab", "enter")
        await drive.shows("users ─ 1", "role=submitter", "ann")


async def test_only_what_a_role_may_do_is_offered(walk: Walk, real: Server) -> None:
    """The footer leaves out what a viewer may never do; `?` has it last, with the reason."""
    await real.namespace("etl", viewer="viewer")
    async with walk("viewer", size=(160, 48)) as drive:
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1", "enter open")
        footer = drive.screen().split("\n")[-1]
        assert not [word for word in ("delete", "edit", "copy", "set a field") if word in footer]
        await drive.keys("?")
        await drive.shows("keys ─ documents")
        lines = drive.screen().split("\n")
        reasons = [n for n, line in enumerate(lines) if "needs the role admin" in line]
        offered = [n for n, line in enumerate(lines) if "Look into what is under" in line]
        assert not reasons or min(reasons) > offered[0]
    async with walk(size=(200, 60)) as drive:
        await drive.keys(":", "<users>", "enter")
        await drive.shows("n new", "e edit", "ctrl+o as TOML", "b set a field", "m mail test")


async def test_two_versions_are_compared_and_rolled_back(walk: Walk, real: Server) -> None:
    """Marked versions are compared whichever they are; the one under the cursor becomes the default."""
    await real.namespace("etl")
    first = await real.function("etl/load", "def main():\n    return 1\n")
    for number in (2, 3):
        body = {"source": f"def main():\n    return {number}\n", "revision": number - 1}
        assert (await real.call("PATCH", "/admin/functions/etl/load", json=body)).status_code == 200
    async with walk(size=(80, 24)) as drive:
        await drive.keys(":", "<function etl/load>", "enter")
        await drive.shows("Versions 3")
        await drive.keys("tab")
        await drive.shows(first[:12])
        await drive.keys("space", "=")
        await drive.shows("mark two versions, or none")
        await drive.keys("j", "space", "=")
        await drive.shows("-    return 1", "+    return 3")
        await drive.keys("escape", "escape", "G", "B")
        await drive.shows("Make this version the default?")
        await drive.keys("y")
        await drive.shows("is the default from now on")
        found = (await real.call("GET", "/admin/functions/etl/load")).json()
        assert found["default"] == first


@pytest.mark.parametrize("size", SIZES)
async def test_a_test_mail_tells_its_outcome(
    walk: Walk, real: Server, size: tuple[int, int]
) -> None:
    """The group is offered, the job is followed, its end is told for each user."""
    patch = {"groups": ["night"]}
    await real.token("ann")
    assert (await real.call("PATCH", "/admin/users/ann", json=patch)).status_code == 200
    async with walk(size=size) as drive:
        await drive.keys(":", "<users ann>", "enter")
        await drive.shows("users ─ 1")
        await drive.keys("m")
        await drive.shows("group night", "administrators")
        await drive.keys("enter")
        await drive.shows("test mail", "is queued")
        job = (await real.call("GET", "/jobs")).json()["items"][0]["id"]
        await real.run(job, b'{"sent": ["ann"], "refused": {"bob": "no such user"}}')
        await drive.shows("✓ sent to ann", "✗ bob was refused: no such user")


# --- rules --------------------------------------------------------------------------------------


def field(kind: str, **more: object) -> Parameter:
    given = {"name": "it", "kind": "keyword", "type": kind, "required": False} | more
    return Parameter(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "before", "text", "after"),
    [
        ("list", ["a"], "b, -a", ["b"]),
        ("list", ["a"], "+a", ["a"]),
        ("list", ["a"], "=x, y", ["x", "y"]),
        ("mapping", {"a": "1"}, "b=2, -a, c:3", {"b": "2", "c": "3"}),
        ("mapping", {"a": "1"}, "a=x=y", {"a": "x=y"}),
        ("switch", False, "true", True),
        ("integer", 22, "2222", 2222),
        ("text", "x", "y", "y"),
    ],
)
def test_what_a_field_becomes(kind: str, before: object, text: str, after: object) -> None:
    """Lists and maps are added to and taken from; anything else is replaced."""
    assert becomes(field(kind), before, text) == after


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("list", "-"),
        ("list", " , "),
        ("mapping", "a"),
        ("mapping", "=x"),
        ("switch", "maybe"),
        ("integer", "x"),
    ],
)
def test_what_is_no_change_says_what_is(kind: str, text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(FieldError):
        becomes(field(kind), None, text)


def test_only_those_that_become_another_are_written() -> None:
    """A document that is so already is left alone, and the documents stay as they are."""
    documents = [{"_id": "a", "it": ["x"]}, {"_id": "b", "it": []}]
    plan = planned(documents, field("list"), "x")
    assert [(each["_id"], value) for each, value in plan] == [("b", ["x"])]
    assert documents[1]["it"] == []


def test_scopes_end_at_the_role() -> None:
    """For oneself no scope beyond one's role; for others all of them."""

    def scopes(role: str, *, for_others: bool = False) -> Iterable[str]:
        view = token_fields(role, "ann", for_others=for_others)
        return next(each.choices for each in view.fields if each.name == "scope")

    assert [list(scopes(role)) for role in ("viewer", "submitter", "admin")] == [
        ["read"], ["read", "submit"], [*SCOPES],
    ]  # fmt: skip
    assert list(scopes("admin", for_others=True)) == [*SCOPES]
    for view in (token_fields("admin", "ann", for_others=True), password_fields(), reset_fields()):
        assert all(each.help.endswith(".") for each in view.fields)


def test_a_mail_tells_each_user() -> None:
    """Sent, refused, later, an error, or nothing known: each is a line."""

    def told(**fields: object) -> list[str]:
        job: JobView = make_job(1, **fields)  # type: ignore[arg-type]
        return [text for text, _ in outcome(job)]

    result = {"sent": ["a"], "refused": {"b": "why"}, "later": ["c"], "rest": "01J", "note": "d"}
    assert [line[:9] for line in told(result=result)] == [
        "✓ sent to",
        "✗ b was r",
        "… c is tr",
        "d",
    ]
    assert told(result=None)[0].endswith("look at it in Jobs")


@given(st.text(), st.lists(st.text()))
def test_completions_continue_what_was_typed(text: str, values: list[str]) -> None:
    """Each begins with all but the last word, whatever stands there."""
    before = text.rpartition(" ")[0]
    for each in completions(text, ["role", "id"], lambda key: values):
        assert each.startswith(before)


def test_completions_know_keys_and_values() -> None:
    """A negated key, a second value after a comma, a value with a space that cannot be typed."""

    def values(key: str) -> list[str]:
        return {"role": ["admin", "viewer", "night shift"]}.get(key, [])

    def of(text: str) -> list[str]:
        return completions(text, ["role", "id"], values)

    assert of("x r") == ["x role="]
    assert of("!ro") == ["!role="]
    assert of("role=admin,v") == ["role=admin,viewer"]
    assert of("role=n") == []
