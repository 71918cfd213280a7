"""One login, as asyncssh asks for it step by step: the host's key first, then what we show of ourselves."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncssh

from dts_core.errors import (
    DtsError,
    HostKeyRejected,
    HostUnreachable,
    LoginDenied,
    RemoteError,
)
from dts_core.ssh.algorithms import weakness
from dts_core.ssh.asking import Asking, Question
from dts_core.ssh.base import fingerprint
from dts_core.ssh.hostkeys import judge_authority, judge_key
from dts_core.ssh.keycache import Presented
from dts_core.ssh.ownkeys import OwnKey
from dts_core.ssh.quiet import without_filler
from dts_core.ssh.target import Target
from dts_core.text import clean, one_line
from dts_core.vault import Secret

__all__ = ["Login"]

T = TypeVar("T")
AGENT_KEYS_MAX: Final = 5
"""Keys of an agent that are shown: sshd ends the login at the sixth try (MaxAuthTries)."""
BANNER_MAX: Final = 4096
ROUNDS_MAX: Final = 3
QUESTIONS_MAX: Final = 8


class Login(asyncssh.SSHClient):
    """Belongs to one connection. What it refuses, and why, is in `refusal`.

    Args:
        target: Who is meant.
        key: What is presented of ours, opened.
        asking: Who answers questions; None: nobody, they are declined.
        prompt_seconds: For all answers of this login.
    """

    def __init__(
        self,
        target: Target,
        key: Presented | None,
        asking: Asking | None,
        *,
        prompt_seconds: float,
    ) -> None:
        self.target = target
        self.refusal: RemoteError | None = None
        self.host_key = ""
        """`TYPE BASE64` that the host has proved; of a certificate, the key of its authority."""
        self.is_certified = False
        self.began_login = False
        self.banner = ""
        self._connection: Any = None
        self._key: list[Presented] = [key] if key is not None else []
        self._agent: asyncssh.SSHAgentClient | None = None
        self._asked_agent = False
        self._own = list(target.credentials.own_keys[:AGENT_KEYS_MAX]) if asking is not None else []
        self._password = target.credentials.password
        self._asking = asking
        self._left = prompt_seconds
        self._rounds = 0
        self._has_no_questions = False
        """Whether the host was asked for its questions, and has put none yet."""
        self._on_lost: Callable[[], None] | None = None
        self._is_lost = False

    # --- who they are -----------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep it, to look at what is agreed on."""
        self._connection = conn
        without_filler(conn)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Decide over the host's key; asyncssh knows of none, so it asks for each, at each exchange."""
        shown = _line(key)
        self.refusal = judge_key(self.target.pins, self.target.id, shown) or self._unsafe()
        self.host_key, self.is_certified = shown, False
        return self.refusal is None

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Decide over who signed the host's certificate; its dates and names are checked after this."""
        signer = _line(key)
        self.refusal = judge_authority(self.target.pins, self.target.id, signer) or self._unsafe()
        self.host_key, self.is_certified = signer, True
        return self.refusal is None

    def _unsafe(self) -> RemoteError | None:
        why = weakness(self._connection)
        if not why:
            return None
        advice = "Update its SSH server, or let it offer aes128-gcm."
        return HostUnreachable(why, host=self.target.id, stage="exchange", advice=advice)

    def certificate_refused(self, why: str) -> HostKeyRejected:
        """What a host comes to whose certificate is signed rightly, and does not fit."""
        text = f"its certificate does not count: {one_line(why)}"
        told = fingerprint(self.host_key)
        return HostKeyRejected(text, host=self.target.id, shown=self.host_key, fingerprint=told)

    # --- who we are -------------------------------------------------------------------------------

    def begin_auth(self, username: str) -> None:
        """From here on the host sees who we are."""
        self.began_login = True

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Keep the begin of it, printable."""
        left = BANNER_MAX - len(self.banner)
        if left > 0:
            self.banner += clean(msg[:left], left)

    async def public_key_auth_requested(self) -> Any:
        """The person's own keys, the key of ours, then those of the agent; None when there is none left."""
        while self._own:
            with contextlib.suppress(asyncssh.KeyImportError, ValueError):  # of a kind unknown here
                return [self._own_key(self._own.pop(0))]
        if self._key:
            return [self._key.pop()]
        if self._asked_agent or not self.target.credentials.agent:
            return None
        self._asked_agent = True
        return await self._agent_keys()

    def _own_key(self, line: str) -> OwnKey:
        async def sign(data: bytes) -> bytes | None:
            asking, target = self._asking, self.target
            if asking is None or self.refusal is not None:
                return None
            asked = asking.sign(target.id, target.user, line, data)
            return await self._in_time(asked, "the question for a signature")

        return OwnKey(line, sign)

    async def _agent_keys(self) -> "list[asyncssh.SSHKeyPair] | None":
        wanted = self.target.credentials.agent_keys
        self._agent = asyncssh.SSHAgentClient(self.target.credentials.agent)
        try:
            found = list(await self._agent.get_keys())
        except (OSError, ValueError):
            self._fail("the SSH agent does not answer")
            return None
        if wanted:
            blobs = [asyncssh.import_public_key(line).public_data for line in wanted]
            found = [each for each in found if each.public_data in blobs]
        return found[:AGENT_KEYS_MAX] or None

    async def password_auth_requested(self) -> str | None:
        """The stored password once; without one a person is asked, once."""
        if self._password is not None:
            password, self._password = self._password, None
            return password.reveal()
        if self._rounds:
            return None
        question = Question(clean(f"Password of {self.target.user}"), is_secret=True)
        answers = await self._ask("", [question])
        return answers[0].reveal() if answers else None

    def kbdint_auth_requested(self) -> str | None:
        """Whether questions may be asked: not again after they were answered wrongly, which may lock the account.

        Nor of a host that offers to ask and then has no questions, as OpenSSH without PAM: each time is a failed login.
        """
        may = self._rounds == 0 and (self._asking is not None or self._password is not None)
        if not may or self._has_no_questions:
            return None
        self._has_no_questions = True
        return ""

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Any
    ) -> list[str] | None:
        """Answers to one round: the stored password where it is meant, else a person's."""
        questions = [Question(one_line(text), is_secret=not echo) for text, echo in prompts]
        if not questions:
            return []
        self._has_no_questions = False
        if len(questions) > QUESTIONS_MAX or self._rounds >= ROUNDS_MAX:
            self._fail("it asks too many questions")
            return None
        if self._password is not None and _means_password(questions):
            password, self._password = self._password, None
            return [password.reveal()]
        answers = await self._ask(f"{name} {instructions}".strip(), questions)
        return [each.reveal() for each in answers] if answers is not None else None

    async def _ask(self, title: str, questions: list[Question]) -> Sequence[Secret] | None:
        if self._asking is None:
            return None
        self._rounds += 1
        what = f"the prompt {questions[0].text.strip()!r}"
        asked = self._asking.answer(self.target.id, clean(title, 500), questions)
        answers = await self._in_time(asked, what)
        if answers is None or len(answers) != len(questions):
            self._fail(f"{what} was not answered")
            return None
        return answers

    async def _in_time(self, asked: Awaitable[T | None], what: str) -> T | None:
        """What a person says; None, and the login has failed, when they say nothing in the time that is left."""
        loop = asyncio.get_running_loop()
        began, left = loop.time(), self._left
        try:
            async with asyncio.timeout(left):
                return await asked
        except TimeoutError:
            self._fail(f"nobody answered {what} in time ({left:.3g} s)")
        except RemoteError as error:
            self.refusal = self.refusal or error
        except DtsError as error:
            self._fail(str(error))
        finally:
            self._left = max(left - (loop.time() - began), 0.0)
        return None

    def _fail(self, why: str) -> None:
        self.refusal = self.refusal or LoginDenied(why, host=self.target.id)

    # --- the end ----------------------------------------------------------------------------------

    def end_login(self) -> None:
        """Let go of what only the login needed."""
        self._key.clear()
        self._own.clear()
        self._password = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call once when the connection has ended; at once when it has already."""
        if self._is_lost:
            on_lost()
        else:
            self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who keeps the connection."""
        self.end_login()
        self._connection, self._is_lost = None, True
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()


def _line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def _means_password(questions: list[Question]) -> bool:
    return (
        len(questions) == 1 and questions[0].is_secret and "password" in questions[0].text.lower()
    )
