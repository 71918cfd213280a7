"""Long, slow, hostile and odd collections in the console, and the rules of its forms."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.plain import typed
from dts_core.services.resources.forms import describe
from dts_core.services.users import USERS
from dts_core.services.vhosts import VHOSTS
from dts_core.views import CollectionList
from dts_tui.admin_documents import asked, facts
from dts_tui.admin_form import REMOVE, DocumentForm, at_field, versions
from dts_tui.app import Console
from dts_tui.filters import parse
from tests.tui.driving import Driver
from tests.tui.fake_server import START, FakeServer
from tests.tui.hostile_console import PAYLOADS

USER, VHOST = describe(USERS), describe(VHOSTS)


class Administered(FakeServer):
    """Has users: a page is a hundred, and every query is remembered."""

    def __init__(self, users: list[dict[str, Any]]) -> None:
        super().__init__()
        self.users = users
        self.asked: list[dict[str, str]] = []

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if (method, path) == ("GET", "/admin/schema"):
            return CollectionList(items=[USER, VHOST])
        if (method, path) == ("GET", "/admin/users"):
            self.asked.append(query)
            users = [
                each
                for each in self.users
                if query.get("role", "") in ("", each["role"])
                and each["_id"].startswith(query.get("prefix", ""))
            ]
            start, limit = int(query.get("cursor", "0") or 0), int(query["limit"])
            more = str(start + limit) if start + limit < len(users) else ""
            return {"items": users[start : start + limit], "next": more}
        if method == "GET" and path.startswith("/admin/users/"):
            return next((each for each in self.users if each["_id"] == path[13:]), None)
        if (method, path) == ("GET", "/admin/operations"):
            return {"items": []}
        return super()._answer(method, path, query, body)


def make_user(name: str, **fields: Any) -> dict[str, Any]:
    given = {"role": "submitter", "disabled": False, "address": "", "groups": [], "revision": 1}
    times = {"created_at": START.isoformat(), "updated_at": START.isoformat()}
    return {"_id": name, **given, **times, **fields}


async def test_a_long_list_comes_by_page_and_stays_small() -> None:
    """The next page is asked for near the end; of 1,000 users at most 500 are kept, and r goes to the top again."""
    server = Administered([make_user(f"user-{number:04d}") for number in range(1000)])
    console = Console(server.connect, server="test")
    async with console.run_test(size=(100, 30)) as pilot:
        drive = Driver(console, pilot)
        await drive.until(lambda: console.world.role != "")
        await drive.keys(":", "<users>", "enter")
        await drive.shows("users ─ 100 and more", "user-0000")
        for known in (200, 300, 400, 500):
            await drive.keys("G")
            await drive.shows(f"users ─ {known} and more")
        await drive.keys("G")
        await drive.shows("users ─ 500 and more", "100 above, r goes there")
        await drive.keys("r")
        await drive.shows("users ─ 100 and more", "user-0000")


async def test_the_server_filters_and_sorts() -> None:
    """What it can look for is asked of it, once nobody types; the rest is held against what comes."""
    server = Administered([make_user("ann", role="admin"), make_user("bob"), make_user("bert")])
    console = Console(server.connect, server="test")
    async with console.run_test(size=(100, 30)) as pilot:
        drive = Driver(console, pilot)
        await drive.until(lambda: console.world.role != "")
        await drive.keys(":", "<users role=admin>", "enter")
        await drive.shows("users ─ 1", "role=admin", "ann")
        assert server.asked[-1] == {"limit": "100", "role": "admin"}
        await drive.keys("escape")
        await drive.shows("users ─ 3")
        await drive.keys("/", "<~^be>", "enter")
        await drive.shows("users ─ 1", "bert")
        await drive.keys("o")
        await drive.shows("by role ▲", " role▲ ")
        await drive.keys("O")
        await drive.shows("by role ▼", " role▼ ")
        await drive.until(lambda: server.asked[-1].get("sort") == "-role")
        await drive.keys("/", "ctrl+u", "<nothing=1>")
        await drive.shows("nothing here is called")


async def test_the_server_completes_names() -> None:
    """`:user NAME` goes to one user; what fits comes from the server, which is asked no more once it has told all."""
    server = Administered([make_user(f"user-{number:02d}") for number in range(40)])
    console = Console(server.connect, server="test")
    async with console.run_test(size=(100, 30)) as pilot:
        drive = Driver(console, pilot)
        await drive.until(lambda: console.world.role != "")
        await drive.keys(":", "<user u>")
        await drive.shows("user user-00", "user user-06")
        await drive.keys("<ser-3>")
        await drive.shows("user user-30", "user user-36")
        asked = len(server.asked)
        assert server.asked[-1] == {"limit": "12", "prefix": "user-3", "fields": "_id"}
        await drive.keys("<7>")
        await drive.lacks("user user-30")
        await drive.keys("tab")
        await drive.until(lambda: console.prompt.input.value == "user user-37")
        assert len(server.asked) == asked
        await drive.keys("enter")
        await drive.until(lambda: console.crumbs()[-1] == "user-37")


async def test_a_slow_server_freezes_nothing() -> None:
    """While a page is on its way every key works, and the list says that it asks."""
    server = Administered([make_user("ann")])
    held = server.held["GET", "/admin/users"] = asyncio.Event()
    console = Console(server.connect, server="test")
    async with console.run_test(size=(80, 24)) as pilot:
        drive = Driver(console, pilot)
        await drive.until(lambda: console.world.role != "")
        await drive.keys(":", "<users>", "enter")
        await drive.shows("asking …")
        await drive.keys("?")
        await drive.shows("keys ─ documents")
        await drive.keys("escape")
        held.set()
        await drive.shows("users ─ 1", "ann")


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_hostile_documents_are_inert(ascii_only: bool) -> None:
    """No text of a document acts, in the list, on its page, in its form."""
    texts = [each.replace("\ud800", "") for each in PAYLOADS]
    server = Administered([make_user("ann", address=" ".join(texts), groups=texts)])
    console = Console(server.connect, server="test", ascii_only=ascii_only)
    async with console.run_test(size=(160, 48)) as pilot:
        drive = Driver(console, pilot)
        await drive.until(lambda: console.world.role != "")
        for keys, shown in (
            ((":", "<users>", "enter"), "users"),
            (("enter",), "history"),
            (("e",), "revision 1"),
        ):
            await drive.keys(*keys)
            await drive.shows(shown, "ann")
            screen = drive.screen().replace("\n", "")
            assert not any(
                ord(each) < 32 or 127 <= ord(each) < 160 or each in "\u202e\u200b"
                for each in screen
            )
            assert not ascii_only or screen.isascii()


# --- rules --------------------------------------------------------------------------------------


def test_a_change_sends_what_was_changed_and_a_new_one_what_differs() -> None:
    """An emptied list is sent as empty; an untouched secret is not sent; a copy has no secret and no name."""
    ann = make_user("ann", role="operator", groups=["ops", "dev"])
    form = DocumentForm(view=USER, document=ann)
    assert (form.body(), form.revision, form.errors()) == ({}, 1, {})
    form.texts["groups"] = ""
    assert form.body() == {"groups": []}
    form.texts["secret"] = "canary"
    assert form.body()["secret"] == "canary"
    assert "canary" not in str(form.masked())
    assert form.draft() == {"groups": ""}
    copy = DocumentForm(view=USER, document=ann, is_new=True)
    assert set(copy.errors()) == {"_id", "secret"}
    copy.texts |= {"_id": "bob", "secret": "canary"}
    assert copy.body() == {"role": "operator", "groups": ["ops", "dev"], "secret": "canary"}


def test_a_stored_secret_is_taken_away_or_replaced_but_not_both() -> None:
    """The switch is there where something is stored that may be missing."""
    form = DocumentForm(view=VHOST, document={"_id": "w", "has_password": True, "revision": 3})
    removals = [item.name for item in form.fields if item.name.startswith(REMOVE)]
    assert removals == ["remove password"]
    form.texts["remove password"] = "true"
    assert form.body() == {"password": None}
    form.texts["password"] = "x"
    assert "not both" in form.errors()["remove password"]


def test_reasons_go_to_their_field() -> None:
    """A part of a field is told at the field."""
    form = DocumentForm(view=USER, is_new=True)
    assert at_field({"groups[1]": "empty", "role": "wrong"}, form) == {
        "groups": "[1]: empty",
        "role": "wrong",
    }


def test_both_versions_tell_only_what_differs() -> None:
    """A secret of mine is masked; what they changed and I did not is theirs."""
    base = make_user("ann")
    current = make_user("ann", role="admin", disabled=True, revision=2)
    found = versions(current, {"role": "viewer", "secret": "canary"}, base, frozenset({"secret"}))
    assert found == [
        ("role", "submitter", "admin", "viewer"),
        ("secret", "", "not shown", "••••"),
        ("disabled", "false", "true", "false"),
    ]


def test_what_the_server_is_asked() -> None:
    """One value of a filter it has, the beginning of an id, a first word; everything else stays here."""
    query, left = asked(parse("ann role=admin id=a* !x groups=a,b more ~y"), USER)
    assert query == {"text": "ann", "role": "admin", "prefix": "a"}
    assert str(left) == "!x groups=a,b more ~y"
    assert asked(parse("ann"), None)[0] == {}


def test_facts_name_what_can_be_given_first() -> None:
    """In the order of the form, then what the server adds; an empty one is a dash."""
    told = facts(make_user("ann"), USER, START)
    assert [name for name, _, _ in told][:3] == ["_id", "role", "disabled"]
    assert {name: value for name, value, _ in told}["groups"] == "-"


@given(st.lists(st.text()))
def test_a_list_is_read_as_it_was_shown(values: list[str]) -> None:
    """Whatever stands in it."""
    assert typed.read_list(typed.show_list(values)) == values


@given(st.dictionaries(st.text(), st.text()))
def test_a_map_is_read_as_it_was_shown(values: dict[str, str]) -> None:
    """Whatever stands in it."""
    assert typed.read_mapping(typed.show_mapping(values)) == values


def test_a_schema_says_which_secret_may_be_missing() -> None:
    """A user's never, a virtual host's may."""
    optional = {each.name for each in VHOST.fields if each.optional}
    assert optional == {"ssh_pem_cert", "key_passphrase", "password"}
    assert not any(each.optional for each in USER.fields)
