"""What an SSH agent signs for a run: logins of the user and key that are shown, and nothing else."""

import socket
import struct
import threading
from pathlib import Path

import pytest

from dts_core.clients.own_agent import OwnAgent, OwnKey, login_request
from dts_core.errors import ConfigError, Forbidden, InvalidInput, SealBroken
from dts_core.model import Prompt, Wording
from dts_core.sealed import OpeningKey
from dts_core.sealed.answers import ANSWER_MAX, open_answers, seal_answers
from tests.support.sshkeys import private_key, public_line


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


KEY = OwnKey(public_line(private_key()), "mine")


def request(**changes: bytes) -> bytes:
    """What SSH has signed for a login, a part of it exchanged."""
    part = {
        "session": string(b"s" * 32), "kind": b"\x32", "user": string(b"ann"),
        "service": string(b"ssh-connection"), "method": string(b"publickey"), "signed": b"\x01",
        "algorithm": string(b"ssh-ed25519"), "key": string(KEY.blob), "rest": b"",
    } | changes  # fmt: skip
    return b"".join(part.values())


def test_a_login_is_read() -> None:
    """Who, with which algorithm, with which key."""
    assert login_request(request()) == ("ann", b"ssh-ed25519", KEY.blob)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 64,
        b"SSHSIG" + string(b"git") + string(b"") + string(b"sha512"),
        request(session=string(b"s" * 8)),
        request(session=string(b"s" * 200)),
        request(kind=b"\x33"),
        request(service=string(b"ssh-userauth")),
        request(method=string(b"hostbased")),
        request(signed=b"\x00"),
        request(rest=string(b"more")),
        request(rest=b"\x00"),
        request(user=string(b"\xff")),
        request()[:-1],
    ],
)
def test_anything_else_is_no_login(data: bytes) -> None:
    """A signature of a file, of another service, cut off, with more behind it."""
    assert login_request(data) is None
    with pytest.raises(Forbidden, match="no SSH login"):
        OwnAgent("/nowhere").sign(KEY, data, user="ann")


@pytest.mark.parametrize(
    ("data", "user"), [(request(), "root"), (request(key=string(b"other")), "ann")]
)
def test_another_login_is_not_signed(data: bytes, user: str) -> None:
    """Of another user, or with another key than the one that is shown: the agent is not even asked."""
    with pytest.raises(Forbidden, match="another login"):
        OwnAgent("/nowhere").sign(KEY, data, user=user)


def test_without_an_agent_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """None named, or none there."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(ConfigError, match="ssh-add"):
        OwnAgent().keys()
    with pytest.raises(ConfigError, match="cannot be used"):
        OwnAgent("/nowhere/agent").keys()


@pytest.mark.parametrize(
    "said", [b"", string(b"\x05"), string(b"\x0c\x00\x00\x00\x01\x00"), b"\xff" * 8, string(b"\x0c\x00\x00\x00\x00")]
)  # fmt: skip
def test_what_is_no_agent_is_told(tmp_path: Path, said: bytes) -> None:
    """It hangs up, refuses, talks nonsense, or has no key."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.recv(65536)
                stream.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ConfigError, match="your SSH agent"):
            OwnAgent(str(tmp_path / "agent")).keys()
        thread.join(60)


def test_an_rsa_key_signs_by_the_algorithm_that_was_agreed_on(tmp_path: Path) -> None:
    """SHA-2, never SHA-1: the flags of the request say so."""
    key = OwnKey(public_line(private_key(kind="ssh-rsa")), "")
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                heard.append(stream.recv(65536))
                stream.sendall(string(b"\x0e" + string(b"signature")))

        thread = threading.Thread(target=serve)
        thread.start()
        data = request(algorithm=string(b"rsa-sha2-512"), key=string(key.blob))
        agent = OwnAgent(str(tmp_path / "agent"))
        assert agent.sign(key, data, user="ann") == b"signature"
        thread.join(60)
    assert heard[0].endswith(string(data) + b"\x00\x00\x00\x04")


def test_answers_open_for_their_question_alone() -> None:
    """With its key, and only as it was worded; the box tells nothing of their length."""
    key, other = OpeningKey.new(), OpeningKey.new()
    wording = Wording(host="bank", prompts=[Prompt(text="Password:")])
    box = seal_answers(str(key.public), "q1", wording, ["swordfish"])
    assert open_answers(key, "q1", wording, box) == ["swordfish"]
    assert b"swordfish" not in box
    assert len(box) == len(seal_answers(str(key.public), "q1", wording, ["x"]))
    told = Wording(host="bank", prompts=[Prompt(text="Password:", echo=True)])
    for opener, question, seen in (
        (other, "q1", wording),
        (key, "q2", wording),
        (key, "q1", told),
        (key, "q1", Wording(host="bank-2", prompts=wording.prompts)),
    ):
        with pytest.raises(SealBroken):
            open_answers(opener, question, seen, box)
    with pytest.raises(InvalidInput):
        seal_answers(str(key.public), "q1", wording, ["x" * (ANSWER_MAX + 1)])
    with pytest.raises(InvalidInput):
        seal_answers("x25519:nonsense", "q1", wording, ["x"])
