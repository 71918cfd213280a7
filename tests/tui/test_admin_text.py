"""Documents as TOML: in an editor of one's own, or here; mistakes, conflicts, secrets."""

import contextlib
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from dts_core.services.directory import NAMESPACES
from dts_core.services.resources.forms import describe
from dts_core.services.users import USERS
from dts_core.services.vhosts import VHOSTS
from dts_tui.admin_toml import line_of, read_edited, text_of_document, without_secrets
from dts_tui.app import Console
from dts_tui.own_editor import EditorFailed, edit_outside
from tests.support.server import Server
from tests.tui.hostile_console import PAYLOADS
from tests.tui.walking import SIZES, Walk

USER, VHOST, NAMESPACE = describe(USERS), describe(VHOSTS), describe(NAMESPACES)
ANN = {"_id": "ann", "role": "viewer", "disabled": False, "address": "", "groups": ["ops"]}


class Scribe:
    """An editor: each time it is called it does the next thing, and keeps what it was given and of which mode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = folder / "scribe.py"
        self._program.write_text(
            "import os, pathlib, sys\n"
            f"folder = pathlib.Path({str(folder)!r})\n"
            "turn = len(list(folder.glob('given-*')))\n"
            "file = pathlib.Path(sys.argv[1])\n"
            "text = file.read_text()\n"
            "(folder / f'given-{turn}').write_text(f'{os.stat(file).st_mode:o} {file}\\n{text}')\n"
            "for line in (folder / f'turn-{turn}').read_text().split('\\n'):\n"
            "    if line.startswith('exit '):\n"
            "        sys.exit(int(line[5:]))\n"
            "    old, _, new = line.partition(' => ')\n"
            "    text = text.replace(old, new) if old else text\n"
            "file.write_text(text)\n"
        )
        self.command = f"{sys.executable} {self._program}"

    def turns(self, *turns: str) -> None:
        """What it does: lines of `old => new`, or `exit STATUS`."""
        for number, turn in enumerate(turns):
            (self._folder / f"turn-{number}").write_text(turn)

    def given(self, number: int) -> tuple[int, Path, str]:
        """Mode, place and text of the file it was given."""
        head, _, text = (self._folder / f"given-{number}").read_text().partition("\n")
        mode, _, path = head.partition(" ")
        return stat.S_IMODE(int(mode, 8)), Path(path), text


@pytest.fixture
def scribe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scribe:
    """Chosen as the editor; a headless terminal cannot be lent, so lending it does nothing."""
    folder = tmp_path / "scribe"
    folder.mkdir()
    made = Scribe(folder)
    monkeypatch.setenv("VISUAL", made.command)
    monkeypatch.setattr(Console, "suspend", lambda console: contextlib.nullcontext())
    return made


@pytest.fixture
def no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)


async def stored(real: Server, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await real.call("GET", f"/admin/{path}")).json()
    return found


async def test_a_change_in_the_editor_is_stored(walk: Walk, real: Server, scribe: Scribe) -> None:
    """From the list; the file is private and gone afterwards, and names every field with its help, no secret."""
    await real.call(
        "POST", "/admin/users", json={"_id": "ann", "role": "viewer", "secret": "canary-secret"}
    )
    scribe.turns('role = "viewer" => role = "operator"\ngroups = [] => groups = ["ops", "night"]')
    async with walk() as drive:
        await drive.keys(":", "<users ann>", "enter")
        await drive.shows("users ─ 1", "ann")
        await drive.keys("ctrl+o")
        await drive.shows("history ─ 2", "update by root")
    mode, path, text = scribe.given(0)
    assert (mode, path.exists(), path.suffix) == (0o600, False, ".toml")
    assert "# What they may do everywhere. One of viewer, submitter, operator, admin." in text
    assert "canary" not in text
    assert "secret: kept in the store, not shown" in text
    changed = await stored(real, "users/ann")
    assert (changed["role"], changed["groups"], changed["revision"]) == (
        "operator",
        ["night", "ops"],
        2,
    )


async def test_no_mistake_loses_anything(walk: Walk, real: Server, scribe: Scribe) -> None:
    """No TOML, a field that does not exist, a value that the server refuses: each is told at its line, then mended."""
    await real.namespace("etl", anna="submitter")
    scribe.turns(
        'description = "" => description = "Nightly',
        'description = "Nightly => colour = "Nightly"',
        "exit 3",
        'colour = "Nightly" => description = "Nightly"\nanna = "submitter" => anna = "boss"',
        '"boss" => "operator"',
    )
    async with walk(size=(80, 24)) as drive:
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1")
        await drive.keys("ctrl+o")
        await drive.shows('description = "Nightly', "✗ line 4", "changed")
        await drive.keys("ctrl+o")
        await drive.shows('colour = "Nightly"', "✗ line 4: colour: ")
        assert scribe.given(1)[2].startswith("# ✗ line 4")
        await drive.keys("ctrl+o")
        await drive.shows("ended with status 3: nothing was taken over", 'colour = "Nightly"')
        await drive.keys("ctrl+o")
        await drive.shows("✗ line 7: members: ", "boss")
        assert (await stored(real, "namespaces/etl"))["revision"] == 1
        await drive.keys("ctrl+o")
        await drive.shows("history ─ ", "update by root")
        made = await stored(real, "namespaces/etl")
        assert (made["description"], made["members"]) == ("Nightly", {"anna": "operator"})


@pytest.mark.parametrize("size", SIZES)
async def test_without_an_editor_it_is_written_here(
    walk: Walk, real: Server, no_editor: None, size: tuple[int, int]
) -> None:
    """The server's reasons stand at their lines; what was typed comes back; it is stored in the end."""
    await real.namespace("etl", anna="submitter")
    async with walk(size=size) as drive:
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1")
        await drive.keys("enter")
        await drive.shows("history ─ 1")
        await drive.keys("ctrl+o")
        await drive.shows("etl ─ namespace as TOML, revision 1", "# What it is for.", "as stored")
        await drive.keys("ctrl+s")
        await drive.shows("nothing was changed")
        await drive.keys("ctrl+end", '<colour = "red">', "ctrl+s")
        await drive.shows("colour: ", "✗ line")
        await drive.keys("escape")
        await drive.shows("history ─ ")
        await drive.keys("ctrl+o")
        await drive.shows("what you typed here before is back", 'colour = "red"')
        await drive.keys("ctrl+end", "enter", '<description = "twice">', "ctrl+s")
        await drive.shows("✗ line 9: Cannot overwrite a value")
        assert (await stored(real, "namespaces/etl"))["revision"] == 1
        await drive.keys("ctrl+end", "ctrl+u", "backspace", "ctrl+u", "ctrl+home")
        await drive.keys("down", "down", "down", "end", "left", "<here>", "ctrl+s")
        await drive.shows("history ─ ", "update by root")
        assert (await stored(real, "namespaces/etl"))["description"] == "here"


async def test_a_conflict_shows_both_versions(walk: Walk, real: Server, no_editor: None) -> None:
    """Mine goes on top of theirs when that is chosen; nobody's other field is touched."""
    await real.namespace("etl", anna="submitter")
    async with walk(size=(80, 24)) as drive:
        await drive.keys(":", "<namespaces>", "enter")
        await drive.shows("namespaces ─ 1")
        await drive.keys("ctrl+o")
        await drive.shows('description = ""')
        await drive.keys("down", "down", "down", "end", "left", "<mine>")
        await drive.shows('description = "mine"')
        theirs = {"description": "theirs", "members": {"*": "viewer"}}
        assert (await real.call("PATCH", "/admin/namespaces/etl", json=theirs)).status_code == 200
        await drive.keys("ctrl+s")
        await drive.shows("somebody was quicker", "it has revision 2, not 1")
        await drive.keys("escape")
        await drive.shows('description = "mine"', "changed")
        await drive.keys("ctrl+s")
        await drive.shows("somebody was quicker")
        await drive.keys("m")
        await drive.shows("history ─ ")
        after = await stored(real, "namespaces/etl")
        assert (after["description"], after["members"]) == ("mine", {"*": "viewer"})


async def test_a_secret_typed_into_the_text_is_taken_out(
    walk: Walk, real: Server, no_editor: None
) -> None:
    """It is refused, and neither the screen, a draft nor the clipboard keeps it."""
    await real.token("ann")
    async with walk() as drive:
        await drive.keys(":", "<users ann>", "enter")
        await drive.shows("users ─ 1")
        await drive.keys("ctrl+o")
        await drive.shows("ann ─ user as TOML")
        await drive.keys("ctrl+end", '<secret = "canary-secret">', "ctrl+s")
        await drive.shows("a secret is not given as text")
        await drive.lacks("canary")
        await drive.keys("ctrl+end", '<secret = "canary-secret">', "escape")
        await drive.shows("users ─ 1")
        assert "canary" not in str(drive.console.drafts)


# --- rules --------------------------------------------------------------------------------------


def test_only_what_differs_is_sent() -> None:
    """Left out stays; a field nobody gives is refused; an unknown one goes to the server, which names it."""
    text = 'role = "admin"\ngroups = ["ops"]\nrevision = 9\nsize = 2026-01-01\n'
    edited = read_edited(text, {**ANN, "revision": 3}, USER)
    assert edited.changed == {"role": "admin", "size": "2026-01-01"}
    assert set(edited.wrong) == {"revision"}
    assert read_edited("role = ", ANN, USER).line == 1
    assert "" in read_edited("x = " + "[" * 9999, ANN, USER).wrong


def test_a_line_is_found_by_its_field() -> None:
    """A part of a field is at the field's line, be it a table or not."""
    text = 'a = 1\n"b" = 2\n[members]\nann = "x"\n[labels.more]\n'
    found = [line_of(text, name) for name in ("a", "b", "members.ann", "labels[0]", "none")]
    assert found == [1, 2, 3, 5, 0]


def test_a_text_with_a_secret_is_made_anew() -> None:
    """What else was typed stays."""
    text = 'role = "admin"\nsecret = """\ncanary\n"""\n'
    made = without_secrets(text, read_edited(text, ANN, USER), ANN, USER)
    assert "canary" not in made
    assert 'role = "admin"' in made
    broken = 'address = "\nsecret = """\ncanary\n\ncanary\n# more\nrole = "admin"\n'
    cut = without_secrets(broken, read_edited(broken, ANN, USER), ANN, USER)
    assert cut == 'address = "\n# more\nrole = "admin"\n'
    clean = 'role = "admin"\n'
    assert without_secrets(clean, read_edited(clean, ANN, USER), ANN, USER) == clean


@given(st.dictionaries(st.text(), st.text()), st.text(), st.lists(st.text()))
def test_whatever_stands_in_a_document_reads_back(
    labels: dict[str, str], address: str, groups: list[str]
) -> None:
    """Hostile text is inert in the editor, and an untouched text changes nothing."""
    for document, view in (
        ({"_id": "w", "labels": labels, "address": address}, VHOST),
        ({"_id": "a", "groups": groups, "address": address}, USER),
        ({"_id": "n", "description": address, "members": labels}, NAMESPACE),
    ):
        text = text_of_document(document, view)
        assert read_edited(text, document, view).changed == {}


def test_hostile_text_is_inert_in_the_file() -> None:
    """No control but line ends reaches the editor."""
    texts = [each.replace("\ud800", "") for each in PAYLOADS]
    text = text_of_document({"_id": "a", "groups": texts, "address": "\n".join(texts)}, USER)
    assert all(
        each == "\n" or (ord(each) > 31 and each not in "\x7f\x9b\u202e\u200b") for each in text
    )
    assert tomli.loads(text)["groups"] == texts


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("false", "ended with status 1"),
        ("/nowhere/editor", "did not start"),
        ("'", "is no command line"),
        ("rm", "the text is gone"),
    ],
)
def test_an_editor_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    """Each failure is one sentence, and nothing is taken over."""
    monkeypatch.setenv("VISUAL", command)
    with pytest.raises(EditorFailed, match=why):
        edit_outside("text", "a.toml", contextlib.nullcontext)


def test_every_field_has_help() -> None:
    """A form or a file that names a field without saying what it is for leaves its reader alone."""
    missing = [
        f"{view.name}.{each.name}"
        for view in (USER, VHOST, NAMESPACE)
        for each in view.fields
        if not each.help.endswith((".", ")"))
    ]
    assert missing == []
