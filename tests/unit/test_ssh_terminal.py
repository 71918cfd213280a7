"""What `dts ssh --ask` and `--as-me` do with each question, without a terminal and without an agent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dts_core.cli import ssh_asking
from dts_core.cli.person_options import Part
from dts_core.cli.ssh_asking import Terminal
from dts_core.clients.own_agent import OwnAgent, OwnKey
from dts_core.model import Prompt, Wording
from dts_core.views.questions import AnswerTaken, QuestionList, QuestionView
from tests.support.sshkeys import private_key, public_line

KEY = OwnKey(public_line(private_key()), "mine")
ASK = Part(ask=True)


class Client:
    """Takes answers; it is its own `ssh`."""

    def __init__(self, *wordings: Wording) -> None:
        self.ssh = self
        self.items = [
            QuestionView(
                id=f"q{number}", job="j", person="ann", wording=wording, sealing_key="",
                deadline=datetime.now(UTC),
            )
            for number, wording in enumerate(wordings)
        ]  # fmt: skip
        self.said: list[Any] = []

    def questions(self, job: str) -> QuestionList:
        return QuestionList(items=self.items)

    def answer(
        self, question: QuestionView, answers: list[str], *, for_all: bool = False
    ) -> AnswerTaken:
        self.said.append((question.id, answers, for_all))
        return AnswerTaken(taken=True)

    def decline(self, question: QuestionView) -> AnswerTaken:
        self.said.append((question.id, None, False))
        return AnswerTaken(taken=True)


def asked(host: str) -> Wording:
    return Wording(host=host, title="\x1b[2Jhi", prompts=[Prompt(text="Code:", echo=True)])


def signature(host: str, user: str = "ann", key: str = KEY.line) -> Wording:
    return Wording(host=host, user=user, public_key=key, data=b"login")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What comes from the keyboard; when it is empty, its end."""
    lines: list[str] = []

    def read(text: str, *, echo: bool) -> str:
        if not lines:
            raise EOFError
        return lines.pop(0)

    monkeypatch.setattr(ssh_asking, "_typed", read)
    monkeypatch.setattr(OwnAgent, "answer", lambda agent, wording: ["signed"])
    return lines


def test_one_at_a_time_and_each_once(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """After an answer it looks anew, as it may have been for all; who is asked is told, inert."""
    client: Any = Client(asked("a"), asked("b"))
    terminal = Terminal([], ["a", "b"], ASK)
    typed += ["1", "y", "2", ""]
    terminal.look(client, "j")
    assert client.said == [("q0", ["1"], True)]
    terminal.look(client, "j")
    terminal.look(client, "j")
    assert client.said[1:] == [("q1", ["2"], False)]
    told = capsys.readouterr().err
    assert "a asks: " in told
    assert "\x1b" not in told


def test_the_end_of_the_keyboard_refuses(typed: list[str]) -> None:
    """Also within the question whether it is for all."""
    client: Any = Client(asked("a"), asked("b"))
    terminal = Terminal([], ["a", "b"], ASK)
    terminal.look(client, "j")
    typed.append("1")
    terminal.look(client, "j")
    assert client.said == [("q0", None, False), ("q1", None, False)]


def test_only_logins_of_the_run_are_signed(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another host, another user, a key that was not offered: declined, and said; one on the way after a yes."""
    other = public_line(private_key())
    wanted = [
        signature("a"), signature("elsewhere"), signature("a", user="root"), signature("a", key=other),
    ]  # fmt: skip
    client: Any = Client(*wanted)
    Terminal([KEY], ["a"], Part(as_me=True, login="ann")).look(client, "j")
    assert [answers for _, answers, _ in client.said] == [["signed"], None, None, None]
    told = capsys.readouterr().err
    for words in ("a: log in as ann with key SHA256:", "not signed for elsewhere", "not offered"):
        assert words in told
    client = Client(signature("door"), signature("other"))
    typed.append("y")
    Terminal([KEY], ["a"], ASK).look(client, "j")
    assert [answers for _, answers, _ in client.said] == [["signed"], None]
