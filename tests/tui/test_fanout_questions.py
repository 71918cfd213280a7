"""What logins ask, on the board: put before whoever started it, masked, sealed; escape refuses."""

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from dts_core.clients.own_agent import OwnAgent
from dts_core.model import Prompt, Wording
from dts_core.sealed.answers import open_answers
from tests.tui.driving import Driver
from tests.tui.fake_fanout import HOSTILE, FanOutServer

Opened = Callable[..., AbstractAsyncContextManager[Driver]]
PASSWORD = Prompt(text="Password:")
CODE = Prompt(text="Code:", echo=True)


@pytest.fixture
def server() -> FanOutServer:
    return FanOutServer(["bank-1", "bank-2"])


async def to_board(drive: Driver) -> None:
    await drive.keys("2")
    await drive.shows("jobs ─ 4", "sshrpc")
    await drive.keys("enter")
    await drive.shows("same answer")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_answers_are_masked_and_sealed(
    opened: Opened, server: FanOutServer, size: tuple[int, int]
) -> None:
    """The form comes by itself; a password is dots, a code is seen; what goes out opens for who asked alone."""
    async with opened(*size) as drive:
        await to_board(drive)
        key = server.ask("bank-1", PASSWORD, CODE, title=HOSTILE)
        [question] = server.questions
        await drive.shows("bank-1 asks:", "Password:", "Code:", "enter goes on, 1 of 2")
        await drive.keys("<swordfish>", "enter", "<925713>")
        await drive.shows("•••••••••", "925713")
        assert "swordfish" not in drive.screen()
        await drive.keys("enter")
        await drive.lacks("a login asks")
        await drive.until(lambda: bool(server.answers))
        [sent] = server.answers
        box = base64.b64decode(sent["box"])
        assert open_answers(key, question.id, question.wording, box) == ["swordfish", "925713"]
        assert not sent["for_all"]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (160, 48)])
async def test_more_prompts_than_there_is_room_for(
    opened: Opened, server: FanOutServer, size: tuple[int, int]
) -> None:
    """The field with the keys is seen with its prompt, and so are the keys, at any size, and after another one."""
    texts = [f"Question {number} of a bank: {'letters ' * 12}" for number in range(1, 9)]
    prompts = [Prompt(text=text, echo=True) for text in texts]
    async with opened(*size) as drive:
        await to_board(drive)
        key = server.ask("bank-1", *prompts, title="A bank asks a lot. " * 30)
        [question] = server.questions
        for number in range(1, 9):
            goes = "enter answers" if number == 8 else "enter goes on"
            await drive.shows(f"{goes}, {number} of 8", f"Question {number} of", "esc refuses")
            await drive.keys(f"<word {number}>")
            await drive.shows(f"word {number}")
            if number == 4:
                await drive.pilot.resize_terminal(70, 20)
                await drive.shows("enter goes on, 4 of 8", "Question 4 of", "word 4", "esc refuses")
            await drive.keys("enter")
        await drive.until(lambda: bool(server.answers))
        box = base64.b64decode(server.answers[0]["box"])
        words = open_answers(key, question.id, question.wording, box)
        assert words == [f"word {number}" for number in range(1, 9)]


async def test_a_question_does_not_come_between_keys(opened: Opened, server: FanOutServer) -> None:
    """While a filter is typed it waits: what is typed never answers it. One that nobody asks any more goes."""
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.keys("slash", "<ba>")
        server.ask("bank-1", PASSWORD)
        await drive.shows("1 question of logins")
        await drive.keys("<nk>")
        await drive.shows("bank")
        assert drive.console.overlay is None
        await drive.keys("enter")
        await drive.shows("bank-1 asks")
        assert server.answers == []
        server.questions.clear()
        await drive.shows("does not ask any more")
        await drive.lacks("a login asks")


async def test_escape_refuses_and_the_next_one_comes(opened: Opened, server: FanOutServer) -> None:
    """One after the other; by choice an answer is for all that ask the same; somebody else's is not put."""
    server.ask("bank-1", PASSWORD)
    server.ask("bank-2", PASSWORD)
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.shows("bank-1 asks", "2 questions of logins", "□ the same answer for all")
        await drive.keys("escape")
        await drive.until(lambda: bool(server.answers))
        assert server.answers == [{"declined": True}]
        await drive.shows("bank-2 asks")
        server.ask("bank-1", PASSWORD)
        await drive.keys("escape")
        await drive.shows("bank-1 asks")
        server.ask("bank-2", PASSWORD)
        await drive.keys("escape", "a")
        await drive.shows("bank-2 asks")
        await drive.keys("<x>", "enter")
        await drive.until(lambda: len(server.answers) == 4)
        await drive.keys("a")
        await drive.shows("no login asks anything now")


async def test_the_own_agent_signs_for_hosts_of_the_run(
    opened: Opened, server: FanOutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only after it was said for this run; each is told, and a login elsewhere is declined."""
    asked: list[str] = []

    def answer(agent: OwnAgent, wording: Wording) -> list[str]:
        asked.append(wording.host)
        return ["c2lnbmVk"]

    monkeypatch.setattr(OwnAgent, "answer", answer)
    server.ask("bank-1")
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.shows("1 question of logins")
        assert asked == []
        await drive.keys("a")
        await drive.shows("Have your SSH agent sign", "bank-1: log in as ann with key SHA256:")
        await drive.keys("y")
        await drive.shows("signed: bank-1: log in as ann")
        server.ask("bank-2")
        await drive.until(lambda: asked == ["bank-1", "bank-2"])
        server.ask("elsewhere")
        await drive.shows("not signed: elsewhere is no host of this run")
        assert asked == ["bank-1", "bank-2"]
        assert server.answers[-1] == {"declined": True}
