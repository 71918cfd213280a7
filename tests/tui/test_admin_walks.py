"""Administration by keys alone, on the real application: what it refuses, records and stores is its own."""

from typing import Any

import pytest
from textual import events

from dts_tui.screens.admin_form import DocumentEditor
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.form import FieldRow
from tests.support.server import Server
from tests.support.sshkeys import private_key
from tests.tui.driving import Driver
from tests.tui.walking import SIZES, Walk


@pytest.fixture
def server(real: Server) -> Server:
    return real


async def paste(drive: Driver, text: str) -> None:
    driver = drive.console._driver
    assert driver is not None
    event = events.Paste(text)
    event.set_sender(drive.console)
    driver.send_message(event)
    await drive._taken()


def editor(drive: Driver) -> DocumentEditor:
    view = drive.console.view
    assert isinstance(view, DocumentEditor)
    return view


async def at_field(drive: Driver, name: str) -> FieldRow:
    """Go to a field by tab."""
    fields = editor(drive).fields
    assert fields is not None
    row = next(each for each in fields.rows if each.item.name == name)
    while drive.console.frame.focused is not row.control:
        await drive.keys("tab")
    return row


async def document(server: Server, path: str) -> dict[str, Any]:
    answer = await server.call("GET", f"/admin/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_a_namespace_is_made_changed_compared_and_deleted(
    walk: Walk, server: Server, size: tuple[int, int]
) -> None:
    """From the list to the form, the page with its history, the difference, and the question with its name."""
    async with walk(size=size) as drive:
        await drive.keys("8")
        await drive.shows("users", "namespaces", "virtual hosts", ":operations")
        await drive.keys("j", "enter")
        await drive.shows("namespaces ─ 0", "none yet: n makes one", "n new")
        await drive.keys("n")
        await drive.shows("a new namespace", "members", "map: name:value")
        await drive.keys("ctrl+s")
        await drive.shows("needs a value", "1 to mend above")
        await drive.keys("<etl>", "tab", "<Nightly loads>", "tab", "<anna:boss>", "ctrl+s")
        await drive.shows("members", "✗ ")
        assert (await server.call("GET", "/admin/namespaces/etl")).status_code == 404
        await drive.keys("ctrl+u", "<anna:submitter, *:viewer>", "ctrl+s")
        await drive.shows("history ─ 1", "Nightly loads", "create by root", "✓ done")
        made = await document(server, "namespaces/etl")
        assert made["members"] == {"anna": "submitter", "*": "viewer"}
        await drive.keys("e")
        await drive.shows("revision 1", "as stored")
        await drive.keys("< And more.>")
        await drive.shows("1 changed")
        await drive.keys("ctrl+s")
        await drive.shows("history ─ 2", "update by root")
        assert (await document(server, "namespaces/etl"))["revision"] == 2
        await drive.keys("=")
        await drive.shows("from revision 1 to 2", "description:", "->")
        await drive.keys("escape", "enter")
        await drive.shows("operation", "digest", "by ")
        await drive.keys("escape", "D")
        await drive.shows("Delete this namespace for good?", "type etl to confirm")
        await drive.keys("<et>", "enter")
        await drive.shows("that is not etl: nothing was done")
        await drive.keys("<l>", "enter")
        await drive.shows("history ─ 3", "delete")
        assert (await server.call("GET", "/admin/namespaces/etl")).status_code == 404


@pytest.mark.parametrize("size", SIZES)
async def test_a_secret_is_never_seen(walk: Walk, server: Server, size: tuple[int, int]) -> None:
    """A user is made; the secret shows as dots, reaches the server, and no draft, command or record holds it."""
    async with walk(size=size) as drive:
        await drive.keys(":", "<users>", "enter")
        await drive.shows("users ─ 1", "root", "admin")
        await drive.keys("n")
        await drive.shows("a new user", "secret")
        await drive.keys("<anna>")
        row = await at_field(drive, "secret")
        await drive.keys("<canary-of-the-secret>")
        assert row.form.texts["secret"] == "canary-of-the-secret"
        await drive.lacks("canary")
        await drive.keys("ctrl+a", "ctrl+c", "ctrl+x")
        assert "canary" not in drive.console.clipboard
        assert "canary" not in str(editor(drive).subject())
        assert "canary" not in drive.console.export_screenshot()
        await drive.keys("escape")
        await drive.shows("users ─ 1")
        assert "canary" not in str(drive.console.drafts)
        await drive.keys("n")
        await drive.shows("what you typed here before is back")
        row = await at_field(drive, "secret")
        assert isinstance(row.control, Entry)
        assert row.control.value == ""
        await drive.keys("<canary>", "ctrl+s")
        await drive.shows("✗ ")
        await drive.keys("<-of-the-secret>", "ctrl+s")
        await drive.shows("history ─ 1", "create by root")
        await drive.lacks("canary")
        given = {"user": "anna", "secret": "canary-of-the-secret"}
        assert (await server.call("POST", "/session", user="", json=given)).status_code == 201
        assert "canary" not in (await server.call("GET", "/admin/operations")).text


@pytest.mark.parametrize("size", SIZES)
async def test_a_virtual_host_gets_a_pasted_key(
    walk: Walk, server: Server, size: tuple[int, int]
) -> None:
    """Of the key only its size is shown; a change keeps it, no copy has it, and it is taken away on request."""
    pem = private_key()
    middle = pem.splitlines()[2]
    async with walk(size=size) as drive:
        await drive.keys(":", "<vhosts>", "enter")
        await drive.shows("virtual hosts ─ 0", "n new")
        await drive.keys("n")
        await drive.shows("a new virtual host")
        await drive.keys("<web-1>")
        await at_field(drive, "address")
        await drive.keys("<10.0.0.7>")
        await at_field(drive, "user")
        await drive.keys("<deploy>")
        await at_field(drive, "labels")
        await drive.keys("<env:prod>")
        await at_field(drive, "ssh_pem_cert")
        await drive.shows("paste it here")
        await paste(drive, pem)
        await drive.shows("•••• 7 lines")
        await drive.lacks(middle[:20])
        assert middle not in drive.console.export_screenshot()
        assert middle not in str(editor(drive).subject())
        await drive.keys("ctrl+s")
        await drive.shows("history ─ 1", "create by root", "10.0.0.7")
        made = await document(server, "vhosts/web-1")
        assert made["has_key"] is True
        assert made["labels"] == {"env": "prod"}
        await drive.keys("e")
        await drive.shows("revision 1")
        await at_field(drive, "port")
        await drive.keys("<2222>", "ctrl+s")
        await drive.shows("history ─ 2")
        changed = await document(server, "vhosts/web-1")
        assert (changed["port"], changed["has_key"]) == (2222, True)
        await drive.keys("escape", "c")
        await drive.shows("a new virtual host", "a copy of web-1")
        await drive.keys("<web-2>", "ctrl+s")
        await drive.shows("✗ auth = key needs a private key")
        await paste(drive, private_key())
        await drive.keys("ctrl+s")
        await drive.until(lambda: drive.console.crumbs()[-1] == "web-2")
        await drive.shows("create by root")
        copied = await document(server, "vhosts/web-2")
        assert copied["key_fingerprint"] != made["key_fingerprint"]
        assert (copied["port"], copied["has_key"]) == (2222, True)
        await drive.keys(":", "<vhosts>", "enter")
        await drive.shows("virtual hosts ─ 2", "10.0.0.7:2222")
        await drive.keys("e")
        await drive.shows("revision 2")
        await at_field(drive, "auth")
        await drive.keys("<a>")
        await at_field(drive, "remove ssh_pem_cert")
        await drive.keys("right", "ctrl+s")
        await drive.shows("history ─ 3")
        assert (await document(server, "vhosts/web-1"))["has_key"] is False
        assert middle not in (await server.call("GET", "/admin/operations")).text


@pytest.mark.parametrize("size", SIZES)
async def test_two_change_the_same_document(
    walk: Walk, server: Server, size: tuple[int, int]
) -> None:
    """Both versions are shown; cancel keeps what was typed, theirs replaces it, mine goes on top of theirs."""
    await server.namespace("etl", anna="submitter")

    async def quicker(text: str) -> None:
        answer = await server.call("PATCH", "/admin/namespaces/etl", json={"description": text})
        assert answer.status_code == 200

    async with walk(size=size) as drive:
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1", "anna:submitter")
        await drive.keys("e")
        await drive.shows("revision 1")
        await drive.keys("<mine>")
        await quicker("theirs")
        await drive.keys("ctrl+s")
        await drive.shows(
            "somebody was quicker",
            "it has revision 2, not 1",
            "both changed it",
            "Take theirs",
        )
        await drive.keys("enter")
        await drive.lacks("somebody was quicker")
        assert editor(drive).form is not None
        await drive.shows("mine", "1 changed")
        await drive.keys("ctrl+s")
        await drive.shows("somebody was quicker")
        await drive.keys("t")
        await drive.shows("revision 2", "as stored", "theirs")
        await drive.keys("end", "< and mine>")
        await quicker("theirs again")
        await drive.keys("ctrl+s")
        await drive.shows("it has revision 3, not 2")
        await drive.keys("right", "right", "enter")
        await drive.shows("history ─ 7")
        stored = await document(server, "namespaces/etl")
        assert (stored["description"], stored["revision"]) == ("theirs and mine", 4)


async def test_the_last_administrator_and_what_is_needed_stay(walk: Walk, server: Server) -> None:
    """Before anything is asked, the server says what depends on it; several go together, one that is refused stays."""
    await server.namespace("full")
    await server.function("full/noop")
    for name in ("a", "b"):
        await server.namespace(name)
    async with walk() as drive:
        await drive.keys(":", "<users>", "enter")
        await drive.shows("users ─ 1")
        await drive.keys("D")
        await drive.shows("not deleted", "administrator")
        await drive.keys("escape", ":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 3")
        await drive.keys("*", "D")
        await drive.shows(
            "Delete 2 namespaces for good? 1 more cannot be deleted", "type delete 2 to confirm"
        )
        await drive.keys("<delete 2>", "enter")
        await drive.shows("namespaces ─ 1", "2 deleted")
        assert [each["_id"] for each in (await document(server, "namespaces"))["items"]] == ["full"]


async def test_who_may_not_is_told_why(walk: Walk, server: Server) -> None:
    """A viewer reads namespaces; everything else says which role it needs, and asks the server nothing."""
    await server.namespace("etl", viewer="viewer")
    async with walk("viewer") as drive:
        await drive.keys("8")
        await drive.shows("needs the role admin; yours is viewer")
        await drive.keys("enter")
        await drive.shows("users: needs the role admin")
        await drive.keys(":", "<operations>", "enter")
        await drive.shows("operations: needs the role admin")
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1", "etl")
        for key, title in (("n", "new"), ("e", "edit"), ("D", "delete"), ("c", "copy")):
            await drive.keys(key)
            await drive.shows(f"{title}: needs the role admin; yours is viewer")
        await drive.keys("enter")
        await drive.shows("viewer:viewer", "needs the role admin; yours is viewer", "history ─ 0")


async def test_the_audit_is_read_and_filtered(walk: Walk, server: Server) -> None:
    """Newest first; the server looks for refused ones; from a record to its document."""
    await server.namespace("etl")
    await server.call("DELETE", "/admin/users/root")
    async with walk() as drive:
        await drive.keys(":", "<operations>", "enter")
        await drive.shows("operations ─ ", "namespaces etl", "✗ refused", "✓ done")
        await drive.keys("/", "<outcome=refused>", "enter")
        await drive.lacks("namespaces etl")
        await drive.shows("users root", "outcome=refused")
        await drive.keys("escape", "/", "<collection=namespaces>", "enter")
        await drive.lacks("users root")
        await drive.keys("f")
        await drive.shows("history ─ 1", "members")
