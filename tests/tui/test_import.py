"""Hosts of a file made virtual hosts from the console: its kind, the plan, what is done, and what is not."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dts_core.errors import InvalidInput
from dts_core.testing import wait_until
from dts_tui.host_import import Told, kind_of, plan_lines, words_of
from dts_tui.own_commands import answer_of
from dts_tui.screens import host_importing
from tests.support.server import Server
from tests.tui.far_side import HOSTILE
from tests.tui.walking import Walk

PLAN = {
    "create": {"web-1": {"address": [None, "10.0.0.1"]}, "web-2": {"address": [None, "10.0.0.2"]}},
    "change": {"db-1": {"port": [22, 2222]}},
    "same": ["old-1"],
    "refused": {"odd": "a ProxyCommand is not taken"},
    "unpinned": ["web-1"],
    "notes": {"": ["config: Include is not followed"], "web-1": [f"IdentityFile {HOSTILE}"]},
    "done": 0,
}


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("config", "# mine\nHost web-1\n  HostName 10.0.0.1\n", "ssh config"),
        ("work", "Match host *.example.org\n  User ops\n", "ssh config"),
        ("hosts", "[web]\nweb-1 ansible_host=10.0.0.1\n", "inventory"),
        ("hosts", "web-1 ansible_host=10.0.0.1\n", "inventory"),
        ("all.yml", "all:\n  hosts:\n    web-1:\n", "inventory"),
        ("hosts.CSV", "anything", "table"),
        ("list", "name,address\nweb-1,10.0.0.1\n", "table"),
        ("known_hosts.old", "", "known hosts"),
        ("keys", "web-1,10.0.0.1 ssh-ed25519 AAAAC3Nz\n", "known hosts"),
        ("keys", "|1|abc=|def= ecdsa-sha2-nistp256 AAAAE2Vj\n", "known hosts"),
        ("notes.txt", "The host web-1 is slow.\n", ""),
        ("empty", "", ""),
    ],
)
def test_the_kind_of_a_file(name: str, text: str, kind: str) -> None:
    """By its name, else by how it begins; where neither tells it is not guessed."""
    assert kind_of(f"/home/anna/{name}", text) == kind


def test_a_plan_is_told_whole_and_inert() -> None:
    """Every host with its fields, notes and refusals; controls of a file are text; very many hosts are counted."""
    told = Told(**PLAN)  # type: ignore[arg-type]
    text = "\n".join("".join(part for part, _ in line) for line in plan_lines(told, 78))
    for said in ("+ web-1", "10.0.0.2", "~ db-1", "22 -> 2222", "odd: a ProxyCommand", "Include"):
        assert said in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    many = Told(create={f"web-{number}": {} for number in range(3_000)})
    assert plan_lines(many, 78)[-1][0][0] == " and 1,000 more"


def test_words_that_look_like_options_are_none() -> None:
    """A path and a name of any letters stay what they are."""
    words = words_of({"--yes": "table"}, "-x", ["--yes"])
    assert words == ["vhost", "import", "--csv=--yes", "--user=-x", "--", "--yes"]


async def test_what_dts_says_instead_of_an_answer_is_told() -> None:
    """Its last words are the reason, and it takes no module from where the console was started."""
    with pytest.raises(InvalidInput, match="nowhere"):
        await answer_of(["vhost", "import", "--csv=/nowhere/at/all", "--json", "--dry-run"], {})


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_file_becomes_virtual_hosts(
    walk: Walk, real: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """The form, the plan, the question, the doing; what was typed is there when one goes back from the plan."""
    asked: list[list[str]] = []

    async def answer(words: Sequence[str], env: Mapping[str, str]) -> bytes:
        assert env["DTS_TOKEN"] not in str(words)
        asked.append(list(words))
        return json.dumps(PLAN | {"done": 3 if "--yes" in words else 0}).encode()

    monkeypatch.setattr(host_importing, "answer_of", answer)
    file = tmp_path / "config"
    file.write_text("Host web-1\n")
    async with walk(size=size) as drive:
        await drive.keys("colon", "<vhosts>", "enter")
        await drive.shows("virtual hosts ─ 0", "f reads a file")
        await drive.keys("f")
        await drive.shows(
            "hosts of a file on this machine", "~/.ssh/config", "ctrl+s show the plan"
        )
        await drive.keys("<" + str(tmp_path / "gone") + ">", "ctrl+s")
        told = "gone cannot be read: No such file".replace(" ", "")  # wherever its line is broken
        await wait_until(lambda: told in "".join(drive.screen().split()), 60.0, what="the refusal")
        await drive.keys("ctrl+u", f"<{file}>", "tab", "tab", "tab", "<deploy>", "ctrl+s")
        await drive.shows("2 to create, 1 to change, 1 the same, 1 refused", "+ web-1", "~ db-1")
        await drive.shows("odd: a ProxyCommand is not taken", "enter import")
        command = [
            "vhost",
            "import",
            "--json",
            "--dry-run",
            f"--ssh-config={file}",
            "--user=deploy",
        ]
        assert asked == [command]
        await drive.keys("escape")
        await drive.shows("hosts of a file", "deploy")
        await drive.keys("ctrl+s")
        await drive.shows("enter import")
        await drive.keys("enter")
        await drive.shows("Create 2 virtual hosts, and change 1?", "web-2", "db-1", "Cancel")
        await drive.keys("enter")
        await drive.lacks("Sure?")
        file.write_text("Host web-1 web-9\n")
        await drive.keys("enter")
        await drive.shows("Sure?")
        await drive.keys("y")
        await drive.shows("a file was changed since the plan was made")
        assert len(asked) == 2
        await drive.keys("escape")
        await drive.shows("hosts of a file", "deploy")
        await drive.keys("ctrl+s")
        await drive.shows("enter import")
        await drive.keys("enter")
        await drive.shows("Sure?")
        await drive.keys("y")
        await drive.shows("3 virtual hosts written", "virtual hosts ─ 0")
        assert asked[-1] == [*command[:3], "--yes", *command[4:]]


async def test_what_may_not_be_is_said(walk: Walk, tmp_path: Path) -> None:
    """A file of no kind is asked about; a console that changes nothing shows the plan's key, and why it is off."""
    file = tmp_path / "notes.txt"
    file.write_text("The host web-1 is slow.\n")
    async with walk(size=(80, 24), read_only=True) as drive:
        await drive.keys("colon", "<import-hosts>", "enter")
        await drive.shows("this console is read-only")
    async with walk(size=(80, 24)) as drive:
        await drive.keys("colon", "<import-hosts>", "enter")
        await drive.shows("hosts of a file")
        await drive.keys(f"<{file}>", "ctrl+s")
        await drive.shows("nobody can tell which kind of file", "choose one")
