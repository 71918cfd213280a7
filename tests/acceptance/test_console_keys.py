"""The console in a real terminal, by keys alone, on a whole stack."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from dts_core.clients import SyncAdminClient
from tests.support.processes import Up, environment, up
from tests.support.tmux import ENDED, terminal

pytestmark = [pytest.mark.slow, pytest.mark.external("tmux")]
Role = Literal["viewer", "submitter", "operator"]
Scope = Literal["read", "submit", "operate"]
SIZES = [(80, 24), (160, 48)]
CONSOLE = [sys.executable, "-m", "dts_tui.cli"]
EDITOR = """import pathlib, signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
print("the editor has the terminal", flush=True)
end = time.monotonic() + 60
while not seen and time.monotonic() < end:
    time.sleep(0.02)
file = pathlib.Path(sys.argv[1])
file.write_text(file.read_text().replace('description = ""', 'description = "Nightly"'))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, SyncAdminClient]]:
    """One for all walks."""
    with up(tmp_path_factory.mktemp("keys"), "--no-worker") as running:
        client = running.client(with_worker=False)
        yield running, client
        client.close()


def surroundings(stack: Up, **more: str) -> dict[str, str]:
    """What the console sees of the world."""
    kept = ("PATH", "HOME", "PYTHONPATH", "TMPDIR")
    env = {name: value for name, value in environment(stack.folder).items() if name in kept}
    env |= {
        "DTS_DATA": str(stack.data),
        "TERM": "tmux-256color",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    return env | more


@pytest.mark.parametrize("size", SIZES)
def test_an_administrator_walks(
    stack: tuple[Up, SyncAdminClient], tmp_path: Path, size: tuple[int, int]
) -> None:
    """A namespace is made in the form, changed in an editor that gets ctrl+c, and deleted by its name."""
    running, client = stack
    name = f"etl{size[0]}"
    editor = tmp_path / "editor.py"
    editor.write_text(EDITOR)
    env = surroundings(running, EDITOR=f"{sys.executable} {editor}")
    with terminal(tmp_path, CONSOLE, env, size) as at:
        at.shows("live")
        at.keys("8")
        at.shows("access tokens", ":operations")
        at.keys(":", "<namespaces>", "Enter")
        at.shows("namespaces ─ ")
        at.keys("n")
        at.shows("a new namespace")
        at.keys(f"<{name}>", "C-s")
        at.shows("history ─ 1", "create by")
        at.keys("C-o")
        at.shows("the editor has the terminal")
        at.keys("C-c")
        at.shows("history ─ 2", "Nightly")
        assert client.namespaces.get(name)["description"] == "Nightly"
        at.keys("D")
        at.shows("Delete this namespace for good?")
        at.keys(f"<{name}>", "Enter")
        at.shows("history ─ 3")
        at.keys("C-q")
        at.shows(f"{ENDED} 0")


OFFERED: dict[Role, tuple[dict[str, str], tuple[str, ...]]] = {
    "viewer": ({"4": "enter open", "7": "v parts"}, ("T drain", "P pause", "s run", "R run again", "C cancel")),
    "submitter": ({"2": "R run again", "3": "s run"}, ("T drain", "P pause")),
    "operator": ({"4": "T drain", "7": "P pause"}, ()),
}  # fmt: skip
"""Role -> what the last line of a screen offers, by the key that leads there; and what no screen may offer."""
SCOPES: dict[Role, Scope] = {"viewer": "read", "submitter": "submit", "operator": "operate"}
TITLES = {"2": "jobs ─ ", "3": "functions ─ ", "4": "hosts ─ ", "7": "queues ─ "}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("role", OFFERED)
def test_a_user_walks(
    stack: tuple[Up, SyncAdminClient], tmp_path: Path, role: Role, size: tuple[int, int]
) -> None:
    """What they may not is not offered, and says why when it is asked for; a token of their own is theirs."""
    running, client = stack
    name = f"{role}{size[0]}"
    client.users.add(name, role=role, secret="a secret of theirs")
    made = client.user_tokens.add(name, "console", scope=SCOPES[role], days=1)
    env = surroundings(running, DTS_URL=client.url, DTS_TOKEN=made.token)
    offered, never = OFFERED[role]
    with terminal(tmp_path, CONSOLE, env, size) as at:
        at.shows(f"{name}@", "live")
        for key, title in TITLES.items():
            at.keys(key)
            last = at.shows(title, offered.get(key, "? keys")).splitlines()[-1]
            assert not [words for words in never if words in last]
        at.keys("8")
        at.shows(f"needs the role admin; yours is {role}", "your secret")
        at.keys(":", "<tokens>", "Enter")
        at.shows("access tokens ─ 1 ─ your own", "console")
        for closed in ("users", "vhosts", "operations"):
            at.keys(":", f"<{closed}>", "Enter")
            at.shows(f": needs the role admin; yours is {role}")
        assert made.token not in at.screen()
        at.keys("C-q")
        at.shows(f"{ENDED} 0")
